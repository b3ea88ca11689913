import { SlipwayError } from '../../core/errors.ts'
import { closest } from '../../contract/schema.ts'
import { ENUMS, MESSAGES, ONE_OF } from './config-schema.ts'

/** Value of a field, and the line on which it begins. Integers of 64 bits are bigints, enums the names of their values. */
export interface Value {
  readonly line: number
  readonly value: string | number | bigint | boolean | Message
}

/** A message that was read: its fields in the order of the text. A map is a repeated message of `key` and `value`. */
export interface Message {
  /** Name in `MESSAGES`; that of a map's entries is `map<K,V>`. */
  readonly type: string
  readonly line: number
  readonly fields: ReadonlyMap<string, readonly Value[]>
}

/** A larger configuration, or one that lies deeper, was written by nobody. */
const CHARACTERS_MAX = 4 * 1024 * 1024
const DEPTH_MAX = 64
const VALUES_MAX = 1_000_000

interface Token {
  readonly kind: 'name' | 'number' | 'string' | 'sign' | 'end'
  readonly text: string
  readonly line: number
}

const SPACE = /(?:[ \t\r\f\v\n]|#[^\n]*)+/y
const TOKENS: readonly (readonly [Token['kind'], RegExp])[] = [
  ['name', /[A-Za-z_]\w*/y],
  ['number', /(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?)(?![\w.])/y],
  ['string', /"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*'/y],
  ['sign', /[-:{}<>[\],;]/y],
]

/**
 * Reads a message in protobuf's text format (protobuf.dev, "Text Format Language Specification"), without extensions and `Any`, which
 * Triton's configuration has not.
 * @param source name of the file, for messages
 * @throws SLW_PACKAGE_INVALID with the line
 */
export function readTextFormat(text: string, type: string, source: string): Message {
  const reader = new Reader(text, source)
  const message = reader.message(type, 1, 'end', 0)
  return message
}

/** Error about a line of a file. */
export function lineError(source: string, line: number, message: string): SlipwayError {
  return new SlipwayError('SLW_PACKAGE_INVALID', `${source}: line ${line}: ${message}`)
}

class Reader {
  readonly #text: string
  readonly #source: string
  #at = 0
  #line = 1
  #values = 0
  #next: Token

  constructor(text: string, source: string) {
    this.#source = source
    if (text.length > CHARACTERS_MAX) throw lineError(source, 1, `the file has ${text.length} characters, ${CHARACTERS_MAX} are allowed`)
    this.#text = text.startsWith('\u{FEFF}') ? text.slice(1) : text
    this.#next = this.#token()
  }

  #fail(message: string, line = this.#next.line): never {
    throw lineError(this.#source, line, message)
  }

  #token(): Token {
    SPACE.lastIndex = this.#at
    const space = SPACE.exec(this.#text)?.[0] ?? ''
    this.#at += space.length
    for (const character of space) if (character === '\n') this.#line++
    const line = this.#line
    if (this.#at >= this.#text.length) return { kind: 'end', text: '', line }
    for (const [kind, pattern] of TOKENS) {
      pattern.lastIndex = this.#at
      const [text] = pattern.exec(this.#text) ?? []
      if (text === undefined) continue
      this.#at += text.length
      return { kind, text, line }
    }
    const rest = this.#text.slice(this.#at, this.#at + 20).split('\n')[0]!
    const what = /^["']/.test(rest) ? 'a string that does not end on its line' : /^[\d.]/.test(rest) ? 'no number' : 'not understood'
    throw lineError(this.#source, line, `${JSON.stringify(rest)} is ${what}`)
  }

  #take(): Token {
    const token = this.#next
    this.#next = this.#token()
    return token
  }

  #is(sign: string): boolean {
    return this.#next.kind === 'sign' && this.#next.text === sign
  }

  #took(sign: string): boolean {
    if (!this.#is(sign)) return false
    this.#take()
    return true
  }

  #require(sign: string, after: string): void {
    if (!this.#took(sign)) this.#fail(`expected "${sign}" ${after}, found ${told(this.#next)}`)
  }

  /** Fields up to the end of the text, or up to a closing sign. */
  message(type: string, line: number, end: '}' | '>' | 'end', depth: number): Message {
    if (depth > DEPTH_MAX) this.#fail(`messages lie more than ${DEPTH_MAX} deep in one another`)
    const types = fieldsOf(type)
    const fields = new Map<string, Value[]>()
    while (end === 'end' ? this.#next.kind !== 'end' : !this.#is(end)) {
      if (this.#next.kind !== 'name')
        this.#fail(
          end === 'end' || this.#next.kind !== 'end'
            ? `expected the name of a field, found ${told(this.#next)}`
            : `expected "${end}" for what began on line ${line}, found the end of the file`,
        )
      const { text: name, line: began } = this.#take()
      const kind = types[name]
      if (kind === undefined) {
        const near = closest(name, Object.keys(types))
        this.#fail(`${type} has no field "${name}"${near === undefined ? '' : `; did you mean "${near}"?`}`, began)
      }
      this.#field(type, fields, { name, kind, line: began }, depth)
      if (!this.#took(',')) this.#took(';')
    }
    if (end !== 'end') this.#take()
    return { type, line, fields }
  }

  #field(
    type: string,
    fields: Map<string, Value[]>,
    { name, kind, line }: { readonly name: string; readonly kind: string; readonly line: number },
    depth: number,
  ): void {
    const isRepeated = kind.endsWith('[]') || kind.startsWith('map<')
    const element = kind.replace(/\[\]$/, '')
    const isMessage = fieldsOf(element) !== NO_FIELDS
    if (!this.#took(':') && !isMessage) this.#fail(`expected ":" after "${name}", found ${told(this.#next)}`)
    const values = fields.get(name) ?? []
    if (!isRepeated && values.length > 0) this.#fail(`"${name}" was said on line ${values[0]!.line} already`, line)
    const other = ONE_OF[type]?.includes(name) === true ? ONE_OF[type].find((each) => each !== name && fields.has(each)) : undefined
    if (other !== undefined) this.#fail(`"${name}" and "${other}" (line ${fields.get(other)![0]!.line}) exclude each other`, line)
    const one = (): void => {
      if (++this.#values > VALUES_MAX) this.#fail(`the file has more than ${VALUES_MAX} values`)
      values.push({ line: this.#next.line, value: isMessage ? this.#submessage(element, name, depth) : this.#scalar(element, name) })
    }
    if (isRepeated && this.#took('[')) {
      if (!this.#took(']')) {
        do one()
        while (this.#took(','))
        this.#require(']', `after the values of "${name}"`)
      }
    } else one()
    // An empty list says as much as none.
    if (values.length > 0) fields.set(name, values)
  }

  #submessage(type: string, name: string, depth: number): Message {
    const { line } = this.#next
    if (this.#took('<')) return this.message(type, line, '>', depth + 1)
    this.#require('{', `after "${name}"`)
    return this.message(type, line, '}', depth + 1)
  }

  #scalar(kind: string, name: string): string | number | bigint | boolean {
    const { line } = this.#next
    if (kind === 'string') return this.#string(name)
    const sign = this.#took('-') ? '-' : ''
    const token = this.#next
    if (token.kind !== 'name' && token.kind !== 'number')
      this.#fail(`"${name}" is to be ${WORDS[kind] ?? `one of ${kind}`}, found ${told(token)}`)
    this.#take()
    const value = scalarOf(kind, sign, token.text)
    if (value !== undefined) return value
    const names = ENUMS[kind]
    const wanted = names === undefined ? WORDS[kind] : names.length > 8 ? `a value of ${kind}` : names.join(', ')
    const near = names === undefined ? undefined : closest(token.text, names)
    return this.#fail(`${name}: ${sign}${token.text} is not ${wanted}${near === undefined ? '' : `; did you mean ${near}?`}`, line)
  }

  /** Adjacent strings are one. */
  #string(name: string): string {
    const { line } = this.#next
    if (this.#next.kind !== 'string') this.#fail(`"${name}" is to be a string, found ${told(this.#next)}`)
    const parts: Buffer[] = []
    while (this.#next.kind === 'string') {
      const { text, line: at } = this.#take()
      const bytes = unescaped(text.slice(1, -1))
      if (bytes === undefined) this.#fail(`${name}: ${text} has an escape that there is not`, at)
      parts.push(bytes)
    }
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(parts))
    } catch {
      return this.#fail(`${name}: the string is not UTF-8`, line)
    }
  }
}

const NO_FIELDS: Readonly<Record<string, string>> = {}

function fieldsOf(type: string): Readonly<Record<string, string>> {
  const [, key, value] = /^map<(\w+),([\w.]+)>$/.exec(type) ?? []
  if (key !== undefined && value !== undefined) return { key, value }
  return Object.hasOwn(MESSAGES, type) ? MESSAGES[type]! : NO_FIELDS
}

function told({ kind, text }: Token): string {
  return kind === 'end' ? 'the end of the file' : JSON.stringify(text.slice(0, 40))
}

const WORDS: Readonly<Record<string, string>> = {
  bool: 'true or false',
  int32: 'a whole number of 32 bits',
  uint32: 'a whole number from 0 of 32 bits',
  int64: 'a whole number of 64 bits',
  uint64: 'a whole number from 0 of 64 bits',
  float: 'a number',
  double: 'a number',
}

const BOOLS: Readonly<Record<string, boolean>> = {
  true: true,
  t: true,
  True: true,
  1: true,
  false: false,
  f: false,
  False: false,
  0: false,
}

/** @returns undefined where the text is no such value */
function scalarOf(kind: string, sign: string, text: string): string | number | bigint | boolean | undefined {
  switch (kind) {
    case 'bool':
      return sign === '' && Object.hasOwn(BOOLS, text) ? BOOLS[text] : undefined
    case 'float':
    case 'double': {
      const value = realOf(text)
      if (value === undefined) return undefined
      const signed = sign === '' ? value : -value
      return kind === 'float' ? Math.fround(signed) : signed
    }
    case 'int32':
    case 'uint32':
    case 'int64':
    case 'uint64':
      return integerOf(kind, sign, text)
    default: {
      const names = ENUMS[kind]!
      if (names.includes(text)) return sign === '' ? text : undefined
      const number = integerOf('int32', sign, text)
      return number === undefined ? undefined : names[Number(number)]
    }
  }
}

function realOf(text: string): number | undefined {
  if (/^inf(inity)?$/i.test(text)) return Number.POSITIVE_INFINITY
  if (/^nan$/i.test(text)) return Number.NaN
  // The format has no reals in octal or hexadecimal; whole numbers in these are not taken for reals.
  return /^\d*\.?\d*(e[+-]?\d+)?f?$/i.test(text) && !/^0\d/.test(text) ? Number(text.replace(/f$/i, '')) : undefined
}

function integerOf(kind: string, sign: string, text: string): number | bigint | undefined {
  if (!/^(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.test(text)) return undefined
  const magnitude = BigInt(/^0[0-7]+$/.test(text) ? `0o${text.slice(1)}` : text)
  const value = sign === '' ? magnitude : -magnitude
  const bits = kind.endsWith('64') ? 64 : 32
  const fits = kind.startsWith('u') ? BigInt.asUintN(bits, value) === value : BigInt.asIntN(bits, value) === value
  if (!fits) return undefined
  return bits === 64 ? value : Number(value)
}

const ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, '?': 63, '\\': 92, "'": 39, '"': 34 }

/** Bytes of a string between its quotes; undefined where an escape is none. */
function unescaped(text: string): Buffer | undefined {
  if (!text.includes('\\')) return Buffer.from(text)
  const parts: Buffer[] = []
  const pattern = /\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv?\\'"]))|([^\\]+)|(\\)/g
  for (const [, octal, hex, short, long, sign, plain, wrong] of text.matchAll(pattern)) {
    if (wrong !== undefined) return undefined
    if (plain !== undefined) parts.push(Buffer.from(plain))
    else if (octal !== undefined || hex !== undefined) {
      const byte = octal === undefined ? Number.parseInt(hex!, 16) : Number.parseInt(octal, 8)
      if (byte > 255) return undefined
      parts.push(Buffer.of(byte))
    } else if (sign !== undefined) parts.push(Buffer.of(ESCAPES[sign]!))
    else {
      const point = Number.parseInt((short ?? long)!, 16)
      if (point > 0x10_ffff || (point >= 0xd800 && point <= 0xdfff)) return undefined
      parts.push(Buffer.from(String.fromCodePoint(point)))
    }
  }
  return Buffer.concat(parts)
}
