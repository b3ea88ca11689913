/** Header blocks of HTTP/2 (RFC 7541). Ours are written without a table of what was sent, so that a block can be made once and sent often. */
import { decodeHuffman } from './huffman.ts'

export interface Header {
  readonly name: string
  readonly value: string
  /** Whether HTTP/2 allows its characters (RFC 9113, section 8.2.1): found once, as entries of the table come again and again. */
  readonly valid: boolean
}

const NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/
const VALUE = /^(?:[^\0\r\n \t](?:[^\0\r\n]*[^\0\r\n \t])?)?$/

function headerOf(name: string, value: string): Header {
  return { name, value, valid: NAME.test(name) && VALUE.test(value) }
}

/** A block that cannot be decoded; the tables of both sides differ from there on, so its connection ends (RFC 9113, section 4.3). */
export class CompressionError extends Error {}

/** RFC 7541, appendix A: names, with a value where an entry has one. */
const STATIC: readonly Header[] = [
  [':authority'],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  ...['200', '204', '206', '304', '400', '404', '500'].map((status) => [':status', status]),
  ['accept-charset'],
  ['accept-encoding', 'gzip, deflate'],
  ...(
    'accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control content-disposition ' +
    'content-encoding content-language content-length content-location content-range content-type cookie date etag expect expires from host ' +
    'if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link location max-forwards proxy-authenticate ' +
    'proxy-authorization range referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via ' +
    'www-authenticate'
  )
    .split(' ')
    .map((name) => [name]),
].map(([name = '', value = '']) => headerOf(name, value))

/** What an entry counts beside its texts (section 4.1). */
const ENTRY_BYTES = 32
/** Bytes of the table that clients may fill: the default of HTTP/2, which we leave as it is. */
const TABLE_BYTES = 4096
/** Bytes of an integer after its prefix: more are no size that we take. */
const INTEGER_BYTES_MAX = 4

/** The decoder of one connection. */
export class HeaderDecoder {
  /** Newest last. */
  readonly #table: Header[] = []
  #bytes = 0
  #limit = TABLE_BYTES
  #at = 0

  /**
   * @param limit for names and values together, as {@link ENTRY_BYTES} counts them
   * @returns undefined where the headers are larger; the block has been taken in all the same
   * @throws CompressionError
   */
  decode(block: Buffer, limit: number): Header[] | undefined {
    const headers: Header[] = []
    let size = 0
    let begun = false
    this.#at = 0
    while (this.#at < block.length) {
      const first = block[this.#at]!
      if ((first & 0xe0) === 0x20) {
        // Only at the beginning of a block (section 4.2).
        if (begun) throw new CompressionError('a change of the table follows a header')
        this.#resize(this.#integer(block, 5))
        continue
      }
      begun = true
      const header = first >= 0x80 ? this.#entry(this.#integer(block, 7)) : this.#literal(block, first)
      size += header.name.length + header.value.length + ENTRY_BYTES
      if (size <= limit) headers.push(header)
    }
    return size <= limit ? headers : undefined
  }

  #literal(block: Buffer, first: number): Header {
    const indexed = (first & 0xc0) === 0x40
    const index = this.#integer(block, indexed ? 6 : 4)
    const name = index === 0 ? this.#text(block) : this.#entry(index).name
    const header = headerOf(name, this.#text(block))
    if (indexed) this.#add(header)
    return header
  }

  #entry(index: number): Header {
    const found = index <= STATIC.length ? STATIC[index - 1] : this.#table[this.#table.length - (index - STATIC.length)]
    if (found === undefined) throw new CompressionError(`there is no entry ${index}`)
    return found
  }

  #add(header: Header): void {
    const size = header.name.length + header.value.length + ENTRY_BYTES
    this.#makeRoom(this.#limit - size)
    if (size > this.#limit) return
    this.#table.push(header)
    this.#bytes += size
  }

  #makeRoom(limit: number): void {
    let gone = 0
    while (this.#bytes > limit && gone < this.#table.length) {
      const { name, value } = this.#table[gone++]!
      this.#bytes -= name.length + value.length + ENTRY_BYTES
    }
    if (gone > 0) this.#table.splice(0, gone)
  }

  #resize(limit: number): void {
    if (limit > TABLE_BYTES) throw new CompressionError(`a table of ${limit} bytes is more than was offered`)
    this.#limit = limit
    this.#makeRoom(limit)
  }

  #integer(block: Buffer, bits: number): number {
    const most = (1 << bits) - 1
    let value = block[this.#at++]! & most
    if (value < most) return value
    for (let index = 0; index < INTEGER_BYTES_MAX; index++) {
      const byte = block[this.#at++]
      if (byte === undefined) break
      value += (byte & 0x7f) * 2 ** (7 * index)
      if (byte < 0x80) return value
    }
    throw new CompressionError('a number is cut off or too large')
  }

  #text(block: Buffer): string {
    const first = block[this.#at]
    if (first === undefined) throw new CompressionError('a text is missing')
    const length = this.#integer(block, 7)
    const start = this.#at
    const end = start + length
    if (end > block.length) throw new CompressionError('a text is cut off')
    this.#at = end
    const text = first >= 0x80 ? decodeHuffman(block, start, end) : block.toString('latin1', start, end)
    if (text === undefined) throw new CompressionError('a text is no Huffman code')
    return text
  }
}

/** The number of a name in the static table. */
const INDEX = new Map(STATIC.toReversed().map(({ name }, index) => [name, STATIC.length - index]))

/**
 * A block of headers, whose names are in lower case, as a text of one character a byte. Characters beyond Latin-1, and those that end a
 * line, become `?`.
 */
export function encodeHeaders(headers: Iterable<readonly [name: string, value: string]>): string {
  let block = ''
  for (const [name, value] of headers) block += encodeHeader(name, value)
  return block
}

/** One header as part of a block: without an entry in the table of the other side, nor Huffman codes. */
export function encodeHeader(name: string, value: string): string {
  if (name === ':status') {
    const index = STATIC.findIndex((entry) => entry.name === name && entry.value === value)
    if (index >= 0) return String.fromCharCode(0x81 + index)
  }
  let begin = begins.get(name)
  if (begin === undefined) {
    const index = INDEX.get(name)
    begin = index === undefined ? `\0${encodeText(name)}` : encodeInteger(index, 4)
    if (begins.size < BEGINS_MAX) begins.set(name, begin)
  }
  return begin + encodeText(value)
}

/** What names are encoded as, made once. */
const begins = new Map<string, string>()
const BEGINS_MAX = 100
const UNSAFE = /[^\x20-\x7e\x80-\xff]/g

function encodeText(text: string): string {
  const safe = text.replace(UNSAFE, '?')
  return encodeInteger(safe.length, 7) + safe
}

function encodeInteger(value: number, bits: number): string {
  const most = (1 << bits) - 1
  if (value < most) return String.fromCharCode(value)
  let text = String.fromCharCode(most)
  let rest = value - most
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) text += String.fromCharCode((rest % 0x80) | 0x80)
  return text + String.fromCharCode(rest)
}
