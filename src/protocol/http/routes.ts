import findMyWay from 'find-my-way'
import type { ErrorForm } from './error-form.ts'
import type { Exchange } from './exchange.ts'

export type Params = Readonly<Record<string, string | undefined>>

/**
 * The access that a route needs: none, a key with that scope (where keys are set at all), or the admin token. `platform`: that of the
 * platform that runs this container and sends no credentials; the admin token where one is set, else as `predict`.
 */
export type RouteAccess = 'open' | 'predict' | 'metrics' | 'feedback' | 'admin' | 'platform'

/** One address of the server. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Parameters as `:name`; `name` itself is that of an endpoint, which an API key must be for. */
  readonly path: string
  readonly access: RouteAccess
  /** Form of its errors. Default: that of Slipway's own dialects. */
  readonly error?: ErrorForm
  readonly handle: (exchange: Exchange, params: Params) => Promise<void> | void
}

/** The routes of one listener. */
export class RouteTable {
  readonly #router: ReturnType<typeof findMyWay>
  readonly #methods: ReadonlySet<Route['method']>

  constructor(routes: readonly Route[]) {
    this.#router = findMyWay({ ignoreTrailingSlash: true, maxParamLength: 500 })
    // The handler of the router is a stand-in: the route is stored beside it.
    for (const route of routes) this.#router.on(route.method, route.path, noHandler, route)
    this.#methods = new Set(routes.map((route) => route.method))
  }

  /** @returns what the router found: the route is its `store` */
  find(method: string, path: string): { readonly store: Route; readonly params: Params } | null {
    return this.#router.find(method === 'HEAD' ? 'GET' : (method as 'GET'), path) as { store: Route; params: Params } | null
  }

  /** Form of errors of the routes that a path has, whatever their method. */
  formAt(path: string): ErrorForm | undefined {
    for (const method of this.#methods) {
      const form = this.find(method, path)?.store.error
      if (form !== undefined) return form
    }
    return undefined
  }

  /** The methods that a path takes. */
  methodsOf(path: string): string[] {
    return [...this.#methods].filter((method) => this.#router.find(method, path) !== null)
  }
}

function noHandler(): void {}
