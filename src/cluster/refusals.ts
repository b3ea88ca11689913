import { SlipwayError } from '../core/errors.ts'
import type { Issue } from '../core/errors.ts'

/** `Status` of the Kubernetes API: why a request was refused. */
export interface ApiStatus {
  readonly message?: string
  readonly reason?: string
  readonly details?: {
    readonly kind?: string
    readonly name?: string
    readonly causes?: readonly { readonly reason?: string; readonly message?: string; readonly field?: string }[]
  }
}

/** @param what was asked, such as `Deployment prod/churn-main` @param who asked to, as the cluster is known */
export function refusal(httpStatus: number, status: ApiStatus, what: string, where: string): SlipwayError {
  const message = status.message ?? `status ${httpStatus}`
  if (httpStatus === 401)
    return new SlipwayError('SLW_UNAUTHENTICATED', `${where} does not know the credentials of the kubeconfig (${message})`)
  if (httpStatus === 403) return forbidden(message, what)
  if (httpStatus === 409 && status.details?.causes?.some(({ reason }) => reason === 'FieldManagerConflict') === true)
    return conflict(status, what)
  if (httpStatus === 409) return new SlipwayError('SLW_CONFLICT', `${what}: ${message}`)
  if (httpStatus === 404) return notFound(message, what)
  if (httpStatus === 400 || httpStatus === 422 || /field not declared in schema|failed to create typed/.test(message))
    return invalid(status, message, what)
  return new SlipwayError('SLW_UNREACHABLE', `${where} failed (${httpStatus}) on ${what}: ${message}`)
}

function forbidden(message: string, what: string): SlipwayError {
  const [, user, verb, resource] =
    /User "([^"]+)" cannot (\w+) (resource "[^"]+"(?: in API group "[^"]*")?(?: in the namespace "[^"]*")?)/.exec(message) ?? []
  if (user === undefined) return new SlipwayError('SLW_CLUSTER_REFUSED', `${what}: ${message}`)
  return new SlipwayError('SLW_CLUSTER_FORBIDDEN', `${what}: the user "${user}" may not ${verb} ${resource}`)
}

function notFound(message: string, what: string): SlipwayError {
  const [, namespace] = /^namespaces "([^"]+)" not found/.exec(message) ?? []
  return new SlipwayError(
    'SLW_NOT_FOUND',
    namespace === undefined
      ? `${what}: ${message}`
      : `${what}: there is no namespace "${namespace}"; make it with: kubectl create namespace ${namespace}`,
  )
}

function conflict({ details }: ApiStatus, what: string): SlipwayError {
  const issues = (details?.causes ?? []).map(({ field = '', message = '' }): Issue => {
    const [, manager] = /conflict with "([^"]+)"/.exec(message) ?? []
    return { path: withoutDot(field), message: manager === undefined ? message : `belongs to "${manager}"` }
  })
  return listed('SLW_FIELD_CONFLICT', what, issues)
}

function invalid({ details }: ApiStatus, message: string, what: string): SlipwayError {
  const causes = (details?.causes ?? []).map(({ field = '', message: told = '' }): Issue => ({ path: withoutDot(field), message: told }))
  const issues = causes.length > 0 ? causes : unknownFields(message)
  return issues.length === 0 ? new SlipwayError('SLW_CLUSTER_REFUSED', `${what}: ${message}`) : listed('SLW_CLUSTER_REFUSED', what, issues)
}

/** What strict decoding and the schemas of server-side apply say, which name fields in their sentences alone. */
function unknownFields(message: string): Issue[] {
  const strict = message.matchAll(/unknown field "([^"]+)"/g)
  const typed = message.matchAll(/(?:^|[\s,;:[])(\.[^\s:]+): field not declared in schema/g)
  return [...strict, ...typed].map(([, path = '']) => ({ path: withoutDot(path), message: 'the API server knows no such field' }))
}

function listed(code: 'SLW_FIELD_CONFLICT' | 'SLW_CLUSTER_REFUSED', what: string, issues: readonly Issue[]): SlipwayError {
  const shown = issues.slice(0, 5).map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
  const rest = issues.length - shown.length
  return new SlipwayError(code, `${what}: ${shown.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`, { issues })
}

function withoutDot(path: string): string {
  return path.startsWith('.') ? path.slice(1) : path
}
