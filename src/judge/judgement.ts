import type { Counts } from './evidence.ts'
import type { MetricRule } from './spec.ts'

/** `inconclusive`: neither shown yet. `no data`: one of the arms had no requests. */
export type Verdict = 'pass' | 'fail' | 'inconclusive' | 'no data'

/** The most evidence that a metric has had so far, which is what counts: ln of e-values. */
export interface Peaks {
  readonly fail: number
  readonly pass: number
}

export interface MetricJudgement {
  readonly rule: MetricRule
  readonly verdict: Verdict
  /** What was counted, over all segments. */
  readonly base: Counts
  readonly candidate: Counts
  /** ln of the e-values now, to fail and to pass; the verdict goes by the peaks. */
  readonly now: Peaks
  readonly peaks: Peaks
  /** Always valid: the probability of as much evidence to fail, or more, at any time, where the candidate is no worse. */
  readonly p: number
  /** How the verdict came about: single events; or blocks of time, as events come in bursts. */
  readonly method: 'events' | 'blocks'
  /** How far events spread over time, as multiples of what independent ones would; undefined where it cannot be told. */
  readonly dispersion: number | undefined
  /** Ratios of the rates that are not ruled out, at the metric's share of false alarms. Worked out when asked. */
  readonly ratio: () => { readonly low: number; readonly likeliest: number | undefined; readonly high: number }
  /** Requests of both arms until a verdict, if everything goes on as it does; undefined where none is in sight. */
  readonly remaining: () => number | undefined
  /** One for people. */
  readonly sentence: () => string
}

export interface Judgement {
  /** `fail` where a guardrail fails, `pass` where all pass. */
  readonly verdict: Verdict
  /** Metrics that are told of, and fail. */
  readonly warnings: readonly MetricJudgement[]
  readonly metrics: readonly MetricJudgement[]
  /** To be given to the next look. */
  readonly peaks: ReadonlyMap<string, Peaks>
}
