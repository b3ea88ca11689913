/**
 * Tokenizers make token ids of texts, as the Python package `tokenizers` does from the same tokenizer.json: normalizer, pre-tokenizer,
 * model, post-processor (https://huggingface.co/docs/tokenizers/pipeline). The ids are equal, character by character.
 */
import { addedTokensOf } from './added-tokens.ts'
import { broken, isComponent, isId, unsupported } from './component.ts'
import { modelOf } from './models.ts'
import { normalizerOf } from './normalizers.ts'
import { postProcessorOf } from './post-processors.ts'
import { preTokenizerOf } from './pre-tokenizers.ts'
import { truncate, TRUNCATION_STRATEGIES } from './truncation.ts'
import { withinTime } from './within-time.ts'
import type { AddedTokens } from './added-tokens.ts'
import type { Component } from './component.ts'
import type { Truncation, TruncationStrategy } from './truncation.ts'

export type { Truncation, TruncationStrategy } from './truncation.ts'

/** A text, or two, as token ids. */
export interface Encoding {
  readonly ids: readonly number[]
  /** Which of the two texts each token is of, as the model was trained; the same length. */
  readonly typeIds: readonly number[]
  /** Whether tokens were left out. */
  readonly truncated: boolean
}

export interface Tokenizer {
  /**
   * @param truncation how the tokens are limited. Default: they are not
   * @throws SLW_INPUT_INVALID
   */
  readonly encode: (text: string, pair?: string, truncation?: Truncation) => Encoding
  readonly idOf: (token: string) => number | undefined
  /** Whether a text may take it out of all proportion: by regular expressions of its own, or tokens of no sensible length. */
  readonly mayTakeLong: boolean
  /** What tokenizer.json says of longer texts. */
  readonly truncation: Truncation | undefined
  /** What tokenizer.json says of shorter texts of a batch. */
  readonly padding: Padding | undefined
}

/** What fills up the shorter texts of a batch. */
export interface Padding {
  readonly id: number
  readonly typeId: number
  readonly side: 'left' | 'right'
}

/** Time for the tokens that were added to a vocabulary: a few hundred short texts. */
const READ_MS = 2000

/**
 * Reads a tokenizer.json.
 * @throws SLW_PACKAGE_INVALID for one that is broken, SLW_MODEL_UNSUPPORTED naming a part that is not known
 */
export function readTokenizer(json: string): Tokenizer {
  const document = parsed(json)
  const normalize = normalizerOf(document['normalizer'])
  const preTokenize = preTokenizerOf(document['pre_tokenizer'])
  const model = modelOf(document['model'])
  const mayTakeLong = hasExpressions(document) || hasLongTokens(document)
  const readAdded = (): AddedTokens => addedTokensOf(document['added_tokens'], normalize)
  const added = mayTakeLong
    ? withinTime(readAdded, READ_MS, () => broken(`its normalizer takes longer than ${READ_MS} ms for added_tokens`))
    : readAdded()
  const { mark, added: addedBy } = postProcessorOf(document['post_processor'])

  /** Of one text; enough of them where the rest would be cut off. */
  const tokensOf = (text: string, enough: number): number[] => {
    const ids: number[] = []
    for (const piece of added.split(text)) {
      if (ids.length >= enough) break
      if (piece.text === undefined) ids.push(piece.id)
      else
        for (const part of preTokenize(piece.text, piece.first)) {
          if (ids.length >= enough) break
          model.tokenize(part, ids)
        }
    }
    return ids
  }
  return {
    encode: (text, pair, truncation) => {
      const most = truncation === undefined ? Number.POSITIVE_INFINITY : Math.max(0, truncation.maxLength - addedBy(pair !== undefined))
      const enough = pair === undefined && truncation?.side === 'right' ? most + 1 : Number.POSITIVE_INFINITY
      const [ids, others] = [tokensOf(text, enough), pair === undefined ? undefined : tokensOf(pair, enough)]
      if (truncation === undefined) return { ...mark(ids, others), truncated: false }
      const [kept, keptPair] = truncate(ids, others, most, truncation)
      return { ...mark(kept, keptPair), truncated: kept !== ids || keptPair !== others }
    },
    idOf: (token) => added.idOf(token) ?? model.idOf(token),
    mayTakeLong,
    truncation: truncationOf(document['truncation']),
    padding: paddingOf(document['padding']),
  }
}

function hasExpressions({ normalizer, pre_tokenizer: preTokenizer }: Component): boolean {
  return /"Regex":/.test(JSON.stringify([normalizer, preTokenizer]))
}

/** Characters of a token, and of a word that is looked at as one, beyond which time is limited. */
const LONG = 256

/** Each place of a text is compared with the longest token, or each part of a word with all. */
function hasLongTokens({ model, added_tokens: added }: Component): boolean {
  const { vocab, max_input_chars_per_word: most } = isComponent(model) ? model : {}
  if (typeof most === 'number' && most > LONG) return true
  const tokens: readonly unknown[] = Array.isArray(vocab)
    ? vocab.map((entry: readonly unknown[] | null) => entry?.[0])
    : Object.keys(vocab ?? {})
  const contents = Array.isArray(added) ? added.map((token: Component | null) => token?.['content']) : []
  return [tokens, contents].some((list) => list.some((token) => typeof token === 'string' && token.length > LONG))
}

function parsed(json: string): Component {
  let document: unknown
  try {
    document = JSON.parse(json)
  } catch (error) {
    return broken(error instanceof Error ? error.message : String(error))
  }
  return isComponent(document) ? document : broken('expected an object')
}

function truncationOf(value: unknown): Truncation | undefined {
  if (!isComponent(value)) return undefined
  const { max_length: maxLength, strategy = 'LongestFirst', direction = 'Right' } = value
  if (!isId(maxLength) || maxLength < 1) broken('truncation: max_length: expected an integer from 1')
  const named = String(strategy)
    .replace(/(?<=[a-z])(?=[A-Z])/g, '_')
    .toLowerCase()
  if (!TRUNCATION_STRATEGIES.includes(named as TruncationStrategy)) unsupported(`the truncation strategy ${String(strategy)}`)
  return { maxLength, strategy: named as TruncationStrategy, side: direction === 'Left' ? 'left' : 'right' }
}

function paddingOf(value: unknown): Padding | undefined {
  if (!isComponent(value)) return undefined
  const { pad_id: id = 0, pad_type_id: typeId = 0, direction = 'Right' } = value
  if (!isId(id) || !isId(typeId)) broken('padding: pad_id: expected an integer from 0')
  return { id, typeId, side: direction === 'Left' ? 'left' : 'right' }
}
