/** A client of gRPC over node:http2, an implementation that is not ours. */
import { once } from 'node:events'
import { connect, constants } from 'node:http2'
import { INFERENCE } from '../src/protocol/grpc/proto/inference.ts'
import { decode, encode } from '../src/protocol/grpc/proto/schema.ts'
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, SecureClientSessionOptions } from 'node:http2'
import type { ProtoMessage, Schema } from '../src/protocol/grpc/proto/schema.ts'

export interface GrpcAnswer {
  readonly status: number
  /** Decoded. */
  readonly message: string
  readonly headers: IncomingHttpHeaders
  readonly trailers: IncomingHttpHeaders
  readonly messages: readonly ProtoMessage[]
}

export interface GrpcClient extends AsyncDisposable {
  readonly session: ClientHttp2Session
  /** A call with the given messages, all sent at once. */
  call(method: string, request?: ProtoMessage | readonly ProtoMessage[], headers?: Record<string, string>): Promise<GrpcAnswer>
  /** Opens a call, whose messages are written and read by the caller. */
  open(method: string, headers?: Record<string, string>): ClientHttp2Stream
}

export const SERVICE = 'inference.GRPCInferenceService'

/** @param target HOST:PORT */
export function grpcClient(target: string, { schema = INFERENCE, service = SERVICE, tls }: GrpcClientOptions = {}): GrpcClient {
  const session = connect(`${tls === undefined ? 'http' : 'https'}://${target}`, tls)
  session.on('error', () => {})
  const open = (method: string, headers: Record<string, string> = {}): ClientHttp2Stream =>
    session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: `/${service}/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    })
  return {
    session,
    open,
    async call(method, request = {}, headers) {
      const rpc = schema.services.get(service.split('.').at(-1)!)!.find(({ name }) => name === method)
      const stream = open(method, headers)
      for (const one of Array.isArray(request) ? (request as readonly ProtoMessage[]) : [request as ProtoMessage])
        stream.write(framed(encode(schema, rpc?.request ?? 'ModelInferRequest', one)))
      stream.end()
      return await answerOf(stream, (bytes) => decode(schema, rpc?.response ?? 'ModelInferResponse', bytes))
    },
    async [Symbol.asyncDispose]() {
      if (session.destroyed) return
      const closed = once(session, 'close')
      session.destroy()
      await closed
    },
  }
}

export interface GrpcClientOptions {
  readonly schema?: Schema
  readonly service?: string
  readonly tls?: SecureClientSessionOptions
}

/** Sends bytes as they are, and reads the whole answer. */
export async function answerOf(stream: ClientHttp2Stream, read: (message: Buffer) => ProtoMessage): Promise<GrpcAnswer> {
  let headers: IncomingHttpHeaders = {}
  let trailers: IncomingHttpHeaders | undefined
  stream.once('response', (received) => (headers = received))
  stream.once('trailers', (received) => (trailers = received))
  const chunks: Buffer[] = []
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
  const told = trailers ?? headers
  const message = told['grpc-message']
  return {
    status: Number(told['grpc-status'] ?? Number.NaN),
    message: typeof message === 'string' ? decodeURIComponent(message) : '',
    headers,
    trailers: told,
    messages: messagesIn(Buffer.concat(chunks)).map(read),
  }
}

export function framed(message: Uint8Array, compressed = false): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = compressed ? 1 : 0
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

export function messagesIn(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = []
  for (let at = 0; at + 5 <= bytes.length;) {
    const length = bytes.readUInt32BE(at + 1)
    messages.push(bytes.subarray(at + 5, at + 5 + length))
    at += 5 + length
  }
  return messages
}

/** Rows of numbers as ModelInferRequest for `addingModel`, raw. */
export function adding(model: string, values: readonly number[] = [1, 2, 3, 4]): ProtoMessage {
  return {
    model_name: model,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [values.length / 4, 4] }],
    raw_input_contents: [Buffer.from(Float32Array.from(values).buffer)],
  }
}

/** The numbers of the first output of an answer, from raw contents. */
export function numbersOf(answer: ProtoMessage | undefined): number[] {
  const [raw] = (answer?.['raw_output_contents'] ?? []) as readonly Buffer[]
  return raw === undefined ? [] : [...new Float32Array(Uint8Array.from(raw).buffer)]
}
