/** Numbers of one server, from what its /metrics said at several looks. */

/** What is served, by the labels that its metrics have. */
export interface Served {
  readonly endpoint: string
  readonly variant: string
  readonly model: string
  readonly version: string
}

/** The statistics of a server at one moment. */
export interface Look {
  /** By our own clock, monotonic: halfway between question and answer. */
  readonly atMs: number
  /** Start of the server by its own clock; another one is another process, whose counters began at zero. */
  readonly startedAt: number
  /** Requests that were answered, whatever with, by the labels of the series. They only grow. */
  readonly answered: ReadonlyMap<string, { readonly served: Served; readonly count: number }>
  /** By what is served. */
  readonly inFlight: ReadonlyMap<string, { readonly served: Served; readonly value: number }>
  readonly queued: ReadonlyMap<string, { readonly served: Served; readonly value: number }>
}

/** Numbers of one thing that a server serves, over a window. */
export interface ScalingNumbers {
  readonly served: Served
  /** Requests answered in the window, by its length. */
  readonly rps: number
  /** Requests that waited or ran, and those that waited: averages of the looks in the window. */
  readonly concurrency: number
  readonly queue: number
}

/** The metrics of a server that a look needs. */
export const LOOKED_AT = {
  started: 'process_start_time_seconds',
  answered: 'slipway_request_duration_seconds',
  inFlight: 'slipway_inflight_requests',
  queued: 'slipway_queue_requests',
} as const

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_]\w*)="((?:\\.|[^"\\])*)"/g

/**
 * Reads the text format of Prometheus (exposition 0.0.4).
 * @returns undefined where it is not the one of our server
 */
export function readLook(text: string, atMs: number): Look | undefined {
  let startedAt: number | undefined
  const answered = new Map<string, { served: Served; count: number }>()
  const gauges = {
    inFlight: new Map<string, { served: Served; value: number }>(),
    queued: new Map<string, { served: Served; value: number }>(),
  }
  for (const line of text.split('\n')) {
    const [, name, labels = '', written] = SAMPLE.exec(line) ?? []
    const value = Number(written)
    if (name === undefined || !Number.isFinite(value)) continue
    if (name === LOOKED_AT.started) startedAt = value
    else if (name === `${LOOKED_AT.answered}_count`) answered.set(labels, { served: servedOf(labels), count: value })
    else if (name === LOOKED_AT.inFlight) gauges.inFlight.set(labels, { served: servedOf(labels), value })
    else if (name === LOOKED_AT.queued) gauges.queued.set(labels, { served: servedOf(labels), value })
  }
  return startedAt === undefined ? undefined : { atMs, startedAt, answered, ...gauges }
}

function servedOf(text: string): Served {
  const labels = new Map(
    [...text.matchAll(LABEL)].map(([, name = '', value = '']) => [
      name,
      value.replaceAll(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c)),
    ]),
  )
  const of = (name: string): string => labels.get(name) ?? ''
  return { endpoint: of('endpoint'), variant: of('variant'), model: of('model'), version: of('version') }
}

/**
 * The looks of a window with one more. Where counters began anew, as those of another process do, or where the server was silent for longer
 * than the window, only the new one is left: from less nothing can be told.
 */
export function withLook(looks: readonly Look[], look: Look, windowMs: number): readonly Look[] {
  const last = looks.at(-1)
  if (last === undefined || look.startedAt !== last.startedAt || shrank(last, look)) return [look]
  return [...looks.filter(({ atMs }) => atMs >= look.atMs - windowMs), look]
}

function shrank(before: Look, after: Look): boolean {
  return [...after.answered].some(([labels, { count }]) => count < (before.answered.get(labels)?.count ?? 0))
}

/** Length of what looks span, in milliseconds. */
export function spanOf(looks: readonly Look[]): number {
  return (looks.at(-1)?.atMs ?? 0) - (looks[0]?.atMs ?? 0)
}

/** The numbers of looks of one window. @returns nothing where there are fewer than two */
export function numbersOf(looks: readonly Look[]): ScalingNumbers[] {
  const spanMs = spanOf(looks)
  if (looks.length < 2 || spanMs <= 0) return []
  const sums = new Map<string, { served: Served; answered: number; inFlight: number; queued: number }>()
  const sumOf = (served: Served) => {
    const key = JSON.stringify([served.endpoint, served.variant, served.model, served.version])
    const sum = sums.get(key) ?? { served, answered: 0, inFlight: 0, queued: 0 }
    sums.set(key, sum)
    return sum
  }
  for (const [index, look] of looks.entries()) {
    for (const { served, value } of look.inFlight.values()) sumOf(served).inFlight += value
    for (const { served, value } of look.queued.values()) sumOf(served).queued += value
    const before = looks[index - 1]
    // What is not there any more starts at zero when it comes back, and so does what is new.
    for (const [labels, { served, count }] of look.answered) {
      const grown = before === undefined ? 0 : count - (before.answered.get(labels)?.count ?? 0)
      sumOf(served).answered += grown
    }
  }
  return [...sums.values()].map(({ served, answered, inFlight, queued }) => ({
    served,
    rps: answered / (spanMs / 1000),
    concurrency: inFlight / looks.length,
    queue: queued / looks.length,
  }))
}
