import type { Kysely } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { Provenance } from './read-versions.ts'

/** What is known of where a version comes from, at the moment when it is registered. */
export interface Origin {
  readonly provenance: Provenance
  readonly metrics: Readonly<Record<string, number>>
}

const COMMIT_TAG = 'mlflow.source.git.commit'

/** Metrics, data and code of the run and the logged model that made it. */
export async function readOrigin(
  read: Kysely<Schema>,
  { runId, loggedModelId }: { runId: string | undefined; loggedModelId: string | undefined },
): Promise<Origin> {
  const [metrics, modelMetrics, commit, dataset] = await Promise.all([
    runId === undefined ? [] : read.selectFrom('latest_metrics').select(['key', 'value', 'is_nan']).where('run_id', '=', runId).execute(),
    loggedModelId === undefined
      ? []
      : read
          .selectFrom('logged_model_metrics')
          .select(['key', 'value', 'is_nan'])
          .where('logged_model_id', '=', loggedModelId)
          .orderBy('timestamp')
          .orderBy('step')
          .execute(),
    runId === undefined
      ? undefined
      : read.selectFrom('run_tags').select('value').where('run_id', '=', runId).where('key', '=', COMMIT_TAG).executeTakeFirst(),
    runId === undefined
      ? undefined
      : read
          .selectFrom('run_datasets')
          .innerJoin('datasets', 'datasets.id', 'run_datasets.dataset_id')
          .select(['name', 'digest'])
          .where('run_id', '=', runId)
          .orderBy('position')
          .executeTakeFirst(),
  ])
  const known = [...metrics, ...modelMetrics].filter((point) => point.is_nan === 0)
  return {
    provenance: {
      ...(runId !== undefined && { runId }),
      ...(dataset !== undefined && { datasetVersion: `${dataset.name}@${dataset.digest}` }),
      ...(commit !== undefined && { codeCommit: commit.value }),
    },
    metrics: Object.fromEntries(known.map(({ key, value }) => [key, value])),
  }
}
