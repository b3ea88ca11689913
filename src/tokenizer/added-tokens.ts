import { broken, flagAt, integerAt, isComponent, textAt } from './component.ts'
import { Trie } from './trie.ts'
import { WORD } from './unicode-tables.ts'
import { classOf, WHITE_SPACE } from './unicode.ts'
import type { Normalize } from './unicode.ts'

/** A piece of a text: a token that was found in it, or what lies between. */
export type Piece =
  | { readonly id: number; readonly text?: undefined }
  | { readonly text: string; readonly first: boolean; readonly id?: undefined }

export interface AddedTokens {
  readonly split: (text: string) => Piece[]
  readonly idOf: (content: string) => number | undefined
}

interface AddedToken {
  readonly id: number
  readonly content: string
  readonly singleWord: boolean
  readonly spaceBefore: boolean
  readonly spaceAfter: boolean
  readonly normalized: boolean
}

const wordAtEnd = new RegExp(`[${classOf(WORD)}]$`, 'u')
const wordAtStart = new RegExp(`^[${classOf(WORD)}]`, 'u')
const whiteSpace = new RegExp(`^${WHITE_SPACE}$`, 'u')

/**
 * Splits texts at the tokens that were added to a vocabulary, and normalises what lies between
 * (`extract_and_normalize` in tokenizers/src/tokenizer/added_vocabulary.rs): first those looked for in the text as it is, then the others.
 */
export function addedTokensOf(list: unknown, normalize: Normalize): AddedTokens {
  const tokens = readTokens(list)
  const raw = finderOf(tokens.filter(({ normalized }) => !normalized).map((token) => [token.content, token]))
  const normalized = finderOf(tokens.filter((token) => token.normalized).map((token) => [normalize(token.content), token]))
  const ids = new Map(tokens.map(({ content, id }) => [content, id]))
  // What is left of a text that lost its first character does not begin it.
  const keepsFirst = (text: string): boolean => normalize(String.fromCodePoint(text.codePointAt(0)!)) !== ''
  return {
    idOf: (content) => ids.get(content),
    split: (text) =>
      raw(text, true).flatMap((piece) =>
        piece.text === undefined ? [piece] : normalized(normalize(piece.text), piece.first && keepsFirst(piece.text)),
      ),
  }
}

function readTokens(list: unknown): AddedToken[] {
  if (list === undefined || list === null) return []
  if (!Array.isArray(list)) broken('added_tokens: expected a list')
  return (list as unknown[]).map((token) => {
    if (!isComponent(token)) return broken('added_tokens: expected objects')
    return {
      id: integerAt(token, 'id'),
      content: textAt(token, 'content'),
      singleWord: flagAt(token, 'single_word'),
      spaceBefore: flagAt(token, 'lstrip'),
      spaceAfter: flagAt(token, 'rstrip'),
      normalized: flagAt(token, 'normalized', !flagAt(token, 'special')),
    }
  })
}

type Finder = (text: string, first: boolean) => Piece[]

/** Finds the longest token that begins the furthest to the left, again and again. */
function finderOf(patterns: readonly (readonly [text: string, token: AddedToken])[]): Finder {
  const tokens = patterns.filter(([text]) => text !== '')
  const begins = new Set(tokens.map(([text]) => text.charCodeAt(0)))
  const trie = new Trie()
  for (const [index, [text]] of tokens.entries()) trie.add(text, index)
  return (text, first) => {
    if (text === '') return []
    const pieces: Piece[] = []
    let start = 0
    const between = (end: number): void => {
      if (end > start) pieces.push({ text: text.slice(start, end), first: first && start === 0 })
    }
    for (let at = 0; at < text.length;) {
      const found = begins.has(text.charCodeAt(at)) ? longestAt(trie, text, at) : undefined
      if (found === undefined) {
        at++
        continue
      }
      const { value, end } = found
      const [, token] = tokens[value]!
      const [from, to] = [at, end]
      at = end
      if (token.singleWord && (wordAtEnd.test(text.slice(Math.max(0, from - 2), from)) || wordAtStart.test(text.slice(to, to + 2))))
        continue
      const begun = token.spaceBefore ? Math.max(spacesBefore(text, from), start) : from
      between(begun)
      pieces.push({ id: token.id })
      start = token.spaceAfter ? spacesAfter(text, to) : to
    }
    between(text.length)
    return pieces
  }
}

function longestAt(trie: Trie, text: string, at: number): { value: number; end: number } | undefined {
  let found: { value: number; end: number } | undefined
  for (let node = 0, end = at; end < text.length;) {
    node = trie.child(node, text.charCodeAt(end++))
    if (node < 0) break
    const value = trie.valueAt(node)
    if (value >= 0) found = { value, end }
  }
  return found
}

function spacesBefore(text: string, from: number): number {
  let at = from
  while (at > 0 && whiteSpace.test(text[at - 1]!)) at--
  return at
}

function spacesAfter(text: string, to: number): number {
  let at = to
  while (at < text.length && whiteSpace.test(text[at]!)) at++
  return at
}
