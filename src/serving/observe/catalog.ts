/** A metric as the reference lists it. */
export interface MetricInfo {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
}

const SUBJECT = ['endpoint', 'variant', 'model', 'version'] as const

/** Every metric of /metrics. Counters end in `_total`; durations are seconds. */
export const METRICS = {
  slipway_request_duration_seconds: {
    type: 'histogram',
    help: 'Time from arrival of a request to its answer.',
    labels: [...SUBJECT, 'protocol', 'code'],
  },
  slipway_queue_duration_seconds: { type: 'histogram', help: 'Time a request waited in the scheduler queue.', labels: SUBJECT },
  slipway_batch_wait_seconds: {
    type: 'histogram',
    help: 'The part of the queue time in which an instance was free and company was waited for.',
    labels: SUBJECT,
  },
  slipway_compute_duration_seconds: { type: 'histogram', help: 'Time of one run inside the runtime.', labels: SUBJECT },
  slipway_batch_rows: { type: 'histogram', help: 'Rows of one run.', labels: SUBJECT },
  slipway_runs_total: {
    type: 'counter',
    help: 'Runs, by where they ran: `inline` on the main thread, `pool` in an instance.',
    labels: [...SUBJECT, 'instance'],
  },
  slipway_rows_total: { type: 'counter', help: 'Rows that were answered.', labels: SUBJECT },
  slipway_queue_requests: { type: 'gauge', help: 'Requests that wait in the scheduler queue.', labels: SUBJECT },
  slipway_inflight_requests: { type: 'gauge', help: 'Requests that wait or run.', labels: SUBJECT },
  slipway_rejected_total: {
    type: 'counter',
    help: 'Requests that were not answered with a prediction, by reason.',
    labels: [...SUBJECT, 'reason'],
  },
  slipway_model_ready: { type: 'gauge', help: '1 when the version can answer.', labels: SUBJECT },
  slipway_model_load_seconds: { type: 'gauge', help: 'Time the last load took: read, load, probe, warm up, check.', labels: SUBJECT },
  slipway_instances: { type: 'gauge', help: 'Instances by state.', labels: [...SUBJECT, 'state'] },
  slipway_instance_failures_total: {
    type: 'counter',
    help: 'Instances that ended by themselves, by reason.',
    labels: [...SUBJECT, 'reason'],
  },
  slipway_trace_spans_exported_total: { type: 'counter', help: 'Spans that the trace collector took.', labels: [] },
  slipway_trace_spans_dropped_total: {
    type: 'counter',
    help: 'Spans that were lost: `buffer_full` too many waited, `rejected` the collector refused them, `undeliverable` it was away too long, `shutdown` it did not take them at the end.',
    labels: ['reason'],
  },
  slipway_build_info: { type: 'gauge', help: 'Always 1; the labels say which build runs.', labels: ['version', 'node'] },
  process_cpu_seconds_total: { type: 'counter', help: 'CPU time of the process, user and system.', labels: [] },
  process_resident_memory_bytes: { type: 'gauge', help: 'Resident memory of the process.', labels: [] },
  process_start_time_seconds: { type: 'gauge', help: 'Start of the process, seconds since the Unix epoch.', labels: [] },
  process_open_fds: { type: 'gauge', help: 'Open file descriptors.', labels: [] },
  slipway_heap_bytes: { type: 'gauge', help: 'JavaScript heap of the main thread in use.', labels: [] },
  slipway_event_loop_delay_seconds: {
    type: 'gauge',
    help: 'How late the event loop of the main thread was, 99th percentile since the last scrape.',
    labels: [],
  },
  slipway_cgroup_cpu_seconds_total: { type: 'counter', help: 'CPU time of the cgroup (container).', labels: [] },
  slipway_cgroup_cpu_throttled_seconds_total: { type: 'counter', help: 'Time the cgroup was held back by its CPU quota.', labels: [] },
  slipway_cgroup_memory_bytes: { type: 'gauge', help: 'Memory of the cgroup (container).', labels: [] },
  slipway_cgroup_memory_limit_bytes: { type: 'gauge', help: 'Memory limit of the cgroup; absent where there is none.', labels: [] },
} as const satisfies Record<string, MetricInfo>

/** The names that published guides use, behind the option `metrics.guideNames`. */
export const GUIDE_METRICS = {
  predictions_total: { type: 'counter', help: 'Predictions by model and status.', labels: ['model', 'status'] },
  prediction_latency_seconds: { type: 'histogram', help: 'Time from arrival of a request to its answer.', labels: ['model'] },
  request_count: { type: 'counter', help: 'Requests by status code.', labels: ['code'] },
  request_latency_seconds: { type: 'histogram', help: 'Time from arrival of a request to its answer.', labels: [] },
} as const satisfies Record<string, MetricInfo>
