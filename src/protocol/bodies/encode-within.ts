import { encodeRequest } from '../../signature/request.ts'
import { requirePeopleMax } from './row-limits.ts'
import type { Encoded } from '../../signature/encode.ts'
import type { PeopleRequest } from '../../signature/request.ts'
import type { Signature } from '../../signature/signature.ts'
import type { RequestLimits } from '../limits.ts'

/** Rows as tensors, within the limits of one request. @throws SLW_LIMIT_EXCEEDED, SLW_INPUT_INVALID */
export async function encodeWithin(limits: RequestLimits, signature: Signature, people: PeopleRequest): Promise<Encoded> {
  requirePeopleMax(people.pictures?.length ?? people.rows.length, signature, limits)
  return await encodeRequest(signature, people, limits.elements)
}
