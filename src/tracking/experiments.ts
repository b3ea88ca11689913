/** Tracking keeps experiments, their runs, and the models that runs have logged. */
import { SlipwayError } from '../core/errors.ts'
import { isUniqueViolation } from '../storage/sql/statement-error.ts'
import { nextNumber } from '../ledger/counters.ts'
import { record } from '../ledger/events.ts'
import { DEFAULT_ENVIRONMENT } from '../contract/api-address.ts'
import { groupTags, tagRows, requireTag } from '../ledger/tags.ts'
import { whyNoLocation } from './locations.ts'
import { LIMITS, requireExperimentName } from './names.ts'
import { requireKey, requireLength } from '../ledger/keys.ts'
import type { Kysely, Selectable } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { ExperimentsRow } from './tables.ts'
import type { Ground, LifecycleStage, Scope, Write } from '../ledger/scope.ts'
import type { Tag } from '../ledger/tags.ts'

export interface Experiment {
  /** A number, as text. */
  readonly id: string
  readonly environment: string
  readonly name: string
  readonly artifactLocation: string
  readonly lifecycleStage: LifecycleStage
  /** UTC epoch milliseconds, as all times here. */
  readonly createdAt: number
  readonly updatedAt: number
  readonly tags: readonly Tag[]
}

export interface NewExperiment {
  readonly name: string
  /** URI below which clients put the files of the experiment's runs. Default: on this server. */
  readonly artifactLocation?: string | undefined
  readonly tags?: readonly Tag[]
}

/** Name of the experiment that exists from the start, so that a first run needs no other. */
export const DEFAULT_EXPERIMENT = 'Default'

/** Groups of runs. */
export class Experiments {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** @throws SLW_ALREADY_EXISTS, also if the experiment of that name is in the trash */
  async create(scope: Scope, { name, artifactLocation, tags = [] }: NewExperiment): Promise<Experiment> {
    requireExperimentName(name)
    for (const tag of tags) requireTag('a tag', tag, LIMITS.experimentTagLength)
    if (artifactLocation !== undefined) requireLocation(artifactLocation)
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    try {
      return await database.write(async (write) => {
        const id = String(await nextNumber(write, 'experiment'))
        const row = experimentRow({ id, environment: scope.environment, name, artifactLocation }, now)
        await write.insertInto('experiments').values(row).execute()
        const rows = tagRows({ experiment_id: id }, tags)
        if (rows.length > 0) await write.insertInto('experiment_tags').values(rows).execute()
        await record(write, scope, now, { kind: 'experiment', name: id, action: 'created', after: { name, tags } })
        return toExperiment(row, tags)
      })
    } catch (error) {
      if (!isUniqueViolation(error)) throw error
      throw await this.#nameTaken(scope, name)
    }
  }

