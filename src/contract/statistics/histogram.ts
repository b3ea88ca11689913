import { Type } from 'typebox'
import { decodeReal, encodeReal, RealSchema } from './real.ts'
import type { StatisticKind } from './kind.ts'
import type { Real } from './real.ts'

/**
 * A histogram that merges exactly: classic buckets with fixed edges, and Prometheus native (exponential) buckets beside
 * them, so that either form can be exposed. Metrics, observation windows, rollouts and `bench` all read this structure.
 *
 * Native buckets follow Prometheus' client_model: boundary i is 2^(i / 2^schema) and bucket i holds (b^(i-1), b^i].
 */
export interface HistogramData {
  readonly kind: 'histogram'
  /** Upper edges of the classic buckets, ascending; the last bucket has no edge. */
  readonly edges: readonly number[]
  /** Observations per classic bucket, not cumulative; one longer than `edges`. */
  readonly counts: readonly number[]
  readonly count: number
  readonly sum: number
  readonly schema: number
  /** Values at or below this magnitude count as zero in the native form. */
  readonly zeroThreshold: number
  readonly zeroCount: number
  /** Native buckets as pairs of index and count, ascending by index. */
  readonly native: readonly (readonly [index: number, count: number])[]
}

/** Edges for latencies in seconds: 0.1 ms to 30 s, with the round figures that people set goals at. */
export const LATENCY_EDGES: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.005, 0.008, 0.01, 0.016, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
]
/** Edges for the rows of a batch. */
export const ROWS_EDGES: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

const SCHEMA = 3
const PER_OCTAVE = 2 ** SCHEMA
/** Native buckets reach from 2^-24 (60 ns in seconds) to 2^16. */
const LOWEST_INDEX = -24 * PER_OCTAVE
const HIGHEST_INDEX = 16 * PER_OCTAVE
const ZERO_THRESHOLD = 2 ** -24

/** A histogram that counts observations. One observation costs tens of nanoseconds and allocates nothing. */
export class Histogram {
  readonly #edges: Float64Array
  readonly #counts: Float64Array
  readonly #native = new Float64Array(HIGHEST_INDEX - LOWEST_INDEX + 1)
  #zeroCount = 0
  #count = 0
  #sum = 0

  constructor(edges: readonly number[] = LATENCY_EDGES) {
    this.#edges = Float64Array.from(edges)
    this.#counts = new Float64Array(edges.length + 1)
  }

  get count(): number {
    return this.#count
  }

  get sum(): number {
    return this.#sum
  }

