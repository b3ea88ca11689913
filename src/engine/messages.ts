import type { InstanceSpec, WireError } from './instance.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Both ends must speak the same version; a worker of another release is refused at its first message. */
export const WIRE_VERSION = 1

/** From the server to an instance in a thread or process. */
export type ToInstance =
  | { readonly v: typeof WIRE_VERSION; readonly type: 'load'; readonly spec: InstanceSpec }
  | { readonly v: typeof WIRE_VERSION; readonly type: 'run'; readonly id: number; readonly inputs: readonly Tensor[]; readonly outputs: readonly string[] }
  | { readonly v: typeof WIRE_VERSION; readonly type: 'close' }

/** From an instance back. */
export type FromInstance =
  | { readonly v: typeof WIRE_VERSION; readonly type: 'loaded' }
  | { readonly v: typeof WIRE_VERSION; readonly type: 'load-failed'; readonly error: WireError }
  | { readonly v: typeof WIRE_VERSION; readonly type: 'result'; readonly id: number; readonly outputs: readonly Tensor[]; readonly computeUs: number }
  | { readonly v: typeof WIRE_VERSION; readonly type: 'run-failed'; readonly id: number; readonly error: WireError }
  | { readonly v: typeof WIRE_VERSION; readonly type: 'closed' }

/** The memory of tensors that can move to another thread instead of being copied: each buffer once. */
export function transferList(tensors: readonly Tensor[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  for (const { data } of tensors) {
    if (!Array.isArray(data) && data.buffer instanceof ArrayBuffer && data.byteLength === data.buffer.byteLength) buffers.add(data.buffer)
  }
  return [...buffers]
}
