import { createHash } from 'node:crypto'
import { ContentDigester } from '../../src/core/content-digest.ts'
import type { ContentDigest } from '../../src/core/content-digest.ts'

export const MB = 1_000_000

/** Bytes that differ from place to place, the same for the same seed. */
export function someBytes(size: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(size)
  let state = seed * 2_654_435_761 + 1
  for (let at = 0; at + 4 <= size; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes.writeUInt32LE(state, at)
  }
  return bytes
}

/** The bytes in pieces, as a socket would give them. */
export async function* streamOf(bytes: Uint8Array, pieceBytes = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

/** A stream that gives so many bytes and fails. */
export async function* failingStream(size: number, error: Error): AsyncGenerator<Uint8Array> {
  yield* streamOf(someBytes(size))
  throw error
}

/** More bytes than anybody would hold. */
export async function* generatedStream(size: number, pieceBytes = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size; at += pieceBytes) {
    const piece = Buffer.allocUnsafe(Math.min(pieceBytes, size - at)).fill(at / pieceBytes)
    yield piece
  }
}

export async function allOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream) pieces.push(piece)
  return Buffer.concat(pieces)
}

export async function listOf<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of stream) found.push(item)
  return found
}

export async function sha256Of(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of stream) hash.update(piece)
  return hash.digest('hex')
}

export function digestOf(bytes: Uint8Array): ContentDigest {
  const digester = new ContentDigester()
  digester.update(bytes)
  return digester.finish()
}
