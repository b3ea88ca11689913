import { mergeHistograms, quantile } from '../../contract/statistics/histogram.ts'
import type { HistogramData } from '../../contract/statistics/histogram.ts'
import type { LoadResult } from '../server/load-generator.ts'

/** Results with one number of clients. */
export interface Point {
  readonly clients: number
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly errors: number
  readonly repeats: number
}

/** Least factor of throughput over a level with fewer clients that counts as more: below it, requests only wait longer. */
export const GROWTH = 1.05

/** One repeat, with its latencies. */
export interface Sample {
  readonly clients: number
  readonly requestsPerSecond: number
  readonly errors: number
  readonly latency: HistogramData
}

/** All repeats with one number of clients. */
export type Repeats = readonly [Sample, ...Sample[]]

export function sampleOf({ connections: clients, requestsPerSecond, errors, latency }: LoadResult): Sample {
  return { clients, requestsPerSecond, errors, latency }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * Repeats of one level as one point: the median of the throughput, which a temporary disturbance of the machine does not
 * affect; the percentiles of all requests together, as rare latencies fall into few short repeats, and the median of the
 * repeats would promise a p99 that hours of serving do not keep.
 */
export function pointOf(samples: Repeats): Point {
  const latency = samples.map((sample) => sample.latency).reduce(mergeHistograms)
  return {
    clients: samples[0].clients,
    requestsPerSecond: median(samples.map((sample) => sample.requestsPerSecond)),
    p50Ms: quantile(latency, 0.5) * 1000,
    p99Ms: quantile(latency, 0.99) * 1000,
    errors: samples.reduce((sum, sample) => sum + sample.errors, 0),
    repeats: samples.length,
  }
}

/** The best point of a configuration, and whether it meets the goal. */
export interface Score {
  readonly point: Point
  readonly met: boolean
}

/**
 * The highest throughput whose p99 is within the goal, at the fewest clients that reach it; where no level meets the goal,
 * the level with the lowest p99. Undefined where every level had errors.
 */
export function scoreOf(points: readonly Point[], goalMs: number | undefined): Score | undefined {
  const clean = points.filter((point) => point.errors === 0 && point.requestsPerSecond > 0).toSorted((a, b) => a.clients - b.clients)
  const within = clean.filter((point) => goalMs === undefined || point.p99Ms <= goalMs)
  if (within.length === 0) {
    const nearest = clean.toSorted((a, b) => a.p99Ms - b.p99Ms)[0]
    return nearest === undefined ? undefined : { point: nearest, met: false }
  }
  const highest = Math.max(...within.map((point) => point.requestsPerSecond))
  return { point: within.find((point) => point.requestsPerSecond * GROWTH >= highest)!, met: true }
}

/** Negative where `a` is better: by meeting the goal, then by throughput; where neither meets it, by the lower p99. */
export function compareScores(a: Score, b: Score): number {
  if (a.met !== b.met) return a.met ? -1 : 1
  return a.met ? b.point.requestsPerSecond - a.point.requestsPerSecond : a.point.p99Ms - b.point.p99Ms
}
