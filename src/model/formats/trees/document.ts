/** What readers of JSON and UBJSON make of a file, and how it is asked. */
import { SlipwayError } from '../../../core/errors.ts'

/** A value of a document. A list of nothing but numbers is a Float64Array, a number of 8 bytes for each. */
export type Value = null | boolean | number | string | Float64Array | readonly Value[] | ReadonlyMap<string, Value>

/** Depth of lists and objects; models of trees need about ten. CatBoost's trees that are not oblivious nest once for each level. */
const NESTING_MAX = 512
/** Number of texts, lists, objects and flags in one document: each costs far more memory than its bytes. */
const VALUES_MAX = 2_000_000
/** Numbers in lists, of 8 bytes each. */
const NUMBERS_MAX = 64_000_000

/** What one document may take of memory. */
export class Budget {
  #values = 0
  #numbers = 0

  /** @throws SLW_MODEL_UNSAFE */
  value(): void {
    if (++this.#values > VALUES_MAX) throw unsafe(`more than ${VALUES_MAX} texts, lists, objects and flags`)
  }

  /** @throws SLW_MODEL_UNSAFE */
  numbers(count: number): void {
    this.#numbers += count
    if (this.#numbers > NUMBERS_MAX) throw unsafe(`more than ${NUMBERS_MAX} numbers in lists`)
  }

  /** @throws SLW_MODEL_UNSAFE */
  depth(depth: number): void {
    if (depth > NESTING_MAX) throw unsafe(`lists and objects lie more than ${NESTING_MAX} deep`)
  }
}

/** Collects the elements of a list, packed as long as all of them are numbers. */
export class ListBuilder {
  readonly #budget: Budget
  #numbers: Float64Array = new Float64Array(8)
  #length = 0
  #values: Value[] | undefined

  constructor(budget: Budget) {
    this.#budget = budget
  }

  add(value: Value): void {
    if (this.#values === undefined && typeof value === 'number') {
      if (this.#length === this.#numbers.length) {
        this.#budget.numbers(this.#length)
        const larger = new Float64Array(2 * this.#length)
        larger.set(this.#numbers)
        this.#numbers = larger
      }
      this.#numbers[this.#length++] = value
    } else {
      if (this.#values === undefined) {
        this.#values = []
        for (let index = 0; index < this.#length; index++) this.#push(this.#numbers[index]!)
      }
      this.#push(value)
    }
  }

  done(): Value {
    return this.#values ?? this.#numbers.slice(0, this.#length)
  }

  #push(value: Value): void {
    this.#budget.value()
    this.#values!.push(value)
  }
}

/** An object of a document, asked by key; every answer is checked, and an error names the place. */
export class Section {
  readonly #map: ReadonlyMap<string, Value>
  readonly #place: string

  /** @param place of the object in the document, for messages; empty for the outermost */
  constructor(value: Value | undefined, place: string) {
    if (!(value instanceof Map)) throw invalid(`${place === '' ? 'the document' : place} is ${nameOf(value)}, expected an object`)
    this.#map = value
    this.#place = place
  }

  has(key: string): boolean {
    return this.#map.has(key)
  }

  keys(): string[] {
    return [...this.#map.keys()]
  }

  value(key: string): Value | undefined {
    return this.#map.get(key)
  }

  section(key: string): Section {
    return new Section(this.#map.get(key), this.place(key))
  }

  /** The sections in a list; empty where the key is absent. */
  sections(key: string): Section[] {
    return this.list(key).map((value, index) => new Section(value, `${this.place(key)}[${index}]`))
  }

  /** Empty where the key is absent. */
  list(key: string): readonly Value[] {
    const value = this.#map.get(key)
    if (value === undefined) return []
    if (value instanceof Float64Array) return [...value]
    if (!Array.isArray(value)) throw invalid(`${this.place(key)} is ${nameOf(value)}, expected a list`)
    return value
  }

  /** @param count how many there have to be. Default: any number */
  numbers(key: string, count?: number): Float64Array {
    const value = this.#map.get(key)
    const numbers =
      value instanceof Float64Array ? value : Array.isArray(value) ? Float64Array.from(value, (one) => asNumber(one)) : undefined
    if (numbers === undefined) throw invalid(`${this.place(key)} is ${nameOf(value)}, expected a list of numbers`)
    if (count !== undefined && numbers.length !== count)
      throw invalid(`${this.place(key)} has ${numbers.length} numbers, expected ${count}`)
    return numbers
  }

  texts(key: string): string[] {
    return this.list(key).map((value) => {
      if (typeof value !== 'string') throw invalid(`${this.place(key)} holds ${nameOf(value)}, expected texts`)
      return value
    })
  }

  text(key: string): string {
    const value = this.#map.get(key)
    if (typeof value !== 'string') throw invalid(`${this.place(key)} is ${nameOf(value)}, expected a text`)
    return value
  }

  /** A number, also where it is written as a text. */
  number(key: string): number {
    const value = this.#map.get(key)
    const number = typeof value === 'string' && value !== '' ? Number(value) : value
    if (typeof number !== 'number' || Number.isNaN(number)) throw invalid(`${this.place(key)} is ${nameOf(value)}, expected a number`)
    return number
  }

  /** A whole number from 0 to `most`. */
  count(key: string, most: number, standard?: number): number {
    if (standard !== undefined && !this.#map.has(key)) return standard
    const number = this.number(key)
    if (!Number.isInteger(number) || number < 0 || number > most)
      throw invalid(`${this.place(key)} is ${number}, expected a whole number up to ${most}`)
    return number
  }

  place(key: string): string {
    return this.#place === '' ? key : `${this.#place}.${key}`
  }
}

/** Flags are numbers in one version of a library, and booleans in another. */
function asNumber(value: Value): number {
  return typeof value === 'number' ? value : typeof value === 'boolean' ? Number(value) : Number.NaN
}

function nameOf(value: Value | undefined): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (value instanceof Float64Array || Array.isArray(value)) return 'a list'
  if (value instanceof Map) return 'an object'
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : String(value)
}

export function invalid(message: string): SlipwayError {
  return new SlipwayError('SLW_MODEL_INVALID', message)
}

export function unsafe(message: string): SlipwayError {
  return new SlipwayError('SLW_MODEL_UNSAFE', message)
}

export function unsupported(message: string): SlipwayError {
  return new SlipwayError('SLW_MODEL_UNSUPPORTED', message)
}
