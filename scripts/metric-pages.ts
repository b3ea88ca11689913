/** One page for each metric: what it counts, how to ask for it, and what to do when it moves. */
import { METRICS } from '../src/serving/observe/catalog.ts'
import { ROLLOUT_METRICS } from '../src/rollouts/gauges.ts'
import { WORK_METRICS } from '../src/storage/work/gauges.ts'
import type { GaugeInfo } from '../src/core/gauges.ts'
import type { MetricInfo } from '../src/serving/observe/catalog.ts'

interface Advice {
  /** A query that shows what matters, in PromQL. */
  readonly query: string
  /** What a movement means and what to do. */
  readonly moves: readonly string[]
}

const ADVICE: Readonly<Record<keyof typeof METRICS, Advice>> = {
  slipway_request_duration_seconds: {
    query:
      'histogram_quantile(0.99, sum by (endpoint) (rate(slipway_request_duration_seconds[5m])))   # native; classic: rate(..._bucket[5m]) by (endpoint, le)',
    moves: [
      'Up together with `slipway_queue_duration_seconds`: requests wait for instances. Add instances or replicas, or raise `maxBatchSize` where batching pays (`slipway tune`).',
      'Up together with `slipway_compute_duration_seconds`: the runs themselves are slower. Look for larger batches, larger inputs, or other programs on the cores.',
      'Up alone: time goes into bodies (slow clients, large JSON; use binary tensors) or into the main thread, see `slipway_event_loop_delay_seconds`.',
    ],
  },
  slipway_queue_duration_seconds: {
    query: 'histogram_quantile(0.99, sum by (endpoint) (rate(slipway_queue_duration_seconds[5m])))',
    moves: [
      'Up: more arrives than the instances can run. It is the earliest sign of overload and the best signal to scale on. Add instances or replicas, or set `latencyGoalMs`, so that what would be late is refused at once.',
    ],
  },
  slipway_batch_wait_seconds: {
    query: 'sum by (endpoint) (rate(slipway_batch_wait_seconds_sum[5m])) / sum by (endpoint) (rate(slipway_batch_wait_seconds_count[5m]))',
    moves: [
      'Above 0 only with `maxDelayUs`: requests wait for company while an instance is free. If batches do not grow with it (`slipway_batch_rows`), lower `maxDelayUs`.',
    ],
  },
  slipway_compute_duration_seconds: {
    query: 'histogram_quantile(0.9, sum by (endpoint) (rate(slipway_compute_duration_seconds[5m])))',
    moves: [
      'Up after a switch: the new version costs more; switch back with `{"version": ...}` and compare with `slipway inspect`.',
      'Up without one: larger batches, or cores that are shared. Compare with `slipway_batch_rows` and `slipway_cgroup_cpu_throttled_seconds_total`.',
    ],
  },
  slipway_batch_rows: {
    query: 'sum by (endpoint) (rate(slipway_batch_rows_sum[5m])) / sum by (endpoint) (rate(slipway_batch_rows_count[5m]))',
    moves: ['Near `maxBatchSize` all the time: the model is saturated. At 1 under load: rows are not batched; `slipway inspect` says why.'],
  },
  slipway_runs_total: {
    query: 'sum by (endpoint, instance) (rate(slipway_runs_total[5m]))',
    moves: [
      '`inline` runs block the main thread and are only for runs that are predicted to be short. Many of them and a high event loop delay: lower `inlineMaxUs`.',
    ],
  },
  slipway_rows_total: {
    query: 'sum by (endpoint, version) (rate(slipway_rows_total[5m]))',
    moves: [
      'The throughput in rows. A fall to zero of one version right after a switch is the switch; of an endpoint, that nobody asks it any more.',
    ],
  },
  slipway_queue_requests: {
    query: 'max by (endpoint) (slipway_queue_requests)',
    moves: ['Growing: overload, see `slipway_queue_duration_seconds`. At `queueRequests` further requests get 503.'],
  },
  slipway_inflight_requests: {
    query: 'max by (endpoint) (slipway_inflight_requests)',
    moves: ['Much above the queue: many requests run or wait for bodies. Stuck above 0 without traffic: a run hangs; see `/health`.'],
  },
  slipway_rejected_total: {
    query: 'sum by (endpoint, reason) (rate(slipway_rejected_total[5m])) > 0',
    moves: [
      '`queue_full`, `latency_goal`, `deadline_exceeded`: overload; add capacity, or let clients retry after `Retry-After`.',
      '`instance_failed`, `run_timeout`: see `slipway_instance_failures_total` and `/health`.',
      '`input_invalid`, `bad_request`: a client changed; the log names the place of the first mistake.',
      'The meaning of each reason is in the [table of errors](../errors.md) (`SLW_` and the reason in capitals).',
    ],
  },
  slipway_model_ready: {
    query: 'min by (endpoint) (slipway_model_ready) == 0',
    moves: ['0: the version cannot answer. `slipway inspect URL` says since when, why, and what to do. Alert on it.'],
  },
  slipway_model_load_seconds: {
    query: 'max by (endpoint) (slipway_model_load_seconds)',
    moves: [
      'Up from version to version: the model grows, or its disk is slow. It is the time that a replica needs before it helps, and that the first request of an unloaded model waits.',
    ],
  },
  slipway_instances: {
    query: 'sum by (endpoint, state) (slipway_instances)',
    moves: ['Anything in `backing_off` or `restarting`: instances end by themselves, see `slipway_instance_failures_total`.'],
  },
  slipway_instance_failures_total: {
    query: 'increase(slipway_instance_failures_total[1h]) > 0',
    moves: [
      '`killed`: the kernel for want of memory, or a native crash. `memory_limit`: `memoryLimitMb`. `hang`: `runTimeoutMs`. `heap_exhausted`: requests too large for a thread.',
      'What to do for each is in `/health` (`advice`) and `slipway inspect URL`.',
    ],
  },
  slipway_model_loads_total: {
    query: 'sum by (endpoint, result) (increase(slipway_model_loads_total[1h]))',
    moves: [
      'Any result but `ok`: a version was offered that cannot be served; the one before it goes on. `/health` has the reason under `failures`.',
      'Many `ok` without new versions: models are unloaded and loaded again and again, see `slipway_model_unloads_total`.',
    ],
  },
  slipway_model_unloads_total: {
    query: 'sum by (endpoint) (increase(slipway_model_unloads_total{reason="evicted"}[1h]))',
    moves: [
      '`evicted` rising steadily: the models in use do not fit into `memoryBudgetMb` together. Raise it, spread the models over servers, or serve them with fewer instances.',
    ],
  },
  slipway_switches_total: {
    query: 'increase(slipway_switches_total{result="failed"}[1h]) > 0',
    moves: [
      '`failed`: the new version was refused, nobody noticed, and somebody should look at `/health`. `ok` without anyone having published: a folder changes by itself.',
    ],
  },
  slipway_switch_drain_seconds: {
    query: 'max by (endpoint) (slipway_switch_drain_seconds)',
    moves: [
      'Near the grace period: old requests take very long, or clients wait on a full queue. The old version holds its memory for so long.',
    ],
  },
  slipway_model_memory_bytes: {
    query: 'topk(10, slipway_model_memory_bytes)',
    moves: [
      'Up from version to version: the model grows. Far above the size of the file: many instances (each has its weights) or large intermediate results.',
    ],
  },
  slipway_memory_used_bytes: {
    query: 'slipway_memory_used_bytes / slipway_memory_budget_bytes',
    moves: ['At 1 all the time: each load unloads another model, see `slipway_model_unloads_total`.'],
  },
  slipway_memory_budget_bytes: { query: 'slipway_memory_budget_bytes', moves: ['Changes only with the configuration.'] },
  slipway_cache_requests_total: {
    query:
      'sum by (endpoint) (rate(slipway_cache_requests_total{result=~"hit|shared"}[5m])) / sum by (endpoint) (rate(slipway_cache_requests_total[5m]))',
    moves: [
      'The share that needs no run. Low for long: the inputs do not repeat, and the cache only costs; turn it off. Falls to 0 at a switch: a new version starts with an empty cache.',
    ],
  },
  slipway_assignments_total: {
    query: 'sum by (variant, assignment) (rate(slipway_assignments_total{endpoint="churn"}[5m]))',
    moves: ['`incomplete` means that a variant with a share is not there, or was taken out: such requests are no evidence of either.'],
  },
  slipway_fallbacks_total: {
    query: 'sum by (variant, outcome) (rate(slipway_fallbacks_total[5m]))',
    moves: ['Clients get answers, of another version: what fails is still a fault of this variant, and counts as one.'],
  },
  slipway_shadow_requests_total: {
    query: 'sum by (variant, result) (rate(slipway_shadow_requests_total[5m]))',
    moves: ['`dropped` grows with the load: copies are the first that a server leaves out. Lower the share of the shadow, or add servers.'],
  },
  slipway_feedback_total: {
    query: 'sum by (version, result) (increase(slipway_feedback_total[1d]))',
    moves: ['Labels come late, and of some predictions never: compare with how many predictions there were.'],
  },
  slipway_variant_tripped: {
    query: 'max by (endpoint, variant) (slipway_variant_tripped)',
    moves: ['The log says why. It stays out until the shares or its version change.'],
  },
  slipway_cache_entries: {
    query: 'slipway_cache_entries',
    moves: ['At rest below what fits: entries grow old before they are used again (`cacheTtlMs`).'],
  },
  slipway_cache_bytes: { query: 'slipway_cache_bytes', moves: ['At `cacheMb` with many evictions: more memory would give more hits.'] },
  slipway_cache_evictions_total: {
    query: 'sum by (endpoint) (rate(slipway_cache_evictions_total[5m]))',
    moves: ['As fast as misses: everything leaves before it is asked again. Raise `cacheMb`, or turn the cache off.'],
  },
  slipway_control_plane_stale_seconds: {
    query: 'max by (instance) (slipway_control_plane_stale_seconds) > 120',
    moves: [
      'Up without end: the control plane cannot be reached, or gives what is none of its documents; `/health` and the log say which. What is served goes on, and a restart serves it again from the local store; only changes wait.',
      'Between 0 and about 25 it says nothing: the server asks again when the last question was answered with "nothing new".',
    ],
  },
  slipway_endpoint_revision: {
    query: 'max by (endpoint) (slipway_endpoint_revision) - min by (endpoint) (slipway_endpoint_revision) > 0',
    moves: [
      'Different between servers for longer than a download takes: some cannot fetch or load the newest revision. `slipway endpoint show NAME` says which and why.',
    ],
  },
  slipway_records_total: {
    query: 'sum(rate(slipway_records_total[5m]))',
    moves: ['Zero where `records` says otherwise: see `slipway_records_dropped_total`, and the log for a name that no field has.'],
  },
  slipway_records_dropped_total: {
    query: 'sum by (reason) (rate(slipway_records_dropped_total[5m]))',
    moves: [
      '`full`: the control plane has not taken records for long, see the log. `busy`, `memory`, `disk`: more is recorded than the machine writes; lower `records`. `too_large`: predictions of more than 64 KiB have no record.',
    ],
  },
  slipway_records_refused_total: {
    query: 'increase(slipway_records_refused_total[1h]) > 0',
    moves: ['The log has the reason that the control plane gave.'],
  },
  slipway_log_dropped_total: {
    query: 'increase(slipway_log_dropped_total[10m]) > 0',
    moves: ['The disk of the log is full, or its reader is gone. The server goes on; make room, and send SIGHUP after the file was moved.'],
  },
  slipway_processes: {
    query: 'slipway_processes',
    moves: ['Below `processes`: one has ended and is being started again, see `slipway_process_restarts_total` and the log.'],
  },
  slipway_process_restarts_total: {
    query: 'increase(slipway_process_restarts_total[1h]) > 0',
    moves: [
      'A serving process ended by itself: its last words are in the log. With `isolation: process` a model cannot take its server with it.',
    ],
  },
  slipway_build_info: {
    query: 'count by (version) (slipway_build_info)',
    moves: ['Two versions at once: a rollout of the server itself goes on, or has stopped half-way.'],
  },
  slipway_trace_spans_exported_total: {
    query: 'rate(slipway_trace_spans_exported_total[5m])',
    moves: [
      '0 while requests are answered: sampling is off (`tracing.sampleRatio`), or the collector does not take them, see the dropped ones.',
    ],
  },
  slipway_trace_spans_dropped_total: {
    query: 'sum by (reason) (increase(slipway_trace_spans_dropped_total[10m])) > 0',
    moves: [
      '`undeliverable`, `rejected`: the collector is away or refuses; the log says what it answered. `buffer_full`: more is sampled than it takes; lower `tracing.sampleRatio`.',
    ],
  },
  process_cpu_seconds_total: {
    query: 'rate(process_cpu_seconds_total[5m])',
    moves: [
      'In cores. Near the number of cores: saturated. Near 1 with idle cores: the main thread is the bottleneck; try `--processes` or binary tensors.',
    ],
  },
  process_resident_memory_bytes: {
    query: 'process_resident_memory_bytes',
    moves: [
      'Rises with load and with models, and falls back after a switch. A rise over days with neither: report it, with `slipway_heap_bytes` beside it.',
    ],
  },
  process_start_time_seconds: { query: 'changes(process_start_time_seconds[1h]) > 0', moves: ['A change is a restart of the server.'] },
  process_open_fds: {
    query: 'process_open_fds',
    moves: [
      'Follows the open connections. At `limits.connections` new ones are closed; raise the limit of the system (`ulimit -n`) with it.',
    ],
  },
  slipway_heap_bytes: {
    query: 'slipway_heap_bytes',
    moves: ['A saw-tooth is normal. A floor that rises over days is a leak in the server: please report it.'],
  },
  slipway_event_loop_delay_seconds: {
    query: 'slipway_event_loop_delay_seconds > 0.1',
    moves: [
      'The main thread is late: very large JSON bodies, many inline runs, or no core left for it. Use binary tensors, lower `inlineMaxUs`, or `--processes`.',
    ],
  },
  slipway_cgroup_cpu_seconds_total: {
    query: 'rate(slipway_cgroup_cpu_seconds_total[5m])',
    moves: ['CPU of the whole container, process instances included.'],
  },
  slipway_cgroup_cpu_throttled_seconds_total: {
    query: 'rate(slipway_cgroup_cpu_throttled_seconds_total[5m]) > 0.05',
    moves: [
      'The container is held back by its CPU limit, and latency suffers first. Raise the limit, or lower `instances` and `threads` to what it allows.',
    ],
  },
  slipway_cgroup_memory_bytes: {
    query: 'slipway_cgroup_memory_bytes / slipway_cgroup_memory_limit_bytes',
    moves: ['Near 1: the kernel will end a process. Set `memoryBudgetMb` below the limit, with room for requests.'],
  },
  slipway_cgroup_memory_limit_bytes: { query: 'slipway_cgroup_memory_limit_bytes', moves: ['Changes only with the container.'] },
}

