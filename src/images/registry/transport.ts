import { setTimeout as pause } from 'node:timers/promises'
import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { apiOf } from './reference.ts'
import { authorization, reasonOf } from './authorization.ts'
import { refusal } from './refusals.ts'
import type { Credentials } from './credentials.ts'
import type { Reference } from './reference.ts'

export interface Ask {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH'
  /** Below `/v2/`, or a whole address that the registry gave. */
  readonly at: string | URL
  readonly headers?: Readonly<Record<string, string>>
  /** What is iterated can be sent once. */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>
  /** Not repeated where it fails in a way that may pass: the caller does otherwise then. */
  readonly once?: boolean
  /** Statuses that are no refusal. */
  readonly expect: readonly number[]
  /** For messages, after "refused to". */
  readonly what: string
  /** Right that the request needs, in the words of the token specification. */
  readonly scope: string
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** That answered, after redirections. */
  readonly url: URL
  /** Ends with an error where nothing comes for too long. */
  readonly body: AsyncIterable<Uint8Array>
  /** Reads the rest, which is of no use, so that the connection can be used again. */
  discard(): Promise<void>
  /** @throws SLW_LIMIT_EXCEEDED */
  bytes(limit: number): Promise<Buffer>
}

export interface Transport {
  readonly host: string
  ask(request: Ask): Promise<Answer>
  /** Waits before a repetition. @param failures how many there were, from 1 */
  rest(failures: number, afterMs?: number): Promise<void>
}

export interface TransportOptions {
  readonly reference: Pick<Reference, 'host'>
  readonly find: () => Promise<Credentials | undefined>
  readonly plainHttp: boolean
  /** Silence after which a request fails. */
  readonly timeoutMs: number
  /** Before the first repetition; doubles. */
  readonly pauseMs: number
  readonly signal: AbortSignal | undefined
}

/** Requests in all, where they fail in a way that passes. */
export const ATTEMPTS = 5
const PAUSE_MS_MAX = 30_000
const RETRY_AFTER_MS_MAX = 120_000
const REDIRECTS_MAX = 5
const REFUSAL_BYTES_MAX = 64 * 1024
/** What does not pass by itself. */
const LASTING = new Set([
  'ENOTFOUND',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_HAS_EXPIRED',
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
])

/** A connection that broke, or a registry that fails or is busy: another attempt may do. */
export function isPassing(error: unknown): error is SlipwayError {
  return isSlipwayError(error) && (error.code === 'SLW_UNREACHABLE' || error.code === 'SLW_RATE_LIMITED') && error.kind.retry
}

/**
 * Asks a registry over HTTP: with credentials where it wants some (and nobody else gets them), again where a failure may pass, and no longer
 * than the registry is silent. Redirections are followed for reading.
 */
