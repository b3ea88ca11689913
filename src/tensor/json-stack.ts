import { SlipwayError } from '../core/errors.ts'
import { isFloat } from './datatype.ts'
import { allocate, formatShape } from './tensor.ts'
import type { Datatype, TensorData, TypedTensorData } from './datatype.ts'
import type { JsonReader } from './json-reader.ts'
import type { Tensor } from './tensor.ts'

export interface StackOptions {
  readonly name: string
  readonly datatype: Datatype
  /** Most elements. */
  readonly limit: number
  /** Whether null is a number, which is NaN then: only of float types. Default: it is refused. */
  readonly nulls?: boolean
}

/** Elements that memory is taken for at first. */
const FIRST_ELEMENTS = 64

/**
 * A tensor that is read out of JSON whose shape nobody has announced: nested lists, of which the first one gives the shape, one after the
 * other. A text may be `{"b64": TEXT}`, the bytes of it in base64.
 */
export class JsonStack {
  readonly #options: StackOptions
  #data: TensorData
  #used = 0
  #shape: readonly number[] | undefined
  /** Values read so far. */
  count = 0

  constructor(options: StackOptions) {
    this.#options = options
    this.#data = allocate(options.datatype, options.datatype === 'BYTES' ? 0 : FIRST_ELEMENTS)
  }

  /** Shape of each value; undefined before the first. */
  get shape(): readonly number[] | undefined {
    return this.#shape
  }

  /** Reads the next value. @throws SLW_BAD_REQUEST for another shape than that of the first; SLW_LIMIT_EXCEEDED */
  add(reader: JsonReader): void {
    if (this.#shape === undefined) this.#shape = this.#discover(reader)
    else this.#repeat(reader, this.#shape, 0)
    this.count++
  }

  /**
   * The values, one after the other in dim 0; or the only one, as it is.
   * @param shape of each, where another one has as many elements
   */
  tensor(stacked: boolean, shape: readonly number[] = this.#shape ?? []): Tensor {
    const { name, datatype } = this.#options
    const data = Array.isArray(this.#data) ? this.#data : this.#data.slice(0, this.#used)
    return { name, datatype, shape: stacked ? [this.count, ...shape] : shape, data }
  }

  /** Reads a value whose shape is not known yet. @returns its shape */
  #discover(reader: JsonReader): number[] {
    if (!reader.isArray()) {
      this.#element(reader)
      return []
    }
    let inner: number[] | undefined
    let length = 0
    reader.enterArray()
    for (; reader.nextElement(length === 0); length++) {
      if (inner === undefined) inner = this.#discover(reader)
      else this.#repeat(reader, inner, 0)
    }
    return [length, ...(inner ?? [])]
  }

  #repeat(reader: JsonReader, shape: readonly number[], level: number): void {
    const { datatype, nulls = false } = this.#options
    if (level === shape.length) {
      if (reader.isArray()) throw reader.fail(`expected a value as the first is, of shape ${formatShape(shape)}; found a list`)
      this.#element(reader)
      return
    }
    if (!reader.isArray()) throw reader.fail(`expected lists as the first are, of shape ${formatShape(shape)}; found a value`)
    const length = shape[level]!
    if (level === shape.length - 1 && datatype !== 'BYTES' && !nulls) {
      this.#reserve(length)
      reader.readElements(this.#data, datatype, this.#used, length)
      this.#used += length
      return
    }
    let found = 0
    reader.enterArray()
    for (; reader.nextElement(found === 0); found++) {
      if (found === length) throw reader.fail(`expected ${length} in each list, as in the first; there are more`)
      this.#repeat(reader, shape, level + 1)
    }
    if (found < length) throw reader.fail(`expected ${length} in each list, as in the first; found ${found}`)
  }

  #element(reader: JsonReader): void {
    const { datatype, nulls = false } = this.#options
    this.#reserve(1)
    const at = this.#used++
    if (datatype === 'BYTES' && reader.isObject()) (this.#data as string[])[at] = readBase64(reader)
    else if (nulls && isFloat(datatype) && reader.isNull()) {
      reader.skipValue()
      setNaN(this.#data as TypedTensorData, datatype, at)
    } else reader.readElement(this.#data, datatype, at)
  }

  #reserve(more: number): void {
    const { name, datatype, limit } = this.#options
    const needed = this.#used + more
    if (needed > limit) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `"${name}" has more than ${limit} elements (limits.elements)`)
    if (Array.isArray(this.#data) || needed <= this.#data.length) return
    const larger = allocate(datatype, Math.min(limit, Math.max(needed, 2 * this.#data.length))) as Float32Array
    larger.set(this.#data as Float32Array)
    this.#data = larger
  }
}

/** NaN as 16 bits: quiet, and positive. */
const NAN_BITS = { FP16: 0x7e00, BF16: 0x7fc0 } as const

function setNaN(data: TypedTensorData, datatype: Datatype, index: number): void {
  ;(data as Float32Array)[index] = datatype === 'FP16' || datatype === 'BF16' ? NAN_BITS[datatype] : Number.NaN
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads `{"b64": TEXT}`. @throws SLW_BAD_REQUEST where it is none, or its bytes are no text, which is what models take */
function readBase64(reader: JsonReader): string {
  const value = reader.readValue()
  const bytes = base64Of(value)
  if (bytes === undefined) throw reader.fail('expected a text, or {"b64": TEXT}')
  if (bytes.includes(0)) throw reader.fail('a text with a NUL character, where ONNX Runtime would cut it off')
  try {
    return strictUtf8.decode(bytes)
  } catch {
    throw reader.fail('the bytes are not UTF-8; the texts of ONNX are')
  }
}

/** The bytes of `{"b64": TEXT}`, as TensorFlow Serving has it; undefined for anything else. */
export function base64Of(value: unknown): Buffer | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return undefined
  const text = (value as { readonly b64?: unknown }).b64
  if (typeof text !== 'string' || Object.keys(value).length !== 1 || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) return undefined
  return Buffer.from(text, 'base64')
}