/** Metrics of a control plane. */
export const CONTROL_PLANE_METRICS = { ...ROLLOUT_METRICS, ...WORK_METRICS }

const CONTROL_PLANE_ADVICE: Readonly<Record<keyof typeof CONTROL_PLANE_METRICS, Advice>> = {
  slipway_rollout_state: {
    query: 'slipway_rollout_state{state=~"paused|rolled back"} == 1',
    moves: [
      '`paused`: `slipway rollout show NAME` says what for, and what to do. `rolled back`: the version before serves, and the last transition has the reason.',
      'There are series of rollouts that have not ended, and of the latest of each endpoint that has.',
    ],
  },
  slipway_rollout_weight_percent: {
    query: 'max by (environment, endpoint) (slipway_rollout_weight_percent)',
    moves: ['Unchanged for longer than a step takes: `slipway rollout show NAME` says what it waits for.'],
  },
  slipway_rollout_verdict: {
    query: 'slipway_rollout_verdict{verdict="fail"} == 1',
    moves: [
      '`fail`: the version before gets all requests at the same moment. `no_data` for long: one of both versions has no requests that chance assigned.',
    ],
  },
  slipway_rollout_metric_p: {
    query: 'min by (environment, endpoint, metric) (slipway_rollout_metric_p)',
    moves: [
      'It falls as evidence against the new version grows, and may be looked at as often as one likes. Where it falls below the share of `falseAlarm` that the metric has, the version fails.',
    ],
  },
  slipway_rollout_sample: {
    query: 'slipway_rollout_sample',
    moves: [
      'It begins from 0 with each step. Below `minimumSample` for long: the step is too small for the traffic, see `slipway rollout plan`.',
    ],
  },
  slipway_work_items: {
    query: 'slipway_work_items{state="failed"} > 0',
    moves: [
      '`failed`: it was tried as often as it may be. `slipway work list --state failed` has the reasons; `slipway work retry` tries again.',
    ],
  },
  slipway_work_late_seconds: {
    query: 'slipway_work_late_seconds > 60',
    moves: ['What is due is not begun: the control plane is overloaded, or its database is slow.'],
  },
  slipway_disk_free_bytes: {
    query: 'slipway_disk_free_bytes < 1e9',
    moves: ['Below 16 MiB `/health` answers 503: make room, or move the data.'],
  },
}

function page(name: string, info: GaugeInfo | MetricInfo, { query, moves }: Advice, merged: string): string {
  const labels = info.labels.length === 0 ? 'none' : info.labels.map((label) => `\`${label}\``).join(', ')
  return `# ${name}

${info.help}

A ${'type' in info ? info.type : 'gauge'}. Labels: ${labels}. ${merged}

\`\`\`promql
${query}
\`\`\`

## When it moves

${moves.map((move) => `- ${move}`).join('\n')}
`
}

/** The pages by file name. */
export function metricPages(heading: string): Map<string, string> {
  const pages = new Map<string, string>()
  for (const [name, info] of Object.entries(METRICS) as [keyof typeof METRICS, MetricInfo][]) {
    const merged = `Of several processes: ${info.merge === undefined ? 'their sum' : `the ${info.merge}imum`}.`
    pages.set(`metrics/${name}.md`, heading + page(name, info, ADVICE[name], merged))
  }
  for (const [name, info] of Object.entries(CONTROL_PLANE_METRICS) as [keyof typeof CONTROL_PLANE_METRICS, GaugeInfo][])
    pages.set(`metrics/${name}.md`, heading + page(name, info, CONTROL_PLANE_ADVICE[name], 'Of a control plane.'))
  return pages
}
