import { retryAfterOf } from './backoff.ts'
import { SlipwayClientError } from './client-error.ts'
import { parseExact } from './json.ts'
import type { Issue } from '../core/errors.ts'
import type { Rules } from './options.ts'

export interface Request {
  readonly method: 'GET' | 'POST'
  /** From the slash on. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array<ArrayBuffer> | undefined
}

/** An answer with success. */
export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: Uint8Array<ArrayBuffer>
}

/**
 * Sends one request.
 * @param leftMs what the server is told of the deadline
 * @throws SlipwayClientError; the reason of the signal, or an error of the platform, where that was aborted
 */
export async function send(
  { url, fetch, headers }: Pick<Rules, 'url' | 'fetch' | 'headers'>,
  request: Request,
  { signal, leftMs }: { readonly signal: AbortSignal; readonly leftMs: number },
): Promise<Reply> {
  const told = { ...headers, ...request.headers, 'slipway-timeout-ms': String(Math.ceil(leftMs)) }
  requireHeaders(told)
  let response: Response
  let body: Uint8Array<ArrayBuffer>
  try {
    response = await fetch(`${url}${request.path}`, {
      method: request.method,
      headers: told,
      body: request.body ?? null,
      signal,
      redirect: 'manual',
    })
    body = new Uint8Array(await response.arrayBuffer())
  } catch (thrown) {
    throw unreachable(url, thrown, (thrown as Error).cause as Error | undefined)
  }
  if (!response.ok) throw refusal(response, body, request)
  return { status: response.status, headers: response.headers, body }
}

/** @throws SLW_CONFIG_INVALID for what no header can hold: `fetch` would say so as if the server were away */
export function requireHeaders(headers: Readonly<Record<string, string>>): void {
  try {
    void new Headers(headers)
  } catch (error) {
    throw new SlipwayClientError('SLW_CONFIG_INVALID', `headers: ${(error as Error).message}`)
  }
}

/** What Node says of certificates and of talking TLS to what does not speak it, or speaks another one. */
const OF_TLS = /CERT|^ERR_(?:SSL|TLS)|^EPROTO$|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)/

/** @param cause what the platform says of it: browsers say nothing */
export function unreachable(url: string, thrown: unknown, cause?: Error & { readonly code?: string }): SlipwayClientError {
  const code = cause?.code ?? ''
  const details = { cause: thrown, retryable: true }
  if (OF_TLS.test(code))
    return new SlipwayClientError(
      'SLW_UNREACHABLE',
      `${url}: TLS failed (${code}): ${cause?.message}; check the address and whose certificates are trusted`,
      { ...details, retryable: false },
    )
  if (code === 'ENOTFOUND')
    return new SlipwayClientError('SLW_UNREACHABLE', `${url}: there is no host of that name`, { ...details, retryable: false })
  if (code === 'ECONNREFUSED')
    return new SlipwayClientError('SLW_UNREACHABLE', `${url}: nothing listens there; is the server running?`, details)
  const why = cause === undefined ? (thrown as Error).message : `${cause.message}${code === '' ? '' : ` (${code})`}`
  return new SlipwayClientError('SLW_UNREACHABLE', `${url}: the connection broke before the answer: ${why}`, details)
}

/** Codes of errors that came without one, by their status: from routes whose dialect has none, and from what stands in between. */
const BY_STATUS: Readonly<Record<number, SlipwayClientError['code']>> = {
  400: 'SLW_BAD_REQUEST',
  401: 'SLW_UNAUTHENTICATED',
  403: 'SLW_FORBIDDEN',
  404: 'SLW_NOT_FOUND',
  405: 'SLW_METHOD_NOT_ALLOWED',
  408: 'SLW_REQUEST_TIMEOUT',
  413: 'SLW_BODY_TOO_LARGE',
  415: 'SLW_UNSUPPORTED_MEDIA_TYPE',
  429: 'SLW_RATE_LIMITED',
  500: 'SLW_INTERNAL',
  501: 'SLW_NOT_IMPLEMENTED',
  502: 'SLW_UNREACHABLE',
  503: 'SLW_UNREACHABLE',
  504: 'SLW_DEADLINE_EXCEEDED',
  507: 'SLW_MEMORY_EXCEEDED',
}

/** The error that an answer without success says. */
function refusal({ status, headers }: Response, body: Uint8Array, { path }: Request): SlipwayClientError {
  const text = new TextDecoder().decode(body)
  const { error, code, retryable, issues } = errorIn(text)
  const retryAfterMs = retryAfterOf(headers.get('retry-after'), Date.now())
  const said = error ?? (text.trim() === '' ? 'without a word' : text.slice(0, 500))
  return new SlipwayClientError(code ?? BY_STATUS[status] ?? 'SLW_ANSWER_INVALID', error ?? `${path} was answered ${status}: ${said}`, {
    status,
    retryAfterMs,
    retryable: isWorthAnother(status, retryAfterMs) && retryable !== false,
    requestId: headers.get('x-request-id') ?? undefined,
    issues: Array.isArray(issues) ? (issues as Issue[]) : undefined,
  })
}

/** 502 is what a gateway says of a server that it cannot reach, 503 what one says that is too busy or not ready. */
function isWorthAnother(status: number, retryAfterMs: number | undefined): boolean {
  return status === 502 || status === 503 || (status === 429 && retryAfterMs !== undefined)
}

interface ErrorBody {
  readonly error?: string
  readonly code?: string
  readonly retryable?: unknown
  readonly issues?: unknown
}

function errorIn(text: string): ErrorBody {
  try {
    const body = JSON.parse(text) as Record<string, unknown> | null
    if (body === null || typeof body !== 'object') return {}
    return {
      ...(typeof body['error'] === 'string' && { error: body['error'] }),
      ...(typeof body['code'] === 'string' && { code: body['code'] }),
      retryable: body['retryable'],
      issues: body['issues'],
    }
  } catch {
    return {}
  }
}

/** The body of an answer as JSON. @throws SLW_ANSWER_INVALID */
export function jsonOf({ headers, body, status }: Reply, path: string): unknown {
  const text = new TextDecoder().decode(body)
  try {
    return parseExact(text)
  } catch (cause) {
    throw invalidAnswer(`${path} was answered with what is no JSON: ${text.slice(0, 200)}`, { cause, status, headers })
  }
}

export function invalidAnswer(
  message: string,
  { cause, status, headers }: { readonly cause?: unknown; readonly status: number; readonly headers: Headers },
): SlipwayClientError {
  return new SlipwayClientError('SLW_ANSWER_INVALID', message, {
    cause,
    status,
    requestId: headers.get('x-request-id') ?? undefined,
  })
}
