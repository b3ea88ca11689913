import { dropFiles, purge, TRASH_BATCH, TRASH_LIFE_MS } from '../files/trash.ts'
import type { Ground, Scope, Write } from '../ledger/scope.ts'

/** Purges models and versions. @returns how many of each */
export async function purgeModelTrash(ground: Ground): Promise<{ models: number; versions: number }> {
  const before = ground.clock.epochMs() - TRASH_LIFE_MS
  return {
    models: await purge(ground, (write) => purgeModels(write, before)),
    versions: await purge(ground, (write) => purgeVersions(write, before)),
  }
}

async function purgeModels(write: Write, before: number): Promise<number> {
  const models = await write.selectFrom('models').select('id').where('deleted_at', '<', before).limit(TRASH_BATCH).execute()
  if (models.length === 0) return 0
  const ids = models.map(({ id }) => id)
  const versions = await write.selectFrom('versions').select('id').where('model_id', 'in', ids).execute()
  await dropFiles(write, 'version', versions)
  await write.deleteFrom('models').where('id', 'in', ids).execute()
  return ids.length
}

async function purgeVersions(write: Write, before: number): Promise<number> {
  const versions = await write.selectFrom('versions').select('id').where('deleted_at', '<', before).limit(TRASH_BATCH).execute()
  await dropFiles(write, 'version', versions)
  if (versions.length > 0)
    await write
      .deleteFrom('versions')
      .where(
        'id',
        'in',
        versions.map(({ id }) => id),
      )
      .execute()
  return versions.length
}

/** A deleted model or version that can be restored. */
export interface Trashed {
  readonly kind: 'model' | 'version'
  readonly id: string
  /** `churn`, `churn/3`. */
  readonly name: string
  readonly deletedAt: number
  /** Time at which it is purged. */
  readonly purgedAt: number
}

/** Lists the trash, the latest deletion first. Versions of a deleted model are left out, as they are restored with it. */
export async function listTrash({ database }: Ground, scope: Scope): Promise<Trashed[]> {
  const models = await database.read
    .selectFrom('models')
    .select(['id', 'name', 'deleted_at'])
    .where('environment', '=', scope.environment)
    .where('deleted_at', 'is not', null)
    .execute()
  const versions = await database.read
    .selectFrom('versions')
    .innerJoin('models', 'models.id', 'versions.model_id')
    .select(['versions.id', 'name', 'number', 'versions.deleted_at'])
    .where('environment', '=', scope.environment)
    .where('models.deleted_at', 'is', null)
    .where('versions.deleted_at', 'is not', null)
    .execute()
  const trashed = (kind: Trashed['kind'], id: string, name: string, deletedAt: number): Trashed => ({
    kind,
    id,
    name,
    deletedAt,
    purgedAt: deletedAt + TRASH_LIFE_MS,
  })
  return [
    ...models.map((row) => trashed('model', row.id, row.name, row.deleted_at!)),
    ...versions.map((row) => trashed('version', row.id, `${row.name}/${row.number}`, row.deleted_at!)),
  ].toSorted((a, b) => b.deletedAt - a.deletedAt)
}
