import { SlipwayError } from '../../core/errors.ts'
import { imageRowShape } from '../../signature/signature.ts'
import { elementCount } from '../../tensor/tensor.ts'
import type { Signature } from '../../signature/signature.ts'
import type { RequestLimits } from '../limits.ts'

/** @throws SLW_LIMIT_EXCEEDED for more rows than a request may have */
export function requireRowsMax(rows: number, limits: RequestLimits): void {
  if (rows > limits.rows) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the request has ${rows} rows, limits.rows is ${limits.rows}`)
}

/** Checks people's rows before tensors are made of them. @throws SLW_LIMIT_EXCEEDED */
export function requirePeopleMax(rows: number, signature: Signature, limits: RequestLimits): void {
  requireRowsMax(rows, limits)
  // What a text is as tokens is known once it has been read.
  const elements = signature.text === undefined ? rows * elementsPerRow(signature) : rows
  if (elements > limits.elements)
    throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${rows} rows make ${elements} elements, limits.elements is ${limits.elements}`)
}

/** Elements of a row as a tensor, which can be far larger than the row as text: pictures, one-hot columns. */
function elementsPerRow({ image, features }: Signature): number {
  if (image !== undefined) return elementCount(imageRowShape(image))
  return features?.reduce((sum, feature) => sum + feature.width, 0) ?? 1
}
