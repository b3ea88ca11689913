import { SlipwayError } from '../../core/errors.ts'
import { encodeRequest } from '../../signature/request.ts'
import { imageRowShape } from '../../signature/signature.ts'
import { elementCount } from '../../tensor/tensor.ts'
import type { Encoded } from '../../signature/encode.ts'
import type { PeopleRequest } from '../../signature/request.ts'
import type { Signature } from '../../signature/signature.ts'
import type { RequestLimits } from '../limits.ts'

/** Rows as tensors, within the limits of one request. @throws SLW_LIMIT_EXCEEDED, SLW_INPUT_INVALID */
export async function encodeWithin(limits: RequestLimits, signature: Signature, people: PeopleRequest): Promise<Encoded> {
  const count = people.pictures?.length ?? people.rows.length
  if (count > limits.rows) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the request has ${count} rows, limits.rows is ${limits.rows}`)
  const elements = count * elementsPerRow(signature)
  if (elements > limits.elements)
    throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${count} rows make ${elements} elements, limits.elements is ${limits.elements}`)
  return await encodeRequest(signature, people)
}

/** Elements of a row as a tensor, which can be far larger than the row as text: pictures, one-hot columns. */
function elementsPerRow({ image, features }: Signature): number {
  if (image !== undefined) return elementCount(imageRowShape(image))
  return features?.reduce((sum, feature) => sum + feature.width, 0) ?? 1
}
