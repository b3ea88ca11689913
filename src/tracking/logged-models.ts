import { SlipwayError } from '../core/errors.ts'
import { record } from '../ledger/events.ts'
import { requireActive, requireExperiment } from './experiments.ts'
import { byText, groupTags, tagRows } from '../ledger/tags.ts'
import { inventName } from './invented-names.ts'
import { requireLoggedModelName } from './names.ts'
import { toPoint } from './read-runs.ts'
import type { Kysely, Selectable } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { LoggedModelsRow } from './tables.ts'
import type { Ground, Scope, Write } from '../ledger/scope.ts'
import type { Tag } from '../ledger/tags.ts'
import type { LoggedModelStatus } from './logged-model-statuses.ts'
import type { MetricPoint } from './read-runs.ts'

export interface LoggedModelPoint extends MetricPoint {
  readonly runId: string
  readonly datasetName: string
  readonly datasetDigest: string
}

/** A model that a run made, before anybody registers it. */
export interface LoggedModel {
  /** `m-` and 32 hexadecimal digits. */
  readonly id: string
  readonly experimentId: string
  readonly name: string
  readonly modelType: string
  readonly status: LoggedModelStatus
  readonly sourceRunId: string
  readonly artifactUri: string
  readonly createdAt: number
  readonly updatedAt: number
  readonly tags: readonly Tag[]
  readonly params: readonly Tag[]
  readonly metrics: readonly LoggedModelPoint[]
}

export interface NewLoggedModel {
  readonly experimentId: string
  readonly name?: string | undefined
  readonly modelType?: string | undefined
  readonly sourceRunId?: string | undefined
  readonly tags?: readonly Tag[]
  readonly params?: readonly Tag[]
}

/** Models that runs made. */
export class LoggedModels {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** @throws SLW_NOT_FOUND without the experiment */
  async create(scope: Scope, model: NewLoggedModel): Promise<LoggedModel> {
    const { tags = [], params = [] } = model
    if (model.name !== undefined && model.name !== '') requireLoggedModelName(model.name)
    const { database, clock, newId } = this.#ground
    const digits = newId()
    const id = `m-${digits}`
    const now = clock.epochMs()
    await database.write(async (write) => {
      const experiment = await requireExperiment(write, scope, model.experimentId)
      requireActive(experiment)
      await write
        .insertInto('logged_models')
        .values({
          id,
          experiment_id: experiment.id,
          name: model.name === undefined || model.name === '' ? inventName(digits) : model.name,
          model_type: model.modelType ?? '',
          status: 'LOGGED_MODEL_PENDING',
          status_message: null,
          source_run_id: model.sourceRunId ?? '',
          artifact_uri: `${experiment.artifact_location.replace(/\/+$/, '')}/models/${id}/artifacts`,
          lifecycle_stage: 'active',
          created_at: now,
          updated_at: now,
          deleted_at: null,
        })
        .execute()
      await putTags(write, id, tags)
      await putParams(write, id, params)
      await record(write, scope, now, { kind: 'logged_model', name: id, action: 'created' })
    })
    return await this.get(scope, id)
  }

  /** @throws SLW_NOT_FOUND, also for one in the trash */
  async get(scope: Scope, id: string): Promise<LoggedModel> {
    const { read } = this.#ground.database
    const row = await requireLoggedModel(read, scope, id)
    if (row.lifecycle_stage === 'deleted') refuse(id)
    const [model] = await readLoggedModels(read, [row])
    return model!
  }

  async finish(scope: Scope, id: string, status: LoggedModelStatus): Promise<LoggedModel> {
    await this.#change(scope, id, async (write, now) => {
      await write.updateTable('logged_models').set({ status, updated_at: now }).where('id', '=', id).execute()
      return { action: 'updated', after: { status } }
    })
    return await this.get(scope, id)
  }

  async delete(scope: Scope, id: string): Promise<void> {
    await this.#change(scope, id, async (write, now) => {
      await write
        .updateTable('logged_models')
        .set({ lifecycle_stage: 'deleted', updated_at: now, deleted_at: now })
        .where('id', '=', id)
        .execute()
      return { action: 'deleted' }
    })
  }

  async setTags(scope: Scope, id: string, tags: readonly Tag[]): Promise<LoggedModel> {
    await this.#change(scope, id, async (write) => {
      await putTags(write, id, tags)
      return { action: 'set', after: { tags } }
    })
    return await this.get(scope, id)
  }

  /** @throws SLW_NOT_FOUND if the model has no such tag */
  async deleteTag(scope: Scope, id: string, key: string): Promise<void> {
    await this.#change(scope, id, async (write) => {
      const { numDeletedRows } = await write
        .deleteFrom('logged_model_tags')
        .where('logged_model_id', '=', id)
        .where('key', '=', key)
        .executeTakeFirst()
      if (numDeletedRows === 0n) throw new SlipwayError('SLW_NOT_FOUND', `No tag with key '${key}' found for model with ID '${id}'.`)
      return { action: 'deleted', before: { tag: { key } } }
    })
  }

  async logParams(scope: Scope, id: string, params: readonly Tag[]): Promise<LoggedModel> {
    await this.#change(scope, id, async (write) => {
      await putParams(write, id, params)
      return { action: 'updated', after: { params } }
    })
    return await this.get(scope, id)
  }

  async #change(
    scope: Scope,
    id: string,
    act: (write: Write, now: number) => Promise<{ action: 'updated' | 'deleted' | 'set'; before?: object; after?: object }>,
  ): Promise<void> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      await requireLoggedModel(write, scope, id)
      await record(write, scope, now, { kind: 'logged_model', name: id, ...(await act(write, now)) })
    })
  }
}

