/** Servers that answer a small call and do nothing else, each on a transport that gRPC could stand on: `servers.ts NAME` prints its port. */
import { createServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { createServer as createSocketServer } from 'node:net'
import { encodeHeaders } from '../../src/protocol/http2/hpack.ts'
import { Connection } from '../../src/protocol/http2/connection.ts'
import type { AddressInfo } from 'node:net'

export const METHOD = '/inference.GRPCInferenceService/ModelInfer'
const ANSWER_BYTES = 120
const answer = Buffer.alloc(5 + ANSWER_BYTES, 1)
answer[0] = 0
answer.writeUInt32BE(ANSWER_BYTES, 1)

const servers: Readonly<Record<string, () => Promise<number>>> = {
  http1: () =>
    listening(
      createServer((request, response) => {
        request.resume()
        request.once('end', () => {
          response.writeHead(200, ['content-type', 'application/octet-stream', 'content-length', String(ANSWER_BYTES)])
          response.end(answer.subarray(5))
        })
      }),
    ),
  http2: () => {
    const server = createHttp2Server()
    server.on('stream', (stream) => {
      stream.resume()
      stream.once('end', () => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
        stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
        stream.end(answer)
      })
    })
    return listening(server)
  },
  'grpc-js': async () => {
    const { Server, ServerCredentials } = await import('@grpc/grpc-js')
    const server = new Server()
    const asItIs = (bytes: Buffer): Buffer => bytes
    const raw = { requestSerialize: asItIs, requestDeserialize: asItIs, responseSerialize: asItIs, responseDeserialize: asItIs }
    server.addService(
      { infer: { path: METHOD, requestStream: false, responseStream: false, ...raw } },
      {
        infer(_: unknown, done: (error: null, bytes: Buffer) => void) {
          done(null, answer.subarray(5))
        },
      },
    )
    return await new Promise((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      ),
    )
  },
  own: () => {
    const head = encodeHeaders([
      [':status', '200'],
      ['content-type', 'application/grpc'],
    ])
    const trailers = encodeHeaders([['grpc-status', '0']])
    const host = {
      limits: { headerBytes: 16_384, streams: 1000 },
      begin(stream: Parameters<ConstructorParameters<typeof Connection>[1]['begin']>[0]) {
        stream.taker = { data() {}, end: () => stream.answer(head, answer, trailers), gone() {} }
      },
      foreign: (socket: { destroy(): unknown }) => void socket.destroy(),
      failed(error: unknown) {
        throw error
      },
      nowMs: () => performance.now(),
    }
    return listening(createSocketServer({ noDelay: true, allowHalfOpen: true }, (socket) => void new Connection(socket, host)))
  },
}

async function listening(server: { listen(port: number, host: string, then: () => void): unknown; address(): unknown }): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

if (import.meta.main) console.log(await servers[process.argv[2] ?? '']!())
