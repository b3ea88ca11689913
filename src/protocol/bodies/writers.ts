/** Writers make bodies of answers. They are pure, so that large answers can be written in another thread. */
import { decodeAnswers } from '../../signature/answer.ts'
import { csvOf } from '../../signature/csv.ts'
import { toJson } from '../../tensor/json-writer.ts'
import { classified } from '../v2/classification.ts'
import { writeGenerateResponse } from '../v2/generate.ts'
import { writeV2Response } from '../v2/response.ts'
import { writeContainer } from './container.ts'
import { writeMlflow } from './mlflow-answer.ts'
import { writeTensorFlow } from './tensorflow-answer.ts'
import { writeTorchServe } from './torchserve.ts'
import type { Signature } from '../../signature/signature.ts'
import type { Subject } from '../../serving/observe/events.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { ClassNames } from '../v2/classification.ts'
import type { V2Read } from './readers.ts'
import type { Written } from './types.ts'
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
  /** For outputs that are asked for as classes. Default: none is. */
  readonly classes?: ClassNames | undefined
}

/** Predictions alone, without what people are told beside them. */
export type PredictionsAnswer = Omit<PeopleAnswer, 'many' | 'csv'>

function writePeople({ signature, outputs, asked, rows, many, csv }: PeopleAnswer): Written {
  const answers = decodeAnswers(signature, outputs, asked, rows)
  const json = (): string => (many ? `{"predictions":${toJson(answers)}}` : toJson(answers[0]))
  return { body: csv ? csvOf(answers) : json(), headerLength: undefined }
}

/** @throws SLW_BAD_REQUEST for classes of an output that is no numbers */
function writeV2({ asked, subject, outputs, classes }: V2Answer): Written {
  return writeV2Response(asked, subject, classes === undefined ? outputs : classified(outputs, asked, classes))
}

function writeGenerate({ asked, subject, outputs }: V2Answer): Written {
  return { body: writeGenerateResponse(asked, subject, outputs), headerLength: undefined }
}

/** What was predicted for each row: a label, a number, a ranking, the values of the outputs. Numbers that JSON has not are null. */
function writePredictions(answer: PredictionsAnswer): Written {
  return { body: `{"predictions":${toJson(predictionsOf(answer))}}`, headerLength: undefined }
}

/** The same as a list by itself. */
function writeList(answer: PredictionsAnswer): Written {
  return { body: toJson(predictionsOf(answer)), headerLength: undefined }
}

function predictionsOf({ signature, outputs, asked, rows }: PredictionsAnswer): unknown {
  const predictions = decodeAnswers(signature, outputs, asked, rows).map(({ prediction }) => prediction)
  // Without rows, an output is what a list of rows would be.
  return !signature.hasRows && Array.isArray(predictions[0]) ? predictions[0] : predictions
}

function tensorflow(answer: TensorFlowAnswer): Written {
  return { body: writeTensorFlow(answer), headerLength: undefined }
}

function torchserve(answer: TorchServeAnswer): Written {
  return { body: writeTorchServe(answer), headerLength: undefined }
}

export const WRITERS = {
  people: writePeople,
  v2: writeV2,
  generate: writeGenerate,
  predictions: writePredictions,
  list: writeList,
  mlflow: writeMlflow,
  container: writeContainer,
  tensorflow,
  torchserve,
}
export type WriterName = keyof typeof WRITERS
export type WritableBy<Name extends WriterName = WriterName> = Parameters<(typeof WRITERS)[Name]>[0]