  async #nameTaken(scope: Scope, name: string): Promise<SlipwayError> {
    const present = await this.findByName(scope, name)
    const where = present?.lifecycleStage === 'deleted' ? ', in the trash: restore it, or choose another name' : ''
    return new SlipwayError('SLW_ALREADY_EXISTS', `Experiment(name=${name}) already exists${where}`)
  }

  /** Makes the default experiment: number `0` in the first environment of a database, a number of its own in every other. */
  async ensureDefault(environment: string): Promise<void> {
    const { database, clock } = this.#ground
    const scope = { environment, actor: 'slipway' }
    if ((await this.findByName(scope, DEFAULT_EXPERIMENT)) !== undefined) return
    await database.write(async (write) => {
      const first = await write.selectFrom('experiments').select('id').where('id', '=', '0').executeTakeFirst()
      const id = first === undefined ? '0' : String(await nextNumber(write, 'experiment'))
      await write
        .insertInto('experiments')
        .values(experimentRow({ id, environment, name: DEFAULT_EXPERIMENT, artifactLocation: undefined }, clock.epochMs()))
        .onConflict((conflict) => conflict.columns(['environment', 'name']).doNothing())
        .execute()
    })
  }

  /** @throws SLW_NOT_FOUND */
  async get(scope: Scope, id: string): Promise<Experiment> {
    return await this.#read(await requireExperiment(this.#ground.database.read, scope, id))
  }

  async findByName(scope: Scope, name: string): Promise<Experiment | undefined> {
    const row = await this.#ground.database.read
      .selectFrom('experiments')
      .selectAll()
      .where('environment', '=', scope.environment)
      .where('name', '=', name)
      .executeTakeFirst()
    return row === undefined ? undefined : await this.#read(row)
  }

  async #read(row: Selectable<ExperimentsRow>): Promise<Experiment> {
    const [experiment] = await readExperiments(this.#ground.database.read, [row])
    return experiment!
  }

  /** @throws SLW_NOT_FOUND, SLW_CONFLICT for one in the trash, SLW_ALREADY_EXISTS */
  async rename(scope: Scope, id: string, name: string): Promise<void> {
    requireExperimentName(name)
    try {
      await this.#change(scope, id, async (write, row, now) => {
        if (row.lifecycle_stage !== 'active') throw new SlipwayError('SLW_CONFLICT', 'Cannot rename a non-active experiment.')
        await write.updateTable('experiments').set({ name, updated_at: now }).where('id', '=', id).execute()
        return { action: 'renamed', before: { name: row.name }, after: { name } }
      })
    } catch (error) {
      if (!isUniqueViolation(error)) throw error
      throw await this.#nameTaken(scope, name)
    }
  }

  /** Moves an experiment with its runs to the trash. @throws SLW_NOT_FOUND if there is none, or it is in the trash already */
  async delete(scope: Scope, id: string): Promise<void> {
    await this.#change(scope, id, async (write, row, now) => {
      requireStage(row, 'active')
      await moveTo(write, id, { stage: 'deleted', now })
      return { action: 'deleted', before: { name: row.name } }
    })
  }

  /** Restores an experiment with its runs, also those that were deleted before it. @throws SLW_NOT_FOUND */
  async restore(scope: Scope, id: string): Promise<void> {
    await this.#change(scope, id, async (write, row, now) => {
      requireStage(row, 'deleted')
      await moveTo(write, id, { stage: 'active', now })
      return { action: 'restored', after: { name: row.name } }
    })
  }

  async setTag(scope: Scope, id: string, tag: Tag): Promise<void> {
    requireTag('a tag', tag, LIMITS.experimentTagLength)
    await this.#change(scope, id, async (write, row) => {
      requireActive(row)
      await write
        .insertInto('experiment_tags')
        .values({ experiment_id: id, ...tag })
        .onConflict((conflict) => conflict.columns(['experiment_id', 'key']).doUpdateSet({ value: tag.value }))
        .execute()
      return { action: 'set', after: { tag } }
    })
  }

  /** @throws SLW_NOT_FOUND */
  async deleteTag(scope: Scope, id: string, key: string): Promise<void> {
    requireKey('the key of a tag', key)
    await this.#change(scope, id, async (write, row) => {
      requireActive(row)
      const { numDeletedRows } = await write
        .deleteFrom('experiment_tags')
        .where('experiment_id', '=', id)
        .where('key', '=', key)
        .executeTakeFirst()
      if (numDeletedRows === 0n) throw new SlipwayError('SLW_NOT_FOUND', `No tag with name: ${key} in experiment with id ${id}`)
      return { action: 'deleted', before: { tag: { key } } }
    })
  }

  async #change(
    scope: Scope,
    id: string,
    act: (
      write: Write,
      row: Selectable<ExperimentsRow>,
      now: number,
    ) => Promise<{ action: 'renamed' | 'deleted' | 'restored' | 'set'; before?: object; after?: object }>,
  ): Promise<void> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      const change = await act(write, await requireExperiment(write, scope, id), now)
      await record(write, scope, now, { kind: 'experiment', name: id, ...change })
    })
  }
}

async function moveTo(write: Write, id: string, { stage, now }: { stage: LifecycleStage; now: number }): Promise<void> {
  const moved = { lifecycle_stage: stage, deleted_at: stage === 'deleted' ? now : null }
  await write
    .updateTable('experiments')
    .set({ ...moved, updated_at: now })
    .where('id', '=', id)
    .execute()
  await write.updateTable('runs').set(moved).where('experiment_id', '=', id).execute()
}

