import type { Tensor } from '../../tensor/tensor.ts'

export type Parameters = Readonly<Record<string, string | number | boolean | bigint>>

export interface RequestedOutput {
  readonly name: string
  readonly parameters: Parameters
}

/** An inference request of the Open Inference Protocol, its tensors read. */
export interface V2Request {
  readonly id: string | undefined
  readonly parameters: Parameters
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly RequestedOutput[] | undefined
}
