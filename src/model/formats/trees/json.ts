import { Budget, invalid, ListBuilder } from './document.ts'
import type { SlipwayError } from '../../../core/errors.ts'
import type { Value } from './document.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** Words that stand for values; NaN and the infinities are no JSON (RFC 8259), and XGBoost writes them. */
const WORDS: readonly (readonly [word: string, value: Value])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]

/**
 * Reads JSON (RFC 8259) with little memory: lists of numbers are packed, and what nobody needs is passed over.
 * @param skipped keys whose values become null
 * @throws SLW_MODEL_INVALID, with the byte; SLW_MODEL_UNSAFE where it is nested too deep, or has too many values
 */
export function readJson(bytes: Buffer, skipped: ReadonlySet<string>): Value {
  const reader = new JsonReader(bytes, skipped)
  return reader.document()
}

class JsonReader {
  readonly #bytes: Buffer
  readonly #skipped: ReadonlySet<string>
  readonly #budget = new Budget()
  #at = 0

  constructor(bytes: Buffer, skipped: ReadonlySet<string>) {
    this.#bytes = bytes
    this.#skipped = skipped
  }

  document(): Value {
    const value = this.#value(0)
    this.#blank()
    if (this.#at < this.#bytes.length) throw this.#fault('the end')
    return value
  }

  #value(depth: number): Value {
    this.#blank()
    const sign = this.#bytes[this.#at]
    if (sign === QUOTE) return this.#text()
    if (sign === OPEN_LIST) return this.#list(depth + 1)
    if (sign === OPEN_OBJECT) return this.#object(depth + 1)
    return this.#number() ?? this.#word()
  }

  #list(depth: number): Value {
    this.#count(depth)
    const list = new ListBuilder(this.#budget)
    this.#at++
    this.#blank()
    if (this.#taken(CLOSE_LIST)) return list.done()
    do list.add(this.#value(depth))
    while (this.#next(CLOSE_LIST))
    return list.done()
  }

  #object(depth: number): Value {
    this.#count(depth)
    const map = new Map<string, Value>()
    this.#at++
    this.#blank()
    if (this.#taken(CLOSE_OBJECT)) return map
    do {
      this.#blank()
      if (this.#bytes[this.#at] !== QUOTE) throw this.#fault('a key')
      const key = this.#text()
      this.#blank()
      if (!this.#taken(COLON)) throw this.#fault('":"')
      if (this.#skipped.has(key)) {
        this.#pass()
        map.set(key, null)
      } else map.set(key, this.#value(depth))
    } while (this.#next(CLOSE_OBJECT))
    return map
  }

  /** Passes over a value without reading it. */
  #pass(): void {
    let depth = 0
    for (; this.#at < this.#bytes.length; this.#at++) {
      const sign = this.#bytes[this.#at]!
      if (sign === QUOTE) {
        this.#at = this.#endOfText() - 1
      } else if (sign === OPEN_LIST || sign === OPEN_OBJECT) depth++
      else if (depth === 0 && (sign === COMMA || sign === CLOSE_OBJECT || sign === CLOSE_LIST)) return
      else if (sign === CLOSE_LIST || sign === CLOSE_OBJECT) depth--
    }
    throw this.#fault('the end of a value')
  }

  /** Whether another element follows. */
  #next(close: number): boolean {
    this.#blank()
    if (this.#taken(COMMA)) return true
    if (this.#taken(close)) return false
    throw this.#fault(`"," or "${String.fromCharCode(close)}"`)
  }

  #taken(sign: number): boolean {
    if (this.#bytes[this.#at] !== sign) return false
    this.#at++
    return true
  }

  #text(): string {
    this.#budget.value()
    const start = this.#at
    this.#at = this.#endOfText()
    const inner = this.#bytes.subarray(start + 1, this.#at - 1)
    if (!inner.includes(BACKSLASH)) return inner.toString('utf8')
    try {
      return JSON.parse(this.#bytes.toString('utf8', start, this.#at)) as string
    } catch {
      this.#at = start
      throw this.#fault('a text')
    }
  }

  /** The place behind the text that begins here. */
  #endOfText(): number {
    for (let at = this.#at + 1; at < this.#bytes.length; at++) {
      if (this.#bytes[at] === BACKSLASH) at++
      else if (this.#bytes[at] === QUOTE) return at + 1
    }
    throw this.#fault('the end of a text')
  }

  #number(): number | undefined {
    const bytes = this.#bytes
    const start = this.#at
    let end = start
    // Whole numbers below 10^15 need no text.
    let whole = 0
    const negative = bytes[start] === 0x2d
    if (negative) end++
    const digits = end
    while (end < bytes.length && bytes[end]! >= 0x30 && bytes[end]! <= 0x39 && end - digits < 15) whole = 10 * whole + bytes[end++]! - 0x30
    if (end === digits) return undefined
    if (!isNumeric(bytes[end])) {
      this.#at = end
      return negative ? -whole : whole
    }
    while (isNumeric(bytes[end])) end++
    const number = Number(bytes.toString('latin1', start, end))
    if (Number.isNaN(number)) throw this.#fault('a number')
    this.#at = end
    return number
  }

  #word(): Value {
    for (const [word, value] of WORDS)
      if (this.#bytes.toString('latin1', this.#at, this.#at + word.length) === word) {
        this.#at += word.length
        return value
      }
    throw this.#fault('a value')
  }

  #blank(): void {
    const bytes = this.#bytes
    while (bytes[this.#at] === 0x20 || bytes[this.#at] === 0x0a || bytes[this.#at] === 0x0d || bytes[this.#at] === 0x09) this.#at++
  }

  #count(depth: number): void {
    this.#budget.depth(depth)
    this.#budget.value()
  }

  #fault(expected: string): SlipwayError {
    return invalid(`no JSON: byte ${this.#at}${this.#at >= this.#bytes.length ? ', where it ends,' : ''}: expected ${expected}`)
  }
}

/** Whether a byte goes on with a number: a digit, a point, an exponent or a sign. */
function isNumeric(sign: number | undefined): boolean {
  return (
    sign !== undefined &&
    ((sign >= 0x30 && sign <= 0x39) || sign === 0x2e || sign === 0x65 || sign === 0x45 || sign === 0x2b || sign === 0x2d)
  )
}
