import { firstCharacters } from '../core/text.ts'
import { SlipwayError } from '../core/errors.ts'
import { record } from '../ledger/events.ts'
import { requireActive as requireActiveExperiment, requireExperiment } from './experiments.ts'
import { tagRows, requireTag } from '../ledger/tags.ts'
import { inventName } from './invented-names.ts'
import { LIMITS } from './names.ts'
import { requireKey } from '../ledger/keys.ts'
import { readRuns } from './read-runs.ts'
import type { Kysely, Selectable } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { RunsRow } from './tables.ts'
import type { Ground, Scope, Write } from '../ledger/scope.ts'
import type { Tag } from '../ledger/tags.ts'
import type { Run, RunStatus } from './read-runs.ts'

export interface NewRun {
  readonly experimentId: string
  readonly name?: string | undefined
  readonly userId?: string | undefined
  /** UTC epoch milliseconds. */
  readonly startTime?: number | undefined
  readonly tags?: readonly Tag[]
}

export interface RunUpdate {
  readonly status?: RunStatus | undefined
  readonly endTime?: number | undefined
  readonly name?: string | undefined
}

/** The tag that holds the name of a run. */
export const RUN_NAME_TAG = 'mlflow.runName'

/** The life cycle of runs. Their logged data is in {@link RunData}. */
export class Runs {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** @throws SLW_NOT_FOUND without the experiment, SLW_INPUT_INVALID where it is in the trash or name and name tag differ */
  async create(scope: Scope, run: NewRun): Promise<Run> {
    const { tags = [] } = run
    for (const tag of tags) requireKey('the key of a tag', tag.key)
    const tagged = tags.find(({ key }) => key === RUN_NAME_TAG)?.value
    const given = run.name === '' ? undefined : run.name
    if (given !== undefined && tagged !== undefined && given !== tagged)
      throw new SlipwayError(
        'SLW_INPUT_INVALID',
        `Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='${given}', mlflow.runName='${tagged}').`,
      )
    const { database, newId } = this.#ground
    const id = newId()
    const name = given ?? tagged ?? inventName(id)
    await database.write(async (write) => {
      const experiment = await requireExperiment(write, scope, run.experimentId)
      requireActiveExperiment(experiment)
      await write
        .insertInto('runs')
        .values({
          id,
          experiment_id: experiment.id,
          name,
          user_id: run.userId ?? '',
          status: 'RUNNING',
          start_time: run.startTime ?? null,
          end_time: null,
          artifact_uri: `${experiment.artifact_location.replace(/\/+$/, '')}/${id}/artifacts`,
          lifecycle_stage: 'active',
          deleted_at: null,
        })
        .execute()
      await write
        .insertInto('run_tags')
        .values(tagRows({ run_id: id }, [...tags, { key: RUN_NAME_TAG, value: name }]))
        .execute()
    })
    return await this.get(scope, id)
  }

  /** @throws SLW_NOT_FOUND */
  async get(scope: Scope, id: string): Promise<Run> {
    const { read } = this.#ground.database
    const [run] = await readRuns(read, [await requireRun(read, scope, id)])
    return run!
  }

  /** @throws SLW_NOT_FOUND; SLW_INPUT_INVALID for one in the trash */
  async update(scope: Scope, id: string, { status, endTime, name }: RunUpdate): Promise<Run> {
    await this.#ground.database.write(async (write) => {
      requireActive(await lockRun(write, scope, id))
      const named = name === undefined || name === '' ? undefined : name
      const changes = {
        ...(status !== undefined && { status }),
        ...(endTime !== undefined && { end_time: endTime }),
        ...(named !== undefined && { name: named }),
      }
      if (Object.keys(changes).length > 0) await write.updateTable('runs').set(changes).where('id', '=', id).execute()
      if (named !== undefined) await putTags(write, id, [{ key: RUN_NAME_TAG, value: named }])
    })
    return await this.get(scope, id)
  }

  async delete(scope: Scope, id: string): Promise<void> {
    await this.#move(scope, id, 'deleted')
  }

  async restore(scope: Scope, id: string): Promise<void> {
    await this.#move(scope, id, 'restored')
  }

  async #move(scope: Scope, id: string, action: 'deleted' | 'restored'): Promise<void> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      await lockRun(write, scope, id)
      const moved = action === 'deleted' ? { lifecycle_stage: 'deleted', deleted_at: now } : { lifecycle_stage: 'active', deleted_at: null }
      await write.updateTable('runs').set(moved).where('id', '=', id).execute()
      await record(write, scope, now, { kind: 'run', name: id, action })
    })
  }

  async setTags(scope: Scope, id: string, tags: readonly Tag[]): Promise<void> {
    for (const tag of tags) requireKey('the key of a tag', tag.key)
    await this.#ground.database.write(async (write) => {
      requireActive(await lockRun(write, scope, id))
      await setTags(write, id, tags)
    })
  }

  /** @throws SLW_NOT_FOUND where the run has no such tag */
  async deleteTag(scope: Scope, id: string, key: string): Promise<void> {
    await this.#ground.database.write(async (write) => {
      requireActive(await lockRun(write, scope, id))
      const { numDeletedRows } = await write.deleteFrom('run_tags').where('run_id', '=', id).where('key', '=', key).executeTakeFirst()
      if (numDeletedRows === 0n) throw new SlipwayError('SLW_NOT_FOUND', `No tag with name: ${key} in run with id ${id}`)
    })
  }
}

