/** Metrics by the names of Triton, from the statistics of versions. */
import { freemem, totalmem } from 'node:os'
import { TRITON_METRICS } from './catalog.ts'
import { VersionSums } from './version-sums.ts'
import type { Variant } from '../variant.ts'
import type { Family, Labels } from './exposition.ts'
import type { Observed } from './observations.ts'
import type { Timed } from './version-sums.ts'

const FAILURES = ['REJECTED', 'CANCELED', 'BACKEND', 'OTHER'] as const
type Failure = (typeof FAILURES)[number]

/** Errors by the reason that Triton has for them; all others are `OTHER`. */
const FAILURE_OF: ReadonlyMap<string, Failure> = new Map([
  ['queue_full', 'REJECTED'],
  ['latency_goal', 'REJECTED'],
  ['deadline_exceeded', 'REJECTED'],
  ['draining', 'REJECTED'],
  ['cancelled', 'CANCELED'],
  ['run_failed', 'BACKEND'],
  ['run_rejected', 'BACKEND'],
  ['instance_failed', 'BACKEND'],
  ['run_timeout', 'BACKEND'],
  ['output_too_large', 'BACKEND'],
])

interface OfVersion {
  readonly labels: Labels
  readonly sums: VersionSums
}

/** @param observed of each version as a whole */
export function tritonFamilies(observed: readonly Observed[]): Family[] {
  const versions = [...Map.groupBy(observed, ({ subject }) => JSON.stringify(labelsOf(subject)))].map(([key, some]) => ({
    labels: JSON.parse(key) as Labels,
    sums: new VersionSums(some),
  }))
  const family = (name: keyof typeof TRITON_METRICS, valueOf: (sums: VersionSums) => number): Family => ({
    name,
    info: TRITON_METRICS[name],
    samples: versions.map(({ labels, sums }) => ({ labels, value: valueOf(sums) })),
  })
  return [
    family('nv_inference_request_success', (sums) => answered(sums).count),
    { name: 'nv_inference_request_failure', info: TRITON_METRICS.nv_inference_request_failure, samples: versions.flatMap(failures) },
    family('nv_inference_count', ({ runs }) => runs.rows),
    family('nv_inference_exec_count', ({ runs }) => runs.count),
    family('nv_inference_request_duration_us', (sums) => us(answered(sums))),
    family('nv_inference_queue_duration_us', ({ queue }) => us(queue)),
    family('nv_inference_compute_input_duration_us', (sums) => us(sums.part('input'))),
    family('nv_inference_compute_infer_duration_us', (sums) => us(sums.part('compute'))),
    family('nv_inference_compute_output_duration_us', (sums) => us(sums.part('output'))),
    family('nv_cache_num_hits_per_model', ({ cacheHits }) => cacheHits.count),
    family('nv_cache_num_misses_per_model', ({ cacheMisses }) => cacheMisses.count),
    family('nv_cache_hit_duration_per_model', ({ cacheHits }) => us(cacheHits)),
    family('nv_cache_miss_duration_per_model', ({ cacheMisses }) => us(cacheMisses)),
  ]
}

function labelsOf({ endpoint, version }: Variant['subject']): Labels {
  return { model: endpoint, version }
}

function answered(sums: VersionSums): Timed {
  return sums.requests((code) => code < 400)
}

/** Whole microseconds, as Triton counts. */
function us({ seconds }: Timed): number {
  return Math.round(seconds * 1e6)
}

/** Every reason has a sample, also where nothing failed. */
function failures({ labels, sums }: OfVersion): Family['samples'] {
  const counts = new Map<Failure, number>(FAILURES.map((reason) => [reason, 0]))
  for (const [code, count] of sums.rejections) {
    const reason = FAILURE_OF.get(code) ?? 'OTHER'
    counts.set(reason, counts.get(reason)! + count)
  }
  return [...counts].map(([reason, value]) => ({ labels: { ...labels, reason }, value }))
}

/** What is so now, in this process and on this machine. */
export function tritonGauges(variants: Iterable<Variant>): Family[] {
  const pending = new Map<string, number>()
  for (const { subject, loaded } of variants) {
    const key = JSON.stringify(labelsOf(subject))
    pending.set(key, (pending.get(key) ?? 0) + (loaded?.scheduler.queued ?? 0))
  }
  const one = (name: keyof typeof TRITON_METRICS, value: number): Family => ({
    name,
    info: TRITON_METRICS[name],
    samples: [{ labels: {}, value }],
  })
  return [
    {
      name: 'nv_inference_pending_request_count',
      info: TRITON_METRICS.nv_inference_pending_request_count,
      samples: [...pending].map(([key, value]) => ({ labels: JSON.parse(key) as Labels, value })),
    },
    one('nv_cpu_memory_total_bytes', totalmem()),
    one('nv_cpu_memory_used_bytes', totalmem() - freemem()),
  ]
}