/** Reads a logged model of the scope's environment, deleted or not. @throws SLW_NOT_FOUND */
export async function requireLoggedModel(read: Kysely<Schema>, scope: Scope, id: string): Promise<Selectable<LoggedModelsRow>> {
  return (await ownLoggedModel(read, scope, id).selectAll('logged_models').executeTakeFirst()) ?? refuse(id)
}

/** Part of a query: the id of a logged model if it is of the scope's environment, otherwise nothing. */
export function idOfOwnLoggedModel(read: Kysely<Schema>, scope: Pick<Scope, 'environment'>, id: string) {
  return ownLoggedModel(read, scope, id).select('logged_models.id')
}

function ownLoggedModel(read: Kysely<Schema>, { environment }: Pick<Scope, 'environment'>, id: string) {
  return read
    .selectFrom('logged_models')
    .innerJoin('experiments', 'experiments.id', 'logged_models.experiment_id')
    .where('logged_models.id', '=', id)
    .where('experiments.environment', '=', environment)
}

function refuse(id: string): never {
  throw new SlipwayError('SLW_NOT_FOUND', `Logged model with ID '${id}' not found.`)
}

async function putTags(write: Write, id: string, tags: readonly Tag[]): Promise<void> {
  if (tags.length === 0) return
  await write
    .insertInto('logged_model_tags')
    .values(tagRows({ logged_model_id: id }, tags))
    .onConflict((conflict) =>
      conflict.columns(['logged_model_id', 'key']).doUpdateSet((columns) => ({ value: columns.ref('excluded.value') })),
    )
    .execute()
}

async function putParams(write: Write, id: string, params: readonly Tag[]): Promise<void> {
  if (params.length === 0) return
  const keys = params.map(({ key }) => key)
  const twice = keys.find((key, index) => keys.indexOf(key) !== index)
  const present = await write
    .selectFrom('logged_model_params')
    .select('key')
    .where('logged_model_id', '=', id)
    .where('key', 'in', keys)
    .executeTakeFirst()
  const known = twice ?? present?.key
  if (known !== undefined)
    throw new SlipwayError('SLW_BAD_REQUEST', `logged model '${id}' has the parameter "${known}" already, and parameters never change`)
  await write
    .insertInto('logged_model_params')
    .values(tagRows({ logged_model_id: id }, params))
    .execute()
}

/** Reads logged models with everything that belongs to them, in the order given. */
export async function readLoggedModels(read: Kysely<Schema>, rows: readonly Selectable<LoggedModelsRow>[]): Promise<LoggedModel[]> {
  if (rows.length === 0) return []
  const ids = rows.map(({ id }) => id)
  const [tags, params, metrics] = await Promise.all([
    read.selectFrom('logged_model_tags').select(['logged_model_id as owner', 'key', 'value']).where('logged_model_id', 'in', ids).execute(),
    read
      .selectFrom('logged_model_params')
      .select(['logged_model_id as owner', 'key', 'value'])
      .where('logged_model_id', 'in', ids)
      .execute(),
    read.selectFrom('logged_model_metrics').selectAll().where('logged_model_id', 'in', ids).orderBy('timestamp').execute(),
  ])
  const [tagsOf, paramsOf] = [groupTags(tags), groupTags(params)]
  const metricsOf = Map.groupBy(metrics, (metric) => metric.logged_model_id)
  return rows.map((row) => ({
    id: row.id,
    experimentId: row.experiment_id,
    name: row.name,
    modelType: row.model_type,
    status: row.status as LoggedModelStatus,
    sourceRunId: row.source_run_id,
    artifactUri: row.artifact_uri,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    tags: tagsOf.get(row.id) ?? [],
    params: paramsOf.get(row.id) ?? [],
    metrics: (metricsOf.get(row.id) ?? []).toSorted(byText(({ key }) => key)).map((metric) => ({
      ...toPoint(metric),
      runId: metric.run_id,
      datasetName: metric.dataset_name,
      datasetDigest: metric.dataset_digest,
    })),
  }))
}