function experimentRow(
  { id, environment, name, artifactLocation }: { id: string; environment: string; name: string; artifactLocation: string | undefined },
  now: number,
): ExperimentsRow {
  return {
    id,
    environment,
    name,
    artifact_location: artifactLocation ?? `mlflow-artifacts:/${id}`,
    lifecycle_stage: 'active',
    created_at: now,
    updated_at: now,
    deleted_at: null,
  }
}

function requireLocation(location: string): void {
  requireLength('the artifact location', location, 2048)
  // Prevents a known class of security holes: locations that name a path of the server.
  const reason = whyNoLocation(location)
  if (reason !== undefined) throw new SlipwayError('SLW_INPUT_INVALID', `artifact_location ${JSON.stringify(location)}: ${reason}`)
  if (!/^[a-z][a-z0-9+.-]*:/i.test(location) || /^(file|runs|models):/i.test(location) || /[?#]|\.\./.test(location))
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `artifact_location ${JSON.stringify(location)}: expected the URI of a store such as s3://bucket/path, without "..", "?" or "#"; leave it out to keep files here`,
    )
}

/** Reads an experiment of the scope's environment, deleted or not. @throws SLW_NOT_FOUND; SLW_INPUT_INVALID for an id that is no number */
export async function requireExperiment(read: Kysely<Schema>, scope: Scope, id: string): Promise<Selectable<ExperimentsRow>> {
  if (!/^-?\d+$/.test(id))
    throw new SlipwayError('SLW_INPUT_INVALID', `Invalid experiment ID '${id}'. Experiment ID must be a valid integer.`)
  const row = await read
    .selectFrom('experiments')
    .selectAll()
    .where('id', '=', id)
    .where('environment', '=', scope.environment)
    .executeTakeFirst()
  if (row !== undefined) return row
  const own = id === '0' ? await defaultExperiment(read, scope) : undefined
  if (own === undefined) throw new SlipwayError('SLW_NOT_FOUND', `No Experiment with id=${id} exists`)
  return own
}

/** Ids of experiments to search in, with `0` resolved as in {@link requireExperiment}; unknown ids stay, and find nothing. */
export async function experimentIds(read: Kysely<Schema>, scope: Scope, ids: readonly string[]): Promise<string[]> {
  if (!ids.includes('0') || scope.environment === DEFAULT_ENVIRONMENT) return [...ids]
  const own = await defaultExperiment(read, scope)
  return ids.map((id) => (id === '0' && own !== undefined ? own.id : id))
}

/** Clients that have chosen no experiment mean the id `0`: in every environment this is the experiment called Default. */
async function defaultExperiment(read: Kysely<Schema>, { environment }: Scope): Promise<Selectable<ExperimentsRow> | undefined> {
  return await read
    .selectFrom('experiments')
    .selectAll()
    .where('environment', '=', environment)
    .where('name', '=', DEFAULT_EXPERIMENT)
    .executeTakeFirst()
}

function requireStage(row: Selectable<ExperimentsRow>, stage: LifecycleStage): void {
  if (row.lifecycle_stage !== stage) throw new SlipwayError('SLW_NOT_FOUND', `No Experiment with id=${row.id} exists that is ${stage}`)
}

/** @throws SLW_INPUT_INVALID */
export function requireActive(row: Selectable<ExperimentsRow>): void {
  if (row.lifecycle_stage === 'active') return
  throw new SlipwayError(
    'SLW_INPUT_INVALID',
    `The experiment ${row.id} must be in the 'active' state. Current state is ${row.lifecycle_stage}.`,
  )
}

/** Reads experiments with their tags, in the order given. */
export async function readExperiments(read: Kysely<Schema>, rows: readonly Selectable<ExperimentsRow>[]): Promise<Experiment[]> {
  if (rows.length === 0) return []
  const tags = await read
    .selectFrom('experiment_tags')
    .select(['experiment_id as owner', 'key', 'value'])
    .where(
      'experiment_id',
      'in',
      rows.map(({ id }) => id),
    )
    .execute()
  const grouped = groupTags(tags)
  return rows.map((row) => toExperiment(row, grouped.get(row.id) ?? []))
}

function toExperiment(row: Selectable<ExperimentsRow>, tags: readonly Tag[]): Experiment {
  return {
    id: row.id,
    environment: row.environment,
    name: row.name,
    artifactLocation: row.artifact_location,
    lifecycleStage: row.lifecycle_stage as LifecycleStage,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    tags,
  }
}
