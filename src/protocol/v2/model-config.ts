/** What is in force for a model, as the object that Triton has for it: `ModelConfig` of its model_config.proto, in the names of that. */
import { basename } from 'node:path'
import { PRIORITY_LEVELS } from '../priority.ts'
import type { Datatype } from '../../tensor/datatype.ts'
import type { TensorSpec } from '../../tensor/tensor.ts'
import type { Loaded, Variant } from '../../serving/variant.ts'

export interface ModelInput {
  readonly name: string
  readonly data_type: string
  readonly format: 'FORMAT_NONE'
  /** Without the batch, where `max_batch_size` is above 0; -1 for a size that is free. */
  readonly dims: readonly number[]
  readonly optional: boolean
}

export interface ModelOutput {
  readonly name: string
  readonly data_type: string
  readonly dims: readonly number[]
}

export interface InstanceGroup {
  readonly name: string
  readonly kind: 'KIND_CPU'
  readonly count: number
}

export interface QueuePolicy {
  readonly timeout_action: 'REJECT'
  readonly default_timeout_microseconds: number
  readonly allow_timeout_override: boolean
  readonly max_queue_size: number
}

export interface DynamicBatching {
  readonly preferred_batch_size: readonly number[]
  readonly max_queue_delay_microseconds: number
  readonly preserve_ordering: boolean
  readonly priority_levels: number
  readonly default_priority_level: number
  readonly default_queue_policy: QueuePolicy
}

export interface ModelConfig {
  readonly name: string
  readonly platform: string
  readonly backend: string
  /** The versions that are served, where all of them are numbers, as Triton's are; else absent. */
  readonly version_policy?: { readonly specific: { readonly versions: readonly number[] } }
  /** Rows of one run where rows of requests may share one; a request may have more, and is split. 0: each request is a run of its own. */
  readonly max_batch_size: number
  readonly input: readonly ModelInput[]
  readonly output: readonly ModelOutput[]
  readonly instance_group: readonly InstanceGroup[]
  /** Absent where each request is a run of its own. */
  readonly dynamic_batching?: DynamicBatching
  readonly default_model_filename: string
  readonly parameters: Readonly<Record<string, { readonly string_value: string }>>
  readonly response_cache: { readonly enable: boolean }
  readonly model_transaction_policy: { readonly decoupled: boolean }
}

/** @param versions those of the endpoint that are served */
export function modelConfig(variant: Variant, loaded: Loaded, versions: readonly string[]): ModelConfig {
  const { endpoint } = variant.subject
  const { serving, signature, package: source, slots } = loaded
  const isBatched = batches(loaded)
  const dims = (spec: TensorSpec): readonly number[] => (spec.anyRank === true ? [-1] : isBatched ? spec.shape.slice(1) : spec.shape)
  const { platform } = signature
  return {
    name: endpoint,
    platform,
    backend: platform.replace(/_.*$/, ''),
    ...(versions.every((version) => /^\d{1,15}$/.test(version)) && { version_policy: { specific: { versions: versions.map(Number) } } }),
    max_batch_size: isBatched ? serving.maxBatchSize : 0,
    input: signature.inputs.map((spec) => ({
      name: spec.name,
      data_type: configType(spec.datatype),
      format: 'FORMAT_NONE',
      dims: dims(spec),
      optional: signature.defaults.has(spec.name),
    })),
    output: signature.outputs.map((spec) => ({ name: spec.name, data_type: configType(spec.datatype), dims: dims(spec) })),
    instance_group: [{ name: `${endpoint}_0`, kind: 'KIND_CPU', count: slots.length }],
    ...(isBatched && {
      dynamic_batching: {
        preferred_batch_size: serving.preferredBatchSizes,
        max_queue_delay_microseconds: serving.maxDelayUs,
        preserve_ordering: false,
        priority_levels: PRIORITY_LEVELS,
        default_priority_level: serving.defaultPriority,
        default_queue_policy: {
          timeout_action: 'REJECT',
          default_timeout_microseconds: serving.queueTimeoutUs ?? serving.requestTimeoutMs * 1000,
          allow_timeout_override: true,
          max_queue_size: serving.queueRequests,
        },
      },
    }),
    default_model_filename: basename(source.modelPath),
    parameters: { intra_op_thread_count: { string_value: String(serving.threads) } },
    response_cache: { enable: serving.cacheMb > 0 },
    // Each request has one answer.
    model_transaction_policy: { decoupled: false },
  }
}

/** Whether rows of several requests may share a run. */
export function batches({ serving, signature, probe }: Pick<Loaded, 'serving' | 'signature' | 'probe'>): boolean {
  return signature.hasRows && (serving.batching === 'on' || (serving.batching === 'auto' && probe.batchable))
}

/** The name of a datatype in Triton's configuration. */
export function configType(datatype: Datatype): string {
  return datatype === 'BYTES' ? 'TYPE_STRING' : `TYPE_${datatype}`
}
