import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { record } from '../ledger/events.ts'
import { LIMITS, requireModelName } from './names.ts'
import { requireUnused } from './dependents.ts'
import { tagRows, requireTag } from '../ledger/tags.ts'
import { changeModel, dropAliases, protectedAliases, requireModel } from './models.ts'
import { readOrigin, withMetrics } from './origin.ts'
import { usableContents } from './usable-contents.ts'
import type { Reader } from './usable-contents.ts'
import { asksForApproval, policyOf } from './policies.ts'
import { readVersions, requireNumber, requireVersion, STAGES, toVersion } from './read-versions.ts'
import { touch } from './touch.ts'
import { resolveSource } from './version-source.ts'
import { copyTree, filesBelow, requireTree, requireTreePath } from '../files/file-trees.ts'
import { both } from '../storage/sql/both.ts'
import { atCommit } from '../storage/sql/sessions.ts'
import { treeDigest } from '../core/content-digest.ts'
import type { Kysely, Selectable } from 'kysely'
import type { Inspection } from '../contract/inspection.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { ModelsRow, VersionsRow } from './tables.ts'
import type { Change } from '../ledger/events.ts'
import type { Scope, Write } from '../ledger/scope.ts'
import type { RegistryGround } from './dependents.ts'
import type { Tag } from '../ledger/tags.ts'
import type { Origin } from './origin.ts'
import type { Approval, Provenance, Stage, Version } from './read-versions.ts'
import type { Inspect } from './servable.ts'
import type { Source } from './version-source.ts'
import type { TreeFile } from '../files/file-trees.ts'

export interface NewVersion {
  /** Location of the version's files: of a run, of a logged model, of another version, or elsewhere. */
  readonly source: string
  readonly runId?: string | undefined
  readonly runLink?: string | undefined
  readonly loggedModelId?: string | undefined
  readonly description?: string | undefined
  readonly tags?: readonly Tag[]
  /** Provenance in addition to that of the run. */
  readonly provenance?: Provenance | undefined
  readonly metrics?: Readonly<Record<string, number>> | undefined
}

export interface VersionUpdate {
  readonly description?: string | undefined
  /** null removes a tag. */
  readonly tags?: Readonly<Record<string, string | null>> | undefined
}

/** A version whose files were sent before, one by one. */
export interface PushedVersion extends Omit<NewVersion, 'source'> {
  readonly files: readonly TreeFile[]
  /** Who names the contents. Default: somebody who may use all of them. */
  readonly reader?: Reader
}

/** A version to register. Its source is read twice: at first outside of the transaction, and then in it. */
interface Registration {
  readonly scope: Scope
  readonly model: string
  readonly version: NewVersion
  readonly sourceIn: (from: Kysely<Schema>) => Promise<Source>
  /** Digest of the files: a live version that has it is returned instead of a new one. */
  readonly sameAs?: string
}

/** A version to be, inspected before its number is taken. */
interface Candidate {
  readonly source: Source
  readonly inspection: Inspection
  readonly origin: Origin
}

interface Insertion {
  readonly scope: Scope
  readonly model: Selectable<ModelsRow>
  readonly number: number
  readonly version: NewVersion
  readonly candidate: Candidate
  readonly now: number
}

/** Rolls the transaction back: the version exists already, or its source files have changed. */
class NotTaken extends Error {
  readonly same: Selectable<VersionsRow> | undefined

  constructor(same: Selectable<VersionsRow> | undefined) {
    super('no number is taken')
    this.same = same
  }
}

/** Number of attempts to register files that change while they are inspected. */
const ATTEMPTS = 3

/** Versions of models. */
export class Versions {
  readonly #ground: RegistryGround
  readonly #inspect: Inspect

  constructor(ground: RegistryGround, inspect: Inspect) {
    this.#ground = ground
    this.#inspect = inspect
  }

