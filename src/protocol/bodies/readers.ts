/** Readers make tensors of bodies. They are pure, so that large bodies can be read in another thread. */
import { SlipwayError } from '../../core/errors.ts'
import { isForm, readForm } from '../../signature/form.ts'
import { encodeRequest, readRequest } from '../../signature/request.ts'
import { imageRowShape } from '../../signature/signature.ts'
import { checkTensors } from '../../signature/tensors.ts'
import { elementCount } from '../../tensor/tensor.ts'
import { readV2Request } from '../v2/request.ts'
import type { Encoded } from '../../signature/encode.ts'
import type { Signature } from '../../signature/signature.ts'
import type { RequestLimits } from '../limits.ts'
import type { V2Request } from '../v2/request.ts'

/** All that a reader needs. */
export interface Reading {
  readonly body: Buffer
  /** The header that says how the body is to be read. */
  readonly header: string | undefined
  readonly signature: Signature
  readonly limits: RequestLimits
}

/** A body of people's rows, as tensors. */
export interface PeopleRead extends Encoded {
  /** Whether a list was sent, so that a list is answered. */
  readonly many: boolean
}

/** A body of protocol V2, as tensors, and what the answer needs of it. */
export interface V2Read extends Encoded {
  readonly asked: Omit<V2Request, 'inputs'>
}

/** @throws SLW_UNSUPPORTED_MEDIA_TYPE, SLW_BAD_REQUEST, SLW_INPUT_INVALID, SLW_LIMIT_EXCEEDED */
async function readPeople({ body, header: type, signature, limits }: Reading): Promise<PeopleRead> {
  const people =
    type !== undefined && isForm(type) ? await readForm(body, type, signature) : readRequest(body, type, signature, limits.rows)
  const count = people.pictures?.length ?? people.rows.length
  if (count > limits.rows) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the request has ${count} rows, limits.rows is ${limits.rows}`)
  const elements = signature.text === undefined ? count * elementsPerRow(signature) : count
  if (elements > limits.elements)
    throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${count} rows make ${elements} elements, limits.elements is ${limits.elements}`)
  return { ...(await encodeRequest(signature, people, limits.elements)), many: people.many }
}

/** Elements of a row as a tensor, which can be far larger than the row as text: pictures, one-hot columns. */
function elementsPerRow({ image, features }: Signature): number {
  if (image !== undefined) return elementCount(imageRowShape(image))
  return features?.reduce((sum, feature) => sum + feature.width, 0) ?? 1
}

/** @throws SLW_BAD_REQUEST, SLW_INPUT_INVALID, SLW_LIMIT_EXCEEDED */
function readV2({ body, header: headerLength, signature, limits }: Reading): V2Read {
  const { inputs: given, ...asked } = readV2Request(body, headerLength, limits, signature.inputs)
  const { inputs, rows, warnings } = checkTensors(signature, given)
  if (rows > limits.rows) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the request has ${rows} rows, limits.rows is ${limits.rows}`)
  return { inputs, rows, warnings, asked }
}

export const READERS = { people: readPeople, v2: readV2 }
export type Readers = typeof READERS
export type ReaderName = keyof Readers
/** What a reader makes of a body. */
export type ReadBy<Name extends ReaderName> = Awaited<ReturnType<Readers[Name]>>
