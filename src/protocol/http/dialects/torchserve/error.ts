import type { ErrorCode, SlipwayError } from '../../../../core/errors.ts'
import type { ErrorAnswer } from '../../error-form.ts'

/** Status and type of the errors that TorchServe names in another way than by their status. */
const NAMED: Partial<Readonly<Record<ErrorCode, readonly [status: number, type: string]>>> = {
  SLW_MODEL_NOT_FOUND: [404, 'ModelNotFoundException'],
  SLW_PATH_NOT_FOUND: [404, 'ModelNotFoundException'],
  SLW_PATH_REFUSED: [404, 'ModelNotFoundException'],
  // The address knows which versions there are.
  SLW_NOT_FOUND: [404, 'ModelVersionNotFoundException'],
  SLW_MODEL_INVALID: [400, 'InvalidModelException'],
  SLW_MODEL_UNSAFE: [400, 'InvalidModelException'],
  SLW_MODEL_UNSUPPORTED: [400, 'InvalidModelException'],
  SLW_PACKAGE_INVALID: [400, 'InvalidModelException'],
  SLW_GOLDEN_FAILED: [400, 'InvalidModelException'],
  SLW_LOAD_FAILED: [400, 'InvalidModelException'],
  // A worker that does not answer is ended there.
  SLW_RUN_TIMEOUT: [500, 'InternalServerException'],
  SLW_DEADLINE_EXCEEDED: [408, 'RequestTimeoutException'],
}

const BY_STATUS: Readonly<Record<number, string>> = {
  400: 'BadRequestException',
  401: 'InvalidKeyException',
  403: 'InvalidKeyException',
  404: 'ResourceNotFoundException',
  405: 'MethodNotAllowedException',
  408: 'RequestTimeoutException',
  409: 'ConflictStatusException',
  501: 'NotImplementedException',
  503: 'ServiceUnavailableException',
}

/** `{"code", "type", "message"}` with TorchServe's types: names of exceptions of its frontend. */
export function torchServeError(error: SlipwayError): ErrorAnswer {
  const { http } = error.kind
  const [status, type] = NAMED[error.code] ?? [http, BY_STATUS[http] ?? (http < 500 ? 'BadRequestException' : 'InternalServerException')]
  return { status, type: 'application/json', body: JSON.stringify({ code: status, type, message: error.message }) }
}
