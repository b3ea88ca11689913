import { both } from '../storage/sql/both.ts'
import { atCommit } from '../storage/sql/sessions.ts'
import { firstCharacters } from '../core/text.ts'
import { SlipwayError } from '../core/errors.ts'
import { LIMITS } from './names.ts'
import { requireKey, requireLength } from '../ledger/keys.ts'
import { toPoint } from './read-runs.ts'
import { idOfOwnRun, lockRun, requireActive, setTags } from './runs.ts'
import type { Ground, Scope, Write } from '../ledger/scope.ts'
import type { Tag } from '../ledger/tags.ts'
import type { Dataset, MetricPoint } from './read-runs.ts'

/** A point of a metric, with the logged model and the dataset that it belongs to. */
export interface LoggedPoint extends MetricPoint {
  /** The logged model that was measured. */
  readonly modelId?: string | undefined
  readonly datasetName?: string | undefined
  readonly datasetDigest?: string | undefined
}

export interface Batch {
  readonly metrics?: readonly LoggedPoint[]
  readonly params?: readonly Tag[]
  readonly tags?: readonly Tag[]
}

export interface NewDatasetUse {
  readonly dataset: Dataset
  readonly tags: readonly Tag[]
}

/** A page of points in the order of time, and the offset of the next page. */
export interface History {
  readonly points: readonly MetricPoint[]
  readonly next: number | undefined
}

/** The largest number that a database keeps, which stands for infinity. */
const LARGEST = Number.MAX_VALUE

/** The data that runs log: metrics, parameters, tags, inputs and outputs. */
export class RunData {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /**
   * Logs metrics, parameters and tags: all of them or none.
   * @throws SLW_INPUT_INVALID also where a parameter has another value already; SLW_NOT_FOUND
   */
  async log(scope: Scope, runId: string, batch: Batch): Promise<void> {
    const { metrics = [], params = [], tags = [] } = batch
    requireBatch({ metrics, params, tags })
    await this.#ground.database.write(async (write) => {
      await both(
        write,
        async (on) => requireActive(await lockRun(on, scope, runId)),
        async (on) => {
          await putParams(on, runId, params)
          await putMetrics(on, runId, metrics)
          await putModelMetrics(on, scope, { runId, metrics })
          await setTags(on, runId, tags)
        },
      )
    })
  }

  /** The points of a metric, from the one at `offset` on; none if there is no such run. */
  async history(scope: Scope, runId: string, key: string, { offset = 0, limit }: { offset?: number; limit: number }): Promise<History> {
    const { read } = this.#ground.database
    const rows = await read
      .selectFrom('metrics')
      .select(['key', 'value', 'is_nan', 'timestamp', 'step'])
      .where('run_id', 'in', idOfOwnRun(read, scope, runId))
      .where('key', '=', key)
      .orderBy('timestamp')
      .orderBy('step')
      .orderBy('value')
      .orderBy('is_nan')
      .limit(limit + 1)
      .offset(offset)
      .execute()
    return { points: rows.slice(0, limit).map(toPoint), next: rows.length > limit ? offset + limit : undefined }
  }

  /** Records datasets and logged models that a run used. Uses that are recorded already stay as they are. */
  async logInputs(
    scope: Scope,
    runId: string,
    { datasets, models }: { datasets: readonly NewDatasetUse[]; models: readonly string[] },
  ): Promise<void> {
    for (const use of datasets) requireDataset(use)
    await this.#ground.database.write(async (write) => {
      const run = await lockRun(write, scope, runId)
      requireActive(run)
      for (const use of datasets) await this.#putDataset(write, { runId, experimentId: run.experiment_id }, use)
      await this.#putModels(
        write,
        runId,
        'input',
        models.map((modelId) => ({ modelId, step: 0 })),
      )
    })
  }

  /** Records logged models that a run made. */
  async logOutputs(scope: Scope, runId: string, models: readonly { modelId: string; step: number }[]): Promise<void> {
    await this.#ground.database.write(async (write) => {
      requireActive(await lockRun(write, scope, runId))
      await this.#putModels(write, runId, 'output', models)
    })
  }

  async #putDataset(write: Write, { runId, experimentId }: Owner, { dataset, tags }: NewDatasetUse): Promise<void> {
    const id = await putDataset(write, this.#ground, experimentId, dataset)
    const { count } = await write
      .selectFrom('run_datasets')
      .select((columns) => columns.fn.countAll<number>().as('count'))
      .where('run_id', '=', runId)
      .executeTakeFirstOrThrow()
    await write
      .insertInto('run_datasets')
      .values({ run_id: runId, dataset_id: id, position: count, tags: JSON.stringify(tags) })
      .onConflict((conflict) => conflict.columns(['run_id', 'dataset_id']).doNothing())
      .execute()
  }

  async #putModels(
    write: Write,
    runId: string,
    direction: 'input' | 'output',
    models: readonly { modelId: string; step: number }[],
  ): Promise<void> {
    if (models.length === 0) return
    const { count } = await write
      .selectFrom('run_models')
      .select((columns) => columns.fn.countAll<number>().as('count'))
      .where('run_id', '=', runId)
      .executeTakeFirstOrThrow()
    await write
      .insertInto('run_models')
      .values(
        models.map(({ modelId, step }, index) => ({ run_id: runId, logged_model_id: modelId, direction, step, position: count + index })),
      )
      .onConflict((conflict) => conflict.columns(['run_id', 'direction', 'logged_model_id']).doNothing())
      .execute()
  }
}

