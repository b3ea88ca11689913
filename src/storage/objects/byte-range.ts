import { SlipwayError } from '../../core/errors.ts'
import type { ByteRange } from './object-store.ts'

/**
 * The range with its length, in an object of `size` bytes.
 * @param what the object in words, for the message
 * @throws SLW_RANGE_INVALID where the object has not all of its bytes
 */
export function resolveRange(range: ByteRange | undefined, size: number, what: string): Required<ByteRange> {
  const { offset, length } = checkRange(range, what)
  const resolved = { offset, length: length ?? size - offset }
  if (resolved.length < 0 || offset + resolved.length > size) {
    const asked = length === undefined ? `from ${offset} on` : `${offset} to ${offset + length - 1}`
    throw new SlipwayError('SLW_RANGE_INVALID', `${what} has ${size} bytes, and bytes ${asked} were asked for`)
  }
  return resolved
}

/** Checks a range as far as that is possible before the size is known. */
export function checkRange(range: ByteRange | undefined, what: string): ByteRange {
  const { offset, length = 0 } = range ?? { offset: 0 }
  if (Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(offset + length) && length >= 0) return range ?? { offset }
  throw new SlipwayError('SLW_RANGE_INVALID', `${what}: offset ${offset} and length ${length} are no range; expected whole numbers from 0`)
}
