import { randomUUID } from 'node:crypto'
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { pipeline } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { apiAddress } from '../../contract/api-address.ts'
import { errorOf } from '../../contract/problem.ts'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { authorization } from '../server/server-client.ts'
import type { Readable } from 'node:stream'
import type { Refusal } from '../../contract/problem.ts'
import type { Context } from './contexts.ts'

export interface Asked {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly query?: Readonly<Record<string, string | number | undefined>>
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

const ATTEMPTS = 4
const FIRST_PAUSE_MS = 300
/** Longest pause before another attempt; where the server asks for a longer one, its error is thrown. */
const PAUSE_MAX_MS = 10_000

/** Asks a control plane over `/api/v1`. */
export class RegistryClient {
  readonly target: Context
  readonly #base: string
  /** Reason of changes, for the record. */
  readonly #reason: string | undefined

  constructor(target: Context, reason?: string) {
    this.target = target
    this.#base = apiAddress(target)
    this.#reason = reason
  }

  /**
   * The answer of a route. Requests are repeated where the control plane could not be reached or was overloaded: a change carries an
   * idempotency key, so that it is made once.
   * @throws the control plane's error, under its own code; SLW_UNREACHABLE
   */
  async ask<T>(path: string, asked: Asked = {}): Promise<T> {
    const response = await this.open(path, asked)
    const text = await response.text()
    return (text === '' ? undefined : JSON.parse(text)) as T
  }

  /** All items of a list, page by page. */
  async all<T>(path: string, query: Asked['query'] = {}): Promise<{ readonly items: T[]; readonly total: number }> {
    const items: T[] = []
    for (let pageToken: string | undefined; ;) {
      const page = await this.ask<{ items: T[]; total: number; nextPageToken?: string }>(path, {
        query: { limit: 1000, ...query, pageToken },
      })
      items.push(...page.items)
      pageToken = page.nextPageToken
      if (pageToken === undefined) return { items, total: page.total }
    }
  }

  /** As {@link ask}, with a body that is still to be read. */
  async open(path: string, { method = 'GET', query = {}, body, headers = {}, signal }: Asked = {}): Promise<Response> {
    const url = new URL(`${this.#base}${path}`)
    for (const [key, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(key, String(value))
    const init: RequestInit = {
      method,
      headers: {
        ...this.#headers(),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(method !== 'GET' && { 'idempotency-key': randomUUID() }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal !== undefined && { signal }),
    }
    return await withAttempts(async () => {
      const response = await fetch(url, init).catch((error: unknown) => {
        if (signal?.aborted === true) throw new SlipwayError('SLW_CANCELLED', 'given up')
        throw unreachable(this.target.url, error)
      })
      if (!response.ok) {
        const { status, headers: told } = response
        throw errorOf(this.target.url, { status, text: await response.text(), retryAfter: told.get('retry-after') })
      }
      return response
    })
  }

  /** Sends the bytes of a file. @param read opens the file anew for each attempt */
  async send(path: string, size: number, read: () => Readable): Promise<void> {
    await withAttempts(async () => {
      const url = new URL(`${this.#base}${path}`)
      const headers = { ...this.#headers(), 'content-type': 'application/octet-stream', 'content-length': size }
      const { promise, resolve, reject } = Promise.withResolvers<Refusal>()
      const outgoing = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, { method: 'PUT', headers }, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (piece: string) => (text += piece))
        response.once('error', reject)
        response.once('end', () => resolve({ status: response.statusCode ?? 0, text, retryAfter: response.headers['retry-after'] }))
      })
      outgoing.once('error', reject)
      // The answer may come before all bytes are sent: then the answer counts, not a failed upload.
      void pipeline(read(), outgoing).catch(reject)
      const answer = await promise.catch((error: unknown) => {
        throw unreachable(this.target.url, error)
      })
      if (answer.status < 200 || answer.status > 299) throw errorOf(this.target.url, answer)
    })
  }

  #headers(): Record<string, string> {
    return {
      ...authorization(this.target.key),
      ...(this.#reason !== undefined && { 'slipway-reason': encodeURIComponent(this.#reason) }),
    }
  }
}

async function withAttempts<T>(act: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await act()
    } catch (error) {
      const again = error instanceof SlipwayError && error.kind.retry && error.code !== 'SLW_CANCELLED'
      if (!again || attempt === ATTEMPTS) throw error
      const pauseMs = error.retryAfterMs ?? FIRST_PAUSE_MS * 2 ** (attempt - 1)
      if (pauseMs > PAUSE_MAX_MS) throw error
      await pause(pauseMs)
    }
  }
}

function unreachable(url: string, error: unknown): SlipwayError {
  const { cause } = error as { cause?: unknown }
  const code = ((cause ?? error) as NodeJS.ErrnoException).code
  return new SlipwayError(
    'SLW_UNREACHABLE',
    `${url} does not answer (${code ?? messageOf(error)}); is the control plane running? Start one with: slipway up`,
    {
      cause: error,
    },
  )
}
