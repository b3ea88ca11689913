import { SlipwayError } from '../../core/errors.ts'
import { formatBytes, formatMs } from '../../core/units.ts'
import { withinTime } from '../../tokenizer/within-time.ts'
import { show } from '../issues.ts'
import { tensorsOf } from './padding.ts'
import { tokenizerOf } from './tokenizers.ts'
import type { Encoding, Tokenizer } from '../../tokenizer/tokenizer.ts'
import type { Tensor, TensorSpec } from '../../tensor/tensor.ts'
import type { Issues } from '../issues.ts'
import type { TextInputs } from './text.ts'

/** A row of texts, and its place in the request. */
export interface TextRow {
  readonly text: unknown
  readonly pair: unknown
  readonly path: string
}

/** Texts as tensors, as long as the longest; `lengths` are the tokens of each. */
export interface EncodedTexts {
  readonly inputs: readonly Tensor[]
  readonly lengths: readonly number[]
}

/** Elements of a tensor that texts may make, where nobody says otherwise. */
const ELEMENTS_MAX = 16 * 1024 * 1024
/** Time for the texts of a request, where it is limited: this, and what the slowest of tokenizers needs for their length. */
const LIMIT_MS = 2000
const UNITS_PER_MS = 100

/**
 * Makes token ids of rows of texts. Tokens beyond what the model takes are cut off as the package says.
 * @param elementsMax elements of one tensor. Default: 16777216
 * @throws SLW_LIMIT_EXCEEDED; what is wrong with rows is added to the issues
 */
export function encodeTexts(
  { text, inputs: specs }: { readonly text: TextInputs; readonly inputs: readonly TensorSpec[] },
  rows: readonly TextRow[],
  issues: Issues,
  elementsMax = ELEMENTS_MAX,
): EncodedTexts {
  const tokenizer = tokenizerOf(text.tokenizer)
  const encode = (): EncodedTexts => encodeAll({ text, tokenizer, inputs: specs }, rows, issues, elementsMax)
  if (!tokenizer.mayTakeLong) return encode()
  const limitMs = LIMIT_MS + rows.reduce((sum, row) => sum + lengthOf(row.text) + lengthOf(row.pair), 0) / UNITS_PER_MS
  return withinTime(
    encode,
    limitMs,
    () =>
      new SlipwayError(
        'SLW_LIMIT_EXCEEDED',
        `the tokenizer takes longer than ${formatMs(limitMs)} for these texts: a regular expression of its tokenizer.json does not end on them, or a token is too long`,
      ),
  )
}

const lengthOf = (value: unknown): number => (typeof value === 'string' ? value.length : 0)

function encodeAll(
  { text, tokenizer, inputs: specs }: { readonly text: TextInputs; readonly tokenizer: Tokenizer; readonly inputs: readonly TensorSpec[] },
  rows: readonly TextRow[],
  issues: Issues,
  elementsMax: number,
): EncodedTexts {
  const encodings: Encoding[] = []
  let longest = text.fixedLength ?? 0
  for (const row of rows) {
    const encoding = encodeRow(text, tokenizer, row, issues)
    if (encoding === undefined) continue
    encodings.push(encoding)
    longest = Math.max(longest, encoding.ids.length)
    // Looked at as it grows: the tokens themselves take more memory than the texts.
    if (longest * rows.length > elementsMax)
      throw new SlipwayError(
        'SLW_LIMIT_EXCEEDED',
        `${rows.length} texts of up to ${longest} tokens make ${longest * rows.length} elements, limits.elements is ${elementsMax}: send them in several requests`,
      )
  }
  issues.throwIfAny()
  const lengths = encodings.map(({ ids }) => ids.length)
  return { inputs: tensorsOf(text, specs, encodings, longest), lengths }
}

function encodeRow(text: TextInputs, tokenizer: Tokenizer, { text: first, pair, path }: TextRow, issues: Issues): Encoding | undefined {
  const { maxLength, truncation, truncationSide } = text
  const second = pair ?? undefined
  if (!isText(text, first, `${path}.text`, issues)) return undefined
  if (second !== undefined && !isText(text, second, `${path}.text_pair`, issues)) return undefined
  const strategy = truncation === 'refuse' ? 'longest_first' : truncation
  const encoding = tokenizer.encode(first, second, { maxLength, strategy, side: truncationSide })
  if (truncation === 'refuse' && encoding.truncated) {
    issues.add(`${path}.text`, `has more than the ${maxLength} tokens that the model takes`)
    return undefined
  }
  if (encoding.ids.length === 0) {
    issues.add(`${path}.text`, `${show(first)} has no tokens`)
    return undefined
  }
  return encoding
}

function isText({ bytesMax }: TextInputs, value: unknown, path: string, issues: Issues): value is string {
  if (value === undefined || value === null) issues.add(path, 'missing; expected a text')
  else if (typeof value !== 'string') issues.add(path, `expected a text, found ${show(value)}`)
  else if (!value.isWellFormed()) issues.add(path, 'has half of a character (a lone surrogate)')
  else if (value.length > bytesMax || (3 * value.length > bytesMax && Buffer.byteLength(value) > bytesMax))
    issues.add(path, `has ${formatBytes(Buffer.byteLength(value))}, at most ${formatBytes(bytesMax)} are allowed (text.bytesMax)`)
  else return true
  return false
}
