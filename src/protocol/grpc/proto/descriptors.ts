import { encode, isScalar, schemaOf } from './schema.ts'
import type { Field, ProtoMessage, Schema } from './schema.ts'

/** What describes files of protobuf to clients (descriptor.proto), as far as ours need it. */
const DESCRIPTOR = schemaOf(
  'google/protobuf/descriptor.proto',
  'google.protobuf',
  `
message FileDescriptorProto
  1 name string
  2 package string
  4 message_type repeated DescriptorProto
  5 enum_type repeated EnumDescriptorProto
  6 service repeated ServiceDescriptorProto
  12 syntax string
message DescriptorProto
  1 name string
  2 field repeated FieldDescriptorProto
  3 nested_type repeated DescriptorProto
  4 enum_type repeated EnumDescriptorProto
  7 options MessageOptions
  8 oneof_decl repeated OneofDescriptorProto
message MessageOptions
  7 map_entry bool
message OneofDescriptorProto
  1 name string
message FieldDescriptorProto
  1 name string
  3 number int32
  4 label int32
  5 type int32
  6 type_name string
  9 oneof_index int32 of always
message EnumDescriptorProto
  1 name string
  2 value repeated EnumValueDescriptorProto
message EnumValueDescriptorProto
  1 name string
  2 number int32 of always
message ServiceDescriptorProto
  1 name string
  2 method repeated MethodDescriptorProto
message MethodDescriptorProto
  1 name string
  2 input_type string
  3 output_type string
  5 client_streaming bool
  6 server_streaming bool
`,
)

const LABEL = { optional: 1, repeated: 3 } as const
const TYPE = {
  double: 1,
  float: 2,
  int64: 3,
  uint64: 4,
  int32: 5,
  bool: 8,
  string: 9,
  message: 11,
  bytes: 12,
  uint32: 13,
  enum: 14,
} as const

/** A schema as a `google.protobuf.FileDescriptorProto`. */
export function describeFile(schema: Schema): Buffer {
  return encode(DESCRIPTOR, 'FileDescriptorProto', {
    name: schema.file,
    package: schema.package,
    message_type: childrenOf([...schema.messages.keys()], '').map((name) => describeMessage(schema, name)),
    enum_type: childrenOf([...schema.enums.keys()], '').map((name) => describeEnum(schema, name)),
    service: [...schema.services].map(([name, rpcs]) => ({
      name,
      method: rpcs.map((rpc) => ({
        name: rpc.name,
        input_type: `.${schema.package}.${rpc.request}`,
        output_type: `.${schema.package}.${rpc.response}`,
        client_streaming: rpc.requestStream,
        server_streaming: rpc.responseStream,
      })),
    })),
    syntax: 'proto3',
  })
}

/** Names that lie right under another one. */
function childrenOf(names: readonly string[], outer: string): string[] {
  return names.filter((name) => name.split('.').slice(0, -1).join('.') === outer)
}

function lastOf(name: string): string {
  return name.split('.').at(-1) ?? name
}

function describeMessage(schema: Schema, name: string): ProtoMessage {
  const fields = schema.messages.get(name) ?? []
  const oneofs = [...new Set(fields.flatMap(({ oneof }) => oneof ?? []))]
  const maps = fields.filter(({ kind }) => kind === 'map')
  return {
    name: lastOf(name),
    field: fields.map((field) => describeField(schema, name, field, oneofs)),
    nested_type: [
      ...childrenOf([...schema.messages.keys()], name).map((inner) => describeMessage(schema, inner)),
      ...maps.map((field) => describeEntry(schema, field)),
    ],
    enum_type: childrenOf([...schema.enums.keys()], name).map((inner) => describeEnum(schema, inner)),
    oneof_decl: oneofs.map((oneof) => ({ name: oneof })),
  }
}

function describeField(schema: Schema, message: string, field: Field, oneofs: readonly string[]): ProtoMessage {
  return {
    name: field.name,
    number: field.number,
    label: field.kind === 'one' ? LABEL.optional : LABEL.repeated,
    ...(field.kind === 'map'
      ? { type: TYPE.message, type_name: `.${schema.package}.${message}.${entryName(field.name)}` }
      : typeOf(schema, field.type)),
    ...(field.oneof !== undefined && { oneof_index: oneofs.indexOf(field.oneof) }),
  }
}

/** The message that stands for an entry of a map. */
function describeEntry(schema: Schema, { name, key = 'string', type }: Field): ProtoMessage {
  return {
    name: entryName(name),
    field: [
      { name: 'key', number: 1, label: LABEL.optional, ...typeOf(schema, key) },
      { name: 'value', number: 2, label: LABEL.optional, ...typeOf(schema, type) },
    ],
    options: { map_entry: true },
  }
}

function entryName(field: string): string {
  return `${field.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())}Entry`
}

function typeOf(schema: Schema, type: string): ProtoMessage {
  if (isScalar(type)) return { type: TYPE[type] }
  return { type: schema.enums.has(type) ? TYPE.enum : TYPE.message, type_name: `.${schema.package}.${type}` }
}

function describeEnum(schema: Schema, name: string): ProtoMessage {
  return { name: lastOf(name), value: [...(schema.enums.get(name) ?? [])].map(([value, number]) => ({ name: value, number })) }
}
