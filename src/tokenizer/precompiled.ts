import { broken } from './component.ts'
import { isAscii } from './unicode.ts'
import type { Normalize } from './unicode.ts'

/** Longest grapheme, in bytes, that is looked up whole; longer ones go character by character (tokenizers/src/normalizers/precompiled.rs). */
const GRAPHEME_BYTES_MAX = 5

/**
 * The character map of SentencePiece: the size of a double array in bytes, the array (Darts-clone), and the replacements, each ended by a
 * zero byte (sentencepiece/src/normalizer.cc).
 * @param base64 as tokenizer.json has it
 */
export function precompiledOf(base64: string): Normalize {
  const bytes = Buffer.from(base64, 'base64')
  const size = bytes.length >= 4 ? bytes.readUInt32LE(0) : bytes.length
  if (size % 4 !== 0 || size + 4 > bytes.length) broken('precompiled_charsmap: its array is longer than itself')
  const units = Uint32Array.from({ length: size / 4 }, (_, index) => bytes.readUInt32LE(4 + 4 * index))
  const replacements = bytes.subarray(4 + size)
  const encoder = new TextEncoder()
  const known = new Map<string, string | undefined>()
  const look = (chunk: string): string | undefined => {
    const key = encoder.encode(chunk)
    const at = shortestPrefix(units, key)
    if (at === undefined) return undefined
    const end = replacements.indexOf(0, at)
    return replacements.toString('utf8', at, end < 0 ? undefined : end)
  }
  const replacementOf = (chunk: string): string | undefined => {
    if (known.has(chunk)) return known.get(chunk)
    const found = look(chunk)
    if (known.size < KNOWN_MAX) known.set(chunk, found)
    return found
  }
  const byCharacter = (grapheme: string): string => {
    let now = ''
    for (const character of grapheme) now += replacementOf(character) ?? character
    return now
  }
  const ofGrapheme = (grapheme: string): string =>
    (Buffer.byteLength(grapheme) <= GRAPHEME_BYTES_MAX ? replacementOf(grapheme) : undefined) ?? byCharacter(grapheme)
  return (text) => {
    // In ASCII only a line's end is a grapheme of two characters.
    if (isAscii(text) && !text.includes('\r\n')) return byCharacter(text)
    let now = ''
    for (const { segment } of graphemes().segment(text)) now += ofGrapheme(segment)
    return now
  }
}

const KNOWN_MAX = 20_000

let segmenter: Intl.Segmenter | undefined
const graphemes = (): Intl.Segmenter => (segmenter ??= new Intl.Segmenter('und', { granularity: 'grapheme' }))

/** Value of the shortest key that begins the bytes: the others are not looked at, as in the reference. */
function shortestPrefix(units: Uint32Array, key: Uint8Array): number | undefined {
  let position = 0
  let unit = units[0] ?? 0
  position ^= offsetOf(unit)
  for (const byte of key) {
    if (byte === 0) return undefined
    position ^= byte
    unit = units[position] ?? 0
    if ((unit & 0x80_00_00_ff) !== byte) return undefined
    position ^= offsetOf(unit)
    if (((unit >>> 8) & 1) === 1) return (units[position] ?? 0) & 0x7f_ff_ff_ff
  }
  return undefined
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x2_00) >>> 6)
}
