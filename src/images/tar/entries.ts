import { messageOf, SlipwayError } from '../../core/errors.ts'
import { BLOCK_BYTES } from './header.ts'
import { readHeader, readPax, text } from './read-header.ts'
import type { FileHandle } from 'node:fs/promises'
import type { PaxRecords } from './read-header.ts'

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
  const parsed = <T>(parse: () => T, at: number): T => {
    try {
      return parse()
    } catch (error) {
      throw corrupt(`at byte ${at}, ${messageOf(error)}`)
    }
  }
  const { size: fileBytes } = await file.stat()
  const found = new Map<string, PlacedEntry>()
  const block = Buffer.alloc(BLOCK_BYTES)
  let records: PaxRecords = {}
  for (let offset = 0; offset + BLOCK_BYTES <= fileBytes;) {
    await file.read(block, 0, BLOCK_BYTES, offset)
    if (block.every((byte) => byte === 0)) return found
    if (found.size > ENTRIES_MAX) throw corrupt(`it has more than ${ENTRIES_MAX} entries`)
    const body = offset + BLOCK_BYTES
    const { type, path: name, size, target } = parsed(() => readHeader(block, records), offset)
    offset = body + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
    if (body + size > fileBytes) throw corrupt('it ends early')
    if (type === 'extended' || type === 'long path' || type === 'long target') {
      if (size > EXTENDED_BYTES_MAX) throw corrupt(`a header of ${size} bytes`)
      const { buffer } = await file.read(Buffer.alloc(size), 0, size, body)
      records = { ...records, ...parsed(() => recordsOf(type, buffer), body) }
      continue
    }
    if (type === 'global') continue
    const isLink = type === 'link' || type === 'symlink'
    if (type === 'file' || isLink) found.set(plain(name), { offset: body, size, target: isLink ? target : undefined })
    records = {}
  }
  if (found.size === 0) throw corrupt('nothing is in it')
  return found
}

function recordsOf(type: 'extended' | 'long path' | 'long target', bytes: Buffer): PaxRecords {
  if (type === 'extended') return readPax(bytes)
  return { [type === 'long path' ? 'path' : 'linkpath']: text(bytes, 0, bytes.length) }
}

/** A path without `./` before it. */
const plain = (name: string): string => name.replace(/^(?:\.?\/)+/, '')
