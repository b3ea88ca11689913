import { broken, flagAt, listAt, unsupported } from './component.ts'
import { sizeOf, vocabularyOf, withoutToken } from './vocabulary.ts'
import type { Component } from './component.ts'
import type { Model } from './vocabulary.ts'

/** Symbols up to which the best pair is looked for among all: a heap is faster for more. */
const FEW = 24

/** Byte pair encoding: pairs become one symbol, those of the lowest rank first, from the left (tokenizers/src/models/bpe). */
export function bytePairOf(settings: Component): Model {
  if (typeof settings['dropout'] === 'number' && settings['dropout'] > 0) unsupported('BPE with dropout, which answers at random,')
  const vocabulary = vocabularyOf(settings)
  const optional = (key: string): string => (typeof settings[key] === 'string' ? settings[key] : '')
  const [prefix, suffix, unknownToken] = [optional('continuing_subword_prefix'), optional('end_of_word_suffix'), optional('unk_token')]
  const [fuses, ignores] = [flagAt(settings, 'fuse_unk'), flagAt(settings, 'ignore_merges')]
  const unknown = unknownToken === '' ? undefined : vocabulary.get(unknownToken)
  const bytes = flagAt(settings, 'byte_fallback') ? byteTokens(vocabulary) : undefined
  const size = sizeOf(vocabulary)
  const merges = mergesOf(settings, vocabulary, { prefix, size })

  const symbolsOf = (part: string): number[] => {
    const symbols: number[] = []
    let wasUnknown = false
    let index = 0
    for (const character of part) {
      const first = index === 0
      index += character.length
      const token = `${first ? '' : prefix}${character}${index === part.length ? suffix : ''}`
      const id = vocabulary.get(token)
      if (id !== undefined) {
        symbols.push(id)
        wasUnknown = false
      } else if (bytes !== undefined) for (const byte of Buffer.from(token)) symbols.push(bytes[byte]!)
      else if (unknownToken !== '') {
        if (!wasUnknown || !fuses) symbols.push(unknown ?? withoutToken(character))
        wasUnknown = true
      }
    }
    return symbols
  }
  const tokenize = (part: string, into: number[]): void => {
    const whole = ignores ? vocabulary.get(part) : undefined
    if (whole !== undefined) {
      into.push(whole)
      return
    }
    const symbols = symbolsOf(part)
    const all = symbols.length <= FEW ? mergeFew(symbols, merges) : mergeMany(symbols, merges)
    for (const id of all) into.push(id)
  }
  return { tokenize, idOf: (token) => vocabulary.get(token), size }
}

/** Ranks of pairs of ids, and what each becomes. */
interface Merges {
  readonly rankOf: (left: number, right: number) => number
  readonly idOf: (rank: number) => number
}

function mergesOf(
  settings: Component,
  vocabulary: ReadonlyMap<string, number>,
  { prefix, size }: { prefix: string; size: number },
): Merges {
  const ranks = new Map<number, number>()
  const ids: number[] = []
  for (const merge of listAt(settings, 'merges')) {
    // Of old a merge is one text, with a space between the two.
    const [left, right] = typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? (merge as string[]) : []
    if (typeof left !== 'string' || typeof right !== 'string') broken(`merges: ${JSON.stringify(merge)} is no pair`)
    const merged = left + (prefix === '' ? right : right.slice(prefix.length))
    const [one, other, id] = [vocabulary.get(left), vocabulary.get(right), vocabulary.get(merged)]
    if (one === undefined || other === undefined || id === undefined)
      broken(`merges: ${JSON.stringify(merge)} has a part that is not in vocab`)
    ranks.set(one * size + other, ids.length)
    ids.push(id)
  }
  return { rankOf: (left, right) => ranks.get(left * size + right) ?? -1, idOf: (rank) => ids[rank]! }
}

/** Ids of the 256 tokens `<0x00>` to `<0xFF>`; undefined unless all are there. */
export function byteTokens(vocabulary: ReadonlyMap<string, number>): readonly number[] | undefined {
  const ids = Array.from({ length: 256 }, (_, byte) => vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`))
  return ids.includes(undefined) ? undefined : (ids as number[])
}

function mergeFew(symbols: number[], { rankOf, idOf }: Merges): readonly number[] {
  const ranks: number[] = []
  for (let index = 0; index + 1 < symbols.length; index++) ranks.push(rankOf(symbols[index]!, symbols[index + 1]!))
  for (;;) {
    let best = -1
    for (let index = 0; index < ranks.length; index++) if (ranks[index]! >= 0 && (best < 0 || ranks[index]! < ranks[best]!)) best = index
    if (best < 0) return symbols
    symbols[best] = idOf(ranks[best]!)
    symbols.splice(best + 1, 1)
    ranks.splice(best, 1)
    if (best < ranks.length) ranks[best] = rankOf(symbols[best]!, symbols[best + 1]!)
    if (best > 0) ranks[best - 1] = rankOf(symbols[best - 1]!, symbols[best]!)
  }
}

/** As `mergeFew`, with a heap of the pairs and a list of the symbols: time grows as n log n. */
function mergeMany(symbols: readonly number[], { rankOf, idOf }: Merges): readonly number[] {
  const ids = Int32Array.from(symbols)
  const before = Int32Array.from(symbols, (_, index) => index - 1)
  const after = Int32Array.from(symbols, (_, index) => (index + 1 === symbols.length ? -1 : index + 1))
  const heap: number[] = []
  // Rank and place in one number, in the order of both.
  const places = symbols.length
  const offer = (place: number): void => {
    const next = after[place]!
    const rank = next < 0 ? -1 : rankOf(ids[place]!, ids[next]!)
    if (rank >= 0) pushLeast(heap, rank * places + place)
  }
  for (let place = 0; place < places; place++) offer(place)
  while (heap.length > 0) {
    const least = popLeast(heap)
    const [place, rank] = [least % places, Math.floor(least / places)]
    const next = ids[place]! < 0 ? -1 : after[place]!
    // The pair may have become another since.
    if (next < 0 || rankOf(ids[place]!, ids[next]!) !== rank) continue
    ids[place] = idOf(rank)
    ids[next] = -1
    const beyond = after[next]!
    after[place] = beyond
    if (beyond >= 0) before[beyond] = place
    offer(place)
    if (before[place]! >= 0) offer(before[place]!)
  }
  return Array.from(ids.filter((id) => id >= 0))
}

function pushLeast(heap: number[], value: number): void {
  let index = heap.length
  heap.push(value)
  while (index > 0) {
    const parent = (index - 1) >> 1
    if (heap[parent]! <= value) break
    heap[index] = heap[parent]!
    index = parent
  }
  heap[index] = value
}

function popLeast(heap: number[]): number {
  const least = heap[0]!
  const last = heap.pop()!
  const { length } = heap
  if (length === 0) return least
  let index = 0
  for (;;) {
    let child = 2 * index + 1
    if (child >= length) break
    if (child + 1 < length && heap[child + 1]! < heap[child]!) child++
    if (heap[child]! >= last) break
    heap[index] = heap[child]!
    index = child
  }
  heap[index] = last
  return least
}
