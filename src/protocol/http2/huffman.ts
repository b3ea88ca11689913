/** Lengths, in bits, of the codes of the 256 bytes and of the end mark (RFC 7541, appendix B). */
const LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10,
  12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7,
  7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22,
  23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22,
  23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20,
  24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
]
const END = 256
const NONE = -1
/** Padding is shorter than a byte, and all ones. */
const PADDING_BITS_MAX = 7

/** Pairs of places: where a 0 and where a 1 leads; below 0 a symbol, as `-2 - symbol`, or {@link NONE}. */
const tree = treeOf(codesOf(LENGTHS))

/** The code is canonical: codes of a length follow one another in the order of their symbols. */
function codesOf(lengths: readonly number[]): number[] {
  const order = lengths.map((_, symbol) => symbol).toSorted((a, b) => lengths[a]! - lengths[b]! || a - b)
  const codes: number[] = []
  let code = 0
  let length = 0
  for (const symbol of order) {
    code = code * 2 ** (lengths[symbol]! - length)
    length = lengths[symbol]!
    codes[symbol] = code++
  }
  return codes
}

function treeOf(codes: readonly number[]): Int16Array {
  const nodes: number[] = [NONE, NONE]
  for (const [symbol, code] of codes.entries()) {
    let at = 0
    for (let bit = LENGTHS[symbol]! - 1; bit >= 0; bit--) {
      const place = at + (Math.floor(code / 2 ** bit) & 1)
      if (bit === 0) nodes[place] = -2 - symbol
      else {
        if (nodes[place] === NONE) {
          nodes[place] = nodes.length
          nodes.push(NONE, NONE)
        }
        at = nodes[place]!
      }
    }
  }
  return Int16Array.from(nodes)
}

const scratch = Buffer.alloc(64 * 1024)

/**
 * Decodes a text of HPACK (RFC 7541, section 5.2).
 * @returns undefined where it is none, or is longer than 64 KiB
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string | undefined {
  let length = 0
  let at = 0
  let padding = 0
  let ones = true
  for (let index = start; index < end; index++) {
    const byte = bytes[index]!
    for (let bit = 7; bit >= 0; bit--) {
      const value = (byte >> bit) & 1
      const next = tree[at + value]!
      if (next < NONE) {
        const symbol = -2 - next
        if (symbol === END || length === scratch.length) return undefined
        scratch[length++] = symbol
        at = 0
        padding = 0
        ones = true
      } else {
        at = next
        padding++
        if (value === 0) ones = false
      }
    }
  }
  return padding > PADDING_BITS_MAX || !ones ? undefined : scratch.toString('latin1', 0, length)
}
