import { Type } from 'typebox'
import type { Static } from 'typebox'
import { oneOf } from './schema.ts'

const positive = (description: string) => Type.Optional(Type.Integer({ minimum: 1, description }))
const natural = (description: string) => Type.Optional(Type.Integer({ minimum: 0, description }))

/**
 * Options of serving a model. The same keys stand in a package (`serving:` in slipway.yaml, its defaults), in the server file (for all
 * models and per model) and in an endpoint document. The digest of a package does not cover them.
 */
export const ServingOptions = Type.Object(
  {
    instances: positive('Loaded copies of the model. Default: the usable cores divided by `threads`.'),
    threads: positive('Intra-op threads of one instance. Default: 1.'),
    isolation: Type.Optional(
      oneOf(['thread', 'process'], {
        description:
          'Where an instance runs. `thread` is fast; `process` also contains native crashes, memory kills and hangs. Default: thread, and process for a model with a loop that goes on, or an output that is as large, as values of a request say.',
      }),
    ),
    batching: Type.Optional(
      oneOf(['auto', 'on', 'off'], {
        description: '`auto` batches when the probe at load shows that rows are independent. Default: auto.',
      }),
    ),
    maxBatchSize: positive('Rows in one run; larger requests are split and joined. Default: 32.'),
    maxDelayUs: natural(
      'How long a request may wait for company, in microseconds. Default: 0, take what is queued when an instance frees.',
    ),
    preferredBatchSizes: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1 }), {
        description: 'Batch sizes that run at once while maxDelayUs still waits. Default: none.',
      }),
    ),
    queueRequests: positive('Requests that may wait; one more gets 503. Default: 1000.'),
    queueRows: positive('Rows that may wait. Default: 100000.'),
    queueBytes: positive('Bytes of tensors that may wait. Default: 268435456 (256 MiB).'),
    priorityAgingMs: positive(
      'How much waiting a level of priority is worth: a request one level less urgent runs at most this much later. Default: 1000.',
    ),
    queueTimeoutUs: positive(
      'How long a request may wait in the queue, in microseconds; one that would wait longer gets 503. Default: as long as it may take.',
    ),
    defaultPriority: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 9,
        description: 'Priority of requests that say none or 5, from 1, the most urgent, to 9. Default: 5.',
      }),
    ),
    latencyGoalMs: positive(
      'Requests that would be answered later than this, by the measured cost of what waits before them, get 503 at once. Default: none.',
    ),
    requestTimeoutMs: positive('How long a request may take from arrival to answer. Default: 30000.'),
    runTimeoutMs: positive('How long one run may take. A process is then ended, a thread left to finish. Default: 30000.'),
    memoryLimitMb: positive(
      'Memory of one instance with `isolation: process`; beyond it the process is ended. Default: none, and 2048 beyond its weights for a model whose runs values can draw out.',
    ),
    maxOutputBytes: positive(
      'Bytes that the outputs of one run may have; a request that asks for more gets 413. Default: 268435456 (256 MiB).',
    ),
    cacheMb: natural(
      'Memory for answers that are given again to equal requests, without a run. For models whose answer depends on nothing but the request. Default: 0, no cache.',
    ),
    cacheTtlMs: positive('How long an answer may be given again. Default: 600000 (10 minutes).'),
    inlineMaxUs: natural(
      'A lone request whose run is predicted to take less than this runs on the main thread, without a hop. 0 turns it off. Default: 300.',
    ),
    records: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description:
          'Share of the predictions that are recorded, with inputs and outputs, on a server that follows a control plane. Default: 0, none.',
      }),
    ),
    recordsDrop: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'Features, inputs and outputs that are left out of records, beside those that the package marks. Default: none.',
      }),
    ),
    recordsHash: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'Features, inputs and outputs of which records have a keyed digest instead of the value. Default: none.',
      }),
    ),
    nanPolicy: Type.Optional(
      oneOf(['reject', 'warn', 'off'], {
        description: 'NaN and infinite input values, where a feature does not say. Default: off for tensors, reject for named features.',
      }),
    ),
  },
  { additionalProperties: false, description: 'How a model is served.' },
)
export type ServingOptions = Static<typeof ServingOptions>

/** {@link ServingOptions} with every default in place. `undefined` stands only where the default is none. */
export interface Serving {
  readonly instances: number
  readonly threads: number
  readonly isolation: 'thread' | 'process'
  readonly batching: 'auto' | 'on' | 'off'
  readonly maxBatchSize: number
  readonly maxDelayUs: number
  readonly preferredBatchSizes: readonly number[]
  readonly queueRequests: number
  readonly queueRows: number
  readonly queueBytes: number
  readonly priorityAgingMs: number
  readonly queueTimeoutUs: number | undefined
  readonly defaultPriority: number
  readonly latencyGoalMs: number | undefined
  readonly requestTimeoutMs: number
  readonly runTimeoutMs: number
  readonly memoryLimitMb: number | undefined
  readonly maxOutputBytes: number
  /** 0: no cache. */
  readonly cacheMb: number
  readonly cacheTtlMs: number
  readonly inlineMaxUs: number
  /** Share of the predictions that are recorded. 0: none. */
  readonly records: number
  readonly recordsDrop: readonly string[]
  readonly recordsHash: readonly string[]
  readonly nanPolicy: 'reject' | 'warn' | 'off' | undefined
}

export const SERVING_DEFAULTS = {
  threads: 1,
  isolation: 'thread',
  batching: 'auto',
  maxBatchSize: 32,
  maxDelayUs: 0,
  preferredBatchSizes: [],
  queueRequests: 1000,
  queueRows: 100_000,
  queueBytes: 256 * 1024 * 1024,
  priorityAgingMs: 1000,
  defaultPriority: 5,
  requestTimeoutMs: 30_000,
  runTimeoutMs: 30_000,
  maxOutputBytes: 256 * 1024 * 1024,
  cacheMb: 0,
  cacheTtlMs: 600_000,
  inlineMaxUs: 300,
  records: 0,
  recordsDrop: [],
  recordsHash: [],
} as const

/** Merges sources, of which later ones win. What one of them keeps out of records, none lets in again. */
export function mergeServing(...sources: readonly (ServingOptions | undefined)[]): ServingOptions {
  const merged: ServingOptions = Object.assign({}, ...sources)
  const union = (key: 'recordsDrop' | 'recordsHash'): string[] => [...new Set(sources.flatMap((source) => source?.[key] ?? []))]
  const [recordsDrop, recordsHash] = [union('recordsDrop'), union('recordsHash')]
  return { ...merged, ...(recordsDrop.length > 0 && { recordsDrop }), ...(recordsHash.length > 0 && { recordsHash }) }
}

/** Merges sources as {@link mergeServing}; `cores` decides the number of instances where no source does. */
export function resolveServing(cores: number, ...sources: readonly (ServingOptions | undefined)[]): Serving {
  const given = mergeServing(...sources)
  const threads = given.threads ?? SERVING_DEFAULTS.threads
  return {
    ...SERVING_DEFAULTS,
    instances: Math.max(1, Math.floor(cores / threads)),
    memoryLimitMb: undefined,
    latencyGoalMs: undefined,
    queueTimeoutUs: undefined,
    nanPolicy: undefined,
    ...given,
    preferredBatchSizes: (given.preferredBatchSizes ?? []).toSorted((a, b) => a - b),
    threads,
  }
}
