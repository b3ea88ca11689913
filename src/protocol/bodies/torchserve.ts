/** Bodies of TorchServe's inference API: JSON, a picture or a text as it is, or a form whose part `data` or `body` is one of these. */
import { SlipwayError } from '../../core/errors.ts'
import { decodeAnswers } from '../../signature/answer.ts'
import { isForm, readForm } from '../../signature/form.ts'
import { isPicture } from '../../signature/image.ts'
import { pictureRequest, readRequest, requestOf } from '../../signature/request.ts'
import { toJson } from '../../tensor/json-writer.ts'
import type { PeopleRequest, ReadLimits } from '../../signature/request.ts'
import type { Signature } from '../../signature/signature.ts'
import type { Tensor } from '../../tensor/tensor.ts'

/** Types that say nothing of the content; curl sends the last one unless it is told otherwise. */
const ANY_TYPE = new Set([undefined, '', 'application/octet-stream', 'application/x-www-form-urlencoded'])
/** Parts of a form that are a whole request, as TorchServe's handlers look for them. */
const PARTS = ['data', 'body']

/** @throws SLW_UNSUPPORTED_MEDIA_TYPE, SLW_BAD_REQUEST, SLW_LIMIT_EXCEEDED */
export async function readTorchServe(
  body: Buffer,
  type: string | undefined,
  signature: Signature,
  limits: ReadLimits,
): Promise<PeopleRequest> {
  const whole = (bytes: Buffer, its: string | undefined): PeopleRequest => wholeRequest(bytes, its, signature, limits)
  return type !== undefined && isForm(type)
    ? await readForm(body, type, signature, { limits, whole: { names: PARTS, read: whole } })
    : whole(body, type)
}

function wholeRequest(bytes: Buffer, contentType: string | undefined, signature: Signature, limits: ReadLimits): PeopleRequest {
  const type = contentType?.split(';')[0]!.trim().toLowerCase()
  const isText = type === 'text/plain'
  if (!isText && !ANY_TYPE.has(type)) return readRequest(bytes, contentType, signature, limits)
  if (signature.image !== undefined && isPicture(bytes)) return pictureRequest(bytes, 'body')
  const name = soleText(signature)
  if (name !== undefined && (isText || !looksLikeJson(bytes))) return requestOf({ [name]: textOf(bytes) }, signature)
  return readRequest(bytes, 'application/json', signature, limits)
}

/** The name under which a model takes a text and nothing else. */
function soleText({ features, inputs }: Signature): string | undefined {
  if (features !== undefined) return features.length === 1 && features[0]!.spec.type === 'string' ? features[0]!.spec.name : undefined
  const [only] = inputs
  return inputs.length === 1 && only?.datatype === 'BYTES' ? only.name : undefined
}

function looksLikeJson(bytes: Buffer): boolean {
  return /^[\s\ufeff]*[[{"]/.test(bytes.toString('utf8', 0, 64))
}

function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new SlipwayError('SLW_BAD_REQUEST', 'the body is not UTF-8, and the model takes a text')
  }
}

export interface TorchServeAnswer {
  readonly signature: Signature
  readonly outputs: readonly Tensor[]
  readonly asked: readonly Tensor[]
  readonly rows: number
  readonly many: boolean
}

/** Classes in the answer of TorchServe's handler of pictures. */
const CLASSES_OF_PICTURES = 5

/**
 * What TorchServe's own handlers answer: of a classification the classes with their probabilities, the likeliest first; else what was
 * predicted. A list where a list was sent.
 */
export function writeTorchServe({ signature, outputs, asked, rows, many }: TorchServeAnswer): string {
  const answers = decodeAnswers(signature, outputs, asked, rows).map((answer) =>
    answer['probabilities'] === undefined
      ? toJson(answer['prediction'])
      : classesOf(answer['probabilities'] as Readonly<Record<string, number>>, signature),
  )
  return many ? `[${answers.join(',')}]` : (answers[0] ?? 'null')
}

/** The order is that of the text, which objects do not keep for labels that look like numbers. */
function classesOf(probabilities: Readonly<Record<string, number>>, { image, answer }: Signature): string {
  const most = image === undefined || (answer.task === 'classification' && answer.topK !== undefined) ? Infinity : CLASSES_OF_PICTURES
  const classes = Object.entries(probabilities)
    .toSorted(([, one], [, other]) => other - one)
    .slice(0, most)
  return `{${classes.map(([label, probability]) => `${JSON.stringify(label)}:${toJson(probability)}`).join(',')}}`
}
