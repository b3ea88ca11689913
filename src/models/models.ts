/** Models keeps models, their versions and aliases, and the policies of models for their versions. */
import { sql } from 'kysely'
import { SlipwayError } from '../core/errors.ts'
import { isUniqueViolation } from '../storage/sql/statement-error.ts'
import { record } from '../ledger/events.ts'
import { requireUnused } from './dependents.ts'
import { byText, groupTags, tagRows, requireTag } from '../ledger/tags.ts'
import { LIMITS, requireAlias, requireModelName } from './names.ts'
import { policyOf, requirePolicy } from './policies.ts'
import { readVersionSummaries, STAGES, SUMMARY_COLUMNS } from './read-versions.ts'
import { touch } from './touch.ts'
import type { Kysely, Selectable } from 'kysely'
import type { ModelPolicy } from '../contract/model-policy.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { ModelsRow } from './tables.ts'
import type { Change } from '../ledger/events.ts'
import type { Scope, Write } from '../ledger/scope.ts'
import type { RegistryGround } from './dependents.ts'
import type { Tag } from '../ledger/tags.ts'
import type { VersionSummary, VersionSummaryRow } from './read-versions.ts'

export interface ModelAlias {
  readonly alias: string
  readonly version: number
}

/** A registered model. */
export interface Model {
  readonly id: string
  readonly environment: string
  readonly name: string
  readonly description: string | undefined
  readonly createdAt: number
  readonly updatedAt: number
  readonly tags: readonly Tag[]
  readonly aliases: readonly ModelAlias[]
  /** Aliases that only somebody with the scope `protect` may set, move or remove. */
  readonly protectedAliases: readonly string[]
  readonly policy: ModelPolicy
  /** Grows with every change. */
  readonly resourceVersion: number
  readonly deletedAt: number | undefined
  /** The newest version of each stage, in alphabetical order of the stages. */
  readonly latestVersions: readonly VersionSummary[]
}

export interface NewModel {
  readonly name: string
  readonly description?: string | undefined
  readonly tags?: readonly Tag[]
}

export interface ModelUpdate {
  readonly description?: string | undefined
  /** null removes a tag. */
  readonly tags?: Readonly<Record<string, string | null>> | undefined
  /** Aliases that only callers with the scope `protect` may set, move or remove. */
  readonly protectedAliases?: readonly string[] | undefined
  readonly policy?: ModelPolicy | undefined
}

/** Registered models. */
export class Models {
  readonly #ground: RegistryGround

  constructor(ground: RegistryGround) {
    this.#ground = ground
  }

  /** @throws SLW_ALREADY_EXISTS */
  async create(scope: Scope, { name, description, tags = [] }: NewModel): Promise<Model> {
    requireModelName(name)
    for (const tag of tags) requireTag('a tag', tag, LIMITS.modelTagLength)
    const { database, clock, newId } = this.#ground
    const now = clock.epochMs()
    const id = newId()
    try {
      await database.write(async (write) => {
        await write
          .insertInto('models')
          .values({
            id,
            environment: scope.environment,
            name,
            description: description ?? null,
            protected_aliases: '[]',
            created_at: now,
            updated_at: now,
            deleted_at: null,
          })
          .execute()
        await beginNumbers(write, scope.environment, name)
        const rows = tagRows({ model_id: id }, tags)
        if (rows.length > 0) await write.insertInto('model_tags').values(rows).execute()
        await record(write, scope, now, { kind: 'model', name, action: 'created', after: { description, tags } })
      })
    } catch (error) {
      if (!isUniqueViolation(error)) throw error
      throw taken(name, error)
    }
    return await this.get(scope, name)
  }

  /** @throws SLW_NOT_FOUND */
  async get(scope: Scope, name: string): Promise<Model> {
    const { read } = this.#ground.database
    const [model] = await readModels(read, [await requireModel(read, scope, name)])
    return model!
  }