  /**
   * Registers a version with the next number and a copy of the files, which later changes of the run do not affect.
   * @throws SLW_NOT_FOUND without the model, or the source
   */
  async create(scope: Scope, model: string, version: NewVersion): Promise<Version> {
    const sourceIn = (from: Kysely<Schema>): Promise<Source> => resolveSource(from, scope, version)
    return (await this.#register({ scope, model, version, sourceIn })).version
  }

  /**
   * Registers files that were sent one by one. The same files under the same name are the same version.
   * @returns the version, and whether it was made now
   * @throws SLW_NOT_FOUND for a content that is not here; SLW_INPUT_INVALID for a path that leaves the tree
   */
  async push(scope: Scope, model: string, pushed: PushedVersion): Promise<{ readonly version: Version; readonly created: boolean }> {
    const { read } = this.#ground.database
    if (pushed.files.length === 0) throw new SlipwayError('SLW_INPUT_INVALID', 'a version has at least one file')
    const paths = new Set<string>()
    for (const { path } of pushed.files) {
      requireTreePath(path)
      if (paths.has(path)) throw new SlipwayError('SLW_INPUT_INVALID', `the path ${JSON.stringify(path)} is there twice`)
      paths.add(path)
    }
    requireTree([...paths])
    const files = await requireContents(read, pushed.files, pushed.reader)
    const digest = treeDigest(files)
    const sourceIn = async (from: Kysely<Schema>): Promise<Source> => ({
      files: from.isTransaction ? await holdContents(from, pushed.files) : files,
      location: undefined,
      runId: pushed.runId,
      loggedModelId: undefined,
      parentVersion: undefined,
    })
    return await this.#register({ scope, model, version: { ...pushed, source: `slipway:${digest}` }, sourceIn, sameAs: digest })
  }

  async #register(wanted: Registration): Promise<{ readonly version: Version; readonly created: boolean }> {
    const { scope, model, version, sourceIn, sameAs } = wanted
    const { read } = this.#ground.database
    const { tags = [] } = version
    for (const tag of tags) requireTag('a tag', tag, LIMITS.modelTagLength)
    requireModelName(model)
    for (let attempt = 1; ; attempt++) {
      const [{ id }, source] = await both(read, (from) => requireModel(from, scope, model), sourceIn)
      requireTree((source.files ?? []).map(({ path }) => path))
      const known = sameAs === undefined ? undefined : await liveVersion(read, id, sameAs)
      if (known !== undefined) return { version: (await readVersions(read, [known]))[0]!, created: false }
      const [inspection, origin] = await Promise.all([this.#inspect(source.files, scope), readOrigin(this.#ground.database, scope, source)])
      try {
        const made = await this.#ground.database.write(async (write) => {
          const now = this.#ground.clock.epochMs()
          const modelAndSource = (on: Write) => both(on, (from) => changeModel(from, scope, model, now), sourceIn)
          const [[row, present], number] = await both(write, modelAndSource, (on) => nextVersion(on, scope.environment, model))
          const same = sameAs === undefined ? undefined : await liveVersion(write, row.id, sameAs)
          // With another digest, the source has changed: the inspected files are not those that would be registered.
          if (same !== undefined || digestOf(present) !== digestOf(source)) throw new NotTaken(same)
          const candidate = { source: present, inspection, origin }
          return await this.#insert(write, { scope, model: row, number, version, candidate, now })
        })
        return { version: made, created: true }
      } catch (error) {
        if (!(error instanceof NotTaken)) throw error
        if (error.same !== undefined) return { version: (await readVersions(read, [error.same]))[0]!, created: false }
      }
      if (attempt === ATTEMPTS)
        throw new SlipwayError('SLW_CONFLICT', `the files of ${version.source} go on changing; register them when they are still`)
    }
  }