interface Owner {
  readonly runId: string
  readonly experimentId: string
}

function requireBatch({ metrics, params, tags }: Required<Batch>): void {
  const sizes: readonly (readonly [string, number, number])[] = [
    ['metrics', metrics.length, LIMITS.batchMetrics],
    ['params', params.length, LIMITS.batchParams],
    ['tags', tags.length, LIMITS.batchTags],
    ['metrics, params, and tags', metrics.length + params.length + tags.length, LIMITS.batchEntities],
  ]
  for (const [what, length, limit] of sizes)
    if (length > limit)
      throw new SlipwayError(
        'SLW_INPUT_INVALID',
        `A batch logging request can contain at most ${limit} ${what}. Got ${length} ${what}. Please split up ${what} across multiple requests and try again.`,
      )
  for (const { key, timestamp } of metrics) {
    requireKey('the name of a metric', key)
    if (timestamp < 0) throw new SlipwayError('SLW_INPUT_INVALID', `metric "${key}": a timestamp is not negative, ${timestamp} is`)
  }
  for (const { key } of params) requireKey('the key of a parameter', key)
  for (const { key } of tags) requireKey('the key of a tag', key)
  const twice = params.map(({ key }) => key).filter((key, index, keys) => keys.indexOf(key) !== index)
  if (twice.length > 0)
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `Duplicate parameter keys have been submitted: ${twice.join(', ')}. Please ensure the request contains only one param value per param key.`,
    )
}

/** Stores a dataset; one that is stored already stays as it is. @returns its id */
export async function putDataset(write: Write, { newId }: Pick<Ground, 'newId'>, experimentId: string, dataset: Dataset): Promise<string> {
  const { name, digest, sourceType, source, schema, profile } = dataset
  await write
    .insertInto('datasets')
    .values({
      id: newId(),
      experiment_id: experimentId,
      name,
      digest,
      source_type: sourceType,
      source,
      schema: schema ?? null,
      profile: profile ?? null,
    })
    .onConflict((conflict) => conflict.columns(['experiment_id', 'name', 'digest']).doNothing())
    .execute()
  const { id } = await write
    .selectFrom('datasets')
    .select('id')
    .where('experiment_id', '=', experimentId)
    .where('name', '=', name)
    .where('digest', '=', digest)
    .executeTakeFirstOrThrow()
  return id
}

/** A parameter never changes. Values beyond the limit are cut, as MLflow's clients expect. */
export async function putParams(write: Write, runId: string, params: readonly Tag[]): Promise<void> {
  if (params.length === 0) return
  const wanted = params.map(({ key, value }) => ({ run_id: runId, key, value: firstCharacters(value, LIMITS.paramLength) }))
  const present = await write
    .selectFrom('params')
    .select(['key', 'value'])
    .where('run_id', '=', runId)
    .where(
      'key',
      'in',
      wanted.map(({ key }) => key),
    )
    .execute()
  const known = new Map(present.map(({ key, value }) => [key, value]))
  for (const { key, value } of wanted) {
    const before = known.get(key)
    if (before !== undefined && before !== value)
      throw new SlipwayError(
        'SLW_INPUT_INVALID',
        `Changing param values is not allowed. Param with key='${key}' was already logged with value='${before}' for run ID='${runId}'. Attempted logging new value '${value}'.`,
      )
  }
  const fresh = wanted.filter(({ key }) => !known.has(key))
  if (fresh.length > 0) await write.insertInto('params').values(fresh).execute()
}

