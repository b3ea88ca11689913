import { inputInvalid } from '../core/errors.ts'

export const TRUNCATION_STRATEGIES = ['longest_first', 'only_first', 'only_second'] as const
export type TruncationStrategy = (typeof TRUNCATION_STRATEGIES)[number]

/** How a text that has more tokens than a model takes is cut. */
export interface Truncation {
  /** Tokens, with those that mark beginnings and ends. */
  readonly maxLength: number
  readonly strategy: TruncationStrategy
  /** Side that is cut off. */
  readonly side: 'left' | 'right'
}

type Ids = readonly number[]

/**
 * Cuts one text, or two (`truncate_encodings` in tokenizers/src/utils/truncation.rs).
 * @param most tokens left for the texts alone
 * @throws SLW_INPUT_INVALID where the one text that may be cut is too short for that
 */
export function truncate(ids: Ids, pair: Ids | undefined, most: number, { strategy, side }: Truncation): [Ids, Ids | undefined] {
  const total = ids.length + (pair?.length ?? 0)
  const cut = (one: Ids, length: number): Ids =>
    one.length <= length ? one : side === 'right' ? one.slice(0, length) : length === 0 ? [] : one.slice(-length)
  if (total <= most) return [ids, pair]
  if (pair === undefined) return [cut(ids, most), undefined]
  if (strategy === 'longest_first') {
    const [one, other] = sharesOf(ids.length, pair.length, most)
    return [cut(ids, one), cut(pair, other)]
  }
  const first = strategy === 'only_first'
  const length = (first ? ids : pair).length - (total - most)
  if (length <= 0) {
    const path = first ? 'text' : 'text_pair'
    const message = `is too short to be cut so that the two have ${most} tokens; they have ${total}`
    throw inputInvalid([{ path, message }])
  }
  return first ? [cut(ids, length), pair] : [ids, cut(pair, length)]
}

/** What is left of two texts of these lengths: of the longer one less, and of both the same where both are too long. */
function sharesOf(one: number, other: number, most: number): readonly [number, number] {
  const [short, long] = [Math.min(one, other), Math.max(one, other)]
  const kept = short > most ? short : Math.max(short, most - short)
  const [less, more] = short + kept > most ? [Math.floor(most / 2), Math.ceil(most / 2)] : [short, Math.min(long, kept)]
  return one > other ? [more, less] : [less, more]
}
