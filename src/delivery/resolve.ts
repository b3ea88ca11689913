import { compareSignatures } from '../contract/compatibility.ts'
import { modelReference } from '../contract/endpoint.ts'
import { SlipwayError } from '../core/errors.ts'
import { requireModel } from '../models/models.ts'
import { ALLOW_BREAKING_TAG, mayBreak, servingFailures, signatureOf, whyNotServable } from '../models/policies.ts'
import { requireVersion } from '../models/read-versions.ts'
import type { Kysely, Selectable } from 'kysely'
import type { ResolvedSpec, VariantTraffic } from '../contract/endpoint.ts'
import type { ServingOptions } from '../contract/serving-options.ts'
import type { Issue } from '../core/errors.ts'
import type { Scope, Write } from '../ledger/scope.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { ModelsRow, VersionsRow } from '../models/tables.ts'

/** A variant as resolved when a revision was made: stored with the revision, and sent to servers. */
export interface ResolvedVariant extends VariantTraffic {
  readonly name: string
  /** The reference as it was written: `churn@champion`. */
  readonly reference: string
  readonly model: string
  readonly version: number
  readonly versionId: string
  /** Digest of the files. */
  readonly digest: string
  readonly size: number
  /** Percent of the traffic, as declared. */
  readonly weight: number
  readonly serving: ServingOptions
}

/** Locks models, and with them their aliases, until the transaction ends; in a fixed order, so that no deadlock arises. */
export async function lockModels(write: Write, scope: Scope, models: readonly string[]): Promise<void> {
  for (const name of [...new Set(models)].toSorted())
    await write
      .updateTable('models')
      .set((columns) => ({ revision: columns.ref('revision') }))
      .where('environment', '=', scope.environment)
      .where('name', '=', name)
      .where('deleted_at', 'is', null)
      .execute()
}

/**
 * Resolves a spec to the versions that its references mean now. Their models must be locked.
 * @param held variants that keep their version if their reference is still the same
 * @throws SLW_NOT_FOUND for a missing model, alias or version; SLW_CONFLICT for a version whose files are not in this registry
 */
export async function resolveVariants(
  write: Write,
  scope: Scope,
  { variants }: ResolvedSpec,
  held: readonly ResolvedVariant[] = [],
): Promise<ResolvedVariant[]> {
  const resolved: ResolvedVariant[] = []
  for (const { name, model: reference, weight, serving, ...traffic } of variants) {
    const kept = held.find((other) => other.name === name && other.reference === reference)
    if (kept !== undefined) {
      const { shadow: _shadow, match: _match, fallback: _fallback, ...version } = kept
      resolved.push({ ...version, weight, serving, ...traffic })
      continue
    }
    const { row, version } = await versionOf(write, scope, reference)
    const { digest, size } = version
    if (digest === null || size === null)
      throw new SlipwayError(
        'SLW_CONFLICT',
        `the files of ${row.name}/${version.number} are not with this registry, so nobody can serve it`,
      )
    resolved.push({
      name,
      reference,
      model: row.name,
      version: version.number,
      versionId: version.id,
      digest,
      size,
      weight,
      serving,
      ...traffic,
    })
  }
  return resolved
}

async function versionOf(
  write: Write,
  scope: Scope,
  reference: string,
): Promise<{ row: Selectable<ModelsRow>; version: Selectable<VersionsRow> }> {
  const meant = modelReference(reference)
  const row = await requireModel(write, scope, meant.model)
  if ('version' in meant) {
    const version = await requireVersion(write, row, String(meant.version))
    // A deletion of the version waits for this transaction, and then finds it in use.
    await lockVersion(write, version.id)
    return { row, version: await requireVersion(write, row, String(meant.version)) }
  }
  const pointed = await aliasedVersion(write, row, meant.alias)
  await lockVersion(write, pointed.id)
  return { row, version: pointed }
}

/** The version that an alias points to. @throws SLW_NOT_FOUND with the command that sets it */
export async function aliasedVersion(read: Kysely<Schema>, model: Selectable<ModelsRow>, alias: string): Promise<Selectable<VersionsRow>> {
  const version = await read
    .selectFrom('aliases')
    .innerJoin('versions', 'versions.id', 'aliases.version_id')
    .selectAll('versions')
    .where('aliases.model_id', '=', model.id)
    .where('alias', '=', alias)
    .executeTakeFirst()
  if (version !== undefined) return version
  throw new SlipwayError(
    'SLW_NOT_FOUND',
    `model "${model.name}" has no alias "${alias}"; set it with: slipway alias set ${model.name}@${alias} NUMBER`,
  )
}

