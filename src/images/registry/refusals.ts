import { SlipwayError } from '../../core/errors.ts'
import type { ErrorCode } from '../../core/errors.ts'

/** One of the errors in the body of an answer (distribution-spec 1.1.1, "Error Codes"). */
interface RegistryError {
  readonly code?: unknown
  readonly message?: unknown
}

/** What is thrown for each code of the specification, and what to do. */
const CODES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  UNAUTHORIZED: [
    'SLW_UNAUTHENTICATED',
    'it wants to know who asks; give --username and --password-stdin, or sign in with docker login or podman login',
  ],
  DENIED: ['SLW_FORBIDDEN', 'these credentials may not do that here; ask who runs the registry for the right, or look at the name'],
  NAME_UNKNOWN: ['SLW_NOT_FOUND', 'it knows no repository of that name; some registries (ECR) want it to be created before the first push'],
  NAME_INVALID: ['SLW_INPUT_INVALID', 'it allows no repository of that name'],
  MANIFEST_UNKNOWN: ['SLW_NOT_FOUND', 'it has no image of that tag or digest'],
  MANIFEST_INVALID: ['SLW_ANSWER_INVALID', 'it does not take that manifest: it may know no images of OCI, or not this kind'],
  MANIFEST_BLOB_UNKNOWN: ['SLW_ANSWER_INVALID', 'it has not the blobs that the manifest names: push again'],
  MANIFEST_UNVERIFIED: ['SLW_FORBIDDEN', 'it takes only images that are signed'],
  BLOB_UNKNOWN: ['SLW_NOT_FOUND', 'it has no blob of that digest: part of the image is gone'],
  BLOB_UPLOAD_UNKNOWN: ['SLW_UNREACHABLE', 'it has forgotten the upload: push again'],
  BLOB_UPLOAD_INVALID: ['SLW_UNREACHABLE', 'it cannot go on with the upload: push again'],
  DIGEST_INVALID: ['SLW_STORE_CORRUPT', 'it got other bytes than were sent: push again'],
  SIZE_INVALID: ['SLW_STORE_CORRUPT', 'it got another number of bytes than was sent: push again'],
  UNSUPPORTED: ['SLW_NOT_IMPLEMENTED', 'it does not do that'],
  TOOMANYREQUESTS: ['SLW_RATE_LIMITED', 'it is asked too often: try later, or with credentials'],
}

/** For answers without a code. */
const STATUSES: Readonly<Record<number, keyof typeof CODES>> = {
  401: 'UNAUTHORIZED',
  403: 'DENIED',
  405: 'UNSUPPORTED',
  429: 'TOOMANYREQUESTS',
}

const TOO_LARGE =
  'it, or a proxy before it, takes no body of that size: raise the limit there, or send less at once with --chunk-size 32MiB'
const TEXT_MAX = 300

/**
 * The error for an answer that is not the expected one.
 * @param what that was asked: `push the image`. @param body as far as it was read
 */
export function refusal(host: string, what: string, { status, body }: { readonly status: number; readonly body: string }): SlipwayError {
  const [first] = errorsIn(body)
  const given = typeof first?.code === 'string' ? first.code : undefined
  const said = typeof first?.message === 'string' ? first.message.slice(0, TEXT_MAX) : ''
  const words = [given, said].filter((text) => text !== undefined && text !== '').join(': ')
  const answered = `the registry ${host} refused to ${what} (HTTP ${status}${words === '' ? '' : `, ${words}`})`
  if (status === 413) return new SlipwayError('SLW_BODY_TOO_LARGE', `${answered}: ${TOO_LARGE}`)
  const known = CODES[given ?? ''] ?? CODES[STATUSES[status] ?? '']
  if (known !== undefined) return new SlipwayError(known[0], `${answered}: ${known[1]}`)
  if (status === 404) return new SlipwayError('SLW_NOT_FOUND', `${answered}: it has nothing of that name`)
  if (status >= 500) return new SlipwayError('SLW_UNREACHABLE', `${answered}: it failed, also when it was asked again; look at its log`)
  return new SlipwayError('SLW_ANSWER_INVALID', `${answered}: expected is a registry of the distribution specification 1.1`)
}

function errorsIn(body: string): readonly RegistryError[] {
  try {
    const { errors } = JSON.parse(body) as { readonly errors?: unknown }
    return Array.isArray(errors) ? errors.filter((error) => typeof error === 'object' && error !== null) : []
  } catch {
    return []
  }
}
