import { faultPoint } from '../core/fail-point.ts'
import { record } from '../ledger/events.ts'
import type { Kysely, Selectable } from 'kysely'
import type { EndpointSpec } from '../contract/endpoint.ts'
import type { Scope, Write } from '../ledger/scope.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { EndpointsRow, RevisionsRow } from './tables.ts'
import type { ResolvedVariant } from './resolve.ts'

/** Reason for which a revision was made. */
export type Cause = 'apply' | 'alias' | 'sync' | 'cron' | 'rollback' | 'resume' | 'rollout'

/** A numbered snapshot of an endpoint: the spec as written, and the versions that it resolved to. */
export interface Revision {
  readonly number: number
  readonly generation: number
  readonly cause: Cause
  readonly spec: EndpointSpec
  readonly variants: readonly ResolvedVariant[]
  /** Of a rollback: the revision that it returned to. */
  readonly rolledBackTo: number | undefined
  readonly createdBy: string
  readonly reason: string | undefined
  readonly createdAt: number
}

/** Number of the latest revisions whose versions are kept, so that a rollback to them is possible. */
export const KEPT_REVISIONS = 10

export function toRevision(row: Selectable<RevisionsRow>): Revision {
  return {
    number: row.number,
    generation: row.generation,
    cause: row.cause as Cause,
    spec: JSON.parse(row.spec) as EndpointSpec,
    variants: JSON.parse(row.resolved) as ResolvedVariant[],
    rolledBackTo: row.rolled_back_to ?? undefined,
    createdBy: row.created_by,
    reason: row.reason ?? undefined,
    createdAt: row.created_at,
  }
}

export async function revisionOf(read: Kysely<Schema>, endpointId: string, number: number): Promise<Revision | undefined> {
  const row = await read
    .selectFrom('revisions')
    .selectAll()
    .where('endpoint_id', '=', endpointId)
    .where('number', '=', number)
    .executeTakeFirst()
  return row === undefined ? undefined : toRevision(row)
}

export interface NewRevision {
  readonly endpoint: Selectable<EndpointsRow>
  readonly spec: EndpointSpec
  readonly variants: readonly ResolvedVariant[]
  readonly cause: Cause
  readonly at: number
  readonly newId: () => string
  readonly rolledBackTo?: number | undefined
}

/** Stores a revision, which is not yet in force. The endpoint's row must be locked. @returns the number of the revision */
export async function makeRevision(
  write: Write,
  scope: Scope,
  { endpoint, spec, variants, cause, at, rolledBackTo }: NewRevision,
): Promise<number> {
  const { newest } = await write
    .selectFrom('revisions')
    .select((columns) => columns.fn.max('number').as('newest'))
    .where('endpoint_id', '=', endpoint.id)
    .executeTakeFirstOrThrow()
  const number = ((newest as number | null) ?? 0) + 1
  await write
    .insertInto('revisions')
    .values({
      endpoint_id: endpoint.id,
      number,
      spec: JSON.stringify(spec),
      resolved: JSON.stringify(variants),
      created_by: scope.actor,
      reason: scope.reason ?? null,
      created_at: at,
      cause,
      generation: endpoint.generation,
      rolled_back_to: rolledBackTo ?? null,
    })
    .execute()
  await faultPoint('revision.added')
  await write
    .insertInto('revision_versions')
    .values(variants.map(({ name, versionId }) => ({ endpoint_id: endpoint.id, number, variant: name, version_id: versionId })))
    .execute()
  return number
}

/** The variants of a revision as events describe them. */
export function summaryOf(variants: readonly ResolvedVariant[]): Record<string, string> {
  return Object.fromEntries(
    variants.map(({ name, model, version, weight }) => [name, `${model}/${version}${weight === 100 ? '' : ` ${weight}%`}`]),
  )
}

/** Records the event of a new revision, in the transaction that made it. */
export async function recordRevision(
  write: Write,
  scope: Scope,
  { name, number, before, after }: { name: string; number: number; before: Revision | undefined; after: NewRevision },
): Promise<void> {
  await record(write, scope, after.at, {
    kind: 'endpoint',
    name,
    action: before === undefined ? 'created' : 'updated',
    ...(before !== undefined && { before: { revision: before.number, variants: summaryOf(before.variants) } }),
    after: {
      revision: number,
      cause: after.cause,
      ...(after.rolledBackTo !== undefined && { rolledBackTo: after.rolledBackTo }),
      variants: summaryOf(after.variants),
    },
  })
}

/** Models of which any revision has served a version. */
export async function everServed(read: Kysely<Schema>, endpointId: string): Promise<string[]> {
  const rows = await read.selectFrom('revisions').select('resolved').distinct().where('endpoint_id', '=', endpointId).execute()
  return [...new Set(rows.flatMap(({ resolved }) => (JSON.parse(resolved) as ResolvedVariant[]).map(({ model }) => model)))]
}
