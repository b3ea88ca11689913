import { MARK, MARK_NONSPACING, NOT_NORMALISED, NOT_NORMALISED_COMPATIBLY } from './unicode-tables.ts'

/** The inside of a character class of a regular expression, from ranges of code points. */
export function classOf(ranges: string): string {
  return ranges.replace(/([0-9a-f]+)(?:-([0-9a-f]+))? ?/g, (_, from: string, to: string | undefined) =>
    to === undefined ? `\\u{${from}}` : `\\u{${from}}-\\u{${to}}`,
  )
}

/** White space as Rust has it: with U+0085, without U+FEFF. */
export const WHITE_SPACE = '\\p{White_Space}'

export type Normalize = (text: string) => string

export type NormalForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD'

const marks = new RegExp(`[${classOf(MARK)}]+`, 'gu')
const accents = new RegExp(`[${classOf(MARK_NONSPACING)}]+`, 'gu')
const canonical = new RegExp(`([${classOf(NOT_NORMALISED)}]+)`, 'u')
const compatible = new RegExp(`([${classOf(NOT_NORMALISED_COMPATIBLY)}]+)`, 'u')

/** Whether a text is all of ASCII, in which every normal form is the text itself. */
export function isAscii(text: string): boolean {
  return !/[^\0-\x7f]/.test(text)
}

export function normalForm(text: string, form: NormalForm): string {
  if (isAscii(text)) return text
  const unknown = form.startsWith('NFK') ? compatible : canonical
  if (!unknown.test(text)) return text.normalize(form)
  // What the tables of the reference do not know stays as it is.
  return text
    .split(unknown)
    .map((part, index) => (index % 2 === 0 ? part.normalize(form) : part))
    .join('')
}

/** Character by character: a sigma at the end of a word is one like any other. */
export function lowercase(text: string): string {
  return text.replaceAll('Σ', 'σ').toLowerCase()
}

export function withoutMarks(text: string): string {
  return isAscii(text) ? text : text.replace(marks, '')
}

export function withoutAccents(text: string): string {
  return isAscii(text) ? text : normalForm(text, 'NFD').replace(accents, '')
}
