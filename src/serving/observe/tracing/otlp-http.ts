import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { slipwayVersion } from '../../../core/version.ts'
import { readPartialSuccess, readStatus } from './otlp-answer.ts'
import { ANSWER_BYTES_MAX } from './transport.ts'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Outcome, Transport } from './transport.ts'

/** OTLP/HTTP with protobuf bodies (OTLP specification 1.x, "OTLP/HTTP"), over one connection that is kept. */
export function httpTransport(endpoint: string, headers: Readonly<Record<string, string>>): Transport {
  const url = new URL(endpoint)
  const secure = url.protocol === 'https:'
  const agent = secure ? new HttpsAgent({ keepAlive: true, maxSockets: 1 }) : new HttpAgent({ keepAlive: true, maxSockets: 1 })
  const open = secure ? httpsRequest : httpRequest
  return {
    send: (body, signal) =>
      new Promise((resolve, reject) => {
        const request = open(url, {
          method: 'POST',
          agent,
          signal,
          headers: {
            'user-agent': `slipway/${slipwayVersion()}`,
            ...headers,
            'content-type': 'application/x-protobuf',
            'content-length': body.length,
          },
        })
        request.once('error', reject)
        request.once('response', (response) => {
          readAnswer(response).then((answer) => resolve(outcomeOf(response.statusCode ?? 0, response.headers, answer)), reject)
        })
        request.end(body)
      }),
    close: () => agent.destroy(),
  }
}

/** The whole answer; empty where it is longer than `ANSWER_BYTES_MAX`. */
async function readAnswer(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size <= ANSWER_BYTES_MAX) chunks.push(chunk)
    else chunks.length = 0
  }
  return Buffer.concat(chunks)
}

/** The statuses that are worth another try ("Retryable Response Codes"). */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504])

function outcomeOf(status: number, headers: IncomingHttpHeaders, answer: Buffer): Outcome {
  if (status >= 200 && status < 300) {
    const { rejected, message } = readPartialSuccess(answer)
    return { kind: 'accepted', rejectedSpans: rejected, reason: message }
  }
  const { message } = headers['content-type'] === 'application/x-protobuf' ? readStatus(answer) : { message: '' }
  const reason = message === '' ? `HTTP ${status}` : `HTTP ${status}: ${message}`
  if (!RETRYABLE.has(status)) return { kind: 'refused', reason }
  return { kind: 'retry', reason, retryAfterMs: retryAfterMs(headers['retry-after']) }
}

/** Retry-After: seconds or a date (RFC 9110, 10.2.3). */
function retryAfterMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
