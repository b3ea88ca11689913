import { SlipwayError } from '../../core/errors.ts'
import type { Parameters } from './types.ts'

/** Why tensors come in bodies alone: memory of clients would be read by whoever can name it, and it may change during a run. */
const REFUSAL = 'shared memory is not offered: tensors go in the body, as raw bytes at little cost (binary_tensor_data)'

export function sharedMemoryRefused(where: string): SlipwayError {
  return new SlipwayError('SLW_NOT_IMPLEMENTED', `${where}: ${REFUSAL}`)
}

/** Refuses an input or an output in memory that a client shares. @throws SLW_NOT_IMPLEMENTED */
export function refuseSharedMemory(parameters: Parameters, where: string): void {
  for (const name in parameters) if (name.startsWith('shared_memory_')) throw sharedMemoryRefused(`${where}: parameter "${name}"`)
}