  async #insert(write: Write, { scope, model, number, version, candidate, now }: Insertion): Promise<Version> {
    await faultPoint('version.numbered')
    const id = this.#ground.newId()
    const { tags = [] } = version
    const { source, inspection, origin } = candidate
    const { files, parentVersion } = source
    const provenance: Provenance = { ...origin.provenance, ...(parentVersion !== undefined && { parentVersion }), ...version.provenance }
    const made: Selectable<VersionsRow> = {
      id,
      model_id: model.id,
      number,
      description: version.description ?? null,
      source: version.source,
      location: source.location ?? null,
      run_id: source.runId ?? null,
      run_link: version.runLink ?? null,
      logged_model_id: source.loggedModelId ?? null,
      stage: 'None',
      status: 'READY',
      status_message: null,
      ...treeColumns(files),
      ...inspectionColumns(inspection),
      approval: asksForApproval(model) ? 'pending' : 'none',
      approval_by: null,
      approval_reason: null,
      approval_at: null,
      provenance: JSON.stringify(provenance),
      metrics: withMetrics(origin.metrics, version.metrics ?? {}),
      created_by: scope.actor,
      created_at: now,
      updated_at: now,
      deleted_at: null,
      revision: 1,
    }
    const rows = tagRows({ version_id: id }, tags)
    const after = { source: version.source, runId: source.runId, description: version.description, tags, servable: inspection.servable }
    await atCommit(write, write.insertInto('versions').values(made))
    if (rows.length > 0) await atCommit(write, write.insertInto('version_tags').values(rows))
    if (files !== undefined) {
      await copyTree(write, files, `version:${id}`, now)
      await faultPoint('version.copied')
    }
    await record(write, scope, now, { kind: 'version', name: `${model.name}/${number}`, action: 'created', after })
    return toVersion(made, { model: model.name, tags: rows.map(({ key, value }) => ({ key, value })), aliases: [], gates: [] })
  }

  /** Inspects the files again: with another release, or after a temporary failure. */
  async inspectAgain(scope: Scope, model: string, number: string): Promise<Version> {
    const { read } = this.#ground.database
    const row = await requireVersion(read, await requireModel(read, scope, model), number)
    const files = row.digest === null ? undefined : await filesBelow(read, `version:${row.id}`)
    const inspection = await this.#inspect(files, scope, true)
    await this.#change({ scope, model, number }, async (write, before, now) => {
      const { servable, reason } = inspection
      const set = { ...inspectionColumns(inspection), updated_at: now }
      await write.updateTable('versions').set(set).where('id', '=', before.id).execute()
      return {
        action: 'updated',
        before: { servable: before.servable === 1, reason: before.servable_reason },
        after: { servable, reason: reason ?? null },
      }
    })
    return await this.get(scope, model, number)
  }

  /** Records the approval or rejection of a version. */
  async judge(
    scope: Scope,
    model: string,
    number: string,
    judgement: { approval: Approval; reason?: string | undefined },
  ): Promise<Version> {
    const { approval, reason } = judgement
    await this.#change({ scope, model, number }, async (write, row, now, parent) => {
      if (approval === 'approved') requireSecondPerson(parent, row, scope.actor)
      const set = { approval, approval_by: scope.actor, approval_reason: reason ?? null, approval_at: now, updated_at: now }
      await write.updateTable('versions').set(set).where('id', '=', row.id).execute()
      return { action: 'updated', before: { approval: row.approval }, after: { approval, reason } }
    })
    return await this.get(scope, model, number)
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

  /** Changes description and tags at once. @throws SLW_NOT_FOUND, SLW_PRECONDITION_FAILED */
  async update(scope: Scope, model: string, number: string, update: VersionUpdate): Promise<Version> {
    const { description, tags = {} } = update
    for (const [key, value] of Object.entries(tags)) requireTag('a tag', { key, value: value ?? '' }, LIMITS.modelTagLength)
    await this.#change({ scope, model, number }, async (write, row, now) => {
      const set = { ...(description !== undefined && { description }), updated_at: now }
      await write.updateTable('versions').set(set).where('id', '=', row.id).execute()
      for (const [key, value] of Object.entries(tags))
        if (value === null) await write.deleteFrom('version_tags').where('version_id', '=', row.id).where('key', '=', key).execute()
        else await putTag(write, row.id, { key, value })
      return { action: 'updated', before: { description: row.description }, after: update }
    })
    return await this.get(scope, model, number)
  }

  /** Moves a version to a stage, as older clients do. @throws SLW_INPUT_INVALID for an unknown stage */
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

  /** Moves a version to the trash and deletes its aliases. @throws SLW_CONFLICT if one is protected, or something depends on the version */
  async delete(scope: Scope, model: string, number: string): Promise<void> {
    await this.#change({ scope, model, number }, async (write, row, now, parent) => {
      await requireUnused(this.#ground, write, `version ${number} of model "${model}"`, [row.id])
      const aliases = await dropAliases(write, { scope, now, model: parent, versionId: row.id })
      const guarded = aliases.find((alias) => protectedAliases(parent).includes(alias))
      if (guarded !== undefined)
        throw new SlipwayError(
          'SLW_CONFLICT',
          `version ${number} of model "${model}" has the protected alias "${guarded}": move the alias before the version is deleted`,
        )
      await write.updateTable('versions').set({ deleted_at: now, updated_at: now }).where('id', '=', row.id).execute()
      await write.updateTable('models').set({ updated_at: now }).where('id', '=', row.model_id).execute()
      return { action: 'deleted', before: { aliases } }
    })
  }

  /** Restores a version; its aliases are not set again. @throws SLW_NOT_FOUND if it is not in the trash */
  async restore(scope: Scope, model: string, number: string): Promise<Version> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      const parent = await requireModel(write, scope, model)
      const row = await write
        .updateTable('versions')
        .set({ deleted_at: null, updated_at: now })
        .where('model_id', '=', parent.id)
        .where('number', '=', requireNumber(number))
        .where('deleted_at', 'is not', null)
        .returning('id')
        .executeTakeFirst()
      if (row === undefined) throw new SlipwayError('SLW_NOT_FOUND', `version ${number} of model "${model}" does not lie in the trash`)
      await touch(write, 'versions', row.id, {})
      await record(write, scope, now, { kind: 'version', name: `${model}/${number}`, action: 'restored' })
    })
    return await this.get(scope, model, number)
  }

  async setTag(scope: Scope, model: string, number: string, tag: Tag): Promise<void> {
    requireTag('a tag', tag, LIMITS.modelTagLength)
    await this.#change({ scope, model, number }, async (write, row) => {
      await putTag(write, row.id, tag)
      return { action: 'set', after: { tag } }
    })
  }

  /** A missing tag is no error. */
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
      await touch(write, 'versions', row.id, scope)
      await record(write, scope, now, { kind: 'version', name: `${model}/${row.number}`, ...(await act(write, row, now, parent)) })
    })
  }
}

