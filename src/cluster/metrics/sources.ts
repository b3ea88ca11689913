/** Where the numbers of the metrics API come from. What is missing or stale is left out: whoever scales then holds. */
import { SCALING_METRICS } from '../../kubernetes/labels.ts'

export type ScalingMetric = keyof typeof SCALING_METRICS

export interface PodValue {
  readonly namespace: string
  readonly pod: string
  /** When it was measured, UTC epoch milliseconds, and over how much time. */
  readonly atMs: number
  readonly windowMs: number
  readonly value: number
}

export interface PodQuestion {
  readonly namespace: string
  readonly metric: ScalingMetric
  /** One pod; undefined asks for all that `labels` takes. */
  readonly pod?: string | undefined
  readonly labels: (labels: Readonly<Record<string, string>>) => boolean
  /** Of what a pod serves only what this takes: labels endpoint, variant, model, version. */
  readonly served: (labels: Readonly<Record<string, string>>) => boolean
}

/** Numbers of pods: custom.metrics.k8s.io. */
export interface PodNumbers extends AsyncDisposable {
  values(question: PodQuestion): PodValue[]
  /** What is waited for before there can be numbers; undefined from the first look that succeeded on. */
  readonly waitsFor: string | undefined
}

/** Metrics of endpoints. */
export const EXTERNAL_METRICS = {
  ...SCALING_METRICS,
  errors: 'slipway_error_share',
} as const
export type ExternalMetric = keyof typeof EXTERNAL_METRICS

export interface EndpointValue {
  /** endpoint, and where it is of one version: variant, model, version. */
  readonly labels: Readonly<Record<string, string>>
  readonly atMs: number
  readonly windowMs: number
  readonly value: number
}

/** Numbers of endpoints: external.metrics.k8s.io. */
export interface EndpointNumbers extends AsyncDisposable {
  values(metric: ExternalMetric, labels: (labels: Readonly<Record<string, string>>) => boolean): EndpointValue[]
  readonly waitsFor: string | undefined
}
