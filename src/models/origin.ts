import { sql } from 'kysely'
import { idOfOwnLoggedModel } from '../tracking/logged-models.ts'
import { idOfOwnRun } from '../tracking/runs.ts'
import type { Scope } from '../ledger/scope.ts'
import type { Database } from '../storage/sql/database.ts'
import type { Provenance } from './read-versions.ts'

/** The origin of a version, as known when it is registered. */
export interface Origin {
  readonly provenance: Provenance
  /** Metrics by name, as JSON text: a run may have thousands, which are stored unparsed. */
  readonly metrics: string
}

const COMMIT_TAG = 'mlflow.source.git.commit'

/** Reads metrics, dataset and code commit of the run and the logged model that made a version. Of those of another environment there are none. */
export async function readOrigin(
  { read, dialect }: Pick<Database, 'read' | 'dialect'>,
  scope: Pick<Scope, 'environment'>,
  { runId, loggedModelId }: { runId: string | undefined; loggedModelId: string | undefined },
): Promise<Origin> {
  const [runMetrics, modelMetrics, commit, dataset] = await Promise.all([
    runId === undefined
      ? undefined
      : read
          .selectFrom('latest_metrics')
          .select(
            (dialect === 'sqlite' ? sql<string>`json_group_object(key, value)` : sql<string>`json_object_agg(key, value)::text`).as('json'),
          )
          .where('run_id', 'in', idOfOwnRun(read, scope, runId))
          .where('is_nan', '=', 0)
          .executeTakeFirst(),
    loggedModelId === undefined
      ? []
      : read
          .selectFrom('logged_model_metrics')
          .select(['key', 'value', 'is_nan'])
          .where('logged_model_id', 'in', idOfOwnLoggedModel(read, scope, loggedModelId))
          .orderBy('step')
          .orderBy('timestamp')
          .orderBy('is_nan', 'desc')
          .orderBy('value')
          .execute(),
    runId === undefined
      ? undefined
      : read
          .selectFrom('run_tags')
          .select('value')
          .where('run_id', 'in', idOfOwnRun(read, scope, runId))
          .where('key', '=', COMMIT_TAG)
          .executeTakeFirst(),
    runId === undefined
      ? undefined
      : read
          .selectFrom('run_datasets')
          .innerJoin('datasets', 'datasets.id', 'run_datasets.dataset_id')
          .select(['name', 'digest'])
          .where('run_id', 'in', idOfOwnRun(read, scope, runId))
          .orderBy('position')
          .executeTakeFirst(),
  ])
  // The last row of a key counts; NaN is left out, as for runs.
  const latest = new Map(modelMetrics.map((metric) => [metric.key, metric]))
  const ofModel = Object.fromEntries([...latest.values()].filter((metric) => metric.is_nan === 0).map(({ key, value }) => [key, value]))
  return {
    provenance: {
      ...(runId !== undefined && { runId }),
      ...(dataset !== undefined && { datasetVersion: `${dataset.name}@${dataset.digest}` }),
      ...(commit !== undefined && { codeCommit: commit.value }),
    },
    metrics: withMetrics(runMetrics?.json ?? '{}', ofModel),
  }
}

/** Adds metrics to others that are given as JSON. */
export function withMetrics(json: string, more: Readonly<Record<string, number>>): string {
  return Object.keys(more).length === 0 ? json : JSON.stringify({ ...(JSON.parse(json) as object), ...more })
}
