import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { record } from './events.ts'
import { LIMITS, requireModelName, requireTag } from './names.ts'
import { tagRows } from './ground.ts'
import { protectedAliases, requireModel } from './models.ts'
import { readVersions, requireVersion, STAGES, toVersion } from './read-versions.ts'
import { resolveSource } from './sources.ts'
import { judgeServable } from './servable.ts'
import { copyTree, treeDigest } from './trees.ts'
import type { Selectable } from 'kysely'
import type { ModelsRow, VersionsRow } from '../storage/sql/schema.ts'
import type { Change } from './events.ts'
import type { Ground, Scope, Tag, Write } from './ground.ts'
import type { Stage, Version } from './read-versions.ts'

export interface NewVersion {
  /** Where its files are: of a run, of a logged model, of another version, or elsewhere. */
  readonly source: string
  readonly runId?: string | undefined
  readonly runLink?: string | undefined
  readonly loggedModelId?: string | undefined
  readonly description?: string | undefined
  readonly tags?: readonly Tag[]
}

/** Versions of models. */
export class Versions {
  readonly #ground: Ground

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /**
   * Takes the next number, and a copy of the files as they are now, which later changes of the run do not reach.
   * @throws SLW_NOT_FOUND without the model, or what the source names
   */
  async create(scope: Scope, model: string, version: NewVersion): Promise<Version> {
    const { tags = [] } = version
    for (const tag of tags) requireTag('a tag', tag, LIMITS.modelTagLength)
    const { database, clock, newId } = this.#ground
    const now = clock.epochMs()
    const id = newId()
    requireModelName(model)
    return await database.write(async (write) => {
      const row = await requireModel(write, scope, model)
      const source = await resolveSource(write, scope, version)
      const number = await nextVersion(write, scope.environment, model)
      await faultPoint('version.numbered')
      const { files } = source
      const judged = judgeServable(files)
      const made: VersionsRow = {
        id,
        model_id: row.id,
        number,
        description: version.description ?? null,
        source: version.source,
        run_id: source.runId ?? null,
        run_link: version.runLink ?? null,
        logged_model_id: source.loggedModelId ?? null,
        stage: 'None',
        status: 'READY',
        status_message: null,
        digest: files === undefined ? null : treeDigest(files),
        size: files === undefined ? null : files.reduce((sum, { size }) => sum + size, 0),
        servable: judged.servable ? 1 : 0,
        servable_reason: judged.reason ?? null,
        approval: 'none',
        approval_by: null,
        approval_reason: null,
        approval_at: null,
        provenance: JSON.stringify({ runId: source.runId, parentVersion: source.parentVersion }),
        signature: null,
        metrics: null,
        examples: null,
        scan: null,
        created_by: scope.actor,
        created_at: now,
        updated_at: now,
        deleted_at: null,
      }
      await write.insertInto('versions').values(made).execute()
      if (files !== undefined) await copyTree(write, files, `version:${id}`, now)
      await faultPoint('version.copied')
      const rows = tagRows({ version_id: id }, tags)
      if (rows.length > 0) await write.insertInto('version_tags').values(rows).execute()
      await write.updateTable('models').set({ updated_at: now }).where('id', '=', row.id).execute()
      const after = { source: version.source, runId: source.runId, description: version.description, tags }
      await record(write, scope, now, { kind: 'version', name: `${model}/${number}`, action: 'created', after })
      return toVersion(made, { model, tags: rows.map(({ key, value }) => ({ key, value })), aliases: [] })
    })
  }

  /** @throws SLW_NOT_FOUND */
  async get(scope: Scope, model: string, number: string): Promise<Version> {
    const { read } = this.#ground.database
    const row = await requireVersion(read, await requireModel(read, scope, model), number)
    const [version] = await readVersions(read, [row])
    return version!
  }

