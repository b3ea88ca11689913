import { SlipwayClientError } from '../client-error.ts'
import { requireHeaders, unreachable } from '../send.ts'
import { refusalOf } from './status.ts'
import type { Part } from './wire.ts'

/** How a server is known, and who asks. */
export interface GrpcTls {
  /** Authorities that are trusted, in PEM. Default: those of the platform. */
  readonly ca?: string | undefined
  /** Certificate of the client and its key, in PEM. Default: none. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

export interface GrpcReply {
  /** Metadata, of the beginning and of the end. */
  readonly headers: Headers
  readonly message: Part
}

export interface GrpcCall {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly message: readonly Part[]
}

export interface GrpcSession {
  /** @throws SlipwayClientError */
  call(call: GrpcCall, limit: { readonly signal: AbortSignal; readonly leftMs: number }): Promise<GrpcReply>
  close(): void
}

/** Not imported: bundles for browsers would not find it. */
const http2Of = (node: NodeJS.Process) => node.getBuiltinModule('node:http2')
type Http2 = ReturnType<typeof http2Of>
type Session = ReturnType<Http2['connect']>
type Stream = ReturnType<Session['request']>

const SERVICE = '/inference.GRPCInferenceService/'

/** One connection to a server, made when it is needed and anew when it has ended. @throws SLW_NOT_IMPLEMENTED where there is no Node */
export function grpcSession(url: string, tls: GrpcTls): GrpcSession {
  const node = (globalThis as { readonly process?: NodeJS.Process }).process
  if (node?.getBuiltinModule === undefined)
    throw new SlipwayClientError('SLW_NOT_IMPLEMENTED', 'gRPC needs Node 20.16 or newer, or 22.3: in browsers use connect()')
  const http2 = http2Of(node)
  let session: Session | undefined
  let calls = 0

  function connected(): Session {
    if (session !== undefined && !session.closed && !session.destroyed) return session
    const made = http2.connect(url, { ca: tls.ca, cert: tls.cert, key: tls.key })
    made.on('error', () => {})
    // Each call listens for what becomes of its connection.
    made.setMaxListeners(0)
    made.on('goaway', () => forget(made))
    made.on('close', () => forget(made))
    session = made
    return made
  }
  const forget = (ended: Session): void => {
    if (session === ended) session = undefined
  }

  return {
    async call({ method, headers, message }, { signal, leftMs }) {
      requireHeaders(headers)
      const own = connected()
      const heardBefore = heardOn(own)
      // A connection that nobody waits on keeps no program running.
      if (calls++ === 0) own.ref()
      try {
        const stream = own.request({
          ...headers,
          ':method': 'POST',
          ':path': `${SERVICE}${method}`,
          'content-type': 'application/grpc',
          te: 'trailers',
          'grpc-timeout': timeoutOf(leftMs),
        })
        return await answerOf(stream, message, { url, signal, method, session: own })
      } catch (error) {
        // Nobody may be left at the other end: who calls next is not to wait for it too.
        if (signal.aborted && (signal.reason as SlipwayClientError).code === 'SLW_DEADLINE_EXCEEDED' && heardOn(own) === heardBefore) {
          forget(own)
          own.unref()
          if (calls === 1) own.destroy()
          else own.close()
        }
        throw error
      } finally {
        if (--calls === 0) session?.unref()
      }
    },
    close() {
      session?.close()
    },
  }
}

/** Bytes that have come over a connection. */
function heardOn({ socket }: Session): number {
  try {
    return socket.bytesRead
  } catch {
    // It has ended.
    return Number.NaN
  }
}

/** Up to 8 digits and a unit (gRPC over HTTP2, "Timeout"). */
function timeoutOf(leftMs: number): string {
  const ms = Math.ceil(leftMs)
  return ms < 1e8 ? `${ms}m` : `${Math.ceil(ms / 1000)}S`
}

interface Context {
  readonly url: string
  readonly signal: AbortSignal
  readonly method: string
  readonly session: Session
}

function answerOf(stream: Stream, message: readonly Part[], { url, signal, method, session }: Context): Promise<GrpcReply> {
  return new Promise((resolve, reject) => {
    const headers = new Headers()
    const chunks: Uint8Array[] = []
    let failure: Error | undefined
    const take = (fields: Readonly<Record<string, unknown>>): void => {
      for (const [name, value] of Object.entries(fields)) if (!name.startsWith(':')) headers.set(name, String(value))
      const status = Number(fields[':status'] ?? 200)
      if (status !== 200) failure = new Error(`${url} answers ${status}, which gRPC does not`)
    }
    const abort = (): void => {
      stream.close(CANCEL)
      reject(signal.reason as Error)
    }
    // A stream that was never sent has as its cause what became of the connection.
    const broken = (error: Error): void => {
      failure ??= (error.cause as Error | undefined) ?? error
    }
    session.once('error', broken)
    stream.on('response', take).on('trailers', take).on('error', broken)
    stream.on('data', (chunk: Uint8Array) => chunks.push(chunk))
    stream.on('close', () => {
      signal.removeEventListener('abort', abort)
      session.removeListener('error', broken)
      const status = headers.get('grpc-status')
      if (status === null) reject(unreachable(url, failure, failure ?? new Error('it was closed')))
      else if (status !== '0') reject(refusalOf(Number(status), headers, method))
      else resolveMessage(chunks, { resolve: (whole) => resolve({ headers, message: whole }), reject, method })
    })
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    const length = message.reduce((sum, part) => sum + part.length, 0)
    const prefix = new Uint8Array(5)
    new DataView(prefix.buffer).setUint32(1, length)
    const whole = new Uint8Array(5 + length)
    let at = 0
    for (const part of [prefix, ...message]) {
      whole.set(part, at)
      at += part.length
    }
    stream.end(whole)
  })
}

const CANCEL = 8

interface Settle {
  readonly resolve: (message: Part) => void
  readonly reject: (error: Error) => void
  readonly method: string
}

function resolveMessage(chunks: readonly Uint8Array[], { resolve, reject, method }: Settle): void {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  const fits = bytes.length >= 5 && bytes[0] === 0 && new DataView(bytes.buffer).getUint32(1) === bytes.length - 5
  if (fits) resolve(bytes.subarray(5))
  else reject(new SlipwayClientError('SLW_ANSWER_INVALID', `${method} was answered with ${bytes.length} bytes that are no single message`))
}
