import { writeExact } from './json.ts'
import { invalidAnswer, jsonOf } from './send.ts'
import { bytesOf, tensorOf } from './tensors.ts'
import type { Tensor } from './datatypes.ts'
import type { Reply } from './send.ts'

/** A request of tensors. */
export interface InferRequest {
  readonly inputs: readonly Tensor[]
  /** Names of the outputs that are wanted. Default: all. */
  readonly outputs?: readonly string[] | undefined
  /** What the answer says again. Default: none. */
  readonly id?: string | undefined
  readonly parameters?: Readonly<Record<string, string | number | bigint | boolean>> | undefined
}

export interface InferAnswer {
  /** By name. */
  readonly outputs: Readonly<Record<string, Tensor>>
  readonly id: string | undefined
  readonly model: string | undefined
  readonly version: string | undefined
}

const HEADER_LENGTH = 'inference-header-content-length'

/** A request in version 2 of the Open Inference Protocol over HTTP, its tensors in binary. @throws SLW_CONFIG_INVALID */
export function inferBody({ inputs, outputs, id, parameters }: InferRequest): {
  readonly headers: Record<string, string>
  readonly body: Uint8Array<ArrayBuffer>
} {
  const parts = inputs.map(bytesOf)
  const head = new TextEncoder().encode(
    writeExact({
      id,
      parameters: { ...parameters, binary_data_output: true },
      inputs: inputs.map(({ name, datatype, shape }, index) => ({
        name,
        datatype,
        shape,
        parameters: { binary_data_size: parts[index]!.length },
      })),
      outputs: outputs?.map((name) => ({ name })),
    }),
  )
  const body = new Uint8Array(parts.reduce((sum, part) => sum + part.length, head.length))
  body.set(head)
  let at = head.length
  for (const part of parts) {
    body.set(part, at)
    at += part.length
  }
  return { headers: { 'content-type': 'application/octet-stream', [HEADER_LENGTH]: String(head.length) }, body }
}

interface OutputHead {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly parameters?: { readonly binary_data_size?: number }
}

interface AnswerHead {
  readonly id?: string
  readonly model_name?: string
  readonly model_version?: string
  readonly outputs: readonly OutputHead[]
}

/** @throws SLW_ANSWER_INVALID */
export function inferAnswer(reply: Reply, path: string): InferAnswer {
  const length = Number(reply.headers.get(HEADER_LENGTH) ?? reply.body.length)
  const head = jsonOf({ ...reply, body: reply.body.subarray(0, length) }, path) as AnswerHead
  try {
    let at = length
    const tensors = head.outputs.map((output) => {
      const size = output.parameters?.binary_data_size
      if (size === undefined) throw new Error(`output "${output.name}" is not binary, as it was asked for`)
      const tensor = tensorOf(output, reply.body.subarray(at, at + size))
      at += size
      return [output.name, tensor] as const
    })
    return { outputs: Object.fromEntries(tensors), id: head.id, model: head.model_name, version: head.model_version }
  } catch (cause) {
    throw invalidAnswer(`${path}: ${(cause as Error).message}`, { cause, ...reply })
  }
}
