import { SlipwayError } from '../../core/errors.ts'
import type { UploadedPart } from './object-store.ts'

/** Limit of S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const PARTS_MAX = 10_000

/** @throws SLW_INPUT_INVALID for a number that no part can have */
export function checkPartNumber(partNumber: number): void {
  if (Number.isInteger(partNumber) && partNumber >= 1 && partNumber <= PARTS_MAX) return
  throw new SlipwayError('SLW_INPUT_INVALID', `${partNumber} is no number of a part: expected 1 to ${PARTS_MAX}`)
}

/**
 * Sorts parts by their numbers.
 * @throws SLW_INPUT_INVALID unless they are 1, 2, 3 and so on: a forgotten part would be missing in the middle of the object
 */
export function partsInOrder(parts: readonly UploadedPart[]): readonly UploadedPart[] {
  if (parts.length === 0)
    throw new SlipwayError('SLW_INPUT_INVALID', 'an upload without parts cannot be completed: expected at least part 1')
  const ordered = parts.toSorted((one, other) => one.partNumber - other.partNumber)
  for (const [index, { partNumber }] of ordered.entries()) {
    checkPartNumber(partNumber)
    if (partNumber !== index + 1)
      throw new SlipwayError(
        'SLW_INPUT_INVALID',
        `parts are numbered 1 to ${parts.length} without gaps: expected part ${index + 1}, got ${partNumber}`,
      )
  }
  return ordered
}
