import type { Endpoint } from './endpoint.ts'

/** What is true of an endpoint now, as far as others want to know: plain data, which crosses processes. */
export interface LiveEndpoint {
  readonly name: string
  /** Of the routing by which requests are shared. */
  readonly segment: number
  readonly variants: readonly LiveVariant[]
}

export interface LiveVariant {
  readonly name: string
  readonly version: string
  readonly ready: boolean
  /** Why it is not. */
  readonly reason: string | undefined
}

export function liveEndpoints(endpoints: Iterable<Endpoint>): LiveEndpoint[] {
  return [...endpoints].map(({ name, routing, variants }) => ({
    name,
    segment: routing.segment,
    variants: variants.map(({ spec, ready, reason }) => ({ name: spec.name, version: spec.version, ready, reason })),
  }))
}

/** Several processes as one server: ready is what is ready in each, and a routing is in force once it is in force in each. */
export function liveTogether(all: readonly (readonly LiveEndpoint[])[]): LiveEndpoint[] {
  const [first = [], ...others] = all
  return first.map((endpoint) => {
    const same = others.map((endpoints) => endpoints.find(({ name }) => name === endpoint.name))
    return {
      name: endpoint.name,
      segment: Math.min(endpoint.segment, ...same.map((other) => other?.segment ?? 0)),
      variants: endpoint.variants.map((variant) => {
        const elsewhere = same.map((other) =>
          other?.variants.find(({ name, version }) => name === variant.name && version === variant.version),
        )
        const trouble = [variant, ...elsewhere].find((one) => one?.ready !== true)
        return elsewhere.length === 0 || (variant.ready && trouble === undefined)
          ? variant
          : { ...variant, ready: false, reason: trouble?.reason ?? variant.reason ?? 'it is not there in each process' }
      }),
    }
  })
}
