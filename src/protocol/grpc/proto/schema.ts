/**
 * Messages of protobuf by a table of their fields. It describes them to clients (reflection) and reads and writes those that come rarely;
 * the messages of an inference have a codec of their own.
 */
import { SlipwayError } from '../../../core/errors.ts'
import { ProtoReader, ProtoWriter, WIRE } from './wire.ts'

/** A message as a value: fields by their names; 64-bit integers may be numbers or bigints, enumerations are names. */
export interface ProtoMessage {
  readonly [field: string]: unknown
}

const SCALARS = ['double', 'float', 'int64', 'uint64', 'int32', 'bool', 'string', 'bytes', 'uint32'] as const
export type Scalar = (typeof SCALARS)[number]

export interface Field {
  readonly name: string
  readonly number: number
  readonly kind: 'one' | 'repeated' | 'map'
  /** A scalar, or the name of a message or enumeration of the schema. */
  readonly type: string
  /** Of a map. */
  readonly key: Scalar | undefined
  /** The group of fields of which one is set. */
  readonly oneof: string | undefined
}

export interface Rpc {
  readonly name: string
  readonly request: string
  readonly requestStream: boolean
  readonly response: string
  readonly responseStream: boolean
}

/** A file of protobuf. */
export interface Schema {
  readonly file: string
  readonly package: string
  /** By name without the package; a message inside another as `Outer.Inner`. */
  readonly messages: ReadonlyMap<string, readonly Field[]>
  readonly enums: ReadonlyMap<string, ReadonlyMap<string, number>>
  readonly services: ReadonlyMap<string, readonly Rpc[]>
}

/**
 * Reads a table: `message NAME`, `enum NAME` and `service NAME`, each followed by indented lines. Fields are `NUMBER NAME [repeated] TYPE [of
 * ONEOF]` or `NUMBER NAME map KEY TYPE`, values of enumerations `NUMBER NAME`, methods `NAME [stream] REQUEST [stream] RESPONSE`.
 */
export function schemaOf(file: string, packageName: string, table: string): Schema {
  const messages = new Map<string, Field[]>()
  const enums = new Map<string, Map<string, number>>()
  const services = new Map<string, Rpc[]>()
  let add: (words: readonly string[]) => void = () => {}
  for (const line of table.split('\n')) {
    const words = line.trim().split(/\s+/)
    if (words[0] === '') continue
    if (line.startsWith(' ')) {
      add(words)
      continue
    }
    const [kind, name = ''] = words
    if (kind === 'message') {
      const fields: Field[] = []
      messages.set(name, fields)
      add = (of) => fields.push(fieldOf(of))
    } else if (kind === 'enum') {
      const values = new Map<string, number>()
      enums.set(name, values)
      add = ([number, value = '']) => values.set(value, Number(number))
    } else {
      const rpcs: Rpc[] = []
      services.set(name, rpcs)
      add = (of) => rpcs.push(rpcOf(of))
    }
  }
  return { file, package: packageName, messages, enums, services }
}

function fieldOf([number, name = '', ...words]: readonly string[]): Field {
  const at = words.indexOf('of')
  const oneof = at < 0 ? undefined : words[at + 1]
  const [first = '', second = '', third = ''] = words
  const base = { name, number: Number(number), oneof, key: undefined }
  if (first === 'map') return { ...base, kind: 'map', key: second as Scalar, type: third }
  if (first === 'repeated') return { ...base, kind: 'repeated', type: second }
  return { ...base, kind: 'one', type: first }
}

function rpcOf([name = '', ...words]: readonly string[]): Rpc {
  const requestStream = words[0] === 'stream'
  const [request = '', ...rest] = requestStream ? words.slice(1) : words
  const responseStream = rest[0] === 'stream'
  const response = rest[responseStream ? 1 : 0] ?? ''
  return { name, request, requestStream, response, responseStream }
}

export function isScalar(type: string): type is Scalar {
  return (SCALARS as readonly string[]).includes(type)
}

/** @param reserved bytes that are left free before the message */
export function encode(schema: Schema, type: string, value: ProtoMessage, reserved = 0): Buffer {
  const writer = new ProtoWriter(reserved)
  writeMessage(schema, type, value, writer)
  return writer.finish()
}

function fieldsOf(schema: Schema, type: string): readonly Field[] {
  const fields = schema.messages.get(type)
  if (fields === undefined) throw new SlipwayError('SLW_INTERNAL', `${schema.file} has no message ${type}`)
  return fields
}

function writeMessage(schema: Schema, type: string, value: ProtoMessage, writer: ProtoWriter): void {
  for (const field of fieldsOf(schema, type)) {
    const given = value[field.name]
    if (given === undefined || given === null) continue
    if (field.kind === 'map') {
      const entry = entryOf(field)
      for (const [key, item] of Object.entries(given as object)) {
        const inner = new ProtoWriter()
        writeField(schema, entry.key, key, inner)
        writeField(schema, entry.value, item, inner)
        writer.bytes(field.number, inner.finish())
      }
    } else if (field.kind === 'repeated') for (const item of given as readonly unknown[]) writeField(schema, field, item, writer)
    else if (field.oneof !== undefined || !isDefault(given)) writeField(schema, field, given, writer)
  }
}