/** @throws SLW_POLICY_REFUSED if the actor has registered or promoted the version, and the policy asks for a second person */
function requireSecondPerson(model: Selectable<ModelsRow>, { number, created_by: by }: Selectable<VersionsRow>, actor: string): void {
  if (policyOf(model).secondPerson !== true || by !== actor) return
  throw new SlipwayError(
    'SLW_POLICY_REFUSED',
    `${model.name}/${number} was brought by "${by}", and the policy of the model asks for the approval of somebody else`,
  )
}

async function putTag(write: Write, versionId: string, tag: Tag): Promise<void> {
  await write
    .insertInto('version_tags')
    .values({ version_id: versionId, ...tag })
    .onConflict((conflict) => conflict.columns(['version_id', 'key']).doUpdateSet({ value: tag.value }))
    .execute()
}

/** @throws SLW_NOT_FOUND with all contents that are not here */
async function requireContents(read: Kysely<Schema>, files: readonly TreeFile[], reader?: Reader): Promise<TreeFile[]> {
  const ids = [...new Set(files.map(({ contentId }) => contentId))]
  const usable = reader === undefined ? undefined : await usableContents(read, reader, ids)
  const rows = await read.selectFrom('contents').select(['id', 'size']).where('id', 'in', ids).execute()
  const sizes = new Map(rows.map(({ id, size }) => [id, size]))
  const missing = ids.filter((id) => !sizes.has(id) || usable?.has(id) === false)
  if (missing.length > 0)
    throw new SlipwayError('SLW_NOT_FOUND', `${missing.length} contents are not here yet; send them first`, {
      issues: missing.map((id) => ({ path: `contents.${id}`, message: 'is not here' })),
    })
  return files.map(({ path, contentId }) => ({ path, contentId, size: sizes.get(contentId)! }))
}

/** As {@link requireContents}; the contents are kept from garbage collection until the transaction ends. */
async function holdContents(write: Kysely<Schema>, files: readonly TreeFile[]): Promise<TreeFile[]> {
  const ids = [...new Set(files.map(({ contentId }) => contentId))].toSorted()
  await write.updateTable('contents').set({ unreferenced_since: null }).where('id', 'in', ids).execute()
  return await requireContents(write, files)
}

/** The newest version with these files that is not in the trash. */
export async function liveVersion(read: Kysely<Schema>, modelId: string, digest: string): Promise<Selectable<VersionsRow> | undefined> {
  return await read
    .selectFrom('versions')
    .selectAll()
    .where('model_id', '=', modelId)
    .where('digest', '=', digest)
    .where('deleted_at', 'is', null)
    .orderBy('number', 'desc')
    .executeTakeFirst()
}

function digestOf({ files }: Source): string | undefined {
  return files === undefined ? undefined : treeDigest(files)
}

/** Columns about the files of a version; null if the files are not in this registry. */
export function treeColumns(files: readonly TreeFile[] | undefined): Pick<VersionsRow, 'digest' | 'size'> {
  if (files === undefined) return { digest: null, size: null }
  return { digest: treeDigest(files), size: files.reduce((sum, { size }) => sum + size, 0) }
}

/** Columns about the inspection of the files of a version. */
export function inspectionColumns({
  servable,
  reason,
  signature,
  examples,
  scan,
}: Inspection): Pick<VersionsRow, 'servable' | 'servable_reason' | 'signature' | 'examples' | 'scan'> {
  return {
    servable: servable ? 1 : 0,
    servable_reason: reason ?? null,
    signature: jsonOrNull(signature),
    examples: jsonOrNull(examples),
    scan: JSON.stringify(scan),
  }
}

function jsonOrNull(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value)
}

/** Takes the next version number of a name, shared by all models that have the name one after another. */
export async function nextVersion(write: Write, environment: string, name: string): Promise<number> {
  const { last_version: number } = await write
    .updateTable('model_names')
    .set((columns) => ({ last_version: columns('last_version', '+', 1) }))
    .where('environment', '=', environment)
    .where('name', '=', name)
    .returning('last_version')
    .executeTakeFirstOrThrow()
  return number
}

/** Parses a stage as people write it: case does not matter. @throws SLW_INPUT_INVALID */
export function requireStage(stage: string): Stage {
  const found = STAGES.find((known) => known.toLowerCase() === stage.toLowerCase())
  if (found !== undefined) return found
  throw new SlipwayError('SLW_INPUT_INVALID', `Invalid Model Version stage: ${stage}. Value must be one of ${STAGES.join(', ')}.`)
}
