import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { syncFolder } from '../../core/write-whole.ts'
import type { FileHandle } from 'node:fs/promises'

/** Bytes read and written at once: each call costs a round trip to another thread. */
const READ_BYTES = 1024 * 1024
/** Upper limit of pieces written at once, for a client that sends byte by byte. */
const PIECES_MAX = 1024

/** Converts an error of the file system. */
export function diskError(what: string, error: unknown): SlipwayError {
  return new SlipwayError('SLW_STORE_UNAVAILABLE', `the folder of objects cannot ${what}: ${messageOf(error)}`, { cause: error })
}

/** The answer of the file system; undefined where the file or folder does not exist. */
export async function unlessMissing<T>(what: string, act: Promise<T>): Promise<T | undefined> {
  try {
    return await act
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw diskError(what, error)
  }
}

export async function onDisk<T>(what: string, act: Promise<T>): Promise<T> {
  try {
    return await act
  } catch (error) {
    throw diskError(what, error)
  }
}

interface Pieces {
  readonly pieces: readonly Uint8Array[]
  /** Bytes of all of them. */
  readonly size: number
}

/** The pieces of a stream, small ones together. The stream must not use the memory of a piece again. */
export async function* gathered(body: AsyncIterable<Uint8Array>): AsyncGenerator<Pieces> {
  let pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of body) {
    // A write of empty pieces alone would never be done.
    if (piece.length === 0) continue
    pieces.push(piece)
    size += piece.length
    if (size < READ_BYTES && pieces.length < PIECES_MAX) continue
    yield { pieces, size }
    pieces = []
    size = 0
  }
  if (size > 0) yield { pieces, size }
}

/** Bytes after which the system is asked to begin writing them to the disk. */
const SYNC_BYTES = 16 * 1024 * 1024

/** Writes all pieces without copying them. The system may take less than it was given. */
export async function writeAll(handle: FileHandle, given: readonly Uint8Array[]): Promise<void> {
  let pieces = given
  while (pieces.length > 0) {
    let { bytesWritten } = await handle.writev(pieces)
    const whole = pieces.findIndex((piece) => {
      if (bytesWritten < piece.length) return true
      bytesWritten -= piece.length
      return false
    })
    pieces = whole === -1 ? [] : [pieces[whole]!.subarray(bytesWritten), ...pieces.slice(whole + 1)]
  }
}

/**
 * Writes a file while the next bytes come in: one piece is on its way to the system, and earlier ones go to the disk meanwhile, so
 * that little is left to wait for at the end.
 */
class Writer implements AsyncDisposable {
  readonly #handle: FileHandle
  readonly #path: string
  #writing: Promise<void> = Promise.resolve()
  #syncing: Promise<void> | undefined
  #unsynced = 0

  constructor(handle: FileHandle, path: string) {
    this.#handle = handle
    this.#path = path
  }

  /** Waits until the piece before this one is written. */
  async write({ pieces, size }: Pieces): Promise<void> {
    await this.#writing
    this.#writing = onDisk(`write ${this.#path}`, writeAll(this.#handle, pieces))
    // A failure is thrown to the next caller that waits for the write.
    this.#writing.catch(() => {})
    this.#unsynced += size
    if (this.#unsynced < SYNC_BYTES || this.#syncing !== undefined) return
    this.#unsynced = 0
    this.#syncing = this.#handle
      .datasync()
      .catch(() => {}) // The sync of `finish` decides.
      .finally(() => (this.#syncing = undefined))
  }

  /** Resolves when all bytes are on the disk. */
  async finish(): Promise<void> {
    await this.#writing
    await this.#syncing
    await onDisk(`write ${this.#path}`, this.#handle.sync())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing.catch(() => {})
    await this.#syncing
    await this.#handle.close()
  }
}

/**
 * Writes a file that is there whole or not at all, whenever the process or the machine ends: under a temporary name first,
 * and renamed after its bytes have reached the disk. It replaces an existing file of that name.
 * @param temporary a path of the same file system that nobody else uses
 * @throws what `body` throws; SLW_STORE_UNAVAILABLE. Nothing is left then.
 */
export async function writeDurably(path: string, temporary: string, body: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await onDisk(`write ${temporary}`, open(temporary, 'wx'))
  try {
    {
      await using writer = new Writer(handle, temporary)
      for await (const pieces of gathered(body)) await writer.write(pieces)
      await writer.finish()
    }
    await onDisk(`write ${path}`, rename(temporary, path))
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {}) // The next opening of the store removes the file.
    throw error
  }
  await onDisk(`write ${path}`, syncFolder(dirname(path)))
}

/**
 * Bytes of a file that is opened when the first are asked for: a caller that never reads leaves nothing open.
 * @param missing the error for a file that is not there
 */
export async function* readFileBytes(
  path: string,
  offset: number,
  length: number,
  missing: () => SlipwayError,
): AsyncGenerator<Uint8Array> {
  const handle = await unlessMissing(`read ${path}`, open(path, 'r'))
  if (handle === undefined) throw missing()
  try {
    yield* bytesOf(handle, path, { offset, length })
  } finally {
    await handle.close()
  }
}

async function* bytesOf(handle: FileHandle, path: string, range: { offset: number; length: number }): AsyncGenerator<Uint8Array> {
  let { offset, length: rest } = range
  while (rest > 0) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, rest))
    const { bytesRead } = await onDisk(`read ${path}`, handle.read(buffer, 0, buffer.length, offset))
    if (bytesRead === 0)
      throw new SlipwayError('SLW_STORE_CORRUPT', `${path} has lost its end: ${rest} bytes from ${offset} on are missing`)
    offset += bytesRead
    rest -= bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}