/** What is not written, as it means the same as nothing (proto3). */
function isDefault(value: unknown): boolean {
  return value === 0 || value === 0n || value === '' || value === false
}

function entryOf({ key = 'string', type }: Field): { readonly key: Field; readonly value: Field } {
  const base = { kind: 'one', key: undefined, oneof: undefined } as const
  return { key: { ...base, name: 'key', number: 1, type: key }, value: { ...base, name: 'value', number: 2, type } }
}

function writeField(schema: Schema, { number, type }: Field, value: unknown, writer: ProtoWriter): void {
  switch (type) {
    case 'string':
      writer.text(number, String(value))
      return
    case 'bytes':
      writer.bytes(number, value as Uint8Array)
      return
    case 'double':
      writer.tag(number, WIRE.fixed64).double(Number(value))
      return
    case 'float':
      writer.tag(number, WIRE.fixed32).float(Number(value))
      return
    case 'bool':
      writer.tag(number, WIRE.varint).uint32(value === true ? 1 : 0)
      return
    case 'int32':
    case 'int64':
    case 'uint32':
    case 'uint64':
      writer.tag(number, WIRE.varint).int64(typeof value === 'string' ? BigInt(value) : (value as number | bigint))
      return
    default: {
      const values = schema.enums.get(type)
      if (values === undefined) {
        const inner = new ProtoWriter()
        writeMessage(schema, type, value as ProtoMessage, inner)
        writer.bytes(number, inner.finish())
      } else writer.tag(number, WIRE.varint).int64(typeof value === 'number' ? value : (values.get(String(value)) ?? 0))
    }
  }
}

/** How deep messages may lie in one another. */
const NESTING_MAX = 32

/**
 * The fields that were sent: repeated ones as arrays, maps as objects. Integers of 64 bits are bigints.
 * @throws SLW_BAD_REQUEST
 */
export function decode(schema: Schema, type: string, bytes: Buffer): ProtoMessage {
  return readMessage(schema, type, new ProtoReader(bytes), 0)
}

function readMessage(schema: Schema, type: string, reader: ProtoReader, depth: number): ProtoMessage {
  if (depth > NESTING_MAX) throw new SlipwayError('SLW_BAD_REQUEST', `the message nests deeper than ${NESTING_MAX}`)
  const fields = fieldsOf(schema, type)
  const message: Record<string, unknown> = {}
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const field = fields.find(({ number }) => number === tag >>> 3)
    if (field === undefined) reader.skip(tag)
    else if (field.kind === 'map') {
      reader.require(tag, WIRE.bytes)
      const { key, value } = readEntry(schema, field, reader.message(), depth)
      setIn((message[field.name] ??= {}) as Record<string, unknown>, String(key), value)
    } else if (field.kind === 'repeated') {
      const items = (message[field.name] ??= []) as unknown[]
      if ((tag & 7) === WIRE.bytes && isPackable(schema, field.type)) {
        const packed = reader.message()
        while (packed.at < packed.end) items.push(readField(schema, field, packed, depth))
      } else items.push(readChecked(schema, field, reader, { tag, depth }))
    } else setIn(message, field.name, readChecked(schema, field, reader, { tag, depth }))
  }
  return message
}

/** A name from outside may be that of the prototype. */
function setIn(object: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
}

function readEntry(schema: Schema, field: Field, reader: ProtoReader, depth: number): { key: unknown; value: unknown } {
  const entry = entryOf(field)
  let key: unknown = field.key === 'string' ? '' : 0
  let value: unknown = isScalar(field.type) ? undefined : {}
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag >>> 3 === 1) key = readChecked(schema, entry.key, reader, { tag, depth })
    else if (tag >>> 3 === 2) value = readChecked(schema, entry.value, reader, { tag, depth })
    else reader.skip(tag)
  }
  return { key, value }
}

function isPackable(schema: Schema, type: string): boolean {
  return schema.enums.has(type) || (isScalar(type) && type !== 'string' && type !== 'bytes')
}

function readChecked(schema: Schema, field: Field, reader: ProtoReader, { tag, depth }: { tag: number; depth: number }): unknown {
  const { type } = field
  const wire = type === 'double' ? WIRE.fixed64 : type === 'float' ? WIRE.fixed32 : isPackable(schema, type) ? WIRE.varint : WIRE.bytes
  reader.require(tag, wire)
  return readField(schema, field, reader, depth)
}

function readField(schema: Schema, { type }: Field, reader: ProtoReader, depth: number): unknown {
  switch (type) {
    case 'string':
      return reader.text()
    case 'bytes':
      return reader.view()
    case 'double':
      return reader.double()
    case 'float':
      return reader.float()
    case 'bool':
      return reader.bool()
    case 'int32':
      return reader.int32()
    case 'uint32':
      return reader.uint32()
    case 'int64':
      return reader.int64()
    case 'uint64':
      return reader.uint64()
    default:
      return schema.enums.has(type) ? reader.int32() : readMessage(schema, type, reader.message(), depth + 1)
  }
}
