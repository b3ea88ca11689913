import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { record } from './events.ts'
import { requireAlias, requireAliasShape } from './names.ts'
import { protectedAliases, requireModel } from './models.ts'
import { readVersions, requireVersion } from './read-versions.ts'
import type { Selectable } from 'kysely'
import type { ModelsRow } from '../storage/sql/schema.ts'
import type { Ground, Scope } from './ground.ts'
import type { Version } from './read-versions.ts'

/** What a caller may do beyond the usual. */
export interface AliasRights {
  /** Set, move and remove protected aliases. */
  readonly protect: boolean
}

/** Movable names of versions. */
export class Aliases {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** Sets it, or moves it from another version. @throws SLW_FORBIDDEN where it is protected */
  async set(scope: Scope, model: string, { alias, version }: { alias: string; version: string }, rights: AliasRights): Promise<void> {
    requireAlias(alias)
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      const row = await requireModel(write, scope, model)
      requireRight(row, alias, rights)
      const wanted = await requireVersion(write, row, version)
      const before = await write
        .selectFrom('aliases')
        .innerJoin('versions', 'versions.id', 'aliases.version_id')
        .select('number')
        .where('aliases.model_id', '=', row.id)
        .where('alias', '=', alias)
        .executeTakeFirst()
      const set = { version_id: wanted.id, updated_by: scope.actor, updated_at: now }
      await write
        .insertInto('aliases')
        .values({ model_id: row.id, alias, ...set })
        .onConflict((conflict) => conflict.columns(['model_id', 'alias']).doUpdateSet(set))
        .execute()
      await faultPoint('alias.set')
      await record(write, scope, now, {
        kind: 'alias',
        name: `${model}@${alias}`,
        action: before === undefined ? 'created' : 'updated',
        ...(before !== undefined && { before: { version: before.number } }),
        after: { version: wanted.number },
      })
    })
  }

  /** One that is not there is no error. @throws SLW_FORBIDDEN where it is protected */
  async remove(scope: Scope, model: string, alias: string, rights: AliasRights): Promise<void> {
    requireAliasShape(alias)
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      const row = await requireModel(write, scope, model)
      requireRight(row, alias, rights)
      const gone = await write
        .deleteFrom('aliases')
        .where('model_id', '=', row.id)
        .where('alias', '=', alias)
        .returning('version_id')
        .executeTakeFirst()
      if (gone === undefined) return
      const { number } = await write.selectFrom('versions').select('number').where('id', '=', gone.version_id).executeTakeFirstOrThrow()
      await record(write, scope, now, { kind: 'alias', name: `${model}@${alias}`, action: 'deleted', before: { version: number } })
    })
  }

  /** The version that it points to; undefined where there is no such alias. @throws SLW_NOT_FOUND without the model */
  async resolve(scope: Scope, model: string, alias: string): Promise<Version | undefined> {
    requireAliasShape(alias)
    const { read } = this.#ground.database
    const row = await read
      .selectFrom('aliases')
      .innerJoin('models', 'models.id', 'aliases.model_id')
      .innerJoin('versions', 'versions.id', 'aliases.version_id')
      .selectAll('versions')
      .where('models.environment', '=', scope.environment)
      .where('models.name', '=', model)
      .where('models.deleted_at', 'is', null)
      .where('alias', '=', alias)
      .executeTakeFirst()
    if (row === undefined) {
      await requireModel(read, scope, model)
      return undefined
    }
    const [version] = await readVersions(read, [row])
    return version
  }

  /** Which aliases of a model only those with the right may touch. */
  async protect(scope: Scope, model: string, aliases: readonly string[]): Promise<void> {
    for (const alias of aliases) requireAlias(alias)
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      const row = await requireModel(write, scope, model)
      await write
        .updateTable('models')
        .set({ protected_aliases: JSON.stringify(aliases), updated_at: now })
        .where('id', '=', row.id)
        .execute()
      const before = { protectedAliases: protectedAliases(row) }
      await record(write, scope, now, { kind: 'model', name: model, action: 'updated', before, after: { protectedAliases: aliases } })
    })
  }
}

function requireRight(model: Selectable<ModelsRow>, alias: string, { protect }: AliasRights): void {
  if (protect || !protectedAliases(model).includes(alias)) return
  throw new SlipwayError('SLW_FORBIDDEN', `alias "${alias}" of model "${model.name}" is protected: use a key with the scope "protect"`)
}