export type StoredPoint = Omit<MetricPoint, 'value'> & { readonly value: number; readonly is_nan: number }

export function toStored({ key, value, timestamp, step }: MetricPoint): StoredPoint {
  const nan = Number.isNaN(value)
  return { key, timestamp, step, value: nan ? 0 : Math.min(LARGEST, Math.max(-LARGEST, value)), is_nan: nan ? 1 : 0 }
}

export async function putMetrics(write: Write, runId: string, metrics: readonly MetricPoint[]): Promise<void> {
  if (metrics.length === 0) return
  const rows = metrics.map((point) => ({ run_id: runId, ...toStored(point) }))
  const latest = new Map<string, (typeof rows)[number]>()
  for (const row of rows) {
    const other = latest.get(row.key)
    if (other === undefined || isLater(row, other)) latest.set(row.key, row)
  }
  // The run is locked: no other transaction changes its latest points meanwhile.
  const [, present] = await both(
    write,
    (on) =>
      on
        .insertInto('metrics')
        .values(rows)
        .onConflict((conflict) => conflict.doNothing())
        .execute(),
    (on) =>
      on
        .selectFrom('latest_metrics')
        .selectAll()
        .where('run_id', '=', runId)
        .where('key', 'in', [...latest.keys()])
        .execute(),
  )
  for (const row of present) if (!isLater(latest.get(row.key)!, row)) latest.delete(row.key)
  if (latest.size === 0) return
  await atCommit(
    write,
    write
      .insertInto('latest_metrics')
      .values([...latest.values()])
      .onConflict((conflict) =>
        conflict.columns(['run_id', 'key']).doUpdateSet((columns) => ({
          value: columns.ref('excluded.value'),
          timestamp: columns.ref('excluded.timestamp'),
          step: columns.ref('excluded.step'),
          is_nan: columns.ref('excluded.is_nan'),
        })),
      ),
  )
}

/** By step, then time, then value. */
function isLater(a: Omit<StoredPoint, 'key'>, b: Omit<StoredPoint, 'key'>): boolean {
  if (a.step !== b.step) return a.step > b.step
  if (a.timestamp !== b.timestamp) return a.timestamp > b.timestamp
  return a.value > b.value
}

/** Stores points that measure logged models with these models, too. */
async function putModelMetrics(
  write: Write,
  { environment }: Scope,
  { runId, metrics }: { readonly runId: string; readonly metrics: readonly LoggedPoint[] },
): Promise<void> {
  const rows = metrics.flatMap((point) => {
    const { modelId, datasetName, datasetDigest } = point
    if (modelId === undefined || modelId === '') return []
    return [
      { logged_model_id: modelId, ...toStored(point), run_id: runId, dataset_name: datasetName ?? '', dataset_digest: datasetDigest ?? '' },
    ]
  })
  if (rows.length === 0) return
  const ids = [...new Set(rows.map(({ logged_model_id: id }) => id))]
  const present = await write
    .selectFrom('logged_models')
    .innerJoin('experiments', 'experiments.id', 'logged_models.experiment_id')
    .select('logged_models.id')
    .where('logged_models.id', 'in', ids)
    .where('environment', '=', environment)
    .where('logged_models.deleted_at', 'is', null)
    .execute()
  const missing = ids.find((id) => present.every((row) => row.id !== id))
  if (missing !== undefined) throw new SlipwayError('SLW_NOT_FOUND', `Logged model with ID '${missing}' not found.`)
  await write
    .insertInto('logged_model_metrics')
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

function requireDataset({ dataset, tags }: NewDatasetUse): void {
  const { name, digest, source, schema, profile } = dataset
  if (name === '') throw new SlipwayError('SLW_INPUT_INVALID', 'a dataset has no name')
  if (digest === '') throw new SlipwayError('SLW_INPUT_INVALID', `dataset "${name}" has no digest`)
  requireLength('the name of a dataset', name, LIMITS.datasetNameLength)
  requireLength('the digest of a dataset', digest, LIMITS.datasetDigestLength)
  requireLength('the source of a dataset', source, LIMITS.datasetSourceLength)
  requireLength('the schema of a dataset', schema ?? '', LIMITS.datasetSchemaLength)
  requireLength('the profile of a dataset', profile ?? '', LIMITS.datasetProfileLength)
  for (const { key, value } of tags) {
    requireLength('the key of a tag', key, LIMITS.datasetTagKeyLength)
    requireLength(`the value of tag "${key}"`, value, LIMITS.datasetTagValueLength)
  }
}
