import { Budget, invalid, ListBuilder } from './document.ts'
import type { SlipwayError } from '../../../core/errors.ts'
import type { Value } from './document.ts'

/** Numbers by their marks: bytes, and how they are read. All are big-endian. */
const NUMBERS: Readonly<Record<string, readonly [bytes: number, read: (view: DataView, at: number) => number]>> = {
  i: [1, (view, at) => view.getInt8(at)],
  U: [1, (view, at) => view.getUint8(at)],
  I: [2, (view, at) => view.getInt16(at)],
  l: [4, (view, at) => view.getInt32(at)],
  L: [8, (view, at) => Number(view.getBigInt64(at))],
  d: [4, (view, at) => view.getFloat32(at)],
  D: [8, (view, at) => view.getFloat64(at)],
}

/**
 * Reads UBJSON (draft 12 of ubjson.org), as XGBoost writes it: lists with a length, and with a datatype where they are packed.
 * Objects have no length.
 * @param skipped keys whose values become null
 * @throws SLW_MODEL_INVALID, with the byte; SLW_MODEL_UNSAFE where it is nested too deep, or has too many values
 */
export function readUbjson(bytes: Buffer, skipped: ReadonlySet<string>): Value {
  const reader = new UbjsonReader(bytes, skipped)
  return reader.document()
}

class UbjsonReader {
  readonly #bytes: Buffer
  readonly #view: DataView
  readonly #skipped: ReadonlySet<string>
  readonly #budget = new Budget()
  #at = 0

  constructor(bytes: Buffer, skipped: ReadonlySet<string>) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#skipped = skipped
  }

  document(): Value {
    const value = this.#value(this.#mark(), 0)
    if (this.#at < this.#bytes.length) throw this.#fault('the end')
    return value
  }

  #value(mark: string, depth: number): Value {
    const kind = NUMBERS[mark]
    if (kind !== undefined) return this.#number(kind)
    switch (mark) {
      case 'S':
      case 'C':
        return mark === 'S' ? this.#text() : this.#take(1).toString('latin1')
      case 'T':
      case 'F':
        return mark === 'T'
      case 'Z':
        return null
      case '[':
        return this.#list(depth + 1)
      case '{':
        return this.#object(depth + 1)
      default:
        this.#at--
        throw this.#fault('a value')
    }
  }

  #list(depth: number): Value {
    this.#count(depth)
    const type = this.#taken('$') ? this.#mark() : undefined
    if (!this.#taken('#')) {
      if (type !== undefined) throw this.#fault('the length of a packed list')
      return this.#openList(depth)
    }
    const length = this.#length()
    if (type !== undefined) return this.#packed(type, length)
    const list = new ListBuilder(this.#budget)
    for (let index = 0; index < length; index++) list.add(this.#value(this.#mark(), depth))
    return list.done()
  }

  #openList(depth: number): Value {
    const list = new ListBuilder(this.#budget)
    while (!this.#taken(']')) list.add(this.#value(this.#mark(), depth))
    return list.done()
  }

  #packed(type: string, length: number): Value {
    const kind = NUMBERS[type]
    if (kind === undefined) throw this.#fault(`numbers, and not a packed list of "${type}"`)
    const [size, read] = kind
    if (length > (this.#bytes.length - this.#at) / size) throw this.#fault(`${length} numbers of ${size} bytes`)
    this.#budget.numbers(length)
    const numbers = new Float64Array(length)
    for (let index = 0; index < length; index++) numbers[index] = read(this.#view, this.#at + index * size)
    this.#at += length * size
    return numbers
  }

  #object(depth: number): Value {
    this.#count(depth)
    const map = new Map<string, Value>()
    if (this.#bytes[this.#at] === 0x24 || this.#bytes[this.#at] === 0x23) throw this.#fault('a key, and no length of an object')
    while (!this.#taken('}')) {
      const key = this.#text()
      // Its bytes have to be read to find its end; what was made of them is let go.
      const value = this.#value(this.#mark(), depth)
      map.set(key, this.#skipped.has(key) ? null : value)
    }
    return map
  }

  #text(): string {
    this.#budget.value()
    return this.#take(this.#length()).toString('utf8')
  }

  #length(): number {
    const mark = this.#mark()
    const kind = NUMBERS[mark]
    const length = kind === undefined || mark === 'd' || mark === 'D' ? -1 : this.#number(kind)
    if (length < 0 || length > this.#bytes.length) throw this.#fault('a length within the file')
    return length
  }

  #number([size, read]: (typeof NUMBERS)[string]): number {
    const at = this.#at
    this.#take(size)
    return read(this.#view, at)
  }

  #mark(): string {
    let mark: string
    // N is put in to fill up, and means nothing.
    do mark = this.#take(1).toString('latin1')
    while (mark === 'N')
    return mark
  }

  #taken(mark: string): boolean {
    if (this.#bytes[this.#at] !== mark.charCodeAt(0)) return false
    this.#at++
    return true
  }

  #take(count: number): Buffer {
    if (this.#at + count > this.#bytes.length) throw this.#fault(`${count} bytes more`)
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }

  #count(depth: number): void {
    this.#budget.depth(depth)
    this.#budget.value()
  }

  #fault(expected: string): SlipwayError {
    return invalid(`no UBJSON: byte ${this.#at}${this.#at >= this.#bytes.length ? ', where it ends,' : ''}: expected ${expected}`)
  }
}
