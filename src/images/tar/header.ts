/** An entry of a tar archive, as layers of images have them: no names of owners, no devices. */
export interface TarEntry {
  /** Without a slash at its beginning; a folder ends with one. */
  readonly path: string
  readonly type: 'file' | 'directory' | 'symlink' | 'link'
  /** Bytes of a file. Default: 0. */
  readonly size?: number
  /** Permission bits. Default: 0644 for files, 0755 for folders, 0777 for symbolic links. */
  readonly mode?: number
  /** Where a link leads. */
  readonly target?: string
  readonly uid?: number
  readonly gid?: number
  /** Seconds since 1970. */
  readonly mtime: number
}

export const BLOCK_BYTES = 512
const NAME_BYTES = 100
const PREFIX_BYTES = 155
/** The first size that eleven octal digits do not hold. */
const SIZE_MAX = 8 ** 11
const TYPES = { file: '0', link: '1', symlink: '2', directory: '5', pax: 'x' } as const
const MODES = { file: 0o644, link: 0o644, symlink: 0o777, directory: 0o755 } as const

/**
 * The header of an entry in the format ustar of POSIX.1-2001, after a header of pax where a path, a target or a size does not fit. Ours,
 * as its bytes make the digest of a layer, which must not change with a release of a package.
 */
export function tarHeader(entry: TarEntry): Buffer {
  const { path, type, size = 0, target = '', mode = MODES[type] } = entry
  const split = splitPath(path)
  const extended: Record<string, string> = {}
  if (!fits(target)) extended['linkpath'] = target
  if (split === undefined) extended['path'] = path
  if (size >= SIZE_MAX) extended['size'] = String(size)
  const own = block(split ?? { name: cut(path), prefix: '' }, {
    ...entry,
    size: size >= SIZE_MAX ? 0 : size,
    mode,
    type,
    target: cut(target),
  })
  const records = Object.entries(extended).map(([key, value]) => paxRecord(key, value))
  if (records.length === 0) return own
  const body = Buffer.concat(records)
  const before = block({ name: 'pax_header', prefix: '' }, { type: 'pax', size: body.length, mode: 0o644, mtime: entry.mtime, target: '' })
  return Buffer.concat([before, body, padding(body.length), own])
}

/** Zeros from the end of a body to the next block. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)
}

/** Two empty blocks, with which an archive ends. */
export const END_OF_TAR: Buffer = Buffer.alloc(2 * BLOCK_BYTES)

interface Fields {
  readonly type: keyof typeof TYPES
  readonly size: number
  readonly mode: number
  readonly mtime: number
  readonly target: string
  readonly uid?: number
  readonly gid?: number
}

function block({ name, prefix }: Split, { type, size, mode, mtime, target, uid = 0, gid = 0 }: Fields): Buffer {
  const bytes = Buffer.alloc(BLOCK_BYTES)
  const octal = (value: number, offset: number, length: number): void => {
    bytes.write(value.toString(8).padStart(length - 1, '0'), offset, 'latin1')
  }
  bytes.write(name, 0, 'utf8')
  octal(mode, 100, 8)
  octal(uid, 108, 8)
  octal(gid, 116, 8)
  octal(size, 124, 12)
  octal(mtime, 136, 12)
  bytes.fill(' ', 148, 156)
  bytes.write(TYPES[type], 156, 'latin1')
  bytes.write(target, 157, 'utf8')
  bytes.write('ustar\u{0}00', 257, 'latin1')
  octal(0, 329, 8)
  octal(0, 337, 8)
  bytes.write(prefix, 345, 'utf8')
  const sum = bytes.reduce((total, byte) => total + byte, 0)
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return bytes
}

interface Split {
  readonly name: string
  readonly prefix: string
}

/** A path in the two fields that a header has for it; undefined where it does not fit. */
function splitPath(path: string): Split | undefined {
  if (!isAscii(path)) return undefined
  if (path.length <= NAME_BYTES) return { name: path, prefix: '' }
  // A slash at the end belongs to the name of a folder.
  const at = path.lastIndexOf('/', Math.min(PREFIX_BYTES, path.length - 2))
  if (at < 1 || path.length - at - 1 > NAME_BYTES) return undefined
  return { name: path.slice(at + 1), prefix: path.slice(0, at) }
}

/** `LENGTH KEY=VALUE\n`, whose length counts its own digits. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`)
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

const isAscii = (text: string): boolean => /^[\x20-\x7e]*$/.test(text)
const fits = (text: string): boolean => isAscii(text) && text.length <= NAME_BYTES
/** What a reader that knows no pax sees. */
const cut = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, '_').slice(0, NAME_BYTES)
