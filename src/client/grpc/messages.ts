import { bytesOf, tensorOf } from '../tensors.ts'
import { bytesField, doubleField, integerField, numbersField, numbersOf, readFields, textField, textOf } from './wire.ts'
import type { Tensor } from '../datatypes.ts'
import type { InferAnswer, InferRequest } from '../infer.ts'
import type { Part } from './wire.ts'

/** `inference.ModelInferRequest` of the Open Inference Protocol, its tensors as raw contents. @throws SLW_CONFIG_INVALID */
export function writeInferRequest(model: string, version: string | undefined, request: InferRequest): Part[] {
  const { inputs, outputs = [], id = '', parameters = {} } = request
  const raw = inputs.map(bytesOf)
  return [
    ...textField(1, model),
    ...textField(2, version ?? ''),
    ...textField(3, id),
    ...Object.entries(parameters).flatMap(([name, value]) => bytesField(4, ...textField(1, name), ...bytesField(2, ...parameterOf(value)))),
    ...inputs.flatMap(({ name, datatype, shape }) =>
      bytesField(5, ...textField(1, name), ...textField(2, datatype), ...numbersField(3, shape)),
    ),
    ...outputs.flatMap((name) => bytesField(6, ...textField(1, name))),
    ...raw.flatMap((bytes) => bytesField(7, bytes)),
  ]
}

function parameterOf(value: string | number | bigint | boolean): Part[] {
  if (typeof value === 'boolean') return integerField(1, value ? 1n : 0n)
  if (typeof value === 'string') return bytesField(3, new TextEncoder().encode(value))
  return typeof value === 'bigint' || Number.isSafeInteger(value) ? integerField(2, BigInt(value)) : doubleField(4, value)
}

/** `inference.ModelInferResponse`. @throws Error saying what does not fit */
export function readInferResponse(message: Part): InferAnswer {
  const heads: { name: string; datatype: string; shape: readonly number[] }[] = []
  const raw: Part[] = []
  const told: { model?: string; version?: string; id?: string } = {}
  readFields(message, (field, value) => {
    if (field === 1) told.model = textOf(value)
    else if (field === 2) told.version = textOf(value)
    else if (field === 3) told.id = textOf(value)
    else if (field === 5 && typeof value !== 'number') heads.push(outputHead(value))
    else if (field === 6 && typeof value !== 'number') raw.push(value)
  })
  if (raw.length !== heads.length) throw new Error(`${heads.length} outputs have ${raw.length} raw contents`)
  const tensors = heads.map((head, index): readonly [string, Tensor] => [head.name, tensorOf(head, raw[index]!)])
  return { outputs: Object.fromEntries(tensors), id: told.id, model: told.model, version: told.version }
}

function outputHead(message: Part): { name: string; datatype: string; shape: readonly number[] } {
  const head: { name: string; datatype: string; shape: number[] } = { name: '', datatype: '', shape: [] }
  readFields(message, (field, value) => {
    if (field === 1) head.name = textOf(value)
    else if (field === 2) head.datatype = textOf(value)
    else if (field === 3) head.shape.push(...numbersOf(value))
  })
  return head
}

/** `inference.ModelReadyRequest`. */
export function writeModelReady(model: string, version: string | undefined): Part[] {
  return [...textField(1, model), ...textField(2, version ?? '')]
}

/** Of `ServerReadyResponse` and `ModelReadyResponse`. */
export function readReady(message: Part): boolean {
  let ready = false
  readFields(message, (field, value) => {
    if (field === 1) ready = value === 1
  })
  return ready
}
