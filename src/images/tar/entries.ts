import { SlipwayError } from '../../core/errors.ts'
import { BLOCK_BYTES } from './header.ts'
import type { FileHandle } from 'node:fs/promises'

/** Where the bytes of an entry lie in an archive. */
export interface PlacedEntry {
  readonly offset: number
  readonly size: number
  /** Where a link leads; undefined for what is none. */
  readonly target: string | undefined
}

/** Entries that an archive of an image may have, and bytes of a header of pax. */
const ENTRIES_MAX = 100_000
const EXTENDED_BYTES_MAX = 1024 * 1024

/**
 * Files and links of an archive by their path, and where they lie, so that any of them can be read without the others. Of two with
 * one path the later counts.
 * @throws SLW_STORE_CORRUPT for what is no archive
 */
export async function placedEntries(file: FileHandle, path: string): Promise<ReadonlyMap<string, PlacedEntry>> {
  const corrupt = (what: string): SlipwayError =>
    new SlipwayError('SLW_STORE_CORRUPT', `${path} is no tar archive that can be read: ${what}`)
  const { size: fileBytes } = await file.stat()
  const found = new Map<string, PlacedEntry>()
  const header = Buffer.alloc(BLOCK_BYTES)
  let extended: Readonly<Record<string, string>> = {}
  for (let offset = 0; offset + BLOCK_BYTES <= fileBytes;) {
    await file.read(header, 0, BLOCK_BYTES, offset)
    if (header.every((byte) => byte === 0)) return found
    if (!hasSum(header)) throw corrupt(`the header at byte ${offset} has another checksum`)
    if (found.size > ENTRIES_MAX) throw corrupt(`it has more than ${ENTRIES_MAX} entries`)
    const type = text(header, 156, 1)
    const size = extended['size'] === undefined ? number(header, 124, 12) : Number(extended['size'])
    const body = offset + BLOCK_BYTES
    offset = body + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
    if (!Number.isSafeInteger(size) || body + size > fileBytes) throw corrupt('it ends early')
    if (type === 'x' || type === 'L' || type === 'K') {
      if (size > EXTENDED_BYTES_MAX) throw corrupt(`a header of ${size} bytes`)
      const { buffer } = await file.read(Buffer.alloc(size), 0, size, body)
      extended = { ...extended, ...(type === 'x' ? paxOf(buffer) : { [type === 'L' ? 'path' : 'linkpath']: text(buffer, 0, size) }) }
      continue
    }
    const prefix = text(header, 257, 5) === 'ustar' && header[263] === 0x30 ? text(header, 345, 155) : ''
    const name = extended['path'] ?? (prefix === '' ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`)
    const target = type === '1' || type === '2' ? (extended['linkpath'] ?? text(header, 157, 100)) : undefined
    if (type === '0' || type === '' || type === '7' || target !== undefined) found.set(plain(name), { offset: body, size, target })
    extended = {}
  }
  if (found.size === 0) throw corrupt('nothing is in it')
  return found
}

/** A path without `./` before it. */
const plain = (name: string): string => name.replace(/^(?:\.?\/)+/, '')

function text(bytes: Buffer, offset: number, length: number): string {
  const end = bytes.indexOf(0, offset)
  return bytes.toString('utf8', offset, end === -1 || end > offset + length ? offset + length : end)
}

/** Octal digits; with its highest bit set a number of base 256, as GNU writes large ones. */
function number(bytes: Buffer, offset: number, length: number): number {
  if ((bytes[offset]! & 0x80) !== 0) return bytes.readUIntBE(offset + length - 6, 6)
  const digits = text(bytes, offset, length).trim()
  return digits === '' ? 0 : Number.parseInt(digits, 8)
}

function hasSum(header: Buffer): boolean {
  let sum = 0
  for (let at = 0; at < BLOCK_BYTES; at++) sum += at >= 148 && at < 156 ? 0x20 : header[at]!
  return sum === number(header, 148, 8)
}

function paxOf(body: Buffer): Record<string, string> {
  const found: Record<string, string> = {}
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at)
    const length = Number(body.toString('latin1', at, space))
    if (space === -1 || !(length > 0)) return found
    const record = body.toString('utf8', space + 1, at + length - 1)
    const equals = record.indexOf('=')
    found[record.slice(0, equals)] = record.slice(equals + 1)
    at += length
  }
  return found
}
