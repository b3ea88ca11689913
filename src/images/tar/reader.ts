import { SlipwayError } from '../../core/errors.ts'
import { BLOCK_BYTES } from './header.ts'
import { readHeader, readPax, text } from './read-header.ts'
import type { PaxRecords, TarHeader, TarType } from './read-header.ts'

/** An entry as it is found. */
export interface FoundEntry extends Omit<TarHeader, 'type'> {
  readonly type: TarType
  /** Names of its extended attributes. */
  readonly attributes: readonly string[]
}

/** Who is told of entries. Bytes of an entry follow it, before the next. */
export interface TarVisitor {
  entry(entry: FoundEntry): void
  bytes(part: Uint8Array): void
  /** After the last of its bytes. */
  end(): void
}

export interface TarReader {
  write(part: Uint8Array): void
  /** @throws SLW_STORE_CORRUPT where the archive ends within an entry */
  end(): void
}

/** Bytes of a header about another entry. Paths have 4096, attributes up to 64 KiB each. */
const EXTENDED_BYTES_MAX = 1024 * 1024
const XATTR = 'SCHILY.xattr.'

/**
 * Reads an archive as it streams by, and holds nothing of it but headers.
 * @throws SLW_STORE_CORRUPT from `write`, for what cannot be read; what the visitor throws
 */
export function tarReader(visitor: TarVisitor): TarReader {
  const block = Buffer.alloc(BLOCK_BYTES)
  let filled = 0
  /** Bytes of the body that are still to come, and of zeros after it. */
  let [left, padding] = [0, 0]
  let hasBody = false
  let isOver = false
  let special: { readonly type: TarHeader['type']; readonly parts: Buffer[] } | undefined
  let [global, records]: [PaxRecords, PaxRecords] = [{}, {}]

  const endBody = (): void => {
    if (special === undefined) visitor.end()
    else {
      const body = Buffer.concat(special.parts)
      if (special.type === 'global') global = { ...global, ...readPax(body) }
      else if (special.type === 'extended') records = { ...records, ...readPax(body) }
      else records = { ...records, [special.type === 'long path' ? 'path' : 'linkpath']: text(body, 0, body.length) }
      special = undefined
    }
    hasBody = false
  }
  const begin = (): void => {
    if (block.every((byte) => byte === 0)) {
      isOver = true
      return
    }
    // What a header says about the next entry is not about headers between the two.
    const found = readHeader(block, {})
    const isSpecial = !isEntry(found.type)
    const header = isSpecial ? found : readHeader(block, { ...global, ...records })
    left = header.size
    padding = (BLOCK_BYTES - (left % BLOCK_BYTES)) % BLOCK_BYTES
    hasBody = true
    if (isSpecial) {
      if (left > EXTENDED_BYTES_MAX) throw new SlipwayError('SLW_STORE_CORRUPT', `a header of ${left} bytes`)
      special = { type: header.type, parts: [] }
    } else {
      const attributes = Object.keys({ ...global, ...records }).filter((key) => key.startsWith(XATTR))
      records = {}
      visitor.entry({ ...header, type: header.type as TarType, attributes: attributes.map((key) => key.slice(XATTR.length)) })
    }
    if (left === 0) endBody()
  }
  return {
    write(part) {
      for (let at = 0; at < part.length;) {
        if (isOver) return
        const rest = part.length - at
        if (left > 0) {
          const count = Math.min(left, rest)
          const bytes = part.subarray(at, at + count)
          if (special === undefined) visitor.bytes(bytes)
          else special.parts.push(Buffer.from(bytes))
          left -= count
          at += count
          if (left === 0 && hasBody) endBody()
        } else if (padding > 0) {
          const count = Math.min(padding, rest)
          padding -= count
          at += count
        } else {
          const count = Math.min(BLOCK_BYTES - filled, rest)
          block.set(part.subarray(at, at + count), filled)
          filled += count
          at += count
          if (filled < BLOCK_BYTES) continue
          filled = 0
          begin()
        }
      }
    },
    end() {
      if (left > 0 || padding > 0 || filled > 0) throw new SlipwayError('SLW_STORE_CORRUPT', 'it ends early')
    },
  }
}

function isEntry(type: TarHeader['type']): boolean {
  return type !== 'extended' && type !== 'global' && type !== 'long path' && type !== 'long target'
}
