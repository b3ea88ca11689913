/** A metric as the reference lists it. */
export interface MetricInfo {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  /** Operation that merges the values of several processes of one server. Default: sum. */
  readonly merge?: 'sum' | 'max' | 'min'
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
  slipway_model_ready: { type: 'gauge', help: '1 when the version can answer.', labels: SUBJECT, merge: 'min' },
  slipway_model_load_seconds: {
    type: 'gauge',
    help: 'Time the last load took: read, load, probe, warm up, check.',
    labels: SUBJECT,
    merge: 'max',
  },
  slipway_instances: { type: 'gauge', help: 'Instances by state.', labels: [...SUBJECT, 'state'] },
  slipway_instance_failures_total: {
    type: 'counter',
    help: 'Instances that ended by themselves, by reason.',
    labels: [...SUBJECT, 'reason'],
  },
  slipway_model_loads_total: {
    type: 'counter',
    help: 'Loads of versions, by result: `ok`, or the code of what was wrong.',
    labels: ['endpoint', 'result'],
  },
  slipway_model_unloads_total: {
    type: 'counter',
    help: 'Versions that gave their memory back: `replaced` by another, `removed` from what is served, or `evicted` because memory was short.',
    labels: ['endpoint', 'reason'],
  },
  slipway_switches_total: {
    type: 'counter',
    help: 'Changes of the version that an endpoint serves; `failed`: the new one could not be served and the old one goes on.',
    labels: ['endpoint', 'result'],
    merge: 'max',
  },
  slipway_switch_drain_seconds: {
    type: 'gauge',
    help: 'Last switch: time until the old version had answered its last request and had ended.',
    labels: ['endpoint'],
    merge: 'max',
  },
  slipway_model_memory_bytes: { type: 'gauge', help: 'Memory that a loaded version takes, as measured at its load.', labels: SUBJECT },
  slipway_memory_used_bytes: { type: 'gauge', help: 'Memory of all loaded versions, as measured at their loads.', labels: [] },
  slipway_memory_budget_bytes: { type: 'gauge', help: 'What memoryBudgetMb allows; absent without a budget.', labels: [] },
  slipway_cache_requests_total: {
    type: 'counter',
    help: 'Requests to a model with a cache: `hit` from memory, `shared` with an equal request that was running, `miss` otherwise.',
    labels: [...SUBJECT, 'result'],
  },
  slipway_assignments_total: {
    type: 'counter',
    help: 'Requests by how they came to their variant: `randomised` by the weights, `matched` by a rule, `forced` by a tester, by `version`, `only` where one variant has everything, `incomplete` while one is missing.',
    labels: [...SUBJECT, 'assignment'],
  },
  slipway_fallbacks_total: {
    type: 'counter',
    help: 'Requests that this variant failed at and the one with the largest share answered, by how it failed.',
    labels: [...SUBJECT, 'outcome'],
  },
  slipway_shadow_requests_total: {
    type: 'counter',
    help: 'Copies of requests that this variant got as a shadow, by what it answered beside the one that was asked: `same`, `different`, `worse` where only it failed, `better` where only the other did, `both failed`, or `dropped` where there was no room.',
    labels: [...SUBJECT, 'result'],
  },
  slipway_feedback_total: {
    type: 'counter',
    help: 'Labels that came for predictions: `right`, `wrong`, or `unknown` where the prediction cannot be compared.',
    labels: [...SUBJECT, 'result'],
  },
  slipway_variant_tripped: {
    type: 'gauge',
    help: '1 while the server has taken a variant out by itself, as it did nothing but fail; absent otherwise.',
    labels: ['endpoint', 'variant'],
    merge: 'max',
  },
  slipway_cache_entries: { type: 'gauge', help: 'Answers in the cache.', labels: SUBJECT },
  slipway_cache_bytes: { type: 'gauge', help: 'Memory of the answers in the cache and of their questions.', labels: SUBJECT },
  slipway_cache_evictions_total: {
    type: 'counter',
    help: 'Answers that left the cache to make room, or because they were too old.',
    labels: SUBJECT,
  },
  slipway_control_plane_stale_seconds: {
    type: 'gauge',
    help: 'How long the control plane that is followed has not been heard of.',
    labels: [],
    merge: 'max',
  },
  slipway_endpoint_revision: {
    type: 'gauge',
    help: 'The revision of an endpoint that was last heard of.',
    labels: ['endpoint'],
    merge: 'max',
  },
  slipway_records_total: { type: 'counter', help: 'Records of predictions that were written.', labels: [] },
  slipway_records_dropped_total: {
    type: 'counter',
    help: 'Predictions of the sample without a record: `memory` too much was kept, `busy` too many waited to be written, `too_large`, `full` the spool had no room, `disk` it could not be written.',
    labels: ['reason'],
  },
  slipway_records_refused_total: { type: 'counter', help: 'Records that the control plane refused, and that were given up.', labels: [] },
  slipway_log_dropped_total: { type: 'counter', help: 'Log lines that could not be written, as on a full disk.', labels: [] },
  slipway_processes: { type: 'gauge', help: 'Processes that serve (`processes`); absent where the server is one process.', labels: [] },
  slipway_process_restarts_total: {
    type: 'counter',
    help: 'Serving processes that ended by themselves and were started again.',
    labels: [],
  },
  slipway_build_info: { type: 'gauge', help: 'Always 1; the labels say which build runs.', labels: ['version', 'node'], merge: 'max' },
  slipway_trace_spans_exported_total: { type: 'counter', help: 'Spans that the trace collector took.', labels: [] },
  slipway_trace_spans_dropped_total: {
    type: 'counter',
    help: 'Spans that were lost: `buffer_full` too many waited, `rejected` the collector refused them, `undeliverable` it was away too long, `shutdown` it did not take them at the end.',
    labels: ['reason'],
  },
  process_cpu_seconds_total: { type: 'counter', help: 'CPU time of the process, user and system.', labels: [] },
  process_resident_memory_bytes: { type: 'gauge', help: 'Resident memory of the process.', labels: [] },
  process_start_time_seconds: { type: 'gauge', help: 'Start of the process, seconds since the Unix epoch.', labels: [], merge: 'min' },
  process_open_fds: { type: 'gauge', help: 'Open file descriptors.', labels: [] },
  slipway_heap_bytes: { type: 'gauge', help: 'JavaScript heap of the main thread in use.', labels: [] },
  slipway_event_loop_delay_seconds: {
    type: 'gauge',
    help: 'How late the event loop of the main thread was, 99th percentile since the last scrape.',
    labels: [],
    merge: 'max',
  },
  slipway_cgroup_cpu_seconds_total: { type: 'counter', help: 'CPU time of the cgroup (container).', labels: [], merge: 'max' },
  slipway_cgroup_cpu_throttled_seconds_total: {
    type: 'counter',
    help: 'Time the cgroup was held back by its CPU quota.',
    labels: [],
    merge: 'max',
  },
  slipway_cgroup_memory_bytes: { type: 'gauge', help: 'Memory of the cgroup (container).', labels: [], merge: 'max' },
  slipway_cgroup_memory_limit_bytes: {
    type: 'gauge',
    help: 'Memory limit of the cgroup; absent where there is none.',
    labels: [],
    merge: 'max',
  },
} as const satisfies Record<string, MetricInfo>