/** Reads a run of the scope's environment, deleted or not. @throws SLW_NOT_FOUND */
export async function requireRun(read: Kysely<Schema>, scope: Scope, id: string): Promise<Selectable<RunsRow>> {
  const row = await selectRun(read, scope, id).executeTakeFirst()
  return row ?? refuseRun(id)
}

/** As {@link requireRun}; the row is locked until the transaction ends. */
export async function lockRun(write: Write, scope: Scope, id: string): Promise<Selectable<RunsRow>> {
  // An update that changes nothing locks the row in both databases.
  const row = await write
    .updateTable('runs')
    .set((columns) => ({ status: columns.ref('status') }))
    .where('id', '=', id)
    .where('experiment_id', 'in', write.selectFrom('experiments').select('id').where('environment', '=', scope.environment))
    .returningAll()
    .executeTakeFirst()
  return row ?? refuseRun(id)
}

/** The id of a run if it is of the scope's environment, for what is read of it: a run of another one is as if it were not there. */
export function idOfOwnRun(read: Kysely<Schema>, scope: Pick<Scope, 'environment'>, id: string) {
  return ownRun(read, scope, id).select('runs.id')
}

function selectRun(read: Kysely<Schema>, scope: Scope, id: string) {
  return ownRun(read, scope, id).selectAll('runs')
}

function ownRun(read: Kysely<Schema>, { environment }: Pick<Scope, 'environment'>, id: string) {
  return read
    .selectFrom('runs')
    .innerJoin('experiments', 'experiments.id', 'runs.experiment_id')
    .where('runs.id', '=', id)
    .where('experiments.environment', '=', environment)
}

function refuseRun(id: string): never {
  throw new SlipwayError('SLW_NOT_FOUND', `Run with id=${id} not found`)
}

/** @throws SLW_INPUT_INVALID */
export function requireActive(row: Selectable<RunsRow>): void {
  if (row.lifecycle_stage === 'active') return
  throw new SlipwayError('SLW_INPUT_INVALID', `The run ${row.id} must be in the 'active' state. Current state is ${row.lifecycle_stage}.`)
}

/** Sets tags of a run; the tag of the name renames it. */
export async function setTags(write: Write, id: string, tags: readonly Tag[]): Promise<void> {
  await putTags(write, id, tags)
  const name = tags.findLast(({ key }) => key === RUN_NAME_TAG)?.value
  if (name !== undefined && name !== '') await write.updateTable('runs').set({ name }).where('id', '=', id).execute()
}

/** Values beyond the limit are cut: a long note must not end the training that writes it. MLflow's clients expect that. */
async function putTags(write: Write, id: string, tags: readonly Tag[]): Promise<void> {
  const cut = tags.map(({ key, value }) => ({ key, value: firstCharacters(value, LIMITS.runTagLength) }))
  for (const tag of cut) requireTag('a tag', tag, LIMITS.runTagLength)
  if (cut.length === 0) return
  await write
    .insertInto('run_tags')
    .values(tagRows({ run_id: id }, cut))
    .onConflict((conflict) => conflict.columns(['run_id', 'key']).doUpdateSet((columns) => ({ value: columns.ref('excluded.value') })))
    .execute()
}
