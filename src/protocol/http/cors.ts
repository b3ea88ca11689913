import { SlipwayError } from '../../core/errors.ts'

/** The parts of an exchange that CORS needs. */
export interface Asking {
  readonly request: { readonly method?: string | undefined }
  header(name: string): string | undefined
  /** Answers without a body. */
  empty(status: number, headers: Record<string, string>): void
}

/** Time for which a browser may keep the answer to a preflight, seconds. */
const PREFLIGHT_KEPT_SECONDS = '600'
/** Headers of answers that scripts of other origins may read, beside those that begin with `slipway-`. */
const EXPOSED = 'x-request-id, inference-header-content-length, retry-after, www-authenticate'
/** Names of headers, as a browser lists them. */
const HEADER_LIST = /^[\w!#$%&'*+.^`|~, -]{1,1000}$/

/**
 * Lets web pages of other origins use the server (Fetch standard, section 3.2, "CORS protocol"). Cookies are never
 * involved: keys come in headers that the page itself sets.
 */
export class Cors {
  readonly #origins: '*' | ReadonlySet<string>

  constructor(origins: '*' | readonly string[]) {
    this.#origins = origins === '*' ? '*' : new Set(origins)
  }

  #allows(origin: string): boolean {
    return this.#origins === '*' || this.#origins.has(origin)
  }

  /** Adds the headers of every answer. Without those for its origin, a browser does not let a page read the answer. */
  addHeaders(head: (string | number)[], origin: string | undefined, headers: Record<string, string> | undefined): void {
    head.push('vary', 'origin')
    if (origin === undefined || !this.#allows(origin)) return
    const ours = Object.keys(headers ?? {}).filter((name) => name.startsWith('slipway-'))
    head.push('access-control-allow-origin', this.#origins === '*' ? '*' : origin)
    head.push('access-control-expose-headers', [EXPOSED, ...ours].join(', '))
  }

  /**
   * Answers a preflight. No key is needed: browsers send none with it.
   * @throws SLW_FORBIDDEN for an origin that is not allowed
   */
  answerPreflight(exchange: Asking, methods: readonly string[]): void {
    const origin = exchange.header('origin') ?? ''
    if (!this.#allows(origin))
      throw new SlipwayError(
        'SLW_FORBIDDEN',
        `pages of the origin "${origin}" may not use this server; allow them with --cors ${origin} (cors)`,
      )
    const asked = exchange.header('access-control-request-headers')
    exchange.empty(204, {
      'access-control-allow-methods': methods.join(', '),
      ...(asked !== undefined && HEADER_LIST.test(asked) && { 'access-control-allow-headers': asked }),
      'access-control-max-age': PREFLIGHT_KEPT_SECONDS,
    })
  }
}

/** Whether a request is a preflight. */
export function isPreflight(exchange: Omit<Asking, 'empty'>): boolean {
  return (
    exchange.request.method === 'OPTIONS' &&
    exchange.header('origin') !== undefined &&
    exchange.header('access-control-request-method') !== undefined
  )
}
