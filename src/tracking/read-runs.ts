import { byText, groupTags } from '../ledger/tags.ts'
import type { Kysely, Selectable } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { DatasetsRow, RunsRow } from './tables.ts'
import type { LifecycleStage } from '../ledger/scope.ts'
import type { Tag } from '../ledger/tags.ts'

export const RUN_STATUSES = ['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED'] as const
export type RunStatus = (typeof RUN_STATUSES)[number]

/** One point of a metric. */
export interface MetricPoint {
  readonly key: string
  readonly value: number
  /** UTC epoch milliseconds. */
  readonly timestamp: number
  readonly step: number
}

export interface Dataset {
  readonly name: string
  readonly digest: string
  readonly sourceType: string
  readonly source: string
  readonly schema: string | undefined
  readonly profile: string | undefined
}

/** A dataset that a run used, with the tags of the use. */
export interface DatasetUse {
  readonly dataset: Dataset
  readonly tags: readonly Tag[]
}

export interface ModelUse {
  readonly modelId: string
  readonly step: number
}

export interface Run {
  readonly id: string
  readonly experimentId: string
  readonly name: string
  readonly userId: string
  readonly status: RunStatus
  readonly startTime: number | undefined
  readonly endTime: number | undefined
  readonly artifactUri: string
  readonly lifecycleStage: LifecycleStage
  /** The latest point of each metric. */
  readonly metrics: readonly MetricPoint[]
  readonly params: readonly Tag[]
  readonly tags: readonly Tag[]
  readonly datasets: readonly DatasetUse[]
  readonly inputModels: readonly ModelUse[]
  readonly outputModels: readonly ModelUse[]
}

/** Number of runs read in one statement: databases limit the number of its values. */
const RUNS_AT_ONCE = 1000

/** Reads runs with everything that belongs to them, in the order given. */
export async function readRuns(read: Kysely<Schema>, rows: readonly Selectable<RunsRow>[]): Promise<Run[]> {
  const runs: Run[] = []
  for (let from = 0; from < rows.length; from += RUNS_AT_ONCE) runs.push(...(await readSome(read, rows.slice(from, from + RUNS_AT_ONCE))))
  return runs
}

async function readSome(read: Kysely<Schema>, rows: readonly Selectable<RunsRow>[]): Promise<Run[]> {
  const ids = rows.map(({ id }) => id)
  const [metrics, params, tags, datasets, models] = await Promise.all([
    read.selectFrom('latest_metrics').selectAll().where('run_id', 'in', ids).execute(),
    read.selectFrom('params').select(['run_id as owner', 'key', 'value']).where('run_id', 'in', ids).execute(),
    read.selectFrom('run_tags').select(['run_id as owner', 'key', 'value']).where('run_id', 'in', ids).execute(),
    read
      .selectFrom('run_datasets')
      .innerJoin('datasets', 'datasets.id', 'run_datasets.dataset_id')
      .selectAll('datasets')
      .select(['run_datasets.run_id', 'run_datasets.tags'])
      .where('run_id', 'in', ids)
      .orderBy('position')
      .execute(),
    read.selectFrom('run_models').selectAll().where('run_id', 'in', ids).orderBy('position').execute(),
  ])
  const [paramsOf, tagsOf] = [groupTags(params), groupTags(tags)]
  const metricsOf = Map.groupBy(metrics, (metric) => metric.run_id)
  const datasetsOf = Map.groupBy(datasets, (dataset) => dataset.run_id)
  const modelsOf = Map.groupBy(models, (model) => model.run_id)
  return rows.map((row) => {
    const used = (direction: string): ModelUse[] =>
      (modelsOf.get(row.id) ?? [])
        .filter((model) => model.direction === direction)
        .map((model) => ({ modelId: model.logged_model_id, step: model.step }))
    return {
      id: row.id,
      experimentId: row.experiment_id,
      name: row.name,
      userId: row.user_id,
      status: row.status as RunStatus,
      startTime: row.start_time ?? undefined,
      endTime: row.end_time ?? undefined,
      artifactUri: row.artifact_uri,
      lifecycleStage: row.lifecycle_stage as LifecycleStage,
      metrics: (metricsOf.get(row.id) ?? []).toSorted(byText(({ key }) => key)).map(toPoint),
      params: paramsOf.get(row.id) ?? [],
      tags: tagsOf.get(row.id) ?? [],
      datasets: (datasetsOf.get(row.id) ?? []).map((dataset) => ({
        dataset: toDataset(dataset),
        tags: JSON.parse(dataset.tags) as Tag[],
      })),
      inputModels: used('input'),
      outputModels: used('output'),
    }
  })
}

/** NaN is no number to a database: the flag `is_nan` stands for it. */
export function toPoint(row: { key: string; value: number; is_nan: number; timestamp: number; step: number }): MetricPoint {
  return { key: row.key, value: row.is_nan === 1 ? Number.NaN : row.value, timestamp: row.timestamp, step: row.step }
}

function toDataset(row: Selectable<DatasetsRow>): Dataset {
  return {
    name: row.name,
    digest: row.digest,
    sourceType: row.source_type,
    source: row.source,
    schema: row.schema ?? undefined,
    profile: row.profile ?? undefined,
  }
}