  async describe(scope: Scope, model: string, number: string, description: string): Promise<Version> {
    await this.#change({ scope, model, number }, async (write, row, now) => {
      await write.updateTable('versions').set({ description, updated_at: now }).where('id', '=', row.id).execute()
      return { action: 'updated', before: { description: row.description }, after: { description } }
    })
    return await this.get(scope, model, number)
  }

  /** The stages of older clients. @throws SLW_INPUT_INVALID for a word that is none */
  async moveToStage(scope: Scope, model: string, number: string, move: { stage: string; archiveOthers: boolean }): Promise<Version> {
    const stage = requireStage(move.stage)
    if (move.archiveOthers && stage !== 'Staging' && stage !== 'Production')
      throw new SlipwayError(
        'SLW_INPUT_INVALID',
        `Model version transition cannot archive existing model versions because '${move.stage}' is not an Active stage. Valid stages are Staging, Production`,
      )
    await this.#change({ scope, model, number }, async (write, row, now) => {
      if (move.archiveOthers)
        await write
          .updateTable('versions')
          .set({ stage: 'Archived', updated_at: now })
          .where('model_id', '=', row.model_id)
          .where('stage', '=', stage)
          .where('id', '!=', row.id)
          .where('deleted_at', 'is', null)
          .execute()
      await write.updateTable('versions').set({ stage, updated_at: now }).where('id', '=', row.id).execute()
      await write.updateTable('models').set({ updated_at: now }).where('id', '=', row.model_id).execute()
      return { action: 'updated', before: { stage: row.stage }, after: { stage } }
    })
    return await this.get(scope, model, number)
  }

  /** To the trash; its aliases go. @throws SLW_CONFLICT where one of them is protected */
  async delete(scope: Scope, model: string, number: string): Promise<void> {
    await this.#change({ scope, model, number }, async (write, row, now, parent) => {
      const gone = await write.deleteFrom('aliases').where('version_id', '=', row.id).returning('alias').execute()
      const guarded = gone.find(({ alias }) => protectedAliases(parent).includes(alias))
      if (guarded !== undefined)
        throw new SlipwayError(
          'SLW_CONFLICT',
          `version ${number} of model "${model}" has the protected alias "${guarded.alias}": move the alias before the version is deleted`,
        )
      await write.updateTable('versions').set({ deleted_at: now, updated_at: now }).where('id', '=', row.id).execute()
      await write.updateTable('models').set({ updated_at: now }).where('id', '=', row.model_id).execute()
      return { action: 'deleted', before: { aliases: gone.map(({ alias }) => alias) } }
    })
  }

  async setTag(scope: Scope, model: string, number: string, tag: Tag): Promise<void> {
    requireTag('a tag', tag, LIMITS.modelTagLength)
    await this.#change({ scope, model, number }, async (write, row) => {
      await write
        .insertInto('version_tags')
        .values({ version_id: row.id, ...tag })
        .onConflict((conflict) => conflict.columns(['version_id', 'key']).doUpdateSet({ value: tag.value }))
        .execute()
      return { action: 'set', after: { tag } }
    })
  }

  /** One that is not there is no error. */
  async deleteTag(scope: Scope, model: string, number: string, key: string): Promise<void> {
    await this.#change({ scope, model, number }, async (write, row) => {
      await write.deleteFrom('version_tags').where('version_id', '=', row.id).where('key', '=', key).execute()
      return { action: 'deleted', before: { tag: { key } } }
    })
  }

  async #change(
    { scope, model, number }: { scope: Scope; model: string; number: string },
    act: (
      write: Write,
      row: Selectable<VersionsRow>,
      now: number,
      parent: Selectable<ModelsRow>,
    ) => Promise<Pick<Change, 'action' | 'before' | 'after'>>,
  ): Promise<void> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      const parent = await requireModel(write, scope, model)
      const row = await requireVersion(write, parent, number)
      await record(write, scope, now, { kind: 'version', name: `${model}/${row.number}`, ...(await act(write, row, now, parent)) })
    })
  }
}

/** Numbers are those of a name, whichever models bear it one after the other. */
async function nextVersion(write: Write, environment: string, name: string): Promise<number> {
  const { last_version: number } = await write
    .updateTable('model_names')
    .set((columns) => ({ last_version: columns('last_version', '+', 1) }))
    .where('environment', '=', environment)
    .where('name', '=', name)
    .returning('last_version')
    .executeTakeFirstOrThrow()
  return number
}

/** As people write it: case does not matter. @throws SLW_INPUT_INVALID */
export function requireStage(stage: string): Stage {
  const found = STAGES.find((known) => known.toLowerCase() === stage.toLowerCase())
  if (found !== undefined) return found
  throw new SlipwayError('SLW_INPUT_INVALID', `Invalid Model Version stage: ${stage}. Value must be one of ${STAGES.join(', ')}.`)
}
