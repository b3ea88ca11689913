import { broken, flagAt, isId, listAt } from './component.ts'
import { byteTokens } from './byte-pair.ts'
import { Trie } from './trie.ts'
import { withoutToken } from './vocabulary.ts'
import type { Component } from './component.ts'
import type { Model } from './vocabulary.ts'

/** How much less likely than the least likely token a character is that has none (kUnkPenalty of SentencePiece). */
const UNKNOWN_PENALTY = 10

/** The likeliest tokens that make up a part (encode_optimized in tokenizers/src/models/unigram, from SentencePiece's unigram_model.cc). */
export function unigramOf(settings: Component): Model {
  const ids = new Map<string, number>()
  const scores: number[] = []
  for (const entry of listAt(settings, 'vocab')) {
    const [token, score] = Array.isArray(entry) ? (entry as unknown[]) : []
    if (typeof token !== 'string' || typeof score !== 'number') broken(`vocab: ${JSON.stringify(entry)} is no token with a score`)
    ids.set(token, scores.length)
    scores.push(score)
  }
  const trie = new Trie()
  for (const [token, id] of ids) if (token !== '') trie.add(token, id)
  const unknown = settings['unk_id'] ?? undefined
  if (unknown !== undefined && !(isId(unknown) && unknown < scores.length)) broken('unk_id: expected the place of a token in vocab')
  const unknownScore = scores.reduce((least, score) => Math.min(least, score), Number.POSITIVE_INFINITY) - UNKNOWN_PENALTY
  const bytes = flagAt(settings, 'byte_fallback') ? byteTokens(ids) : undefined
  const addToken = (token: string, into: number[]): void => {
    const id = ids.get(token)
    if (id !== undefined) into.push(id)
    else if (bytes === undefined) into.push(unknown ?? withoutToken(token))
    else for (const byte of Buffer.from(token)) into.push(bytes[byte]!)
  }
  const tokenize = (part: string, into: number[]): void => {
    for (const token of likeliest(part, { trie, scores, unknown, unknownScore })) addToken(token, into)
  }
  return { tokenize, idOf: (token) => ids.get(token), size: scores.length }
}

interface Vocabulary {
  readonly trie: Trie
  readonly scores: readonly number[]
  readonly unknown: number | undefined
  readonly unknownScore: number
}

function likeliest(part: string, { trie, scores, unknown, unknownScore }: Vocabulary): string[] {
  const { length } = part
  const total = new Float64Array(length + 1)
  const from = new Int32Array(length + 1).fill(-1)
  const chosen = new Int32Array(length + 1)
  const offer = (start: number, end: number, id: number, score: number): void => {
    const candidate = score + total[start]!
    if (from[end]! >= 0 && candidate <= total[end]!) return
    total[end] = candidate
    from[end] = start
    chosen[end] = id
  }
  for (let start = 0; start < length;) {
    const next = start + (part.codePointAt(start)! > 0xff_ff ? 2 : 1)
    let single = false
    for (let node = 0, end = start; end < length;) {
      node = trie.child(node, part.charCodeAt(end++))
      if (node < 0) break
      const id = trie.valueAt(node)
      if (id < 0) continue
      offer(start, end, id, scores[id]!)
      single ||= end === next
    }
    if (!single) offer(start, next, unknown ?? withoutToken(part.slice(start, next)), unknownScore)
    start = next
  }
  const tokens: string[] = []
  for (let end = length; end > 0;) {
    let start = from[end]!
    // Characters one after another that have no token are one unknown token.
    if (chosen[end] === unknown) while (start > 0 && chosen[start] === unknown) start = from[start]!
    tokens.push(part.slice(start, end))
    end = start
  }
  return tokens.toReversed()
}
