import { has, isSet, lineOf, numberOf, numbersOf, partOf, partsOf, textOf } from './message.ts'
import { lineError } from './text-format.ts'
import type { ServingOptions } from '../../contract/serving-options.ts'
import type { Message } from './text-format.ts'

/** Memory for answers of a model whose configuration turns the cache on; there the server says how much it is. */
const CACHE_MB = 64
/** Levels of priority that requests have here. */
const LEVELS_MAX = 9
/** The level of requests that say none. */
const LEVEL_DEFAULT = 5

/** How a configuration wants its model scheduled, as serving options. @throws SLW_PACKAGE_INVALID */
export function servingOf(message: Message, source: string): ServingOptions {
  const cache = partOf(message, 'response_cache')
  return {
    ...instancesOf(message, source),
    ...batchingOf(message, source),
    ...threadsOf(message, source),
    ...(cache !== undefined && isSet(cache, 'enable') && { cacheMb: CACHE_MB }),
  }
}

function instancesOf(message: Message, source: string): ServingOptions {
  let instances = 0
  for (const group of partsOf(message, 'instance_group')) {
    const fail = (field: string, text: string): never => {
      throw lineError(source, lineOf(group, field), `instance_group: ${text}`)
    }
    if (textOf(group, 'kind') === 'KIND_GPU')
      fail('kind', 'KIND_GPU: this release runs models on the CPU only; write KIND_CPU, or leave the line out')
    if (has(group, 'gpus')) fail('gpus', 'gpus: this release runs models on the CPU only')
    for (const field of ['secondary_devices', 'profile'])
      if (has(group, field)) fail(field, `${field} is for models of TensorRT, which are not served here`)
    if (isSet(group, 'passive')) fail('passive', 'passive: an instance that takes no requests is not kept here')
    const count = numberOf(group, 'count')
    if (count < 0) fail('count', `count: ${count} is below 0`)
    instances += count
  }
  return instances === 0 ? {} : { instances }
}

function batchingOf(message: Message, source: string): ServingOptions {
  const batching = partOf(message, 'dynamic_batching')
  if (batching === undefined) return {}
  const fail = (field: string, text: string): never => {
    throw lineError(source, lineOf(batching, field), `dynamic_batching: ${text}`)
  }
  if (isSet(batching, 'preserve_ordering'))
    fail(
      'preserve_ordering',
      'preserve_ordering: answers go out as they are ready; take the line out where no client counts on their order',
    )
  if (has(batching, 'priority_queue_policy'))
    fail('priority_queue_policy', 'priority_queue_policy: all levels of priority share one queue and its policy, default_queue_policy')
  const maxBatchSize = numberOf(message, 'max_batch_size')
  const preferredBatchSizes = numbersOf(batching, 'preferred_batch_size')
  const wrong = preferredBatchSizes.find((size) => size < 1 || (size > maxBatchSize && has(message, 'max_batch_size')))
  if (wrong !== undefined)
    fail('preferred_batch_size', `preferred_batch_size: ${wrong} is not from 1 to max_batch_size, which is ${maxBatchSize}`)
  const maxDelayUs = numberOf(batching, 'max_queue_delay_microseconds')
  return {
    ...(preferredBatchSizes.length > 0 && { preferredBatchSizes }),
    ...(maxDelayUs > 0 && { maxDelayUs }),
    ...priorityOf(batching, fail),
    ...queueOf(batching, source),
  }
}

function priorityOf(batching: Message, fail: (field: string, text: string) => never): ServingOptions {
  const levels = numberOf(batching, 'priority_levels')
  if (levels === 0) return {}
  const level = numberOf(batching, 'default_priority_level')
  if (level < 1 || level > levels)
    fail('default_priority_level', `default_priority_level: ${level} is not from 1 to priority_levels, which is ${levels}`)
  if (levels > LEVELS_MAX) fail('priority_levels', `priority_levels: there are ${LEVELS_MAX} here, and not ${levels}`)
  if (levels >= LEVEL_DEFAULT && level !== LEVEL_DEFAULT)
    fail(
      'default_priority_level',
      `default_priority_level: of ${LEVEL_DEFAULT} or more levels, ${LEVEL_DEFAULT} is that of requests which say none, and not ${level}; with fewer levels it can be any`,
    )
  return level === LEVEL_DEFAULT ? {} : { defaultPriority: level }
}

function queueOf(batching: Message, source: string): ServingOptions {
  const policy = partOf(batching, 'default_queue_policy')
  if (policy === undefined) return {}
  const queueTimeoutUs = numberOf(policy, 'default_timeout_microseconds')
  if (textOf(policy, 'timeout_action') === 'DELAY' && (queueTimeoutUs > 0 || isSet(policy, 'allow_timeout_override')))
    throw lineError(
      source,
      lineOf(policy, 'timeout_action'),
      'timeout_action: DELAY: a request whose time is over is refused here, as by REJECT, and not run later',
    )
  const queueRequests = numberOf(policy, 'max_queue_size')
  return { ...(queueTimeoutUs > 0 && { queueTimeoutUs }), ...(queueRequests > 0 && { queueRequests }) }
}

/** Values of `parameters`, by key. */
export function parametersOf(message: Message): Map<string, { readonly value: string; readonly line: number }> {
  return new Map(
    partsOf(message, 'parameters').map((entry) => {
      const value = partOf(entry, 'value')
      return [textOf(entry, 'key'), { value: value === undefined ? '' : textOf(value, 'string_value'), line: entry.line }]
    }),
  )
}

/** Parameter of ONNX Runtime for the threads of an instance. */
export const THREADS = 'intra_op_thread_count'

function threadsOf(message: Message, source: string): ServingOptions {
  const given = parametersOf(message).get(THREADS)
  if (given === undefined) return {}
  const threads = Number(given.value)
  if (!/^\d+$/.test(given.value) || threads > 1024)
    throw lineError(source, given.line, `parameters: ${THREADS}: ${JSON.stringify(given.value)} is no number of threads`)
  return threads === 0 ? {} : { threads }
}