  async describe(scope: Scope, name: string, description: string): Promise<Model> {
    await this.#change(scope, name, async (write, row, now) => {
      await write.updateTable('models').set({ description, updated_at: now }).where('id', '=', row.id).execute()
      return { action: 'updated', before: { description: row.description }, after: { description } }
    })
    return await this.get(scope, name)
  }

  /** Renames a model; its versions keep their numbers. @throws SLW_ALREADY_EXISTS */
  async rename(scope: Scope, name: string, newName: string): Promise<Model> {
    requireModelName(newName)
    try {
      await this.#change(scope, name, async (write, row, now) => {
        await write.updateTable('models').set({ name: newName, updated_at: now }).where('id', '=', row.id).execute()
        await write.updateTable('versions').set({ updated_at: now }).where('model_id', '=', row.id).execute()
        await carryNumbers(write, { environment: scope.environment, from: name, to: newName })
        return { action: 'renamed', before: { name }, after: { name: newName } }
      })
    } catch (error) {
      if (!isUniqueViolation(error)) throw error
      throw taken(newName, error)
    }
    return await this.get(scope, newName)
  }

  /**
   * Moves a model with its versions to the trash, and deletes its aliases.
   * @throws SLW_CONFLICT if an alias is protected, or something depends on a version
   */
  async delete(scope: Scope, name: string): Promise<void> {
    await this.#change(scope, name, async (write, row, now) => {
      const versions = await write
        .selectFrom('versions')
        .select('id')
        .where('model_id', '=', row.id)
        .where('deleted_at', 'is', null)
        .execute()
      await requireUnused(
        this.#ground,
        write,
        `model "${name}"`,
        versions.map(({ id }) => id),
      )
      const aliases = await write.selectFrom('aliases').select(['alias', 'version_id']).where('model_id', '=', row.id).execute()
      const guarded = protectedAliases(row).find((alias) => aliases.some((other) => other.alias === alias))
      if (guarded !== undefined)
        throw new SlipwayError('SLW_CONFLICT', `model "${name}" has the protected alias "${guarded}": remove the alias before the model`)
      await dropAliases(write, { scope, now, model: row })
      await write.updateTable('models').set({ deleted_at: now, updated_at: now }).where('id', '=', row.id).execute()
      return { action: 'deleted', before: { aliases: aliases.map(({ alias }) => alias) } }
    })
  }

  /**
   * Restores a model with those versions that were not deleted before it. Its aliases are not set again.
   * @throws SLW_NOT_FOUND; SLW_ALREADY_EXISTS if another model has the name by now
   */
  async restore(scope: Scope, id: string): Promise<Model> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    const name = await database
      .write(async (write) => {
        const row = await write
          .updateTable('models')
          .set({ deleted_at: null, updated_at: now })
          .where('id', '=', id)
          .where('environment', '=', scope.environment)
          .where('deleted_at', 'is not', null)
          .returning('name')
          .executeTakeFirst()
        if (row === undefined) throw new SlipwayError('SLW_NOT_FOUND', `no model with the id ${id} lies in the trash`)
        await touch(write, 'models', id, {})
        await record(write, scope, now, { kind: 'model', name: row.name, action: 'restored', after: { id } })
        return row.name
      })
      .catch((error: unknown) => {
        if (!isUniqueViolation(error)) throw error
        throw new SlipwayError('SLW_ALREADY_EXISTS', 'another model has its name by now: rename that one first', { cause: error })
      })
    return await this.get(scope, name)
  }

  /** Changes several properties, all or none. @throws SLW_NOT_FOUND, also for a signer that a policy names; SLW_PRECONDITION_FAILED */
  async update(scope: Scope, name: string, update: ModelUpdate): Promise<Model> {
    const { description, tags = {}, protectedAliases: guarded, policy } = update
    for (const alias of guarded ?? []) requireAlias(alias)
    for (const [key, value] of Object.entries(tags)) requireTag('a tag', { key, value: value ?? '' }, LIMITS.modelTagLength)
    await this.#change(scope, name, async (write, row, now) => {
      if (policy !== undefined) await requirePolicy(write, scope.environment, policy)
      if (policy !== undefined && policyOf(row).sandbox === true && policy.sandbox !== true) await this.#requireNoneInSandbox(write, row)
      const set = {
        ...(description !== undefined && { description }),
        ...(guarded !== undefined && { protected_aliases: JSON.stringify(guarded) }),
        ...(policy !== undefined && { policy: JSON.stringify(policy) }),
        updated_at: now,
      }
      await write.updateTable('models').set(set).where('id', '=', row.id).execute()
      for (const [key, value] of Object.entries(tags))
        if (value === null) await write.deleteFrom('model_tags').where('model_id', '=', row.id).where('key', '=', key).execute()
        else await putTag(write, row.id, { key, value })
      const before = {
        ...(description !== undefined && { description: row.description }),
        ...(guarded !== undefined && { protectedAliases: protectedAliases(row) }),
        ...(policy !== undefined && { policy: policyOf(row) }),
      }
      return { action: 'updated', before, after: update }
    })
    return await this.get(scope, name)
  }

  /**
   * Versions that are served from the sandbox now must stay servable, also after a restart of a server.
   * @throws SLW_CONFLICT naming what serves such a version
   */
  async #requireNoneInSandbox(write: Write, { id, name }: Selectable<ModelsRow>): Promise<void> {
    const versions = await write.selectFrom('versions').select('id').where('model_id', '=', id).where('servable', '=', 0).execute()
    await requireUnused(
      this.#ground,
      write,
      `the sandbox of model "${name}"`,
      versions.map((version) => version.id),
    )
  }

  async setTag(scope: Scope, name: string, tag: Tag): Promise<void> {
    requireTag('a tag', tag, LIMITS.modelTagLength)
    await this.#change(scope, name, async (write, row) => {
      await putTag(write, row.id, tag)
      return { action: 'set', after: { tag } }
    })
  }

  /** A missing tag is no error. */
  async deleteTag(scope: Scope, name: string, key: string): Promise<void> {
    await this.#change(scope, name, async (write, row) => {
      await write.deleteFrom('model_tags').where('model_id', '=', row.id).where('key', '=', key).execute()
      return { action: 'deleted', before: { tag: { key } } }
    })
  }

  async #change(
    scope: Scope,
    name: string,
    act: (write: Write, row: Selectable<ModelsRow>, now: number) => Promise<Pick<Change, 'action' | 'before' | 'after'>>,
  ): Promise<void> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      const row = await requireModel(write, scope, name)
      await touch(write, 'models', row.id, scope)
      await record(write, scope, now, { kind: 'model', name, ...(await act(write, row, now)) })
    })
  }
}

