/** Writers make bodies of answers. They are pure, so that large answers can be written in another thread. */
import { decodeAnswers } from '../../signature/answer.ts'
import { csvOf } from '../../signature/csv.ts'
import { toJson } from '../../tensor/json-writer.ts'
import { writeV2Response } from '../v2/response.ts'
import { writeTensorFlow } from './tensorflow-answer.ts'
import { writeTorchServe } from './torchserve.ts'
import type { Signature } from '../../signature/signature.ts'
import type { Subject } from '../../serving/observe/events.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { V2Read } from './readers.ts'
import type { TensorFlowAnswer } from './tensorflow-answer.ts'
import type { TorchServeAnswer } from './torchserve.ts'

/** An answer for people, before it is written. */
export interface PeopleAnswer {
  readonly signature: Signature
  readonly outputs: readonly Tensor[]
  /** Inputs that the answer names. */
  readonly asked: readonly Tensor[]
  readonly rows: number
  readonly many: boolean
  readonly csv: boolean
}

export interface V2Answer {
  readonly asked: V2Read['asked']
  readonly subject: Subject
  readonly outputs: readonly Tensor[]
}

/** Predictions alone, without what people are told beside them. */
export type PredictionsAnswer = Omit<PeopleAnswer, 'many' | 'csv'>

export interface Written {
  readonly body: string | Buffer
  /** Length of the JSON part, where raw tensors follow it. */
  readonly headerLength: number | undefined
}

function writePeople({ signature, outputs, asked, rows, many, csv }: PeopleAnswer): Written {
  const answers = decodeAnswers(signature, outputs, asked, rows)
  const json = (): string => (many ? `{"predictions":${toJson(answers)}}` : toJson(answers[0]))
  return { body: csv ? csvOf(answers) : json(), headerLength: undefined }
}

function writeV2({ asked, subject, outputs }: V2Answer): Written {
  return writeV2Response(asked, subject, outputs)
}

/** What was predicted for each row: a label, a number, a ranking, the values of the outputs. Numbers that JSON has not are null. */
function writePredictions({ signature, outputs, asked, rows }: PredictionsAnswer): Written {
  const predictions = decodeAnswers(signature, outputs, asked, rows).map(({ prediction }) => prediction)
  // Without rows, an output is what a list of rows would be.
  const whole = !signature.hasRows && Array.isArray(predictions[0]) ? predictions[0] : predictions
  return { body: `{"predictions":${toJson(whole)}}`, headerLength: undefined }
}

function tensorflow(answer: TensorFlowAnswer): Written {
  return { body: writeTensorFlow(answer), headerLength: undefined }
}

function torchserve(answer: TorchServeAnswer): Written {
  return { body: writeTorchServe(answer), headerLength: undefined }
}

export const WRITERS = { people: writePeople, v2: writeV2, predictions: writePredictions, tensorflow, torchserve }
export type WriterName = keyof typeof WRITERS
export type WritableBy<Name extends WriterName> = Parameters<(typeof WRITERS)[Name]>[0]
