import { dropFiles, purge, TRASH_BATCH, TRASH_LIFE_MS } from '../files/trash.ts'
import type { Ground, Write } from '../ledger/scope.ts'

/** Purges experiments, runs and logged models. @returns how many of each */
export async function purgeTracking(ground: Ground): Promise<{ experiments: number; runs: number; loggedModels: number }> {
  const before = ground.clock.epochMs() - TRASH_LIFE_MS
  return {
    experiments: await purge(ground, (write) => purgeExperiments(write, before)),
    runs: await purge(ground, (write) => purgeRuns(write, before)),
    loggedModels: await purge(ground, (write) => purgeLoggedModels(write, before)),
  }
}

async function purgeExperiments(write: Write, before: number): Promise<number> {
  // The row of the experiment that exists from the start stays, as no other experiment gets its number.
  const experiments = await write
    .selectFrom('experiments')
    .select('id')
    .where('deleted_at', '<', before)
    .where('id', '!=', '0')
    .limit(TRASH_BATCH)
    .execute()
  if (experiments.length === 0) return 0
  const ids = idsOf(experiments)
  await dropFiles(write, 'run', await write.selectFrom('runs').select('id').where('experiment_id', 'in', ids).execute())
  await dropFiles(write, 'model', await write.selectFrom('logged_models').select('id').where('experiment_id', 'in', ids).execute())
  await write.deleteFrom('experiments').where('id', 'in', ids).execute()
  return ids.length
}

async function purgeRuns(write: Write, before: number): Promise<number> {
  const runs = await write.selectFrom('runs').select('id').where('deleted_at', '<', before).limit(TRASH_BATCH).execute()
  await dropFiles(write, 'run', runs)
  if (runs.length > 0) await write.deleteFrom('runs').where('id', 'in', idsOf(runs)).execute()
  return runs.length
}

async function purgeLoggedModels(write: Write, before: number): Promise<number> {
  const models = await write.selectFrom('logged_models').select('id').where('deleted_at', '<', before).limit(TRASH_BATCH).execute()
  await dropFiles(write, 'model', models)
  if (models.length > 0) await write.deleteFrom('logged_models').where('id', 'in', idsOf(models)).execute()
  return models.length
}

function idsOf(rows: readonly { readonly id: string }[]): string[] {
  return rows.map(({ id }) => id)
}