async function putTag(write: Write, modelId: string, tag: Tag): Promise<void> {
  await write
    .insertInto('model_tags')
    .values({ model_id: modelId, ...tag })
    .onConflict((conflict) => conflict.columns(['model_id', 'key']).doUpdateSet({ value: tag.value }))
    .execute()
}

function taken(name: string, cause: unknown): SlipwayError {
  return new SlipwayError('SLW_ALREADY_EXISTS', `Registered Model (name=${name}) already exists.`, { cause })
}

async function beginNumbers(write: Write, environment: string, name: string): Promise<void> {
  await write
    .insertInto('model_names')
    .values({ environment, name, last_version: 0 })
    .onConflict((conflict) => conflict.columns(['environment', 'name']).doNothing())
    .execute()
}

/** Version numbers are never given twice, under the new name of a model too. */
async function carryNumbers(write: Write, { environment, from, to }: { environment: string; from: string; to: string }): Promise<void> {
  await beginNumbers(write, environment, to)
  const numbers = await write
    .selectFrom('model_names')
    .select('last_version')
    .where('environment', '=', environment)
    .where('name', 'in', [from, to])
    .execute()
  await write
    .updateTable('model_names')
    .set({ last_version: Math.max(...numbers.map((row) => row.last_version)) })
    .where('environment', '=', environment)
    .where('name', '=', to)
    .execute()
}

/** Deletes the aliases of all versions of a model, or of one: each deletion is an event of its own. @returns the deleted aliases */
export async function dropAliases(
  write: Write,
  { scope, now, model, versionId }: { scope: Scope; now: number; model: Selectable<ModelsRow>; versionId?: string },
): Promise<string[]> {
  const rows = await write
    .selectFrom('aliases')
    .innerJoin('versions', 'versions.id', 'aliases.version_id')
    .select(['alias', 'number'])
    .where('aliases.model_id', '=', model.id)
    .$if(versionId !== undefined, (all) => all.where('version_id', '=', versionId!))
    .orderBy('alias')
    .execute()
  for (const { alias, number } of rows) {
    await write.deleteFrom('aliases').where('model_id', '=', model.id).where('alias', '=', alias).execute()
    await record(write, { ...scope, once: undefined }, now, {
      kind: 'alias',
      name: `${model.name}@${alias}`,
      action: 'deleted',
      before: { version: number },
    })
  }
  return rows.map(({ alias }) => alias)
}

export function protectedAliases(row: Selectable<ModelsRow>): string[] {
  return JSON.parse(row.protected_aliases) as string[]
}

