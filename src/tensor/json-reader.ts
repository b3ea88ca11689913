import { isSlipwayError, SlipwayError } from '../core/errors.ts'
import { DATATYPES, datatypeInfo, isFloat, isWide } from './datatype.ts'
import { numberToBfloat, numberToHalf } from './half.ts'
import { allocate, allocateRequestFloats, elementCount, formatShape } from './tensor.ts'
import type { Datatype, TensorData } from './datatype.ts'

export interface JsonLimits {
  /** Maximum depth of nested arrays and objects. */
  readonly nesting: number
  /** Maximum number of keys of one object, and of objects in a body. Defaults: 10000, and a million. */
  readonly keys?: number
  readonly objects?: number
}

const DEFAULT_LIMITS: JsonLimits = { nesting: 64 }
const KEYS_MAX = 10_000
const OBJECTS_MAX = 1_000_000

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

const POWERS_OF_TEN = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`))
/** Digits that a double holds exactly. */
const EXACT_DIGITS = 15

/** Any JSON value as the reader gives it: 64-bit integers beyond 2^53 as bigint. */
export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | { [key: string]: JsonValue }

/**
 * Reads JSON from bytes, one value after the other, without building what the caller does not ask for. Unlike `JSON.parse`
 * it accepts `NaN`, `Infinity` and `-Infinity` (as Triton and Python write them), keeps 64-bit integers exact, reads
 * numbers straight into typed arrays, and says at which byte and path something is wrong.
 */
export class JsonReader {
  readonly #bytes: Buffer
  readonly #limits: JsonLimits
  #at = 0
  #depth = 0
  #objects = 0
  /** Keys read so far of the objects that are open, by their depth. */
  readonly #keys: number[] = []
  /** Path of the current value, for messages: `inputs[0].data`. The caller sets it as it descends. */
  path = ''

  constructor(bytes: Buffer, limits: JsonLimits = DEFAULT_LIMITS) {
    this.#bytes = bytes
    this.#limits = limits
    // Some clients send a byte order mark by mistake; skipping it is harmless.
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) this.#at = 3
  }

  /** Byte offset of the next character; `seek` returns to one. */
  get offset(): number {
    return this.#at
  }

  seek(offset: number): void {
    this.#at = offset
  }

  /** Reads ahead, and comes back to where it was. */
  ahead<T>(read: () => T): T {
    const [at, depth, objects] = [this.#at, this.#depth, this.#objects]
    const found = read()
    this.#at = at
    this.#depth = depth
    this.#objects = objects
    return found
  }

  fail(message: string): SlipwayError {
    const place = this.path === '' ? '' : `${this.path}: `
    return new SlipwayError('SLW_BAD_REQUEST', `${place}${message} at byte ${this.#at} of the JSON body`, {
      issues: [{ path: this.path, message }],
    })
  }

  #found(): string {
    const byte = this.#bytes[this.#at]
    return byte === undefined ? 'the end' : JSON.stringify(String.fromCharCode(byte))
  }

  /** The next character that is not white space, not consumed; -1 at the end. */
  #peek(): number {
    const bytes = this.#bytes
    let at = this.#at
    let byte = bytes[at]
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++at]
    this.#at = at
    return byte ?? -1
  }

  #expect(byte: number): void {
    if (this.#peek() !== byte) throw this.fail(`expected "${String.fromCharCode(byte)}", found ${this.#found()}`)
    this.#at++
  }

  #enter(): void {
    if (++this.#depth > this.#limits.nesting) throw this.#tooMuch(`nested deeper than ${this.#limits.nesting} levels`)
  }

  #tooMuch(what: string): SlipwayError {
    return new SlipwayError('SLW_LIMIT_EXCEEDED', `${this.path === '' ? 'body' : this.path}: ${what} at byte ${this.#at}`)
  }

  enterObject(): void {
    this.#enter()
    const most = this.#limits.objects ?? OBJECTS_MAX
    if (++this.#objects > most) throw this.#tooMuch(`more than ${most} objects`)
    this.#expect(OPEN_BRACE)
  }

  /** The next key of the object just entered, its colon consumed; undefined when the object ends. */
  nextKey(first: boolean): string | undefined {
    let byte = this.#peek()
    if (byte === CLOSE_BRACE) {
      this.#at++
      this.#depth--
      return undefined
    }
    if (!first) {
      this.#expect(COMMA)
      byte = this.#peek()
    }
    if (byte !== QUOTE) throw this.fail(`expected a key, found ${this.#found()}`)
    // No model takes so many: whoever sends them keeps others waiting.
    const count = first ? 1 : (this.#keys[this.#depth] ?? 0) + 1
    this.#keys[this.#depth] = count
    const most = this.#limits.keys ?? KEYS_MAX
    if (count > most) throw this.#tooMuch(`more than ${most} keys in one object`)
    const key = this.readString()
    this.#expect(COLON)
    return key
  }

  enterArray(): void {
    this.#enter()
    this.#expect(OPEN_BRACKET)
  }

  /** Whether the array just entered has another element. */
  nextElement(first: boolean): boolean {
    if (this.#peek() === CLOSE_BRACKET) {
      this.#at++
      this.#depth--
      return false
    }
    if (!first) {
      this.#expect(COMMA)
      this.#peek()
    }
    return true
  }

  /** Nothing but white space may follow the value. */
  end(): void {
    if (this.#peek() !== -1) throw this.fail(`expected the end, found ${this.#found()}`)
  }

  isNull(): boolean {
    return this.#peek() === 0x6e
  }

  /** Whether the next value is an array. */
  isArray(): boolean {
    return this.#peek() === OPEN_BRACKET
  }

  isObject(): boolean {
    return this.#peek() === OPEN_BRACE
  }

  readString(): string {
    if (this.#peek() !== QUOTE) throw this.fail(`expected a string, found ${this.#found()}`)
    const bytes = this.#bytes
    const start = ++this.#at
    let at = start
    let plain = true
    for (;;) {
      const byte = bytes[at]
      if (byte === undefined) throw this.fail('the string does not end')
      if (byte === QUOTE) break
      if (byte < 0x20) throw this.fail('a control character in a string must be escaped')
      if (byte === BACKSLASH) {
        plain = false
        at++
      } else if (byte > 0x7f) plain = false
      at++
    }
    this.#at = at + 1
    if (plain) return internedText(bytes, start, at)
    try {
      const text = JSON.parse(strictUtf8.decode(bytes.subarray(start - 1, at + 1))) as string
      if (text.isWellFormed()) return text
      this.#at = start
      throw this.fail('the string has half of a character: a \\uD800 to \\uDFFF escape without its other half')
    } catch (error) {
      if (isSlipwayError(error)) throw error
      this.#at = start
      throw this.fail('the string is not valid UTF-8, or has a wrong escape')
    }
  }

  /** A number, exact as a double; also NaN and the infinities. */
  readNumber(): number {
    this.#peek()
    return this.#number(false)
  }

  /**
   * Reads a number, correctly rounded as a double. With `single`, correctly rounded once it is stored as float32, which allows a cheaper
   * way for the 17-digit numbers that Python prints.
   */
  #number(single: boolean): number {
    const bytes = this.#bytes
    const start = this.#at
    let at = start
    let byte = bytes[at]
    const negative = byte === MINUS
    if (negative) byte = bytes[++at]
    let mantissa = 0
    let digits = 0
    let exponent = 0
    const firstDigit = at
    while (byte! >= ZERO && byte! <= NINE) {
      if (digits < EXACT_DIGITS) mantissa = mantissa * 10 + (byte! - ZERO)
      else exponent++
      if (mantissa !== 0) digits++
      byte = bytes[++at]
    }
    const whole = at - firstDigit
    if (whole === 0) return this.#word()
    if (whole > 1 && bytes[firstDigit] === ZERO) throw this.fail('a number must not start with 0')
    if (byte === DOT) {
      const before = ++at
      byte = bytes[at]
      while (byte! >= ZERO && byte! <= NINE) {
        if (digits < EXACT_DIGITS) {
          mantissa = mantissa * 10 + (byte! - ZERO)
          exponent--
        }
        if (mantissa !== 0) digits++
        byte = bytes[++at]
      }
      if (at === before) throw this.fail('a digit must follow the decimal point')
    }
    if (byte === 0x65 || byte === 0x45) {
      byte = bytes[++at]
      const negativeExponent = byte === MINUS
      if (negativeExponent || byte === 0x2b) byte = bytes[++at]
      const before = at
      let written = 0
      while (byte! >= ZERO && byte! <= NINE) {
        if (written < 10_000) written = written * 10 + (byte! - ZERO)
        byte = bytes[++at]
      }
      if (at === before) throw this.fail('a digit must follow the exponent')
      exponent += negativeExponent ? -written : written
    }
    this.#at = at
    if (exponent >= -22 && exponent <= 22) {
      const value = exponent < 0 ? mantissa / POWERS_OF_TEN[-exponent]! : mantissa * POWERS_OF_TEN[exponent]!
      if (digits <= EXACT_DIGITS) return negative ? -value : value
      // The dropped digits change the value by less than 2^-46 of it: harmless unless float32 rounding sits on that edge.
      const rounded = Math.fround(value)
      if (single && rounded === Math.fround(value * (1 - 2 ** -46)) && rounded === Math.fround(value * (1 + 2 ** -46))) {
        return negative ? -rounded : rounded
      }
    }
    return Number(latin1(bytes, start, at))
  }

  /** The words that stand for numbers in Triton's and Python's JSON. */
  #word(): number {
    for (const [word, value] of WORDS) {
      const end = this.#at + word.length
      if (latin1(this.#bytes, this.#at, end) === word) {
        this.#at = end
        return value
      }
    }
    throw this.fail(`expected a number, found ${this.#found()}`)
  }

  /** An integer of any size as bigint. `1.0` and `1e3` count; a fraction is refused. */
  #bigint(): bigint {
    const bytes = this.#bytes
    const start = this.#at
    let at = start
    if (bytes[at] === MINUS) at++
    const first = at
    let value = 0
    while (bytes[at]! >= ZERO && bytes[at]! <= NINE) value = value * 10 + (bytes[at++]! - ZERO)
    const next = bytes[at]
    if (at === first || next === DOT || next === 0x65 || next === 0x45) {
      const number = this.#number(false)
      if (!Number.isInteger(number)) throw this.fail(`expected an integer, found ${number}`)
      // Beyond 2^53 a double may have lost digits.
      if (!Number.isSafeInteger(number)) throw this.fail('an integer beyond 2^53 must be written without point and exponent')
      return BigInt(number)
    }
    if (at - first > 1 && bytes[first] === ZERO) throw this.fail('a number must not start with 0')
    this.#at = at
    // No 64-bit integer has more than 20 digits, and parsing millions of digits takes seconds.
    if (at - first > 20) throw this.fail(`an integer of ${at - first} digits is outside INT64 and UINT64`)
    if (at - first <= EXACT_DIGITS) return BigInt(bytes[start] === MINUS ? -value : value)
    return BigInt(latin1(bytes, start, at))
  }

  /** Any value. Integers beyond 2^53 become bigint. */
  readValue(): JsonValue {
    const byte = this.#peek()
    switch (byte) {
      case QUOTE:
        return this.readString()
      case OPEN_BRACE: {
        // A null prototype: a key named __proto__ is data like any other.
        const object = Object.create(null) as { [key: string]: JsonValue }
        this.enterObject()
        for (let key = this.nextKey(true); key !== undefined; key = this.nextKey(false)) object[key] = this.readValue()
        return object
      }
      case OPEN_BRACKET: {
        const array: JsonValue[] = []
        this.enterArray()
        while (this.nextElement(array.length === 0)) array.push(this.readValue())
        return array
      }
      case 0x74:
        return this.#literal('true', true)
      case 0x66:
        return this.#literal('false', false)
      case 0x6e:
        return this.#literal('null', null)
      default: {
        const start = this.#at
        const number = this.#number(false)
        if (Number.isInteger(number) && !Number.isSafeInteger(number)) {
          const text = latin1(this.#bytes, start, this.#at)
          // No value that is needed has more digits than a 64-bit integer, and parsing millions takes seconds.
          if (text.length <= 21 && /^-?\d+$/.test(text)) return BigInt(text)
        }
        return number
      }
    }
  }

  #literal<T>(word: string, value: T): T {
    const end = this.#at + word.length
    if (latin1(this.#bytes, this.#at, end) !== word) throw this.fail(`expected a value, found ${this.#found()}`)
    this.#at = end
    return value
  }

  /** Passes over a value, checking its form. */
  skipValue(): void {
    const byte = this.#peek()
    if (byte === OPEN_BRACE) {
      this.enterObject()
      for (let key = this.nextKey(true); key !== undefined; key = this.nextKey(false)) this.skipValue()
    } else if (byte === OPEN_BRACKET) {
      this.enterArray()
      for (let first = true; this.nextElement(first); first = false) this.skipValue()
    } else this.readValue()
  }

  /**
   * Reads the data of a tensor, flat or nested as its shape says, straight into typed storage.
   * A scalar (shape []) may stand bare or in brackets.
   */
  readTensorData(datatype: Datatype, shape: readonly number[]): TensorData {
    const count = elementCount(shape)
    // Each element takes at least two bytes of text, so a shape cannot claim more memory than the body could fill.
    if (!(count <= (this.#bytes.length - this.#at) / 2 + 1)) {
      throw this.fail(`shape ${formatShape(shape)} asks for ${count} values, more than the body can hold`)
    }
    const data = datatype === 'FP32' ? allocateRequestFloats(count) : allocate(datatype, count)
    if (shape.length === 0 && this.#peek() !== OPEN_BRACKET) {
      this.#elements(data, datatype, 0, 1)
      return data
    }
    this.enterArray()
    if (count > 0 && shape.length > 1 && this.#peek() === OPEN_BRACKET) this.#nested({ data, datatype, shape }, 0, 0)
    else if (count === 0) this.#emptyNest(shape, 0)
    else {
      this.#elements(data, datatype, 0, count)
      this.#close(count)
    }
    return data
  }

  /** Reads one element into typed storage. */
  readElement(data: TensorData, datatype: Datatype, index: number): void {
    this.#peek()
    this.#element(data, datatype, index)
  }

  /** Reads a list of `length` elements into typed storage, from `start` on. */
  readElements(data: TensorData, datatype: Datatype, start: number, length: number): void {
    this.enterArray()
    this.#elements(data, datatype, start, start + length)
    this.#close(length)
  }

  #close(count: number): void {
    if (this.#peek() === COMMA) throw this.fail(`more than ${count} values`)
    this.#expect(CLOSE_BRACKET)
    this.#depth--
  }

  /** Reads the rest of the array at `level`, whose bracket is open; returns where the next element goes. */
  #nested(target: { data: TensorData; datatype: Datatype; shape: readonly number[] }, level: number, start: number): number {
    const { data, datatype, shape } = target
    const length = shape[level]!
    const inner = level + 1
    let index = start
    if (inner === shape.length) {
      this.#elements(data, datatype, index, index + length)
      this.#close(length)
      return index + length
    }
    for (let i = 0; i < length; i++) {
      if (i > 0) this.#expect(COMMA)
      this.enterArray()
      index = this.#nested(target, inner, index)
    }
    this.#close(length)
    return index
  }

  /** Reads the brackets of a tensor without values: [] or [[], []] for shape [2, 0]. */
  #emptyNest(shape: readonly number[], level: number): void {
    let found = 0
    for (let first = true; this.nextElement(first); first = false) {
      if (level + 1 >= shape.length || this.#peek() !== OPEN_BRACKET) throw this.fail(`shape ${formatShape(shape)} has no values`)
      this.enterArray()
      this.#emptyNest(shape, level + 1)
      found++
    }
    if (found > 0 && found !== shape[level]) throw this.fail(`shape ${formatShape(shape)} does not fit ${found} nested arrays`)
  }

  #elements(data: TensorData, datatype: Datatype, start: number, end: number): void {
    if (end > start && this.#peek() === CLOSE_BRACKET) throw this.#tooFew(start, end)
    if (datatype === 'FP32') this.#floats(data as Float32Array, start, end)
    else this.#others(data, datatype, start, end)
  }

  #tooFew(index: number, end: number): SlipwayError {
    return this.fail(`${end - index} more value${end - index === 1 ? '' : 's'} expected`)
  }

  /**
   * The hot loop. Numbers of up to nine digits without an exponent are read here, in 32-bit integers; everything else (longer numbers,
   * exponents, words, white space) takes the general path.
   */
  #floats(data: Float32Array, start: number, end: number): void {
    const bytes = this.#bytes
    const length = bytes.length
    let at = this.#at
    for (let index = start; index < end; index++) {
      if (index > start) {
        if (at >= length || bytes[at]! !== COMMA) {
          this.#at = at
          if (this.#peek() === CLOSE_BRACKET) throw this.#tooFew(index, end)
          this.#expect(COMMA)
          at = this.#at
        } else at++
        // Python writes ", ".
        if (at < length && bytes[at]! === 0x20) at++
      }
      const first = at
      let sign = 1
      if (at < length && bytes[at]! === MINUS) {
        sign = -1
        at++
      }
      const digitsStart = at
      const limit = Math.min(length, at + 11)
      let mantissa = 0
      let point = -1
      let digit = 0
      for (; at < limit; at++) {
        digit = bytes[at]! - ZERO
        if (digit >= 0 && digit <= 9) mantissa = (Math.imul(mantissa, 10) + digit) | 0
        else if (digit === DOT - ZERO && point < 0) point = at
        else break
      }
      const digits = at - digitsStart - (point < 0 ? 0 : 1)
      const plain =
        digits > 0 &&
        digits <= 9 &&
        (digit === COMMA - ZERO || digit === CLOSE_BRACKET - ZERO) &&
        point !== digitsStart &&
        point !== at - 1 &&
        (bytes[digitsStart]! !== ZERO || point === digitsStart + 1 || digits === 1)
      if (plain) {
        const value = point < 0 ? mantissa : mantissa / POWERS_OF_TEN[at - point - 1]!
        data[index] = sign < 0 ? -value : value
      } else {
        this.#at = first
        this.#peek()
        data[index] = this.#number(true)
        at = this.#at
      }
    }
    this.#at = at
  }

  #others(data: TensorData, datatype: Datatype, start: number, end: number): void {
    const path = this.path
    for (let index = start; index < end; index++) {
      if (index > start) {
        if (this.#peek() === CLOSE_BRACKET) throw this.#tooFew(index, end)
        this.#expect(COMMA)
      }
      this.#peek()
      this.#element(data, datatype, index)
    }
    this.path = path
  }

  #element(data: TensorData, datatype: Datatype, index: number): void {
    if (datatype === 'BYTES') {
      const text = this.readString()
      if (text.includes('\0')) throw this.fail('a text with a NUL character, which ONNX Runtime would cut off there')
      ;(data as string[])[index] = text
    } else if (datatype === 'BOOL') {
      ;(data as Uint8Array)[index] = this.#boolean()
    } else if (isWide(datatype)) {
      const value = this.#bigint()
      const [low, high] = DATATYPES[datatype].range
      if (value < low || value > high) throw this.fail(`${value} is outside ${datatype}`)
      ;(data as BigInt64Array)[index] = value
    } else {
      const value = this.#number(false)
      if (datatype === 'FP16') (data as Uint16Array)[index] = numberToHalf(value)
      else if (datatype === 'BF16') (data as Uint16Array)[index] = numberToBfloat(value)
      else {
        if (!isFloat(datatype)) this.#checkInteger(value, datatype)
        ;(data as Float64Array)[index] = value
      }
    }
  }

  #checkInteger(value: number, datatype: Datatype): void {
    const [low, high] = datatypeInfo(datatype).range ?? [0n, 0n]
    if (!Number.isInteger(value)) throw this.fail(`expected an integer, found ${value}`)
    if (value < Number(low) || value > Number(high)) throw this.fail(`${value} is outside ${datatype}`)
  }

  #boolean(): number {
    const byte = this.#peek()
    if (byte === 0x74) return this.#literal('true', 1)
    if (byte === 0x66) return this.#literal('false', 0)
    if (byte === ZERO || byte === 0x31) {
      const value = this.#number(false)
      if (value === 0 || value === 1) return value
    }
    throw this.fail('expected true or false')
  }
}

/** Cache of keys, names and datatypes, which repeat from request to request: the last text of each length and outer letters. */
const interned: (string | undefined)[] = Array.from({ length: 1024 })
const INTERNED_LENGTH_MAX = 32

function internedText(bytes: Buffer, start: number, end: number): string {
  const length = end - start
  if (length === 0 || length > INTERNED_LENGTH_MAX) return latin1(bytes, start, end)
  const slot = (bytes[start]! * 7 + bytes[end - 1]! * 31 + length * 131) & 1023
  const known = interned[slot]
  if (known !== undefined && known.length === length) {
    let index = 0
    while (index < length && known.charCodeAt(index) === bytes[start + index]) index++
    if (index === length) return known
  }
  const text = latin1(bytes, start, end)
  interned[slot] = text
  return text
}

/** Text of ASCII bytes; the cheapest way Node has. */
function latin1(bytes: Buffer, start: number, end: number): string {
  return bytes.toString('latin1', start, end)
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const WORDS: readonly (readonly [string, number])[] = [
  ['NaN', Number.NaN],
  ['-NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  ['Inf', Number.POSITIVE_INFINITY],
  ['-Inf', Number.NEGATIVE_INFINITY],
]

/** Reads a whole document. */
export function parseJson(bytes: Buffer, limits: JsonLimits = DEFAULT_LIMITS): JsonValue {
  const reader = new JsonReader(bytes, limits)
  const value = reader.readValue()
  reader.end()
  return value
}