  /** Counts one value. NaN and negative values are a mistake of the caller and are ignored. */
  observe(value: number): void {
    if (!(value >= 0)) return
    this.#count++
    this.#sum += value
    const edges = this.#edges
    let low = 0
    let high = edges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (value <= edges[middle]!) high = middle
      else low = middle + 1
    }
    this.#counts[low]!++
    if (value <= ZERO_THRESHOLD) {
      this.#zeroCount++
      return
    }
    const index = nativeIndex(value)
    this.#native[Math.min(HIGHEST_INDEX, Math.max(LOWEST_INDEX, index)) - LOWEST_INDEX]!++
  }

  snapshot(): HistogramData {
    const native: [number, number][] = []
    for (const [offset, count] of this.#native.entries()) if (count > 0) native.push([offset + LOWEST_INDEX, count])
    return {
      kind: 'histogram',
      edges: [...this.#edges],
      counts: [...this.#counts],
      count: this.#count,
      sum: this.#sum,
      schema: SCHEMA,
      zeroThreshold: ZERO_THRESHOLD,
      zeroCount: this.#zeroCount,
      native,
    }
  }
}

/** The index i with 2^((i-1)/2^schema) < value <= 2^(i/2^schema), exact at the boundaries. */
function nativeIndex(value: number): number {
  const index = Math.ceil(Math.log2(value) * PER_OCTAVE)
  if (value <= 2 ** ((index - 1) / PER_OCTAVE)) return index - 1
  return value > 2 ** (index / PER_OCTAVE) ? index + 1 : index
}

/**
 * The sum of two histograms: associative and commutative.
 * @throws RangeError when the edges or schemas differ; merging across different edges would be a guess
 */
export function mergeHistograms(a: HistogramData, b: HistogramData): HistogramData {
  requireSameEdges(a, b)
  const native = new Map(a.native)
  for (const [index, count] of b.native) native.set(index, (native.get(index) ?? 0) + count)
  return {
    ...a,
    counts: a.counts.map((count, index) => count + (b.counts[index] ?? 0)),
    count: a.count + b.count,
    sum: a.sum + b.sum,
    zeroCount: a.zeroCount + b.zeroCount,
    native: [...native].toSorted(([x], [y]) => x - y),
  }
}

/**
 * Observations since `before`, of a histogram that has only grown since then.
 * @returns undefined where `before` has more: the histogram began anew
 * @throws RangeError when the edges or schemas differ
 */
export function subtractHistograms(now: HistogramData, before: HistogramData): HistogramData | undefined {
  requireSameEdges(now, before)
  const earlier = new Map(before.native)
  const later = new Map(now.native)
  const hasShrunk =
    before.count > now.count ||
    before.zeroCount > now.zeroCount ||
    before.counts.some((count, index) => count > (now.counts[index] ?? 0)) ||
    before.native.some(([index, count]) => count > (later.get(index) ?? 0))
  if (hasShrunk) return undefined
  return {
    ...now,
    counts: now.counts.map((count, index) => count - (before.counts[index] ?? 0)),
    count: now.count - before.count,
    sum: now.sum - before.sum,
    zeroCount: now.zeroCount - before.zeroCount,
    native: now.native
      .map(([index, count]): [number, number] => [index, count - (earlier.get(index) ?? 0)])
      .filter(([, count]) => count !== 0),
  }
}

function requireSameEdges(a: HistogramData, b: HistogramData): void {
  if (a.schema !== b.schema || a.edges.length !== b.edges.length || a.edges.some((edge, index) => edge !== b.edges[index]))
    throw new RangeError('histograms with different edges cannot be merged')
}

/**
 * The value below which a share `q` (0 to 1) of the observations lie, from the native buckets: its error is at most one
 * bucket, 9 % of the value. NaN when nothing was observed.
 */
export function quantile(data: HistogramData, q: number): number {
  if (data.count === 0) return Number.NaN
  const rank = Math.max(1, Math.ceil(q * data.count))
  let seen = data.zeroCount
  if (seen >= rank) return 0
  const perOctave = 2 ** data.schema
  for (const [index, count] of data.native) {
    if (seen + count >= rank) {
      const lower = 2 ** ((index - 1) / perOctave)
      const upper = 2 ** (index / perOctave)
      return lower * (upper / lower) ** ((rank - seen) / count)
    }
    seen += count
  }
  return 2 ** ((data.native.at(-1)?.[0] ?? 0) / perOctave)
}

const Count = Type.Integer({ minimum: 0 })
const Pair = Type.Array(Type.Integer(), { minItems: 2, maxItems: 2, description: 'Index and count of a native bucket.' })

export const histogramKind: StatisticKind<HistogramData> = {
  kind: 'histogram',
  schema: Type.Object({
    kind: Type.Literal('histogram'),
    edges: Type.Array(Type.Number(), { maxItems: 200 }),
    counts: Type.Array(Count, { maxItems: 201 }),
    count: Count,
    sum: RealSchema,
    schema: Type.Integer(),
    zeroThreshold: Type.Number(),
    zeroCount: Count,
    native: Type.Array(Pair, { maxItems: 2000 }),
  }),
  encode: (histogram) => ({ ...histogram, sum: encodeReal(histogram.sum) }) as HistogramData,
  decode: (wire) => ({ ...(wire as HistogramData), sum: decodeReal((wire as unknown as { sum: Real }).sum) }),
  merge: mergeHistograms,
  subtract: subtractHistograms,
  isEmpty: ({ count }) => count === 0,
}
