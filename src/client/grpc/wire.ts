/** The encoding of protobuf (protobuf.dev, "Encoding"), as far as the messages of inference need it. */

const VARINT = 0
const BYTES = 2
const WIDTHS: Readonly<Record<number, number>> = { 1: 8, 5: 4 }

export type Part = Uint8Array<ArrayBuffer>

function varint(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest]
    bytes.push((rest % 128) | 128)
  }
}

/** Begins a field of bytes: a tag and a length, after which they follow. */
function head(field: number, length: number): Part {
  return Uint8Array.from([...varint(field * 8 + BYTES), ...varint(length)])
}

/** A field of bytes, or of a message in parts. */
export function bytesField(field: number, ...parts: readonly Part[]): Part[] {
  return [
    head(
      field,
      parts.reduce((sum, part) => sum + part.length, 0),
    ),
    ...parts,
  ]
}

export function textField(field: number, text: string): Part[] {
  return text === '' ? [] : bytesField(field, new TextEncoder().encode(text))
}

/** A field of whole numbers from 0, packed. */
export function numbersField(field: number, values: readonly number[]): Part[] {
  return values.length === 0 ? [] : bytesField(field, Uint8Array.from(values.flatMap(varint)))
}

/** A field that is a single number: a double, or an integer of up to 64 bits. */
export function doubleField(field: number, value: number): Part[] {
  const part = new Uint8Array(9)
  part[0] = field * 8 + 1
  new DataView(part.buffer).setFloat64(1, value, true)
  return [part]
}

export function integerField(field: number, value: bigint): Part[] {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, value)
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return [Uint8Array.from([field * 8 + VARINT, ...bytes, Number(rest)])]
}

/** Calls back for each field of a message. @throws Error for bytes that are no message */
export function readFields(message: Part, on: (field: number, value: Part | number) => void): void {
  const reader = { message, at: 0 }
  while (reader.at < message.length) {
    const tag = readVarint(reader)
    const [field, kind] = [Math.floor(tag / 8), tag % 8]
    if (kind === VARINT) on(field, readVarint(reader))
    else {
      const length = kind === BYTES ? readVarint(reader) : WIDTHS[kind]
      if (length === undefined || reader.at + length > message.length) throw new Error('the message breaks off')
      if (kind === BYTES) on(field, message.subarray(reader.at, reader.at + length))
      reader.at += length
    }
  }
}

/** The numbers of a field that is repeated: packed, or one. */
export function numbersOf(value: Part | number): number[] {
  if (typeof value === 'number') return [value]
  const reader = { message: value, at: 0 }
  const numbers: number[] = []
  while (reader.at < value.length) numbers.push(readVarint(reader))
  return numbers
}

export function textOf(value: Part | number): string {
  return typeof value === 'number' ? '' : new TextDecoder().decode(value)
}

function readVarint(reader: { readonly message: Part; at: number }): number {
  let value = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = reader.message[reader.at++]
    if (byte === undefined) throw new Error('the message breaks off')
    value += (byte & 127) * scale
    if (byte < 128) return value
  }
}