/** Reads a model of the scope's environment that is not in the trash. @throws SLW_NOT_FOUND; SLW_INPUT_INVALID for an invalid name */
export async function requireModel(read: Kysely<Schema>, scope: Scope, name: string): Promise<Selectable<ModelsRow>> {
  requireModelName(name)
  const row = await read
    .selectFrom('models')
    .selectAll()
    .where('environment', '=', scope.environment)
    .where('name', '=', name)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  if (row === undefined) throw noModel(name)
  return row
}

/** Increments the resource version of a model and locks its row until the transaction ends. @throws SLW_NOT_FOUND */
export async function changeModel(write: Write, scope: Scope, name: string, now: number): Promise<Selectable<ModelsRow>> {
  const row = await write
    .updateTable('models')
    .set((columns) => ({ revision: columns('revision', '+', 1), updated_at: now }))
    .where('environment', '=', scope.environment)
    .where('name', '=', name)
    .where('deleted_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) throw noModel(name)
  return row
}

function noModel(name: string): SlipwayError {
  return new SlipwayError('SLW_NOT_FOUND', `Registered Model with name=${name} not found`)
}

/** Reads models with everything that belongs to them, in the order given. */
export async function readModels(read: Kysely<Schema>, rows: readonly Selectable<ModelsRow>[]): Promise<Model[]> {
  if (rows.length === 0) return []
  const ids = rows.map(({ id }) => id)
  const [tags, aliases, latest] = await Promise.all([
    read.selectFrom('model_tags').select(['model_id as owner', 'key', 'value']).where('model_id', 'in', ids).execute(),
    read
      .selectFrom('aliases')
      .innerJoin('versions', 'versions.id', 'aliases.version_id')
      .select(['aliases.model_id', 'alias', 'number'])
      .where('aliases.model_id', 'in', ids)
      .execute(),
    newestOf(read, ids),
  ])
  const tagsOf = groupTags(tags)
  const aliasesOf = Map.groupBy(aliases, (alias) => alias.model_id)
  const versionsOf = Map.groupBy(await readVersionSummaries(read, latest), (version) => version.modelId)
  return rows.map((row) => ({
    id: row.id,
    environment: row.environment,
    name: row.name,
    description: row.description ?? undefined,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    tags: tagsOf.get(row.id) ?? [],
    aliases: (aliasesOf.get(row.id) ?? []).map(({ alias, number }) => ({ alias, version: number })).toSorted(byText(({ alias }) => alias)),
    protectedAliases: protectedAliases(row),
    policy: policyOf(row),
    resourceVersion: row.revision,
    deletedAt: row.deleted_at ?? undefined,
    latestVersions: (versionsOf.get(row.id) ?? []).toSorted((a, b) => (a.stage < b.stage ? -1 : 1)),
  }))
}

/** The newest live version in each stage, looked up for each stage of each model: there may be very many versions. */
async function newestOf(read: Kysely<Schema>, models: readonly string[]): Promise<VersionSummaryRow[]> {
  const stages = sql<{ stage: string }>`(${sql.join(
    STAGES.map((stage) => sql`select ${stage} as stage`),
    sql` union all `,
  )})`.as<'stages'>(sql`stages`)
  const newest = await read
    .selectFrom('models')
    .crossJoin(stages)
    .select((of) =>
      of
        .selectFrom('versions as staged')
        .select('staged.id')
        .whereRef('staged.model_id', '=', 'models.id')
        .whereRef('staged.stage', '=', 'stages.stage')
        .where('staged.deleted_at', 'is', null)
        // The order of the index: PostgreSQL does not see that `deleted_at` is null everywhere.
        .orderBy('staged.deleted_at', 'desc')
        .orderBy('staged.number', 'desc')
        .limit(1)
        .as('id'),
    )
    .where('models.id', 'in', models)
    .execute()
  const ids = newest.flatMap(({ id }) => id ?? [])
  if (ids.length === 0) return []
  const rows = await read.selectFrom('versions').select(SUMMARY_COLUMNS).where('id', 'in', ids).orderBy('number').execute()
  // Versions that were deleted since the query above are not live.
  return rows.filter((row) => row.deleted_at === null)
}

/** The models that keep an environment from being deleted, in words; undefined if there are none. */
export async function anyModelIn(read: Kysely<Schema>, environment: string): Promise<string | undefined> {
  const found = await read
    .selectFrom('models')
    .select('name')
    .where('environment', '=', environment)
    .where('deleted_at', 'is', null)
    .limit(1)
    .executeTakeFirst()
  return found === undefined ? undefined : `models, such as "${found.name}"`
}
