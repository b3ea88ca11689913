import { modelReference, resolveSpec } from '../contract/endpoint.ts'
import { conditions } from './condition.ts'
import { targetOf } from './targets.ts'
import type { Kysely } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { Condition } from './condition.ts'
import type { DeclaredEndpoint } from './read-endpoints.ts'
import type { ReportOf } from './servers.ts'

export function conditionsOf(endpoint: DeclaredEndpoint, reports: readonly ReportOf[], missing: readonly string[]): Condition[] {
  const target = targetOf(resolveSpec(endpoint.spec).target)!
  return [target.status(endpoint, reports), following(endpoint, missing)]
}

function following(
  { suspended, heldBack, spec: { follow = 'notification', variants }, name }: DeclaredEndpoint,
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

/** Aliases that endpoints follow and that are not set, by the endpoint's id. */
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
