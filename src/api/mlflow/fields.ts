import { SlipwayError } from '../../core/errors.ts'
import type { Tag } from '../../ledger/tags.ts'

type Values = Readonly<Record<string, unknown>>

/** Elements of a list in a request: more than a batch may have, and fewer than a statement takes parameters. */
const LIST_MAX = 10_000

/**
 * The fields of a request, from a query or a JSON body. As the reference server reads protobuf JSON: numbers may be texts, null is
 * absent, unknown fields are ignored.
 */
export class Fields {
  readonly #values: Values
  readonly #path: string

  readonly #fromQuery: boolean

  constructor(values: Values, { path = '', fromQuery = false }: { readonly path?: string; readonly fromQuery?: boolean } = {}) {
    this.#values = values
    this.#path = path
    this.#fromQuery = fromQuery
  }

  has(name: string): boolean {
    return this.#values[name] !== undefined && this.#values[name] !== null
  }

  /** @throws SLW_INPUT_INVALID for a value that is no string */
  text(name: string): string | undefined {
    if (!this.has(name)) return undefined
    const value = this.#values[name]
    return typeof value === 'string' ? value : this.#refuse(name, value, 'a string')
  }

  /** Not absent and not empty. @throws SLW_INPUT_INVALID */
  requiredText(name: string): string {
    const value = this.text(name)
    return value === undefined || value === '' ? this.missing(name) : value
  }

  missing(name: string): never {
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `Missing value for required parameter '${this.#path}${name}'. See the API docs for more information about request parameters.`,
    )
  }

  /** An integer that JavaScript can hold. @throws SLW_INPUT_INVALID */
  integer(name: string): number | undefined {
    if (!this.has(name)) return undefined
    const value = this.#values[name]
    const number = typeof value === 'string' && /^\s*[-+]?\d+\s*$/.test(value) ? Number(value) : value
    return typeof number === 'number' && Number.isSafeInteger(number) ? number : this.#refuse(name, value, 'an integer')
  }

  textOrInteger(name: string): string | number | undefined {
    const value = this.#values[name]
    return typeof value === 'number' ? this.integer(name) : this.text(name)
  }

  requiredInteger(name: string): number {
    return this.integer(name) ?? this.missing(name)
  }

  /** A double; the words for NaN and the infinities are accepted, too. @throws SLW_INPUT_INVALID */
  requiredNumber(name: string): number {
    if (!this.has(name)) return this.missing(name)
    const value = this.#values[name]
    if (typeof value === 'number') return value
    const number = typeof value === 'string' && value.trim() !== '' ? (WORDS[value.toLowerCase()] ?? Number(value)) : Number.NaN
    return Number.isNaN(number) && !(typeof value === 'string' && value.toLowerCase() === 'nan')
      ? this.#refuse(name, value, 'a number')
      : number
  }

  flag(name: string): boolean {
    const value = this.#values[name]
    return value === true || value === 'true' || value === 'True'
  }

  /** In a query a list is a name that comes several times. @throws SLW_INPUT_INVALID */
  texts(name: string): string[] {
    if (!this.has(name)) return []
    const value = this.#values[name]
    const list: readonly unknown[] =
      typeof value === 'string' && this.#fromQuery ? [value] : Array.isArray(value) ? value : this.#refuse(name, value, 'a list')
    if (list.length > LIST_MAX) this.#tooLong(name, list.length)
    return list.map((item) =>
      typeof item === 'string' ? item : typeof item === 'number' ? String(item) : this.#refuse(name, value, 'a list of strings'),
    )
  }

  /** @throws SLW_INPUT_INVALID */
  objects(name: string): Fields[] {
    if (!this.has(name)) return []
    const value = this.#values[name]
    if (!Array.isArray(value)) return this.#refuse(name, value, 'a list')
    if (value.length > LIST_MAX) this.#tooLong(name, value.length)
    return value.map((item: unknown, index) =>
      typeof item === 'object' && item !== null && !Array.isArray(item)
        ? new Fields(item as Values, { path: `${this.#path}${name}[${index}].` })
        : this.#refuse(name, value, 'a list of objects'),
    )
  }

  object(name: string): Fields {
    const value = this.#values[name]
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return this.has(name) ? this.#refuse(name, value, 'an object') : this.missing(name)
    return new Fields(value as Values, { path: `${this.#path}${name}.` })
  }

  /** `[{key, value}]`; a value that is absent is empty. */
  tags(name: string): Tag[] {
    return this.objects(name).map((tag) => ({ key: tag.requiredText('key'), value: tag.text('value') ?? '' }))
  }

  /** One of some words, upper or lower case. @throws SLW_INPUT_INVALID */
  oneOf<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    return words.find((word) => word === value) ?? this.#refuse(name, value, `one of ${words.join(', ')}`)
  }

  #tooLong(name: string, length: number): never {
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `Invalid value for parameter '${this.#path}${name}' supplied: it has ${length} elements, ${LIST_MAX} are allowed.`,
    )
  }

  #refuse(name: string, value: unknown, expected: string): never {
    const shown = (JSON.stringify(value) ?? 'undefined').slice(0, 200)
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `Invalid value ${shown} for parameter '${this.#path}${name}' supplied: expected ${expected}.`,
    )
  }
}

const WORDS: Readonly<Record<string, number>> = {
  nan: Number.NaN,
  inf: Number.POSITIVE_INFINITY,
  '-inf': Number.NEGATIVE_INFINITY,
  infinity: Number.POSITIVE_INFINITY,
  '-infinity': Number.NEGATIVE_INFINITY,
}