async function lockVersion(write: Write, id: string): Promise<void> {
  await write
    .updateTable('versions')
    .set((columns) => ({ revision: columns.ref('revision') }))
    .where('id', '=', id)
    .execute()
}

/** @throws SLW_CONFLICT for a version that lies in the trash or is gone */
export async function requireThere(
  write: Write,
  { number, variants }: { readonly number: number; readonly variants: readonly ResolvedVariant[] },
): Promise<void> {
  for (const { versionId, model, version } of variants) {
    // Both rows are locked: a deletion of the version or its model waits, and then finds it in use.
    const owner = await write
      .updateTable('models')
      .set((columns) => ({ revision: columns.ref('revision') }))
      .where('id', '=', (query) => query.selectFrom('versions').select('model_id').where('versions.id', '=', versionId))
      .where('deleted_at', 'is', null)
      .returning('id')
      .executeTakeFirst()
    const row = await write
      .updateTable('versions')
      .set((columns) => ({ revision: columns.ref('revision') }))
      .where('id', '=', versionId)
      .where('deleted_at', 'is', null)
      .returning('id')
      .executeTakeFirst()
    if (owner === undefined)
      throw new SlipwayError('SLW_CONFLICT', `revision ${number} served ${model}/${version}, and model "${model}" was deleted`)
    if (row === undefined)
      throw new SlipwayError(
        'SLW_CONFLICT',
        `revision ${number} served ${model}/${version}, which was deleted; while it lies in the trash: slipway model restore ${model}/${version}`,
      )
  }
}

export interface Judgement {
  readonly before: readonly ResolvedVariant[]
  readonly after: readonly ResolvedVariant[]
  readonly allowBreaking: boolean
}

/**
 * Checks whether versions may replace those before: they can be served, have the approvals and signatures that policies ask for, and do not
 * break clients.
 * @throws SLW_POLICY_REFUSED, SLW_CONTRACT_BREAKING, each with everything that stands in the way and the command that would allow it
 */
export async function judge(read: Kysely<Schema>, { environment }: Scope, { before, after, allowBreaking }: Judgement): Promise<void> {
  const refused: Issue[] = []
  const breaking: Issue[] = []
  for (const [index, variant] of after.entries()) {
    const path = `spec.variants[${index}]`
    // Clients of the endpoint may get any of its variants: one that is new has to do what the first of those before did, or the first beside it.
    const earlier = before.find(({ name }) => name === variant.name) ?? before[0] ?? (index === 0 ? undefined : after[0])
    if (earlier?.versionId === variant.versionId) continue
    const name = `${variant.model}/${variant.version}`
    const version = await read.selectFrom('versions').selectAll().where('id', '=', variant.versionId).executeTakeFirstOrThrow()
    const model = await read.selectFrom('models').selectAll().where('id', '=', version.model_id).executeTakeFirstOrThrow()
    const reason = whyNotServable(model, version)
    if (reason !== undefined) refused.push({ path, message: `${name} cannot be served: ${reason}` })
    for (const message of await servingFailures(read, model, version)) refused.push({ path, message })
    if (earlier === undefined || allowBreaking || (await mayBreak(read, version.id))) continue
    const served = await read.selectFrom('versions').select('signature').where('id', '=', earlier.versionId).executeTakeFirst()
    if (served === undefined) continue
    const { changes } = compareSignatures(signatureOf(served), signatureOf(version))
    for (const { effect, message } of changes)
      if (effect === 'breaking')
        breaking.push({
          path,
          message: `${name} ${earlier.name === variant.name ? 'after' : 'beside'} ${earlier.model}/${earlier.version}: ${message}`,
        })
  }
  const list = (issues: readonly Issue[]): string => issues.map(({ message }) => message).join('; ')
  if (refused.length > 0)
    throw new SlipwayError('SLW_POLICY_REFUSED', `not served in "${environment}": ${list(refused)}`, { issues: refused })
  if (breaking.length > 0)
    throw new SlipwayError(
      'SLW_CONTRACT_BREAKING',
      `clients of the endpoint would not be understood any more: ${list(breaking)}. To do it all the same: --allow-breaking, or set the tag ${ALLOW_BREAKING_TAG} of the version to true`,
      { issues: breaking },
    )
}
