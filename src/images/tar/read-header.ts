import { SlipwayError } from '../../core/errors.ts'
import { BLOCK_BYTES } from './header.ts'

/** What an entry is, as layers of images have them. */
export type TarType = 'file' | 'link' | 'symlink' | 'character device' | 'block device' | 'directory' | 'fifo'

/** An entry of an archive as its header says; `extended` is a header about the next entry or about all that follow. */
export interface TarHeader {
  readonly type: TarType | 'extended' | 'global' | 'long path' | 'long target'
  readonly path: string
  /** Bytes that follow in the archive. */
  readonly size: number
  /** Permissions, with setuid, setgid and sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Where a link leads. */
  readonly target: string
}

/** Records of headers of pax: `path`, `linkpath`, `size`, `SCHILY.xattr.user.comment`. */
export type PaxRecords = Readonly<Record<string, string>>

const TYPES: Readonly<Record<string, TarHeader['type']>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character device',
  '4': 'block device',
  '5': 'directory',
  '6': 'fifo',
  x: 'extended',
  g: 'global',
  L: 'long path',
  K: 'long target',
}
const HAVE_BYTES: ReadonlySet<string> = new Set(['file', 'extended', 'global', 'long path', 'long target'])

/**
 * Reads a block of ustar (POSIX.1-2001), of GNU or of the seventh edition. What is no file has no bytes, whatever its size says: so readers
 * of images have it, and another opinion would find other entries.
 * @param records of the headers of pax before it
 * @throws SLW_STORE_CORRUPT saying what is wrong, without a place
 */
export function readHeader(block: Buffer, records: PaxRecords): TarHeader {
  if (!hasSum(block)) throw corrupt('a header has another checksum')
  const flag = block.toString('latin1', 156, 157)
  const type = TYPES[flag]
  if (type === undefined || Object.keys(records).some((key) => key.startsWith('GNU.sparse.')))
    throw corrupt(
      flag === 'S' || type !== undefined
        ? 'it has a sparse file, which is not read'
        : `an entry is of the unknown kind ${JSON.stringify(flag)}`,
    )
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0'
  const prefix = isPosix ? text(block, 345, 155) : ''
  const short = text(block, 0, 100)
  const path = records['path'] ?? (prefix === '' ? short : `${prefix}/${short}`)
  const isFolder = type === 'file' && path.endsWith('/')
  return {
    type: isFolder ? 'directory' : type,
    path,
    size: HAVE_BYTES.has(type) && !isFolder ? sizeOf(block, records) : 0,
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    target: records['linkpath'] ?? text(block, 157, 100),
  }
}

function sizeOf(block: Buffer, { size: told }: PaxRecords): number {
  const size = told === undefined ? number(block, 124, 12) : /^\d+$/.test(told) ? Number(told) : Number.NaN
  if (!Number.isSafeInteger(size) || size < 0) throw corrupt(`an entry says that it has ${told ?? size} bytes`)
  return size
}

/** The records of a header of pax: `LENGTH KEY=VALUE\n`, whose length counts its own digits. @throws SLW_STORE_CORRUPT */
export function readPax(body: Buffer): PaxRecords {
  const found: Record<string, string> = Object.create(null) as Record<string, string>
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at)
    const digits = body.toString('latin1', at, Math.max(at, Math.min(space, at + 20)))
    const end = at + Number(digits)
    const equals = body.indexOf(0x3d, space)
    if (!/^\d+$/.test(digits) || end > body.length || equals < 0 || equals >= end || body[end - 1] !== 0x0a)
      throw corrupt('a header of pax cannot be read')
    const [key, value] = [body.toString('utf8', space + 1, equals), body.toString('utf8', equals + 1, end - 1)]
    if (/^(path|linkpath|size)$/.test(key) && value.includes('\0')) throw corrupt(`a header of pax has a zero in its ${key}`)
    found[key] = value
    at = end
  }
  return found
}

/** A text up to its zero. */
export function text(bytes: Buffer, offset: number, length: number): string {
  const end = bytes.indexOf(0, offset)
  return bytes.toString('utf8', offset, end === -1 || end > offset + length ? offset + length : end)
}

/** Octal digits; with its highest bit set a number of base 256, as GNU writes large ones. */
function number(bytes: Buffer, offset: number, length: number): number {
  if ((bytes[offset]! & 0x80) !== 0) {
    // Above 48 bits only zeros are a number that can be.
    for (let at = offset + 1; at < offset + length - 6; at++) if (bytes[at] !== 0) throw corrupt('a number in a header is too large')
    return bytes.readUIntBE(offset + length - 6, 6)
  }
  const digits = text(bytes, offset, length).trim()
  if (!/^[0-7]*$/.test(digits)) throw corrupt('a number in a header is none')
  return digits === '' ? 0 : Number.parseInt(digits, 8)
}

function hasSum(header: Buffer): boolean {
  let sum = 0
  for (let at = 0; at < BLOCK_BYTES; at++) sum += at >= 148 && at < 156 ? 0x20 : header[at]!
  return sum === Number.parseInt(text(header, 148, 8).trim(), 8)
}

const corrupt = (what: string): SlipwayError => new SlipwayError('SLW_STORE_CORRUPT', what)
