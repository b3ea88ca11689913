import { SlipwayError } from '../../core/errors.ts'
import { requireTreePath } from '../../files/file-trees.ts'

/** The offset of a page as an opaque token. */
export function tokenOf(offset: number): string {
  return Buffer.from(JSON.stringify({ offset })).toString('base64url')
}

/** @throws SLW_INPUT_INVALID for an invalid token */
export function offsetOf(token: string | undefined): number {
  if (token === undefined || token === '') return 0
  try {
    const { offset } = JSON.parse(Buffer.from(token, 'base64').toString('utf8')) as { offset: unknown }
    if (typeof offset === 'number' && Number.isSafeInteger(offset) && offset >= 0) return offset
  } catch {
    // Reported below.
  }
  throw new SlipwayError(
    'SLW_INPUT_INVALID',
    `Invalid page token: ${JSON.stringify(token.slice(0, 100))}, expected one of an earlier answer`,
  )
}

/** A folder that is to be listed; '' is the root. @throws SLW_INPUT_INVALID */
export function listingPath(path: string | undefined): string {
  const clean = (path ?? '').replace(/\/+$/, '')
  return clean === '' || clean === '.' ? '' : requireTreePath(clean)
}
