import { createHash } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import type { Scope } from './scope.ts'

/** ETag of an object without a resource version: the same fields have the same one. @param fields that a change of the object changes */
export function etagOf(fields: object): string {
  const entries = Object.entries(fields).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha256').update(JSON.stringify(entries)).digest('hex').slice(0, 16)
}

/** @param etag of the object as it is in the transaction that changes it. @throws SLW_PRECONDITION_FAILED where the caller has seen another one */
export function requireSeen({ seen }: Pick<Scope, 'seen'>, what: string, etag: string): void {
  if (seen !== undefined && seen !== etag)
    throw new SlipwayError('SLW_PRECONDITION_FAILED', `${what} has changed: its ETag is "${etag}" now`)
}
