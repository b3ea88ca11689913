import { mergeHistograms, quantile } from '../contract/statistics/histogram.ts'
import { trafficOf } from '../monitoring/traffic.ts'
import type { HistogramData } from '../contract/statistics/histogram.ts'
import type { ResolvedRollout } from '../contract/rollout.ts'
import type { DeclaredEndpoint } from '../delivery/read-endpoints.ts'
import type { Windows } from '../monitoring/windows.ts'
import type { OfModel } from './rollout.ts'

/** How far back is looked for what is usual: an hour. */
const HOUR_MS = 3_600_000
/** Answers that a percentile is read from at least. */
const ANSWERS_MIN = 200

/** What the version in force had of late. */
interface Usual {
  readonly requestsPerSecond: number
  /** Share of requests that went wrong, 0 to 1. */
  readonly errorRate: number
  /** 99th percentile of the time of answers, rounded up to two digits, milliseconds; undefined where there were too few. */
  readonly p99Ms: number | undefined
}

interface Asked {
  readonly windows: Windows
  readonly clock: { epochMs(): number }
}

async function usualOf({ windows, clock }: Asked, { environment, name }: DeclaredEndpoint, from: OfModel): Promise<Usual> {
  const nowMs = clock.epochMs()
  const rollups = await windows.list(environment, {
    span: '10s',
    fromMs: nowMs - HOUR_MS,
    untilMs: nowMs + 1,
    endpoint: name,
    source: 'online',
  })
  const mine = rollups.filter(({ model, version }) => model === from.model && version === from.version)
  const [first] = mine
  if (first === undefined) return { requestsPerSecond: 0, errorRate: 0, p99Ms: undefined }
  const lastsMs = Math.max(10_000, nowMs - first.startMs)
  const traffic = trafficOf(mine, lastsMs)
  const requests = traffic.reduce((sum, one) => sum + one.requests, 0)
  const errors = traffic.reduce((sum, one) => sum + one.errors, 0)
  let answers: HistogramData | undefined
  for (const { series } of mine)
    for (const { name: series_, labels, statistic } of series)
      if (statistic.kind === 'histogram' && series_ === 'request_seconds' && Number(labels['code']) < 400)
        answers = answers === undefined ? statistic : mergeHistograms(answers, statistic)
  return {
    requestsPerSecond: requests / (lastsMs / 1000),
    errorRate: requests === 0 ? 0 : errors / requests,
    p99Ms: answers === undefined || answers.count < ANSWERS_MIN ? undefined : roundUp(quantile(answers, 0.99) * 1000),
  }
}

/** What is frozen before a rollout begins. */
export interface Frozen {
  /** Latency edge, milliseconds. */
  readonly edgeMs: number | undefined
  /** Share of requests that went wrong, 0 to 1. */
  readonly errorRate: number
}

/** The latency edge that a strategy names, or what 99 of 100 answers of the last hour were faster than; and how much went wrong in it. */
export async function frozenOf(
  asked: Asked,
  endpoint: DeclaredEndpoint,
  { from, strategy: { latency } }: { readonly from: OfModel; readonly strategy: Pick<ResolvedRollout, 'latency'> },
): Promise<Frozen & Usual> {
  const usual = await usualOf(asked, endpoint, from)
  return { ...usual, edgeMs: latency === undefined ? undefined : (latency.edgeMs ?? usual.p99Ms) }
}

/** To two digits: an edge that people can read, and no smaller one. */
function roundUp(value: number): number {
  if (!(value > 0)) return 1
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1)
  return Number((Math.ceil(value / unit) * unit).toPrecision(2))
}
