import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { record } from '../ledger/events.ts'
import { requireAlias, requireAliasShape } from './names.ts'
import { protectedAliases, requireModel } from './models.ts'
import { requireMove } from './policies.ts'
import { readVersions, requireVersion } from './read-versions.ts'
import { touch } from './touch.ts'
import type { Kysely, Selectable } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { ModelsRow, VersionsRow } from './tables.ts'
import type { Scope, Write } from '../ledger/scope.ts'
import type { RegistryGround } from './dependents.ts'
import type { Version } from './read-versions.ts'

/** Rights of a caller beyond the usual. */
export interface AliasRights {
  /** Set, move and remove protected aliases. */
  readonly protect: boolean
}

export interface WantedAlias {
  readonly alias: string
  /** Number of the version. */
  readonly version: string
  /** Allows a version that breaks clients of the version that the alias points to. */
  readonly allowBreaking?: boolean | undefined
  /** The version that the alias points to as far as the caller knows. */
  readonly expected?: number | 'none' | undefined
}

/** Movable names of versions. */
export class Aliases {
  readonly #ground: RegistryGround

  constructor(ground: RegistryGround) {
    this.#ground = ground
  }

  /**
   * Sets an alias, or moves it from another version.
   * @throws SLW_FORBIDDEN if it is protected, SLW_POLICY_REFUSED if it is gated, SLW_CONTRACT_BREAKING; SLW_PRECONDITION_FAILED if it does
   *   not point to the version that the caller expects
   */
  async set(scope: Scope, model: string, wanted: WantedAlias, rights: AliasRights): Promise<void> {
    requireAlias(wanted.alias)
    await this.#ground.database.write((write) => moveAlias(write, this.#ground, scope, { ...wanted, model, rights }))
  }

  /** A missing alias is no error. @throws SLW_FORBIDDEN if it is protected */
  async remove(scope: Scope, model: string, { alias, expected }: Omit<WantedAlias, 'version'>, rights: AliasRights): Promise<void> {
    requireAliasShape(alias)
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      const row = await requireModel(write, scope, model)
      requireRight(row, alias, rights)
      await touch(write, 'models', row.id, {})
      const before = await pointedTo(write, row.id, alias)
      requireExpected(alias, before?.number, expected)
      if (before === undefined) return
      const { number } = before
      await write.deleteFrom('aliases').where('model_id', '=', row.id).where('alias', '=', alias).execute()
      await record(write, scope, now, { kind: 'alias', name: `${model}@${alias}`, action: 'deleted', before: { version: number } })
    })
  }

  /** The version that an alias points to; undefined if there is no such alias. @throws SLW_NOT_FOUND without the model */
  async resolve(scope: Scope, model: string, alias: string): Promise<Version | undefined> {
    requireAliasShape(alias)
    const { read } = this.#ground.database
    const row = await aliasedIn(read, scope, model, alias)
    if (row === undefined) {
      await requireModel(read, scope, model)
      return undefined
    }
    const [version] = await readVersions(read, [row])
    return version
  }
}

/** The version that an alias points to; undefined if there is no such alias, or no such model. */
export async function aliasedIn(
  read: Kysely<Schema>,
  { environment }: Scope,
  model: string,
  alias: string,
): Promise<Selectable<VersionsRow> | undefined> {
  return await read
    .selectFrom('aliases')
    .innerJoin('models', 'models.id', 'aliases.model_id')
    .innerJoin('versions', 'versions.id', 'aliases.version_id')
    .selectAll('versions')
    .where('models.environment', '=', environment)
    .where('models.name', '=', model)
    .where('models.deleted_at', 'is', null)
    .where('alias', '=', alias)
    .executeTakeFirst()
}

/** As {@link Aliases.set}, as part of a larger transaction. */
export async function moveAlias(
  write: Write,
  { clock, dependents }: RegistryGround,
  scope: Scope,
  wanted: WantedAlias & { readonly model: string; readonly rights: AliasRights },
): Promise<void> {
  const { model, alias, version, allowBreaking = false } = wanted
  const now = clock.epochMs()
  const row = await requireModel(write, scope, model)
  requireRight(row, alias, wanted.rights)
  // Moves of one alias follow one another: each is checked against the outcome of the one before.
  await touch(write, 'models', row.id, {})
  const to = await requireVersion(write, row, version)
  const before = await pointedTo(write, row.id, alias)
  requireExpected(alias, before?.number, wanted.expected)
  await requireMove(write, { model: row, alias, from: before, to, allowBreaking })
  const set = { version_id: to.id, updated_by: scope.actor, updated_at: now }
  await write
    .insertInto('aliases')
    .values({ model_id: row.id, alias, ...set })
    .onConflict((conflict) => conflict.columns(['model_id', 'alias']).doUpdateSet(set))
    .execute()
  await faultPoint('alias.set')
  if (before?.id !== to.id)
    for (const each of dependents ?? []) await each.aliasMoved(write, scope, { model, alias, at: now, allowBreaking })
  await record(write, scope, now, {
    kind: 'alias',
    name: `${model}@${alias}`,
    action: before === undefined ? 'created' : 'updated',
    ...(before !== undefined && { before: { version: before.number } }),
    after: { version: to.number, ...(allowBreaking && { allowBreaking }) },
  })
}

/** The version that an alias points to. */
async function pointedTo(read: Kysely<Schema>, modelId: string, alias: string): Promise<Selectable<VersionsRow> | undefined> {
  return await read
    .selectFrom('aliases')
    .innerJoin('versions', 'versions.id', 'aliases.version_id')
    .selectAll('versions')
    .where('aliases.model_id', '=', modelId)
    .where('alias', '=', alias)
    .executeTakeFirst()
}

function requireExpected(alias: string, now: number | undefined, expected: WantedAlias['expected']): void {
  if (expected === undefined || (now ?? 'none') === expected) return
  const what = now === undefined ? 'is not set' : `points to version ${now}`
  throw new SlipwayError(
    'SLW_PRECONDITION_FAILED',
    `alias "${alias}" ${what}, expected ${expected === 'none' ? 'that it is not set' : `version ${expected}`}`,
  )
}

/** @throws SLW_NOT_FOUND without the model; SLW_FORBIDDEN for a protected alias without the right */
export async function requireAliasRight(
  read: Kysely<Schema>,
  scope: Scope,
  { model, alias, protect }: { readonly model: string; readonly alias: string; readonly protect: boolean },
): Promise<void> {
  requireRight(await requireModel(read, scope, model), alias, { protect })
}

function requireRight(model: Selectable<ModelsRow>, alias: string, { protect }: AliasRights): void {
  if (protect || !protectedAliases(model).includes(alias)) return
  throw new SlipwayError('SLW_FORBIDDEN', `alias "${alias}" of model "${model.name}" is protected: use a key with the scope "protect"`)
}
