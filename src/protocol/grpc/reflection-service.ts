import { SlipwayError } from '../../core/errors.ts'
import { PREFIX_BYTES, sealMessage } from './message-reader.ts'
import { serviceName } from './methods.ts'
import { describeFile } from './proto/descriptors.ts'
import { REFLECTION } from './proto/reflection.ts'
import { decode, encode } from './proto/schema.ts'
import { STATUS } from './status.ts'
import { SMALL_MESSAGE_BYTES } from './unary.ts'
import type { GrpcService } from './methods.ts'
import type { Call, MessageTaker } from './call.ts'
import type { ProtoMessage, Schema } from './proto/schema.ts'

const SERVICE = 'ServerReflection'

/** Server reflection, in both of its versions: clients without our files learn the services from the server. */
export function reflectionServices(services: readonly GrpcService[]): GrpcService[] {
  const own = REFLECTION.map((schema): GrpcService => {
    const reflection: GrpcService = {
      schema,
      name: SERVICE,
      methods: [
        {
          name: 'ServerReflectionInfo',
          access: 'predict',
          messageBytes: SMALL_MESSAGE_BYTES,
          stream: (call) => reflect(call, schema, () => all),
        },
      ],
    }
    return reflection
  })
  const all = [...services, ...own]
  return own
}

function reflect(call: Call, schema: Schema, services: () => readonly GrpcService[]): MessageTaker {
  return {
    message(message) {
      const request = decode(schema, 'ServerReflectionRequest', message)
      const response = { valid_host: request['host'] ?? '', original_request: request, ...answerTo(request, services()) }
      call.send(sealMessage(encode(schema, 'ServerReflectionResponse', response, PREFIX_BYTES)))
      return true
    },
    end: () => call.close(),
    drain: () => void call.fail(new SlipwayError('SLW_DRAINING', 'the server is shutting down')),
  }
}

function answerTo(request: ProtoMessage, services: readonly GrpcService[]): ProtoMessage {
  if (request['list_services'] !== undefined)
    return { list_services_response: { service: services.map((service) => ({ name: serviceName(service) })) } }
  const file = request['file_by_filename']
  const symbol = request['file_containing_symbol']
  const schemas = services.map((service) => service.schema)
  const found =
    file !== undefined
      ? schemas.find((one) => one.file === file)
      : symbol !== undefined
        ? schemas.find((one) => has(one, String(symbol)))
        : undefined
  if (found !== undefined) return { file_descriptor_response: { file_descriptor_proto: [fileOf(found)] } }
  const asked = file ?? symbol
  return {
    error_response:
      asked === undefined
        ? { error_code: STATUS['UNIMPLEMENTED'], error_message: 'there are no extensions' }
        : { error_code: STATUS['NOT_FOUND'], error_message: `nothing is known of ${String(asked)}` },
  }
}

/** Made once: a client asks as often as it likes. */
const files = new Map<Schema, Buffer>()

function fileOf(schema: Schema): Buffer {
  let file = files.get(schema)
  if (file === undefined) files.set(schema, (file = describeFile(schema)))
  return file
}

/** Whether a schema declares a name: a service, a method, a message, a field or an enumeration, with its package. */
function has({ package: packageName, messages, enums, services }: Schema, symbol: string): boolean {
  if (!symbol.startsWith(`${packageName}.`)) return false
  const name = symbol.slice(packageName.length + 1)
  if (messages.has(name) || enums.has(name) || services.has(name)) return true
  const at = name.lastIndexOf('.')
  const [outer, inner] = [name.slice(0, Math.max(0, at)), name.slice(at + 1)]
  return (
    services.get(outer)?.some((rpc) => rpc.name === inner) === true || messages.get(outer)?.some((field) => field.name === inner) === true
  )
}
