import type { InstanceSpec, WireError } from './instance.ts'
import type { TensorData } from '../tensor/datatype.ts'

/** Both ends must speak the same version; a worker of another release refuses to load. */
export const WIRE_VERSION = 1

/**
 * Messages from the server to an instance in a thread or process. Runs are sent thousands of times a second, so they carry bare arrays:
 * names and datatypes are those of the spec, in its order.
 */
export type ToInstance =
  | {
      readonly type: 'load'
      readonly v: typeof WIRE_VERSION
      readonly spec: InstanceSpec
      /** Whether other models serve meanwhile: the instance works at low priority until the message `serve`. */
      readonly gentle: boolean
    }
  | {
      readonly type: 'run'
      readonly id: number
      readonly data: readonly TensorData[]
      readonly shapes: readonly (readonly number[])[]
      readonly outputs: readonly number[] | undefined
    }
  /** Loading and warming are over: the instance works at the priority of the process from here on. */
  | { readonly type: 'serve'; readonly nice: number }
  /** Unloads the model; another one may be loaded. */
  | { readonly type: 'close' }
  | { readonly type: 'exit' }

/** Messages from an instance to the server. */
export type FromInstance =
  | { readonly type: 'loaded'; readonly memoryBytes: number }
  | { readonly type: 'load-failed'; readonly error: WireError }
  | {
      readonly type: 'result'
      readonly id: number
      readonly data: readonly TensorData[]
      readonly shapes: readonly (readonly number[])[]
      readonly computeUs: number
      readonly grownBytes?: number | undefined
    }
  | { readonly type: 'run-failed'; readonly id: number; readonly error: WireError }
  | { readonly type: 'closed' }

/** Buffers of tensors that can be moved to another thread instead of being copied: each buffer once. */
export function transferList(tensors: readonly TensorData[]): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = []
  for (const data of tensors) {
    if (Array.isArray(data)) continue
    const { buffer } = data
    if (buffer instanceof ArrayBuffer && data.byteLength === buffer.byteLength && !buffers.includes(buffer)) buffers.push(buffer)
  }
  return buffers
}
