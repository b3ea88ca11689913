/** The parameters of an inference request: those that the protocol and Triton give a meaning, and all others (Triton's docs/protocol/extension_parameters.md). */
import { SlipwayError } from '../../core/errors.ts'
import { priorityOf } from '../priority.ts'
import type { Parameters } from './types.ts'

/** What the parameters of a request say of its run. */
export interface RunParameters {
  /** Milliseconds; undefined: the model's own limit. */
  readonly timeoutMs: number | undefined
  /** For the scheduler; undefined: the caller's. */
  readonly priority: number | undefined
  /** Key of the parameters that change a run: requests that differ in them never share one. */
  readonly parametersKey: string | undefined
}

const NO_PARAMETERS: RunParameters = { timeoutMs: undefined, priority: undefined, parametersKey: undefined }

/** Parameters that say how to answer, not what to run. */
const OF_THE_ANSWER = new Set(['timeout', 'priority', 'binary_data_output', 'triton_enable_empty_final_response'])
const SEQUENCE = new Set(['sequence_id', 'sequence_start', 'sequence_end'])

/**
 * @throws SLW_NOT_IMPLEMENTED for a sequence that is asked for, SLW_BAD_REQUEST for names that the protocol reserves, and for values that
 *   mean nothing
 */
export function runParameters(parameters: Parameters): RunParameters {
  const names = Object.keys(parameters)
  if (names.length === 0) return NO_PARAMETERS
  let parametersKey: string | undefined
  for (const name of names) {
    const value = parameters[name]!
    if (OF_THE_ANSWER.has(name)) continue
    if (SEQUENCE.has(name)) requireNoSequence(name, value)
    else if (name === 'headers' || name.startsWith('triton_'))
      throw new SlipwayError('SLW_BAD_REQUEST', `parameters: "${name}" is reserved by the protocol, and no parameter of a request`)
    else parametersKey = `${parametersKey ?? ''}${name}=${String(value)};`
  }
  const { timeout, priority } = parameters
  return {
    timeoutMs: timeoutOf(timeout),
    priority:
      priority === undefined ? undefined : priorityOf(typeof priority === 'bigint' ? Number(priority) : priority, 'parameters.priority'),
    parametersKey,
  }
}

/** Clients send 0, an empty text and false where they mean no sequence. */
function requireNoSequence(name: string, value: Parameters[string]): void {
  if (value === false || value === '' || Number(value) === 0) return
  throw new SlipwayError('SLW_NOT_IMPLEMENTED', `parameters: "${name}": sequences are not offered; each request is answered by itself`)
}

/** @param timeout microseconds; 0 means none */
function timeoutOf(timeout: Parameters[string] | undefined): number | undefined {
  if (timeout === undefined) return undefined
  const us = typeof timeout === 'boolean' || timeout === '' ? Number.NaN : Number(timeout)
  if (!(us >= 0))
    throw new SlipwayError('SLW_BAD_REQUEST', `parameters.timeout: expected microseconds, got ${JSON.stringify(String(timeout))}`)
  return us === 0 ? undefined : us / 1000
}
