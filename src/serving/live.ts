import type { Endpoint } from './endpoint.ts'

/** Present state of an endpoint, as reported outside the data plane: plain data, which crosses processes. */
export interface LiveEndpoint {
  readonly name: string
  /** Segment of the routing in force; undefined where one of the processes has none yet. */
  readonly segment?: number
  readonly variants: readonly LiveVariant[]
}

export interface LiveVariant {
  readonly name: string
  readonly version: string
  readonly ready: boolean
  /** Why the variant is not ready. */
  readonly reason: string | undefined
  /** Why the breaker has taken it out. */
  readonly tripped?: string
}

export function liveEndpoints(endpoints: Iterable<Endpoint>): LiveEndpoint[] {
  return [...endpoints].map(({ name, routing, variants, tripped }) => ({
    name,
    segment: routing.segment,
    variants: variants.map(({ spec, ready, reason }) => {
      const why = tripped.get(spec.name)
      return { name: spec.name, version: spec.version, ready, reason, ...(why !== undefined && { tripped: why }) }
    }),
  }))
}

/**
 * Merges the states of several processes into that of one server: a variant is ready where it is ready in each, and a routing is in
 * force once it is in force in each.
 */
export function liveTogether(all: readonly (readonly LiveEndpoint[])[]): LiveEndpoint[] {
  const names = new Set(all.flat().map(({ name }) => name))
  return [...names].map((name) => {
    const everywhere = all.map((endpoints) => endpoints.find((endpoint) => endpoint.name === name))
    const there = everywhere.filter((endpoint) => endpoint !== undefined)
    const segments = everywhere.map((endpoint) => endpoint?.segment)
    const segment = segments.some((one) => one === undefined) ? undefined : Math.min(...segments.map(Number))
    return { name, ...(segment !== undefined && { segment }), variants: variantsTogether(there, all.length) }
  })
}

function variantsTogether(endpoints: readonly LiveEndpoint[], processes: number): LiveVariant[] {
  const distinct = new Map(endpoints.flatMap(({ variants }) => variants).map((variant) => [identity(variant), variant]))
  return [...distinct].map(([key, variant]) => {
    // Requests go to the first of two variants of one name and version in a process.
    const same = endpoints.map(({ variants }) => variants.find((one) => identity(one) === key)).filter((one) => one !== undefined)
    const trouble = same.find(({ ready }) => !ready)
    // Taken out in one of them is taken out.
    const tripped = same.find((one) => one.tripped !== undefined)?.tripped
    const out = tripped === undefined ? {} : { tripped }
    if (trouble !== undefined) return { ...trouble, ...out }
    return same.length === processes
      ? { ...variant, ...out }
      : { ...variant, ...out, ready: false, reason: 'it is not there in each process' }
  })
}

function identity({ name, version }: LiveVariant): string {
  return JSON.stringify([name, version])
}
