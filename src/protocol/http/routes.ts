import type { Exchange } from './exchange.ts'

export type Params = Readonly<Record<string, string | undefined>>

/** One address of the server. */
export interface Route {
  readonly method: 'GET' | 'POST'
  /** Parameters as `:name`. */
  readonly path: string
  /** What a caller must be allowed. Default: predict. */
  readonly access?: 'open' | 'predict' | 'metrics' | 'admin'
  readonly handle: (exchange: Exchange, params: Params) => Promise<void> | void
}
