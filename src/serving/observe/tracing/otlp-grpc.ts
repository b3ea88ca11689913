import { connect, constants } from 'node:http2'
import { slipwayVersion } from '../../../core/version.ts'
import { readPartialSuccess, readStatus } from './otlp-answer.ts'
import { ANSWER_BYTES_MAX } from './transport.ts'
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from 'node:http2'
import type { Outcome, Transport } from './transport.ts'

const PATH = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
/** Prefix of each message: a byte that says whether it is compressed, and its length. */
const PREFIX_BYTES = 5
/** Time limit of the collector for one export; on the client side the signal ends the wait. */
const TIMEOUT = '10S'

/** OTLP/gRPC: unary calls over one HTTP/2 connection that is kept ("gRPC over HTTP2" of the gRPC project). */
export function grpcTransport(endpoint: string, headers: Readonly<Record<string, string>>): Transport {
  let session: ClientHttp2Session | undefined
  const connected = (): ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session
    const opened = connect(endpoint)
    // An error of a connection also breaks the stream on it, which reports it; the next export opens another connection.
    opened.on('error', () => {})
    opened.on('goaway', () => opened.close())
    opened.unref()
    return (session = opened)
  }
  return {
    send: (body, signal) =>
      new Promise((resolve, reject) => {
        const on = connected()
        const stream = on.request(
          {
            ...headers,
            [constants.HTTP2_HEADER_METHOD]: 'POST',
            [constants.HTTP2_HEADER_PATH]: PATH,
            'content-type': 'application/grpc',
            te: 'trailers',
            'grpc-timeout': TIMEOUT,
            'user-agent': `slipway/${slipwayVersion()}`,
          },
          { signal },
        )
        readCall(stream).then(resolve, (error: unknown) => {
          // A connection on which a call got no answer may be dead without saying so.
          on.destroy()
          reject(error)
        })
        const prefix = Buffer.alloc(PREFIX_BYTES)
        prefix.writeUInt32BE(body.length, 1)
        stream.write(prefix)
        stream.end(body)
      }),
    close: () => session?.destroy(),
  }
}

type Head = IncomingHttpHeaders & IncomingHttpStatusHeader

async function readCall(stream: ClientHttp2Stream): Promise<Outcome> {
  let head: Head = {}
  let trailers: IncomingHttpHeaders | undefined
  stream.once('response', (received) => (head = received))
  stream.once('trailers', (received) => (trailers = received))
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size <= ANSWER_BYTES_MAX) chunks.push(chunk)
    else chunks.length = 0
  }
  // A call that fails at once has its status in the headers and no trailers.
  return outcomeOf(head, trailers ?? head, Buffer.concat(chunks))
}

const OK = 0
const OK_HTTP = 200
const RESOURCE_EXHAUSTED = 8
/** CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS (OTLP specification, "Failures"). */
const RETRYABLE: ReadonlySet<number> = new Set([1, 4, 10, 11, 14, 15])
/** Statuses of a proxy in the place of a server that is not there ("HTTP to gRPC Status Code Mapping"). */
const RETRYABLE_HTTP: ReadonlySet<number> = new Set([429, 502, 503, 504])

function outcomeOf(head: Head, trailers: IncomingHttpHeaders, body: Buffer): Outcome {
  const http = head[':status']
  const given = trailers['grpc-status']
  if (given === undefined) {
    // A connection may be closed cleanly in the middle of a call: headers or trailers are then missing.
    const cut = http === undefined || http === OK_HTTP
    const reason = cut ? 'the connection was closed before the end of the call' : `HTTP ${http} in the place of a gRPC status`
    return cut || RETRYABLE_HTTP.has(http) ? { kind: 'retry', reason, retryAfterMs: undefined } : { kind: 'refused', reason }
  }
  const code = Number(given)
  if (code === OK) {
    const { rejected, message } = readPartialSuccess(body.subarray(PREFIX_BYTES))
    return { kind: 'accepted', rejectedSpans: rejected, reason: message }
  }
  const reason = `gRPC status ${code}: ${decodeMessage(trailers['grpc-message'])}`
  const details = trailers['grpc-status-details-bin']
  const { retryAfterMs } = typeof details === 'string' ? readStatus(Buffer.from(details, 'base64')) : { retryAfterMs: undefined }
  // RESOURCE_EXHAUSTED is worth another try only where the server says when.
  const again = RETRYABLE.has(code) || (code === RESOURCE_EXHAUSTED && retryAfterMs !== undefined)
  return again ? { kind: 'retry', reason, retryAfterMs } : { kind: 'refused', reason }
}

/** `grpc-message` is percent-encoded. */
function decodeMessage(message: string | string[] | undefined): string {
  if (typeof message !== 'string') return 'no message'
  try {
    return decodeURIComponent(message)
  } catch {
    return message
  }
}