export function openTransport({ reference, find, plainHttp, timeoutMs, pauseMs, signal }: TransportOptions): Transport {
  const { host } = reference
  const api = apiOf(reference, plainHttp)
  const proof = authorization({ host, api, find, timeoutMs })

  async function once(request: Ask, url: URL, header: string | undefined): Promise<Answer> {
    const silence = new AbortController()
    const late = (): void => silence.abort(new Error(`nothing came for ${timeoutMs / 1000} s`))
    let timer = setTimeout(late, timeoutMs)
    let isOver = false
    const moved = (): void => {
      clearTimeout(timer)
      // What is sent may be read on for a moment after the request has failed.
      if (!isOver) timer = setTimeout(late, timeoutMs)
    }
    const end = (): void => {
      isOver = true
      clearTimeout(timer)
    }
    const { method, headers, body } = request
    try {
      const answer = await fetch(url, {
        method,
        redirect: 'manual',
        signal: signal === undefined ? silence.signal : AbortSignal.any([silence.signal, signal]),
        headers: { 'user-agent': 'slipway', ...headers, ...(header !== undefined && { authorization: header }) },
        ...(body !== undefined && {
          body: body instanceof Uint8Array ? (body as Uint8Array<ArrayBuffer>) : ReadableStream.from(noted(body, moved)),
          duplex: 'half',
        }),
      } as RequestInit)
      moved()
      return answerOf(answer, { url, host, moved, end })
    } catch (error) {
      end()
      signal?.throwIfAborted()
      throw broken(host, error)
    }
  }

  /** Follows redirections; what is not of the registry gets no credentials. */
  async function followed(request: Ask, header: string | undefined): Promise<Answer> {
    let url = new URL(request.at, api)
    for (let hops = 0; ; hops++) {
      const answer = await once(request, url, url.origin === api.origin ? header : undefined)
      const location = answer.headers.get('location')
      const isRead = request.method === 'GET' || request.method === 'HEAD'
      if (!isRead || location === null || ![301, 302, 303, 307, 308].includes(answer.status)) return answer
      await answer.discard()
      const next = new URL(location, url)
      if (hops === REDIRECTS_MAX || (next.protocol !== 'https:' && next.protocol !== api.protocol))
        throw new SlipwayError(
          'SLW_ANSWER_INVALID',
          `the registry ${host} sends on to ${next.host} ${hops === REDIRECTS_MAX ? `after ${REDIRECTS_MAX} other places` : 'without TLS'}; that is not followed`,
        )
      url = next
    }
  }

  async function attempt(request: Ask): Promise<Answer> {
    const isGone = request.body !== undefined && !(request.body instanceof Uint8Array)
    for (let proofs = 0; ; proofs++) {
      const header = await proof.header(request.scope)
      const answer = await followed(request, header)
      if (request.expect.includes(answer.status)) return answer
      const body = (await answer.bytes(REFUSAL_BYTES_MAX).catch(() => Buffer.alloc(0))).toString('utf8')
      const isOurs = answer.url.origin === api.origin
      const mayProve = answer.status === 401 && isOurs && !isGone && proofs < 2
      if (mayProve && (await proof.challenged(header, answer.headers.get('www-authenticate') ?? '', request.scope))) continue
      const error = refusal(host, request.what, { status: answer.status, body })
      const afterMs = retryAfterMs(answer.headers.get('retry-after'))
      throw afterMs === undefined ? error : new SlipwayError(error.code, error.message, { retryAfterMs: afterMs })
    }
  }

  async function rest(failures: number, afterMs?: number): Promise<void> {
    const backoff = Math.min(PAUSE_MS_MAX, pauseMs * 2 ** (failures - 1)) * (0.5 + Math.random() / 2)
    await pause(Math.max(backoff, Math.min(afterMs ?? 0, RETRY_AFTER_MS_MAX)), undefined, signal === undefined ? {} : { signal })
  }

  return {
    host,
    rest,
    async ask(request) {
      for (let failures = 1; ; failures++) {
        try {
          return await attempt(request)
        } catch (error) {
          if (request.once === true || failures === ATTEMPTS || !isPassing(error) || isLasting(error)) throw error
          await rest(failures, error.retryAfterMs)
        }
      }
    },
  }
}

interface Opened {
  readonly url: URL
  readonly host: string
  readonly moved: () => void
  readonly end: () => void
}

function answerOf(answer: Response, { url, host, moved, end }: Opened): Answer {
  async function* body(): AsyncGenerator<Uint8Array> {
    try {
      for await (const part of answer.body ?? []) {
        moved()
        yield part
        moved()
      }
    } catch (error) {
      throw broken(host, error)
    } finally {
      end()
    }
  }
  if (answer.body === null) end()
  const parts = body()
  return {
    status: answer.status,
    headers: answer.headers,
    url,
    body: parts,
    async discard() {
      end()
      await answer.body?.cancel().catch(() => {})
    },
    async bytes(limit) {
      const kept: Uint8Array[] = []
      let size = 0
      for await (const part of parts) {
        size += part.length
        if (size > limit)
          throw new SlipwayError(
            'SLW_LIMIT_EXCEEDED',
            `the registry ${host} answered with more than ${limit} bytes, where at most that many are read`,
          )
        kept.push(part)
      }
      return Buffer.concat(kept)
    },
  }
}

/** Passes bytes on, and notes that the connection takes them. */
async function* noted(bytes: AsyncIterable<Uint8Array>, moved: () => void): AsyncGenerator<Uint8Array> {
  for await (const part of bytes) {
    moved()
    yield part
  }
  moved()
}

function broken(host: string, error: unknown): SlipwayError {
  if (isSlipwayError(error)) return error
  const code = codeOf(error)
  const cure =
    code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG'
      ? '; it may speak HTTP without TLS, which --plain-http allows'
      : LASTING.has(code) && code !== 'ENOTFOUND'
        ? '; an authority of your own is believed with NODE_EXTRA_CA_CERTS'
        : ''
  return new SlipwayError('SLW_UNREACHABLE', `the registry ${host} cannot be asked, or broke off: ${reasonOf(error)}${cure}`, {
    cause: error,
  })
}

function isLasting(error: SlipwayError): boolean {
  return LASTING.has(codeOf(error.cause))
}

function codeOf(error: unknown): string {
  for (const one of [error, error instanceof Error ? error.cause : undefined])
    if (one instanceof Error && 'code' in one && typeof one.code === 'string') return one.code
  return ''
}

/** Seconds, or a date (RFC 9110, 10.2.3). */
function retryAfterMs(text: string | null): number | undefined {
  if (text === null) return undefined
  const ms = /^[0-9]+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isFinite(ms) && ms > 0 ? ms : undefined
}