/** The names that published guides use, behind the option `metrics.guideNames`. */
export const GUIDE_METRICS = {
  predictions_total: { type: 'counter', help: 'Predictions by model and status.', labels: ['model', 'status'] },
  prediction_latency_seconds: { type: 'histogram', help: 'Time from arrival of a request to its answer.', labels: ['model'] },
  request_count: { type: 'counter', help: 'Requests by status code.', labels: ['code'] },
  request_latency_seconds: { type: 'histogram', help: 'Time from arrival of a request to its answer.', labels: [] },
} as const satisfies Record<string, MetricInfo>

const TRITON_MODEL = ['model', 'version'] as const

/** The names of Triton (its docs/user_guide/metrics.md), behind the option `metrics.tritonNames`. Durations are microseconds. */
export const TRITON_METRICS = {
  nv_inference_request_success: { type: 'counter', help: 'Requests that were answered, from memory too.', labels: TRITON_MODEL },
  nv_inference_request_failure: {
    type: 'counter',
    help: 'Requests that failed: `REJECTED` the queue was full or the answer would have been late, `CANCELED` by the client, `BACKEND` by the model or its instance, `OTHER`.',
    labels: [...TRITON_MODEL, 'reason'],
  },
  nv_inference_count: { type: 'counter', help: 'Rows that were run.', labels: TRITON_MODEL },
  nv_inference_exec_count: { type: 'counter', help: 'Runs.', labels: TRITON_MODEL },
  nv_inference_pending_request_count: { type: 'gauge', help: 'Requests that wait for an instance.', labels: TRITON_MODEL },
  nv_inference_request_duration_us: { type: 'counter', help: 'Time of requests that were answered.', labels: TRITON_MODEL },
  nv_inference_queue_duration_us: { type: 'counter', help: 'Time of their waits for an instance.', labels: TRITON_MODEL },
  nv_inference_compute_input_duration_us: {
    type: 'counter',
    help: 'Time of making one set of tensors of those of the requests in a run, counted once for each of them.',
    labels: TRITON_MODEL,
  },
  nv_inference_compute_infer_duration_us: {
    type: 'counter',
    help: 'Time inside the runtime, counted once for each request in a run.',
    labels: TRITON_MODEL,
  },
  nv_inference_compute_output_duration_us: {
    type: 'counter',
    help: 'Time of the rest of runs, the way to the instance and back, counted once for each request in a run.',
    labels: TRITON_MODEL,
  },
  nv_cache_num_hits_per_model: {
    type: 'counter',
    help: 'Answers from memory, and requests that had the answer of an equal one that was running.',
    labels: TRITON_MODEL,
  },
  nv_cache_num_misses_per_model: { type: 'counter', help: 'Requests whose answer was not in memory.', labels: TRITON_MODEL },
  nv_cache_hit_duration_per_model: { type: 'counter', help: 'Time of finding answers in memory.', labels: TRITON_MODEL },
  nv_cache_miss_duration_per_model: {
    type: 'counter',
    help: 'Time of looking for answers that were not in memory, and of keeping them.',
    labels: TRITON_MODEL,
  },
  nv_cpu_memory_total_bytes: { type: 'gauge', help: 'Memory of the machine.', labels: [], merge: 'max' },
  nv_cpu_memory_used_bytes: { type: 'gauge', help: 'Memory of the machine that is in use.', labels: [], merge: 'max' },
} as const satisfies Record<string, MetricInfo>
