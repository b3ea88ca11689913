import { modelReference } from '../contract/endpoint.ts'
import type { Kysely } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { Endpoint } from './read-endpoints.ts'
import type { ReportOf } from './servers.ts'

/** What is true of an endpoint, in the shape that Kubernetes has for it. */
export interface Condition {
  readonly type: 'Ready' | 'Following'
  readonly status: 'True' | 'False' | 'Unknown'
  /** One word, for programs. */
  readonly reason: string
  readonly message: string
}

export function conditionsOf(endpoint: Endpoint, reports: readonly ReportOf[], missing: readonly string[]): Condition[] {
  return [ready(endpoint, reports), following(endpoint, missing)]
}

/** Makes conditions of one type. */
function conditions(type: Condition['type']): (status: Condition['status'], reason: string, message: string) => Condition {
  return (status, reason, message) => ({ type, status, reason, message })
}

function ready({ revision }: Endpoint, reports: readonly ReportOf[]): Condition {
  const condition = conditions('Ready')
  const live = reports.filter((report) => report.live)
  if (live.length === 0)
    return reports.length === 0
      ? condition('Unknown', 'NoServer', 'no server follows it yet')
      : condition('Unknown', 'ServersSilent', `none of the ${reports.length} servers that followed it has been heard of lately`)
  const wanted = new Map(revision.variants.map(({ name, digest }) => [name, digest]))
  const serves = (report: ReportOf): boolean =>
    report.revision === revision.number &&
    [...wanted].every(([variant, digest]) => report.versions.some((one) => one.variant === variant && one.digest === digest && one.serves))
  const done = live.filter(serves)
  if (done.length === live.length)
    return condition('True', 'Served', `${live.length} of ${live.length} servers serve revision ${revision.number}`)
  const failed = live
    .flatMap(({ server, versions }) => versions.map((version) => ({ server, ...version })))
    .find(({ variant, digest, state }) => state === 'failed' && wanted.get(variant) === digest)
  const counted = `${done.length} of ${live.length} servers serve revision ${revision.number}`
  if (failed !== undefined) return condition('False', 'LoadFailed', `${counted}; ${failed.server}: ${failed.reason ?? 'failed'}`)
  return condition('False', 'Progressing', counted)
}

function following(
  { suspended, heldBack, spec: { follow = 'notification', variants }, name }: Endpoint,
  missing: readonly string[],
): Condition {
  const condition = conditions('Following')
  if (suspended !== undefined)
    return condition(
      'False',
      'Suspended',
      `rolled back to revision ${suspended.revision} by ${suspended.by}; to follow again: slipway endpoint resume ${name}`,
    )
  if (heldBack !== undefined) return condition('False', 'HeldBack', heldBack.message)
  if (variants.every(({ model }) => 'version' in modelReference(model)))
    return condition('False', 'Fixed', 'it names versions, not aliases')
  if (missing.length > 0) return condition('False', 'AliasMissing', `${missing.join(', ')} is not set`)
  if (follow === 'manual') return condition('True', 'Manual', `when somebody asks: slipway endpoint sync ${name}`)
  return typeof follow === 'string'
    ? condition('True', 'Notification', 'as soon as an alias moves')
    : condition('True', 'Cron', `at ${follow.cron} (${follow.timeZone ?? 'UTC'})`)
}

/** Which aliases that an endpoint follows are not set. */
export async function missingAliases(read: Kysely<Schema>, environment: string): Promise<Map<string, string[]>> {
  const rows = await read
    .selectFrom('endpoint_aliases')
    .innerJoin('endpoints', 'endpoints.id', 'endpoint_aliases.endpoint_id')
    .leftJoin('models', (join) =>
      join
        .onRef('models.environment', '=', 'endpoints.environment')
        .onRef('models.name', '=', 'endpoint_aliases.model')
        .on('models.deleted_at', 'is', null),
    )
    .leftJoin('aliases', (join) => join.onRef('aliases.model_id', '=', 'models.id').onRef('aliases.alias', '=', 'endpoint_aliases.alias'))
    .select(['endpoint_id', 'endpoint_aliases.model', 'endpoint_aliases.alias'])
    .where('endpoints.environment', '=', environment)
    .where('aliases.version_id', 'is', null)
    .execute()
  const byEndpoint = Map.groupBy(rows, (row) => row.endpoint_id)
  return new Map([...byEndpoint].map(([id, some]) => [id, some.map(({ model, alias }) => `${model}@${alias}`)]))
}
