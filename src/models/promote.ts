import { SlipwayError, isSlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { moveAlias } from './aliases.ts'
import { record } from '../ledger/events.ts'
import { requireModel } from './models.ts'
import { ALLOW_BREAKING_TAG, asksForApproval } from './policies.ts'
import { requireVersion } from './read-versions.ts'
import { touch } from './touch.ts'
import { copyTree, filesBelow } from '../files/file-trees.ts'
import { liveVersion, nextVersion } from './versions.ts'
import type { Selectable } from 'kysely'
import type { VersionsRow } from './tables.ts'
import type { AliasRights } from './aliases.ts'
import type { Ground, Scope, Write } from '../ledger/scope.ts'
import type { Models } from './models.ts'
import type { Provenance } from './read-versions.ts'

export interface Promotion {
  readonly model: string
  readonly version: string
  /** The target environment. */
  readonly to: string
  /** Alias to set in the target environment. Default: none. */
  readonly alias?: string | undefined
  readonly allowBreaking?: boolean | undefined
  readonly rights: AliasRights
}

export interface Promoted {
  readonly version: number
  readonly created: boolean
}

/**
 * Promotes a version to another environment: as a version of the model of the same name there, with references to the same files; a live
 * version with the same files is reused. The alias is set in a transaction of its own, subject to the policies there: if they ask for the
 * approval of somebody else, the version exists and waits for it.
 * @throws SLW_NOT_FOUND; SLW_CONFLICT for files that are not in this registry; SLW_POLICY_REFUSED, SLW_CONTRACT_BREAKING as aliases.set
 */
export async function promote(ground: Ground, models: Models, scope: Scope, promotion: Promotion): Promise<Promoted> {
  const { database } = ground
  const there: Scope = { ...scope, environment: promotion.to, resourceVersion: undefined, once: undefined }
  await ensureModel(models, there, promotion.model)
  const promoted = await database.write((write) => copyVersion(write, ground, { here: scope, there }, promotion))
  const { alias, allowBreaking, rights } = promotion
  if (alias !== undefined)
    await database.write((write) =>
      moveAlias(write, ground, there, { model: promotion.model, alias, version: String(promoted.version), allowBreaking, rights }),
    )
  return promoted
}

async function ensureModel(models: Models, there: Scope, name: string): Promise<void> {
  try {
    await models.get(there, name)
  } catch (error) {
    if (!isSlipwayError(error) || error.code !== 'SLW_NOT_FOUND') throw error
    await models.create(there, { name }).catch((made: unknown) => {
      // Another caller was faster.
      if (!isSlipwayError(made) || made.code !== 'SLW_ALREADY_EXISTS') throw made
    })
  }
}

async function copyVersion(
  write: Write,
  { clock, newId }: Ground,
  { here, there }: { here: Scope; there: Scope },
  { model: name, version: number }: Promotion,
): Promise<Promoted> {
  const source = await requireVersion(write, await requireModel(write, here, name), number)
  if (source.digest === null)
    throw new SlipwayError(
      'SLW_CONFLICT',
      `the files of ${name}/${source.number} are not with this registry, so they cannot be brought anywhere`,
    )
  const model = await requireModel(write, there, name)
  await touch(write, 'models', model.id, {})
  const same = await liveVersion(write, model.id, source.digest)
  if (same !== undefined) return { version: same.number, created: false }
  const at = clock.epochMs()
  const id = newId()
  const promotedFrom = { environment: here.environment, version: source.number }
  const provenance: Provenance = { ...(JSON.parse(source.provenance) as Provenance), promotedFrom }
  const made: Selectable<VersionsRow> = {
    ...source,
    id,
    model_id: model.id,
    number: await nextVersion(write, there.environment, name),
    source: `slipway:${here.environment}/${name}/${source.number}`,
    // Runs and logged models belong to their own environment.
    run_id: null,
    run_link: null,
    logged_model_id: null,
    stage: 'None',
    approval: asksForApproval(model) ? 'pending' : 'none',
    approval_by: null,
    approval_reason: null,
    approval_at: null,
    provenance: JSON.stringify(provenance),
    created_by: there.actor,
    created_at: at,
    updated_at: at,
    deleted_at: null,
    revision: 1,
  }
  await write.insertInto('versions').values(made).execute()
  await faultPoint('promote.numbered')
  await copyTree(write, await filesBelow(write, `version:${source.id}`), `version:${id}`, at)
  const tags = await write
    .selectFrom('version_tags')
    .select(['key', 'value'])
    .where('version_id', '=', source.id)
    .where('key', '!=', ALLOW_BREAKING_TAG)
    .execute()
  if (tags.length > 0)
    await write
      .insertInto('version_tags')
      .values(tags.map((tag) => ({ version_id: id, ...tag })))
      .execute()
  await faultPoint('promote.copied')
  await record(write, there, at, {
    kind: 'version',
    name: `${name}/${made.number}`,
    action: 'created',
    after: { promotedFrom, digest: source.digest },
  })
  return { version: made.number, created: true }
}
