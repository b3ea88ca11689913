/** A setting and where its value came from: `flag --port`, `environment PORT`, `file slipway.server.yaml`. */
export interface Origin {
  readonly key: string
  readonly value: unknown
  readonly origin: string
}
