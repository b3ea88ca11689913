import { decode, encode } from './proto/schema.ts'
import { PREFIX_BYTES, sealMessage } from './message-reader.ts'
import type { RouteAccess } from '../http/routes.ts'
import type { Call, GrpcMethod } from './call.ts'
import type { ProtoMessage, Schema } from './proto/schema.ts'

/** Largest message of a method that takes no tensors. */
export const SMALL_MESSAGE_BYTES: number = 1024 * 1024

/** A method with one message each way, read and written by its schema. @param answer may throw what the client is told */
export function unary(
  {
    schema,
    service,
    name,
    access,
  }: { readonly schema: Schema; readonly service: string; readonly name: string; readonly access: RouteAccess },
  answer: (request: ProtoMessage, call: Call) => ProtoMessage | Promise<ProtoMessage>,
): GrpcMethod {
  const rpc = schema.services.get(service)!.find((one) => one.name === name)!
  return {
    name,
    access,
    messageBytes: SMALL_MESSAGE_BYTES,
    async unary(call, message) {
      const answered = await answer(decode(schema, rpc.request, message), call)
      await call.answer(sealMessage(encode(schema, rpc.response, answered, PREFIX_BYTES)))
    },
  }
}
