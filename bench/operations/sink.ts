/**
 * A server that takes and throws away. Runs as a process of its own.
 *
 *     node sink.ts traces        takes OTLP over HTTP
 *     node sink.ts BYTES         takes requests of so many bytes, header and body, and refuses each with 503
 */
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { start, stop } from '../children.ts'
import type { AddressInfo, Server } from 'node:net'

export interface Sink extends AsyncDisposable {
  /** `http://HOST:PORT` */
  readonly origin: string
}

/** Starts a sink for traces, or for requests of a known length. */
export async function startSink(takes: 'traces' | number): Promise<Sink> {
  const child = start(process.execPath, [import.meta.filename, String(takes)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const port = await new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`the sink ended with ${code}`)))
    child.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()))
  })
  return { origin: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => stop(child) }
}

function takeTraces(): Server {
  return createHttpServer((request, response) => {
    request.resume()
    request.once('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf', 'content-length': 0 }).end())
  })
}

const REFUSAL = Buffer.from('HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n')

function refuse(requestBytes: number): Server {
  return createServer({ noDelay: true }, (socket) => {
    let missing = requestBytes
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      missing -= chunk.length
      if (missing > 0) return
      missing += requestBytes
      socket.write(REFUSAL)
    })
  })
}

if (import.meta.main) {
  const takes = process.argv[2] ?? ''
  const server = takes === 'traces' ? takeTraces() : refuse(Number(takes))
  server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
  process.once('SIGTERM', () => process.exit(0))
}
