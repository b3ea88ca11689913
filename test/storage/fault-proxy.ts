import { createServer, request as httpRequest } from 'node:http'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What becomes of a request. */
export type Fault =
  /** It is answered so and never arrives. */
  | { readonly kind: 'status'; readonly status: number }
  /** It is never answered, and never arrives. */
  | { readonly kind: 'silence' }
  /** The connection ends before an answer; the request arrived and was done. */
  | { readonly kind: 'lost-answer' }
  /** The connection ends after so many bytes of the answer's body. */
  | { readonly kind: 'truncate'; readonly bytes: number }
  /** The answer says that it has so many bytes fewer than it should, and has. */
  | { readonly kind: 'shorten'; readonly bytes: number }
  /** One bit of the answer's body, at this byte, is another. */
  | { readonly kind: 'change'; readonly at: number }

export interface FaultProxy extends AsyncDisposable {
  /** Ask here instead of the server. */
  readonly endpoint: string
  /** How many requests of each method came, with and without fault. */
  readonly seen: Readonly<Record<string, number>>
  /** The next `count` requests that `matches` (`GET /bucket/key?query`) meet this fault, after those of earlier calls. */
  inject(fault: Fault, matches: RegExp, count?: number): void
  /** Faults that nobody met yet. */
  readonly pending: number
  reset(): void
}

interface Injected {
  readonly fault: Fault
  readonly matches: RegExp
  left: number
}

/**
 * Stands before an HTTP server and passes everything on, unless it was told what should go wrong. The Host header stays the
 * one that the client signed.
 */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const injected: Injected[] = []
  const seen: Record<string, number> = {}
  const { hostname, port } = new URL(target)
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    seen[method] = (seen[method] ?? 0) + 1
    const entry = injected.find(({ left, matches }) => left > 0 && matches.test(`${method} ${url}`))
    if (entry !== undefined) entry.left--
    const fault = entry?.fault
    request.on('error', () => {})
    response.on('error', () => {})
    if (fault?.kind === 'silence') return void request.resume()
    if (fault?.kind === 'status') return answerWith(fault.status, request, response)
    const onward = httpRequest({ hostname, port, method, path: url, headers, agent: false }, (answer) => passOn(answer, response, fault))
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    request.pipe(onward)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    inject(fault, matches, count = 1) {
      injected.push({ fault, matches, left: count })
    },
    get pending() {
      return injected.reduce((sum, { left }) => sum + left, 0)
    },
    reset() {
      injected.length = 0
      for (const method of Object.keys(seen)) delete seen[method]
    },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** As S3 words it; the client has sent all by then, so that it is the answer that it sees. */
function answerWith(status: number, request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  request.on('end', () => {
    const code = status === 503 ? 'SlowDown' : 'InternalError'
    response.writeHead(status, { 'content-type': 'application/xml' })
    response.end(
      request.method === 'HEAD' ? undefined : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>injected</Message></Error>`,
    )
  })
}

function passOn(answer: IncomingMessage, response: ServerResponse, fault: Fault | undefined): void {
  answer.on('error', () => response.destroy())
  if (fault?.kind === 'lost-answer') {
    answer.resume()
    answer.on('end', () => response.destroy())
    return
  }
  const headers = { ...answer.headers }
  const length = Number(headers['content-length'] ?? 0)
  const announced = fault?.kind === 'shorten' ? Math.max(0, length - fault.bytes) : length
  if (fault?.kind === 'shorten') headers['content-length'] = String(announced)
  response.writeHead(answer.statusCode ?? 502, headers)
  let at = 0
  answer.on('data', (piece: Buffer) => {
    const end = fault?.kind === 'truncate' ? fault.bytes : announced
    const passed = end === 0 && length === 0 ? piece : piece.subarray(0, Math.max(0, end - at))
    if (fault?.kind === 'change' && fault.at >= at && fault.at < at + piece.length) passed[fault.at - at]! ^= 1
    at += piece.length
    if (!response.write(passed)) {
      answer.pause()
      response.once('drain', () => answer.resume())
    }
    // The bytes so far first: who gets fewer than announced should get those.
    if (fault?.kind === 'truncate' && at >= fault.bytes) response.write('', () => response.destroy())
  })
  answer.on('end', () => {
    if (fault?.kind !== 'truncate') response.end()
  })
}
