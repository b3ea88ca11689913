import { open } from 'node:fs/promises'
import { inflateRawSync } from 'node:zlib'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import type { FileHandle } from 'node:fs/promises'

const END = 0x06054b50
const END_64 = 0x06064b50
const END_64_PLACE = 0x07064b50
const CENTRAL = 0x02014b50
const LOCAL = 0x04034b50
const COMMENT_MAX = 65_535
const ENTRIES_MAX = 4_000_000
const LIST_BYTES_MAX = 1024 ** 3
const FILE_BYTES_MAX = 64 * 1024 ** 2
const STORED = 0
const DEFLATED = 8
/** Read at once: most files are small, and follow one another. */
const WINDOW_BYTES = 4 * 1024 ** 2

interface Place {
  readonly name: string
  readonly method: number
  readonly compressed: number
  readonly size: number
  readonly offset: number
}

/**
 * Files of a ZIP archive, one after the other, as its list has them (PKWARE APPNOTE 6.3.10, with ZIP64).
 * @param wants by name. @throws SLW_STORE_CORRUPT; SLW_LIMIT_EXCEEDED for a file of more than 64 MiB
 */
export async function* zipFiles(
  path: string,
  wants: (name: string) => boolean,
): AsyncGenerator<{ readonly name: string; readonly bytes: Buffer }> {
  await using handle = await open(path)
  const file: Archive = { handle, path, size: (await handle.stat()).size, window: Buffer.alloc(0), from: 0 }
  for (const place of await list(file)) {
    if (!wants(place.name)) continue
    if (place.size > FILE_BYTES_MAX || place.compressed > FILE_BYTES_MAX)
      throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${path}: ${place.name} has ${place.size} bytes; ${FILE_BYTES_MAX} are read`)
    yield { name: place.name, bytes: await bytesOf(file, place) }
  }
}

async function bytesOf(file: Archive, { name, method, compressed, size, offset }: Place): Promise<Buffer> {
  const { path } = file
  const header = await read(file, offset, 30)
  if (header.readUInt32LE(0) !== LOCAL) throw corrupt(path, `${name} is not where the list says`)
  const bytes = await read(file, offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28), compressed)
  if (method !== STORED && method !== DEFLATED) throw corrupt(path, `${name} is packed in the way ${method}, which is not read`)
  const found = method === STORED ? bytes : inflated(bytes, size, `${path}: ${name}`)
  if (found.length !== size) throw corrupt(path, `${name} has ${found.length} bytes, not ${size}`)
  return found
}

function inflated(bytes: Buffer, size: number, place: string): Buffer {
  try {
    return inflateRawSync(bytes, { maxOutputLength: Math.max(1, size) })
  } catch (error) {
    throw corrupt(place, messageOf(error))
  }
}

async function list(file: Archive): Promise<Place[]> {
  const { path } = file
  const { count, offset, length } = await end(file)
  if (count > ENTRIES_MAX || length > LIST_BYTES_MAX)
    throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${path}: ${count} files, whose list has ${length} bytes; ${ENTRIES_MAX} are read`)
  const bytes = await read(file, offset, length)
  const places: Place[] = []
  for (let at = 0; at < bytes.length;) {
    if (at + 46 > bytes.length || bytes.readUInt32LE(at) !== CENTRAL) throw corrupt(path, 'its list of files is broken')
    const [nameBytes, extraBytes, commentBytes] = [bytes.readUInt16LE(at + 28), bytes.readUInt16LE(at + 30), bytes.readUInt16LE(at + 32)]
    const extra = bytes.subarray(at + 46 + nameBytes, at + 46 + nameBytes + extraBytes)
    const short = { size: bytes.readUInt32LE(at + 24), compressed: bytes.readUInt32LE(at + 20), offset: bytes.readUInt32LE(at + 42) }
    places.push({
      name: bytes.toString('utf8', at + 46, at + 46 + nameBytes),
      method: bytes.readUInt16LE(at + 10),
      ...extended(short, extra),
    })
    at += 46 + nameBytes + extraBytes + commentBytes
  }
  if (places.length !== count) throw corrupt(path, `its list has ${places.length} files, and its end says ${count}`)
  return places
}

/** Numbers that 32 bits do not hold are in a field of their own, in this order. */
function extended<T extends { size: number; compressed: number; offset: number }>(short: T, extra: Buffer): T {
  const found = { ...short }
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue
    let from = at + 4
    for (const key of ['size', 'compressed', 'offset'] as const) {
      if (short[key] !== 0xffffffff || from + 8 > extra.length) continue
      found[key] = Number(extra.readBigUInt64LE(from))
      from += 8
    }
  }
  return found
}

async function end(file: Archive): Promise<{ readonly count: number; readonly offset: number; readonly length: number }> {
  const { size, path } = file
  const from = Math.max(0, size - COMMENT_MAX - 22)
  const tail = await read(file, from, size - from)
  for (let at = tail.length - 22; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END) continue
    const short = { count: tail.readUInt16LE(at + 10), length: tail.readUInt32LE(at + 12), offset: tail.readUInt32LE(at + 16) }
    if (at < 20 || tail.readUInt32LE(at - 20) !== END_64_PLACE) return short
    const long = await read(file, Number(tail.readBigUInt64LE(at - 12)), 56)
    if (long.readUInt32LE(0) !== END_64) throw corrupt(path, 'its end is not where it says')
    return {
      count: Number(long.readBigUInt64LE(32)),
      length: Number(long.readBigUInt64LE(40)),
      offset: Number(long.readBigUInt64LE(48)),
    }
  }
  throw corrupt(path, 'it has no end of a ZIP archive: it is none, or was not fetched whole')
}

interface Archive {
  readonly handle: FileHandle
  readonly path: string
  /** Bytes. */
  readonly size: number
  /** What was read last, and where it begins. */
  window: Buffer
  from: number
}

async function read(file: Archive, offset: number, length: number): Promise<Buffer> {
  const { handle, path, size } = file
  if (!(offset >= 0 && length >= 0 && offset + length <= size)) throw corrupt(path, 'it ends early')
  if (offset < file.from || offset + length > file.from + file.window.length) {
    const wanted = Math.min(size - offset, Math.max(length, WINDOW_BYTES))
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(wanted), 0, wanted, offset)
    if (bytesRead < length) throw corrupt(path, 'it ends early')
    file.window = buffer.subarray(0, bytesRead)
    file.from = offset
  }
  return file.window.subarray(offset - file.from, offset - file.from + length)
}

const corrupt = (path: string, what: string): SlipwayError => new SlipwayError('SLW_STORE_CORRUPT', `${path} cannot be read: ${what}`)
