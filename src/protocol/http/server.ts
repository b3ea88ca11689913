/**
 * Protocol brings wire shapes to the one way in, and answers back to clients, one file per dialect, and decides nothing itself. This file
 * is the HTTP server.
 */
import { requireAccess } from './access.ts'
import { isPreflight } from './cors.ts'
import { SlipwayError } from '../../core/errors.ts'
import { ownError } from './error-form.ts'
import { Exchange } from './exchange.ts'
import { Listener } from './listener.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../../core/clock.ts'
import type { AccessOptions } from './access.ts'
import type { Cors } from './cors.ts'
import type { Dialect } from './dialects/dialect.ts'
import type { ErrorForm } from './error-form.ts'
import type { ListenerOptions } from './listener.ts'
import type { HttpLimits } from './options.ts'

export interface HttpServerOptions {
  /** Addresses to listen on, with their routes; the first gives `url` and `port`. */
  readonly listeners: readonly ListenerOptions[]
  readonly access: AccessOptions
  /** Undefined: pages of other origins may not read answers. */
  readonly cors?: Cors | undefined
  readonly limits: HttpLimits
  readonly clock: Clock
  readonly nextId: () => string
  /** The dialects that the server offers: errors at their paths have their form. */
  readonly dialects: readonly Pick<Dialect, 'prefix' | 'error'>[]
  /** What to tell a client at a path that no route takes. */
  readonly hint?: (method: string, path: string) => string | undefined
  /** Called for every call of administration, also for refused ones. */
  readonly audit?: (exchange: Exchange) => void
}

/** Characters that a request id from outside may have; another id is replaced. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/

/**
 * The HTTP door: routing and access, over the sockets of its listeners. On node:http itself and not on a framework:
 * measured here, a framework's own work per request is a fifth of the whole budget (docs/decisions).
 */
export class HttpServer {
  readonly #options: HttpServerOptions
  readonly #listeners: Listener[] = []
  #closing = false
  readonly limits: HttpLimits
  readonly cors: Cors | undefined

  private constructor(options: HttpServerOptions) {
    this.#options = options
    this.limits = options.limits
    this.cors = options.cors
  }

  /** @throws what `Listener.open` says; what was opened before is closed then */
  static async listen(options: HttpServerOptions): Promise<HttpServer> {
    await using opened = new AsyncDisposableStack()
    const door = opened.use(new HttpServer(options))
    for (const listener of options.listeners) {
      door.#listeners.push(await Listener.open(listener, options.limits, (...request) => door.#handle(...request)))
    }
    opened.move()
    return door
  }

  get port(): number {
    return this.#listeners[0]?.port ?? 0
  }

  get url(): string {
    return this.urls[0] ?? ''
  }

  /** URLs of the listeners that have one, in their order. */
  get urls(): string[] {
    return this.#listeners.flatMap((listener) => listener.url ?? [])
  }

  #handle(listener: Listener, request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    const { clock, nextId } = this.#options
    const given = request.headers['x-request-id']
    const predictionId = nextId()
    const requestId = typeof given === 'string' && REQUEST_ID.test(given) ? given : predictionId
    const exchange = new Exchange(this, request, response, { requestId, predictionId, startedMs: clock.monotonicMs(), expectsContinue })
    response.once('close', () => exchange.closed())
    const target = request.url ?? '/'
    const query = target.indexOf('?')
    const path = query < 0 ? target : target.slice(0, query)
    try {
      const found = listener.routes.find(request.method ?? '', path)
      exchange.speaks(found === null ? this.#formOfNone(listener, path) : (found.store.error ?? this.#formAt(path) ?? ownError))
      listener.hosts?.require(request.headers.host)
      if (found === null) {
        this.#answerOther(listener, exchange, response, path)
        return
      }
      const { store: route, params } = found
      requireAccess(this.#options.access, exchange, route.access, params)
      const handled = route.handle(exchange, params)
      if (handled instanceof Promise) handled.catch((error: unknown) => exchange.fail(error))
    } catch (error) {
      exchange.fail(error)
    }
  }

  /** Form of errors where no route says it: that of the dialect whose prefix the path has. */
  #formAt(path: string): ErrorForm | undefined {
    return this.#options.dialects.find(({ prefix }) => prefix !== undefined && path.startsWith(prefix))?.error
  }

  /** Form of errors that no route takes: that of a route with another method, of the path's dialect, of the port. */
  #formOfNone({ routes, error }: Listener, path: string): ErrorForm {
    return routes.formAt(path) ?? this.#formAt(path) ?? error ?? ownError
  }

  /** Answers a request that no route takes: a browser's preflight, another method, an unknown path. */
  #answerOther(listener: Listener, exchange: Exchange, response: ServerResponse, path: string): void {
    const method = exchange.request.method ?? ''
    const allowed = listener.routes.methodsOf(path)
    if (this.cors !== undefined && allowed.length > 0 && isPreflight(exchange)) {
      this.cors.answerPreflight(exchange, allowed)
      return
    }
    // Clients without a key do not learn which paths exist.
    requireAccess(this.#options.access, exchange, 'predict', {})
    if (allowed.length === 0)
      throw new SlipwayError('SLW_ROUTE_NOT_FOUND', `no route ${method} ${path}; ${this.#options.hint?.(method, path) ?? 'see /docs'}`)
    response.setHeader('allow', allowed.join(', '))
    throw new SlipwayError('SLW_METHOD_NOT_ALLOWED', `${path} does not take ${method}; it takes ${allowed.join(', ')}`)
  }

  /** Read at each answer, as its request may have come before the server began to close. */
  get closing(): boolean {
    return this.#closing
  }

  administered(exchange: Exchange): void {
    this.#options.audit?.(exchange)
  }

  /** From here on answers tell clients to open another connection next time. */
  announceClose(): void {
    this.#closing = true
  }

  /** Stops listening and ends idle connections; resolves when the last one is closed. Closing twice is fine. */
  async close(): Promise<void> {
    this.#closing = true
    await Promise.all(this.#listeners.map((listener) => listener.close()))
  }

  /** Ends every connection, busy ones too. */
  abort(): void {
    for (const listener of this.#listeners) listener.abort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abort()
    await this.close()
  }
}
