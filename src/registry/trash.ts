import { faultPoint } from '../core/fail-point.ts'
import { ONCE_LIFE_MS } from '../ledger/once.ts'
import type { Ground, Scope, Write } from '../ledger/scope.ts'
import type { Root } from './file-trees.ts'

/** How long what was deleted can be had back. */
export const TRASH_LIFE_MS: number = 30 * 24 * 3600 * 1000

/** What has gone for good. */
export interface Purged {
  readonly models: number
  readonly versions: number
  readonly experiments: number
  readonly runs: number
  readonly loggedModels: number
  /** Keys of requests, and deliveries, of long ago. */
  readonly notes: number
}

/** Rows in one transaction: others wait no longer than for these. */
const BATCH = 100

/** Ends the life of what has lain in the trash for long enough: its rows, and with them what keeps its files. */
export async function purgeTrash(ground: Ground, lifeMs: number = TRASH_LIFE_MS): Promise<Purged> {
  const before = ground.clock.epochMs() - lifeMs
  return {
    models: await purge(ground, (write) => purgeModels(write, before)),
    versions: await purge(ground, (write) => purgeVersions(write, before)),
    experiments: await purge(ground, (write) => purgeExperiments(write, before)),
    runs: await purge(ground, (write) => purgeRuns(write, before)),
    loggedModels: await purge(ground, (write) => purgeLoggedModels(write, before)),
    notes: await purgeNotes(ground, before),
  }
}

async function purge({ database }: Ground, some: (write: Write) => Promise<number>): Promise<number> {
  let sum = 0
  for (;;) {
    const gone = await database.write(some)
    await faultPoint('trash.purged')
    sum += gone
    if (gone < BATCH) return sum
  }
}

async function purgeModels(write: Write, before: number): Promise<number> {
  const models = await write.selectFrom('models').select('id').where('deleted_at', '<', before).limit(BATCH).execute()
  if (models.length === 0) return 0
  const ids = models.map(({ id }) => id)
  const versions = await write.selectFrom('versions').select('id').where('model_id', 'in', ids).execute()
  await dropFiles(write, 'version', versions)
  await write.deleteFrom('models').where('id', 'in', ids).execute()
  return ids.length
}

async function purgeVersions(write: Write, before: number): Promise<number> {
  const versions = await write.selectFrom('versions').select('id').where('deleted_at', '<', before).limit(BATCH).execute()
  await dropFiles(write, 'version', versions)
  if (versions.length > 0) await write.deleteFrom('versions').where('id', 'in', idsOf(versions)).execute()
  return versions.length
}

async function purgeExperiments(write: Write, before: number): Promise<number> {
  // The one that is there from the start has a number that nobody else gets, so its row stays.
  const experiments = await write
    .selectFrom('experiments')
    .select('id')
    .where('deleted_at', '<', before)
    .where('id', '!=', '0')
    .limit(BATCH)
    .execute()
  if (experiments.length === 0) return 0
  const ids = idsOf(experiments)
  await dropFiles(write, 'run', await write.selectFrom('runs').select('id').where('experiment_id', 'in', ids).execute())
  await dropFiles(write, 'model', await write.selectFrom('logged_models').select('id').where('experiment_id', 'in', ids).execute())
  await write.deleteFrom('experiments').where('id', 'in', ids).execute()
  return ids.length
}

async function purgeRuns(write: Write, before: number): Promise<number> {
  const runs = await write.selectFrom('runs').select('id').where('deleted_at', '<', before).limit(BATCH).execute()
  await dropFiles(write, 'run', runs)
  if (runs.length > 0) await write.deleteFrom('runs').where('id', 'in', idsOf(runs)).execute()
  return runs.length
}

async function purgeLoggedModels(write: Write, before: number): Promise<number> {
  const models = await write.selectFrom('logged_models').select('id').where('deleted_at', '<', before).limit(BATCH).execute()
  await dropFiles(write, 'model', models)
  if (models.length > 0) await write.deleteFrom('logged_models').where('id', 'in', idsOf(models)).execute()
  return models.length
}

async function purgeNotes({ database, clock }: Ground, before: number): Promise<number> {
  return await database.write(async (write) => {
    const keys = await write
      .deleteFrom('idempotency_keys')
      .where('created_at', '<', clock.epochMs() - ONCE_LIFE_MS)
      .executeTakeFirst()
    const deliveries = await write
      .deleteFrom('deliveries')
      .where('created_at', '<', before)
      .where('state', '!=', 'pending')
      .executeTakeFirst()
    return Number(keys.numDeletedRows + deliveries.numDeletedRows)
  })
}

/** Something that was deleted and can be had back. */
export interface Trashed {
  readonly kind: 'model' | 'version'
  readonly id: string
  /** `churn`, `churn/3`. */
  readonly name: string
  readonly deletedAt: number
  /** When it goes for good. */
  readonly purgedAt: number
}

/** What lies in the trash, what was deleted last first. Versions of a deleted model come back with it. */
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

function idsOf(rows: readonly { readonly id: string }[]): string[] {
  return rows.map(({ id }) => id)
}

async function dropFiles(write: Write, kind: 'run' | 'model' | 'version', owners: readonly { readonly id: string }[]): Promise<void> {
  if (owners.length === 0) return
  const roots = owners.map(({ id }): Root => `${kind}:${id}`)
  await write.deleteFrom('files').where('root', 'in', roots).execute()
}
