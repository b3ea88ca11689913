import { SlipwayError } from '../../../core/errors.ts'
import { checkTensors } from '../../../signature/tensors.ts'
import { tensorsOf } from './tensor-contents.ts'
import type { Encoded } from '../../../signature/encode.ts'
import type { Signature } from '../../../signature/signature.ts'
import type { RequestLimits } from '../../limits.ts'
import type { GivenRequest } from './infer-request.ts'

/** The tensors of a request, checked. @throws SLW_BAD_REQUEST, SLW_INPUT_INVALID, SLW_LIMIT_EXCEEDED */
export function encodedOf(request: Pick<GivenRequest, 'inputs' | 'raw'>, signature: Signature, limits: RequestLimits): Encoded {
  const { inputs, rows, warnings } = checkTensors(signature, tensorsOf(request, limits))
  if (rows > limits.rows) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the request has ${rows} rows, limits.rows is ${limits.rows}`)
  return { inputs, rows, warnings }
}
