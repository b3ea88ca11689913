import { SlipwayError } from '../../core/errors.ts'
import type { Scope } from '../../ledger/scope.ts'
import type { V1Call } from './route.ts'

/** The scope of a call, with the version of the object in If-Match. @throws SLW_PRECONDITION_FAILED for an invalid ETag */
export function seenFields({ scope, ifMatch }: Pick<V1Call<unknown>, 'scope' | 'ifMatch'>): Scope {
  return ifMatch === undefined ? scope : { ...scope, seen: ifMatch }
}

export function seen({ scope, ifMatch }: Pick<V1Call<unknown>, 'scope' | 'ifMatch'>): Scope {
  if (ifMatch === undefined) return scope
  if (!/^\d{1,15}$/.test(ifMatch)) throw new SlipwayError('SLW_PRECONDITION_FAILED', `If-Match: "${ifMatch}" is no ETag of this object`)
  return { ...scope, resourceVersion: Number(ifMatch) }
}
