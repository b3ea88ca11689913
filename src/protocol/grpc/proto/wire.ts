import { SlipwayError } from '../../../core/errors.ts'

/** Wire types of protobuf (encoding guide, "Message structure"). */
export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

/** Bytes of a number of 64 bits. */
const NUMBER_BYTES_MAX = 10

/** Reads the fields of one message. @throws SLW_BAD_REQUEST for bytes that are none */
export class ProtoReader {
  readonly bytes: Buffer
  at: number
  readonly end: number

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  /** The next field and its wire type, as `number << 3 | type`; 0 at the end of the message. */
  tag(): number {
    if (this.at === this.end) return 0
    const tag = this.uint32()
    if (tag >>> 3 === 0) throw this.#fail('a field has the number 0')
    return tag
  }

  /** The lower 32 bits of a number. */
  uint32(): number {
    const { bytes } = this
    let value = 0
    for (let shift = 0; ; shift += 7) {
      if (this.at >= this.end) throw this.#fail('a number is cut off')
      const byte = bytes[this.at++]!
      if (shift < 32) value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value >>> 0
      if (shift >= 63) throw this.#fail('a number is too long')
    }
  }

  int32(): number {
    return this.uint32() | 0
  }

  bool(): boolean {
    return this.uint64() !== 0n
  }

  uint64(): bigint {
    const { bytes } = this
    let low = 0
    let middle = 0
    let high = 0
    for (let index = 0; ; index++) {
      if (this.at >= this.end) throw this.#fail('a number is cut off')
      const byte = bytes[this.at++]!
      const bits = byte & 0x7f
      if (index < 4) low |= bits << (7 * index)
      else if (index < 8) middle |= bits << (7 * (index - 4))
      else if (index < 10) high |= bits << (7 * (index - 8))
      else throw this.#fail('a number is too long')
      if (byte < 0x80) break
    }
    if (middle === 0 && high === 0) return BigInt(low)
    return BigInt.asUintN(64, BigInt(low) | (BigInt(middle) << 28n) | (BigInt(high) << 56n))
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.uint64())
  }

  float(): number {
    return this.bytes.readFloatLE(this.#take(4))
  }

  double(): number {
    return this.bytes.readDoubleLE(this.#take(8))
  }

  /** A view of what has a length: a text, bytes, a message, packed numbers. */
  view(): Buffer {
    const length = this.uint32()
    const start = this.#take(length)
    return this.bytes.subarray(start, start + length)
  }

  /** A reader of a message inside this one. */
  message(): ProtoReader {
    const length = this.uint32()
    const start = this.#take(length)
    return new ProtoReader(this.bytes, start, start + length)
  }

  text(): string {
    const length = this.uint32()
    const start = this.#take(length)
    return this.bytes.toString('utf8', start, start + length)
  }

  skip(tag: number): void {
    switch (tag & 7) {
      case WIRE.varint:
        this.#skipNumber()
        return
      case WIRE.fixed64:
        this.#take(8)
        return
      case WIRE.bytes:
        this.#take(this.uint32())
        return
      case WIRE.fixed32:
        this.#take(4)
        return
      default:
        throw this.#fail(`the wire type ${tag & 7} is not one of proto3`)
    }
  }

  #skipNumber(): void {
    for (let size = 0; size < NUMBER_BYTES_MAX; size++) {
      if (this.at >= this.end) throw this.#fail('a number is cut off')
      if (this.bytes[this.at++]! < 0x80) return
    }
    throw this.#fail('a number is too long')
  }

  /** @throws for a known field that comes as another wire type */
  require(tag: number, type: number): void {
    if ((tag & 7) !== type) throw this.#fail(`field ${tag >>> 3} has the wire type ${tag & 7}, expected ${type}`)
  }

  #take(length: number): number {
    const start = this.at
    if (length > this.end - start) throw this.#fail(`${length} bytes are announced, ${this.end - start} are left`)
    this.at = start + length
    return start
  }

  #fail(what: string): SlipwayError {
    return new SlipwayError('SLW_BAD_REQUEST', `the message is no valid protobuf: ${what} (byte ${this.at})`)
  }
}

/** Writes the fields of one message. */
export class ProtoWriter {
  #bytes: Buffer
  #at: number
  readonly #reserved: number

  /** @param reserved bytes that are left free before the message */
  constructor(reserved = 0, size = 256) {
    this.#reserved = reserved
    this.#bytes = Buffer.allocUnsafe(reserved + size)
    this.#at = reserved
  }

  #room(size: number): void {
    if (this.#at + size <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + size))
    this.#bytes.copy(larger, 0, 0, this.#at)
    this.#bytes = larger
  }

  /** Bytes of the message so far. */
  get length(): number {
    return this.#at - this.#reserved
  }

  uint32(value: number): this {
    this.#room(5)
    let rest = value
    while (rest > 0x7f) {
      this.#bytes[this.#at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#bytes[this.#at++] = rest
    return this
  }

  /** A number of 64 bits; negative ones as two's complement. */
  int64(value: bigint | number): this {
    if (typeof value === 'number' && value >= 0 && value <= 0xffff_ffff) return this.uint32(value)
    let rest = BigInt.asUintN(64, BigInt(value))
    this.#room(10)
    while (rest > 0x7fn) {
      this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#bytes[this.#at++] = Number(rest)
    return this
  }

  tag(field: number, type: number): this {
    return this.uint32((field << 3) | type)
  }

  text(field: number, value: string): this {
    const length = Buffer.byteLength(value)
    this.tag(field, WIRE.bytes).uint32(length)
    this.#room(length)
    this.#at += this.#bytes.write(value, this.#at, 'utf8')
    return this
  }

  bytes(field: number, value: Uint8Array): this {
    return this.tag(field, WIRE.bytes).uint32(value.length).raw(value)
  }

  raw(value: Uint8Array): this {
    this.#room(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
    return this
  }

  float(value: number): this {
    this.#room(4)
    this.#at = this.#bytes.writeFloatLE(value, this.#at)
    return this
  }

  double(value: number): this {
    this.#room(8)
    this.#at = this.#bytes.writeDoubleLE(value, this.#at)
    return this
  }

  /** The reserved bytes and the message. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }
}
