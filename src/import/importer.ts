/** Import copies the contents of another server, object by object, so that an interrupted import can go on. */
import { lastNumber } from '../ledger/counters.ts'
import { sql } from 'kysely'
import { NOTHING_YET } from '../contract/import-status.ts'
import { faultPoint } from '../core/fail-point.ts'
import { isSlipwayError, SlipwayError } from '../core/errors.ts'
import { record } from '../ledger/events.ts'
import { tagRows } from '../ledger/tags.ts'
import { requireAlias, requireModelName } from '../models/names.ts'
import { readOrigin } from '../models/origin.ts'
import { putDataset, putMetrics, putParams, toStored } from '../tracking/run-data.ts'
import { whyNoLocation } from '../tracking/locations.ts'
import { placeOf } from '../models/version-source.ts'
import { copyTree, filesBelow, requireTreePath } from '../files/file-trees.ts'
import { inspectionColumns, treeColumns } from '../models/versions.ts'
import { numberOf, timeOf, valueOf } from './their-objects.ts'
import type { Kysely } from 'kysely'
import type { Tag } from '../ledger/tags.ts'
import type { ImportCounts } from '../contract/import-status.ts'
import type { Contents } from '../files/contents.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { Ground, Scope, Write } from '../ledger/scope.ts'
import type { MetricPoint } from '../tracking/read-runs.ts'
import type { Inspect } from '../models/servable.ts'
import type { Root, TreeFile } from '../files/file-trees.ts'
import type { Place } from '../models/version-source.ts'
import type { TheirExperiment, TheirLoggedModel, TheirModel, TheirPoint, TheirRun, TheirTag, TheirVersion } from './their-objects.ts'
import type { RemoteFile, TrackingServer } from './tracking-server.ts'

export interface ImporterOptions {
  readonly ground: Ground
  readonly contents: Contents
  readonly inspect: Inspect
  readonly scope: Scope
  readonly server: TrackingServer
  readonly onProgress: (counts: ImportCounts) => void
  /** Aborts the transfer of a file. */
  readonly signal?: AbortSignal
}

const ALL = 'ALL'
/** Objects a page: those with little on them, and runs, which may have hundreds of metrics and parameters. */
const PAGE = 1000
const PAGE_OF_RUNS = 100
/** A run is inserted as a whole, from memory. */
const POINTS_MAX = 5_000_000
/** The largest number of a version, and of an experiment that keeps its own: those that are given later count up from there. */
const NUMBER_MAX = 1_000_000_000_000
const ROWS_AT_ONCE = 500
const OURS = 'mlflow-artifacts:'

/**
 * Imports the contents of an MLflow server: ids, numbers and their gaps, stages, tags and times stay as they are. Objects that are here
 * already are skipped, so that an interrupted import goes on when it is started again.
 */
export class Importer {
  readonly #options: ImporterOptions
  /** Id and location here of each experiment, by its id on the other server. */
  readonly #experiments = new Map<string, { id: string; location: string }>()
  /** Counts of the objects imported so far, including those that were here already. */
  #counts = NOTHING_YET
  /** Ids here of the objects seen on the other server. */
  readonly #seen = { runs: new Set<string>(), loggedModels: new Set<string>(), models: new Set<string>() }

  constructor(options: ImporterOptions) {
    this.#options = options
  }

  /** @returns counts of the objects on the other server */
  async run(): Promise<ImportCounts> {
    const { server } = this.#options
    for await (const experiment of server.search('experiment', 'experiments/search', 'experiments', {
      view_type: ALL,
      max_results: PAGE,
    }))
      await this.#experiment(experiment)
    // Logged models come before runs, which refer to them; the files of each come before its row.
    for (const theirs of this.#experiments.keys())
      for await (const model of server.search('logged model', 'logged-models/search', 'models', {
        experiment_ids: [theirs],
        max_results: 100,
      }))
        await this.#loggedModel(model)
    for (const theirs of this.#experiments.keys())
      for await (const run of server.search('run', 'runs/search', 'runs', {
        experiment_ids: [theirs],
        run_view_type: ALL,
        max_results: PAGE_OF_RUNS,
      }))
        await this.#run(run)
    for await (const model of server.list('model', 'registered-models/search', 'registered_models', { max_results: '100' }))
      await this.#model(model)
    return this.#counts
  }

  /** Counts of the seen objects that are here, by rows in the database. */
  async here(): Promise<ImportCounts> {
    const { read } = this.#options.ground.database
    const experiments = new Set([...this.#experiments.values()].map(({ id }) => id))
    const { runs, loggedModels, models } = this.#seen
    const roots = new Set([...[...runs].map((id) => `run:${id}`), ...[...loggedModels].map((id) => `model:${id}`)])
    return {
      experiments: await countIn(read, 'experiments', 'id', experiments),
      runs: await countIn(read, 'runs', 'id', runs),
      metrics: await countIn(read, 'metrics', 'run_id', runs),
      loggedModels: await countIn(read, 'logged_models', 'id', loggedModels),
      models: await countIn(read, 'models', 'id', models),
      versions: await countIn(read, 'versions', 'model_id', models),
      aliases: await countIn(read, 'aliases', 'model_id', models),
      files: await countIn(read, 'files', 'root', roots),
    }
  }

  #note(what: keyof ImportCounts, count = 1): void {
    this.#counts = { ...this.#counts, [what]: this.#counts[what] + count }
    this.#options.onProgress(this.#counts)
  }

  async #experiment(theirs: TheirExperiment): Promise<void> {
    const { ground, scope } = this.#options
    const { read } = ground.database
    const known = await read
      .selectFrom('experiments')
      .selectAll()
      .where('environment', '=', scope.environment)
      .where('name', '=', theirs.name)
      .executeTakeFirst()
    const created = timeOf(theirs.creation_time) ?? ground.clock.epochMs()
    const updated = timeOf(theirs.last_update_time) ?? created
    const deleted = theirs.lifecycle_stage === 'deleted'
    const location = known?.artifact_location ?? (await this.#insertExperiment(theirs, { created, updated, deleted }))
    const id = known?.id ?? location.slice(`${OURS}/`.length)
    this.#experiments.set(theirs.experiment_id, { id, location })
    if (known !== undefined)
      await ground.database.write((write) => putRows(write, 'experiment_tags', tagRows({ experiment_id: id }, tagsOf(theirs.tags))))
    this.#note('experiments')
  }

  /** Inserts an experiment, under its own number if that is free. @returns the location of its files */
  async #insertExperiment(
    theirs: TheirExperiment,
    { created, updated, deleted }: { created: number; updated: number; deleted: boolean },
  ): Promise<string> {
    const { ground, scope } = this.#options
    return await ground.database.write(async (write) => {
      const id = await freeExperimentId(write, theirs.experiment_id)
      const location = `${OURS}/${id}`
      await write
        .insertInto('experiments')
        .values({
          id,
          environment: scope.environment,
          name: theirs.name,
          artifact_location: location,
          lifecycle_stage: deleted ? 'deleted' : 'active',
          created_at: created,
          updated_at: updated,
          deleted_at: deleted ? updated : null,
        })
        .execute()
      await putRows(write, 'experiment_tags', tagRows({ experiment_id: id }, tagsOf(theirs.tags)))
      await record(write, scope, ground.clock.epochMs(), {
        kind: 'experiment',
        name: id,
        action: 'created',
        after: { name: theirs.name, imported: theirs.experiment_id },
      })
      return location
    })
  }

  /** The experiment here of an object. @throws SLW_INPUT_INVALID where the server has not shown it */
  #experimentOf(
    { experiment_id: id }: { readonly experiment_id: string },
    what: string,
  ): { readonly id: string; readonly location: string } {
    const experiment = this.#experiments.get(id)
    if (experiment === undefined)
      throw new SlipwayError('SLW_INPUT_INVALID', `the server has ${what} in experiment ${id}, and no such experiment`)
    return experiment
  }

  /**
   * Whether an object with the id of theirs is here, in this environment.
   * @throws SLW_CONFLICT where it is in another one: ids are given once, and what another environment has is neither shown nor changed
   */
  async #isHere(table: 'runs' | 'logged_models', id: string): Promise<boolean> {
    const environment = await this.#environmentOf(table, id)
    if (environment !== undefined && environment !== this.#options.scope.environment)
      throw new SlipwayError('SLW_CONFLICT', `${id} cannot be brought over: its id is taken`)
    return environment !== undefined
  }

  async #environmentOf(table: 'runs' | 'logged_models', id: string): Promise<string | undefined> {
    const row = await this.#options.ground.database.read
      .selectFrom(table)
      .innerJoin('experiments', 'experiments.id', `${table}.experiment_id`)
      .select('experiments.environment')
      .where(`${table}.id`, '=', id)
      .executeTakeFirst()
    return row?.environment
  }

  /** Files of a run, logged model or version of this environment; none where there is no such here. */
  async #ownFiles({ root, path }: Place): Promise<TreeFile[]> {
    const { ground, scope } = this.#options
    const { read } = ground.database
    const [kind, id] = root.split(':') as [string, string]
    const environment =
      kind === 'version'
        ? await read
            .selectFrom('versions')
            .innerJoin('models', 'models.id', 'versions.model_id')
            .select('models.environment')
            .where('versions.id', '=', id)
            .executeTakeFirst()
            .then((row) => row?.environment)
        : await this.#environmentOf(kind === 'run' ? 'runs' : 'logged_models', id)
    return environment === scope.environment ? await filesBelow(read, root, path) : []
  }

  async #loggedModel({ info, data = {} }: TheirLoggedModel): Promise<void> {
    const { ground, server } = this.#options
    const id = info.model_id
    const known = await this.#isHere('logged_models', id)
    const experiment = this.#experimentOf(info, `logged model ${id}`)
    if (known) await this.#noteFiles(`model:${id}`)
    else {
      const staged = await this.#files(`model:${id}`, server.modelFiles(id))
      const { id: experimentId, location } = experiment
      const created = timeOf(info.creation_timestamp_ms) ?? ground.clock.epochMs()
      await ground.database.write(async (write) => {
        await write
          .insertInto('logged_models')
          .values({
            id,
            experiment_id: experimentId,
            name: info.name,
            model_type: info.model_type ?? '',
            status: info.status || 'LOGGED_MODEL_READY',
            status_message: null,
            source_run_id: info.source_run_id ?? '',
            artifact_uri: `${location}/models/${id}/artifacts`,
            lifecycle_stage: 'active',
            created_at: created,
            updated_at: timeOf(info.last_updated_timestamp_ms) ?? created,
            deleted_at: null,
          })
          .execute()
        await this.#adopt(write, staged, `model:${id}`)
        await putRows(write, 'logged_model_tags', tagRows({ logged_model_id: id }, tagsOf(info.tags)))
        await putRows(write, 'logged_model_params', tagRows({ logged_model_id: id }, tagsOf(data.params)))
        const points = (data.metrics ?? []).map((point) => ({
          logged_model_id: id,
          ...toStored(pointOf(point)),
          run_id: point.run_id ?? '',
          dataset_name: point.dataset_name ?? '',
          dataset_digest: point.dataset_digest ?? '',
        }))
        await putRows(write, 'logged_model_metrics', points)
        await record(write, this.#options.scope, ground.clock.epochMs(), {
          kind: 'logged_model',
          name: id,
          action: 'created',
          after: { imported: true },
        })
      })
    }
    await faultPoint('import.object')
    this.#seen.loggedModels.add(id)
    this.#note('loggedModels')
  }

  async #run(theirs: TheirRun): Promise<void> {
    const { ground, server, scope } = this.#options
    const { info, data = {} } = theirs
    const id = info.run_id
    const known = await this.#isHere('runs', id)
    const experiment = this.#experimentOf(info, `run ${id}`)
    if (known) {
      // A run is inserted with all that it has, so that one that is here is complete.
      await this.#noteFiles(`run:${id}`)
      this.#note('metrics', await countIn(ground.database.read, 'metrics', 'run_id', new Set([id])))
    } else {
      const staged = await this.#files(`run:${id}`, server.runFiles(id))
      const points = await this.#pointsOf(theirs)
      this.#note('metrics', points.length)
      const { id: experimentId, location } = experiment
      const deleted = info.lifecycle_stage === 'deleted'
      const start = timeOf(info.start_time)
      // A run is inserted completely or not at all: a repeated import begins it anew.
      await ground.database.write(async (write) => {
        await write
          .insertInto('runs')
          .values({
            id,
            experiment_id: experimentId,
            name: info.run_name ?? '',
            user_id: info.user_id ?? '',
            status: info.status || 'FINISHED',
            start_time: start ?? null,
            end_time: timeOf(info.end_time) ?? null,
            artifact_uri: `${location}/${id}/artifacts`,
            lifecycle_stage: deleted ? 'deleted' : 'active',
            deleted_at: deleted ? ground.clock.epochMs() : null,
          })
          .execute()
        await this.#adopt(write, staged, `run:${id}`)
        await putRows(write, 'run_tags', tagRows({ run_id: id }, tagsOf(data.tags)))
        await putParams(write, id, tagsOf(data.params))
        for (let from = 0; from < points.length; from += ROWS_AT_ONCE) await putMetrics(write, id, points.slice(from, from + ROWS_AT_ONCE))
        await this.#putUses(write, theirs, experimentId)
        await record(write, scope, ground.clock.epochMs(), { kind: 'run', name: id, action: 'created', after: { imported: true } })
      })
    }
    await faultPoint('import.object')
    this.#seen.runs.add(id)
    this.#note('runs')
  }

  /** The history of all metrics of a run. @throws SLW_LIMIT_EXCEEDED for more than can be inserted at once */
  async #pointsOf({ info: { run_id: id }, data = {} }: TheirRun): Promise<MetricPoint[]> {
    const points: MetricPoint[] = []
    for (const { key } of data.metrics ?? [])
      for await (const point of this.#options.server.list('point', 'metrics/get-history', 'metrics', {
        run_id: id,
        metric_key: key,
        max_results: '25000',
      })) {
        if (points.length >= POINTS_MAX)
          throw new SlipwayError(
            'SLW_LIMIT_EXCEEDED',
            `run ${id} has more than ${POINTS_MAX} points of metrics, which are more than can be brought over`,
          )
        // By the name that was asked for: texts of the server's are not kept a million times.
        points.push({ ...pointOf(point), key })
      }
    return points
  }

  async #putUses(write: Write, { info, inputs = {}, outputs = {} }: TheirRun, experimentId: string): Promise<void> {
    const runId = info.run_id
    for (const [position, { dataset, tags = [] }] of (inputs.dataset_inputs ?? []).entries()) {
      const { name, digest, source_type: sourceType = '', source = '', schema, profile } = dataset
      const id = await putDataset(write, this.#options.ground, experimentId, { name, digest, sourceType, source, schema, profile })
      await putRows(write, 'run_datasets', [{ run_id: runId, dataset_id: id, position, tags: JSON.stringify(tagsOf(tags)) }])
    }
    const models = [
      ...(inputs.model_inputs ?? []).map(({ model_id }) => ({ logged_model_id: model_id, direction: 'input', step: 0 })),
      ...(outputs.model_outputs ?? []).map(({ model_id, step }) => ({
        logged_model_id: model_id,
        direction: 'output',
        step: numberOf(step) ?? 0,
      })),
    ]
    await putRows(
      write,
      'run_models',
      models.map((use, position) => ({ run_id: runId, ...use, position })),
    )
  }

  /** Counts the files of what is here. */
  async #noteFiles(root: Root): Promise<void> {
    this.#note('files', (await filesBelow(this.#options.ground.database.read, root)).length)
  }

  /** Gives files that were fetched to their owner, in the transaction that inserts it. Earlier releases put them there before there was one. */
  async #adopt(write: Write, staged: Root, owner: Root): Promise<void> {
    await write.deleteFrom('files').where('root', '=', owner).execute()
    await write.updateTable('files').set({ root: owner }).where('root', '=', staged).execute()
  }

  /**
   * Fetches files that are not here yet. A file that the server lists but does not send is skipped, and not counted.
   * @returns where they lie until what they are of is here: apart for each environment, as another one may fetch something of the same id
   */
  async #files(owner: Root, files: AsyncGenerator<RemoteFile>): Promise<Root> {
    const { ground, contents, signal, scope } = this.#options
    const root: Root = `import:${scope.environment} ${owner}`
    const known = new Set((await filesBelow(ground.database.read, root)).map(({ path }) => path))
    for await (const { path, size, open } of files) {
      requireTreePath(path)
      if (!known.has(path)) {
        const body = await open().catch((error: unknown) => {
          if (isSlipwayError(error) && error.code === 'SLW_NOT_FOUND') return undefined
          throw error
        })
        if (body === undefined) continue
        await contents.receive(
          body,
          async (write, content) => {
            const file = { content_id: content.id, size: content.size, modified_at: ground.clock.epochMs() }
            await write
              .insertInto('files')
              .values({ root, path, ...file })
              .onConflict((conflict) => conflict.columns(['root', 'path']).doUpdateSet(file))
              .execute()
          },
          { size, ...(signal !== undefined && { signal }) },
        )
        await faultPoint('import.file')
      }
      this.#note('files')
    }
    return root
  }

  async #model(theirs: TheirModel): Promise<void> {
    const { ground, scope, server } = this.#options
    const { name } = theirs
    requireModelName(name)
    const known = await this.#modelId(name)
    const created = timeOf(theirs.creation_timestamp) ?? ground.clock.epochMs()
    const modelId = known ?? ground.newId()
    if (known === undefined)
      await ground.database.write(async (write) => {
        await write
          .insertInto('models')
          .values({
            id: modelId,
            environment: scope.environment,
            name,
            description: theirs.description ?? null,
            protected_aliases: '[]',
            created_at: created,
            updated_at: timeOf(theirs.last_updated_timestamp) ?? created,
            deleted_at: null,
          })
          .execute()
        await putRows(write, 'model_names', [{ environment: scope.environment, name, last_version: 0 }])
        await putRows(write, 'model_tags', tagRows({ model_id: modelId }, tagsOf(theirs.tags)))
        await record(write, scope, ground.clock.epochMs(), { kind: 'model', name, action: 'created', after: { imported: true } })
      })
    this.#seen.models.add(modelId)
    this.#note('models')
    const filter = `name = '${name.replaceAll("'", String.raw`\'`)}'`
    for await (const version of server.list('version', 'model-versions/search', 'model_versions', {
      filter,
      max_results: '1000',
      order_by: 'version_number ASC',
    }))
      if (version.name === name) await this.#version(modelId, version)
    await this.#aliases(modelId, theirs)
  }

  async #modelId(name: string): Promise<string | undefined> {
    const { ground, scope } = this.#options
    const row = await ground.database.read
      .selectFrom('models')
      .select('id')
      .where('environment', '=', scope.environment)
      .where('name', '=', name)
      .where('deleted_at', 'is', null)
      .executeTakeFirst()
    return row?.id
  }

  async #version(modelId: string, theirs: TheirVersion): Promise<void> {
    const { ground, server, scope, inspect } = this.#options
    const { read } = ground.database
    const number = versionNumber(theirs.version, `model "${theirs.name}"`)
    const known = await read
      .selectFrom('versions')
      .select('id')
      .where('model_id', '=', modelId)
      .where('number', '=', number)
      .executeTakeFirst()
    if (known === undefined) {
      const runId = theirs.run_id === undefined || theirs.run_id === '' ? undefined : theirs.run_id
      const loggedModelId = theirs.model_id === undefined || theirs.model_id === '' ? undefined : theirs.model_id
      const files = await this.#treeOf(theirs)
      const location = files === undefined ? ((await server.placeOfVersion(theirs.name, String(number))) ?? theirs.source ?? '') : null
      const [inspection, origin] = await Promise.all([inspect(files, scope), readOrigin(ground.database, scope, { runId, loggedModelId })])
      const created = timeOf(theirs.creation_timestamp) ?? ground.clock.epochMs()
      const id = ground.newId()
      await ground.database.write(async (write) => {
        await write
          .insertInto('versions')
          .values({
            id,
            model_id: modelId,
            number,
            description: theirs.description ?? null,
            source: theirs.source ?? '',
            // Clients go where a location says: one that nobody may give is given by no other server either.
            location: location !== null && whyNoLocation(location) !== undefined ? '' : location,
            run_id: runId ?? null,
            run_link: theirs.run_link ?? null,
            logged_model_id: loggedModelId ?? null,
            stage: theirs.current_stage || 'None',
            status: 'READY',
            status_message: null,
            ...treeColumns(files),
            ...inspectionColumns(inspection),
            approval: 'none',
            approval_by: null,
            approval_reason: null,
            approval_at: null,
            provenance: JSON.stringify(origin.provenance),
            metrics: origin.metrics,
            created_by: scope.actor,
            created_at: created,
            updated_at: timeOf(theirs.last_updated_timestamp) ?? created,
            deleted_at: null,
          })
          .execute()
        if (files !== undefined) await copyTree(write, files, `version:${id}`, created)
        await putRows(write, 'version_tags', tagRows({ version_id: id }, tagsOf(theirs.tags)))
        // New numbers follow the largest one, and gaps stay gaps.
        await write
          .updateTable('model_names')
          .set({ last_version: number })
          .where('environment', '=', scope.environment)
          .where('name', '=', theirs.name)
          .where('last_version', '<', number)
          .execute()
        await record(write, scope, ground.clock.epochMs(), {
          kind: 'version',
          name: `${theirs.name}/${number}`,
          action: 'created',
          after: { imported: true, source: theirs.source },
        })
      })
      await faultPoint('import.object')
    }
    this.#note('versions')
  }

  /** Finds the files of a version below the run, logged model or version that it was made of; undefined if they are elsewhere. */
  async #treeOf({ source = '', run_id: runId }: TheirVersion): Promise<TreeFile[] | undefined> {
    const model = /^models:\/(m-[0-9a-f]{32})$/.exec(source)?.[1]
    const [, ofModel, number] = /^models:\/([^/]+)\/(\d+)$/.exec(source) ?? []
    if (ofModel !== undefined && number !== undefined) return await this.#treeOfVersion(unescaped(ofModel), Number(number))
    const ofRun = /^runs:\/([0-9a-f]{32})\/(.*)$/.exec(source)
    const inStore = source.replace(/^[a-z0-9+-]+:\/*/i, '')
    const place: Place | undefined =
      model !== undefined
        ? { root: `model:${model}`, path: '' }
        : ofRun === null
          ? placeOf(inStore)
          : { root: `run:${ofRun[1]!}`, path: ofRun[2]! }
    if (place === undefined || (runId !== undefined && runId !== '' && place.root.startsWith('run:') && place.root !== `run:${runId}`))
      return undefined
    const files = await this.#ownFiles(place)
    const skipped = place.path === '' ? 0 : place.path.length + 1
    return files.length === 0 ? undefined : files.map((file) => ({ ...file, path: file.path.slice(skipped) }))
  }

  /** Finds the files of a version that was imported before. */
  async #treeOfVersion(name: string, number: number): Promise<TreeFile[] | undefined> {
    const { read } = this.#options.ground.database
    const modelId = await this.#modelId(name)
    const row =
      modelId === undefined
        ? undefined
        : await read
            .selectFrom('versions')
            .select(['id', 'digest'])
            .where('model_id', '=', modelId)
            .where('number', '=', number)
            .executeTakeFirst()
    return row === undefined || row.digest === null ? undefined : await filesBelow(read, `version:${row.id}`)
  }

  async #aliases(modelId: string, { name, aliases = [] }: TheirModel): Promise<void> {
    const { ground, scope } = this.#options
    for (const { alias, version } of aliases) {
      requireAlias(alias)
      await ground.database.write(async (write) => {
        const row = await write
          .selectFrom('versions')
          .select(['id', 'number'])
          .where('model_id', '=', modelId)
          .where('number', '=', versionNumber(version, `alias ${alias} of model "${name}"`))
          .executeTakeFirst()
        if (row === undefined) return
        const known = await write
          .selectFrom('aliases')
          .select('alias')
          .where('model_id', '=', modelId)
          .where('alias', '=', alias)
          .executeTakeFirst()
        // An alias that exists here stays, as it may have been moved since.
        if (known !== undefined) return
        const now = ground.clock.epochMs()
        await putRows(write, 'aliases', [{ model_id: modelId, alias, version_id: row.id, updated_by: scope.actor, updated_at: now }])
        await record(write, scope, now, { kind: 'alias', name: `${name}@${alias}`, action: 'created', after: { version: row.number } })
      })
      this.#note('aliases')
    }
  }
}

/** Tags and parameters; an empty value is left out by the server. */
function tagsOf(theirs: readonly TheirTag[] = []): Tag[] {
  return theirs.map(({ key, value = '' }) => ({ key, value }))
}

/** @throws SLW_INPUT_INVALID for what is no number of a version */
function versionNumber(text: number | string, what: string): number {
  const number = numberOf(text)
  if (number === undefined || number < 1 || number > NUMBER_MAX)
    throw new SlipwayError('SLW_INPUT_INVALID', `${what} has a version without a number from 1 to ${NUMBER_MAX}: ${JSON.stringify(text)}`)
  return number
}

/** Decodes what a URI has percent signs for; text that is none stays. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function pointOf({ key, value, timestamp, step }: TheirPoint): MetricPoint {
  return { key, value: valueOf(value), timestamp: timeOf(timestamp) ?? 0, step: numberOf(step) ?? 0 }
}

/** Counts the rows whose column has one of these values. */
async function countIn(read: Kysely<Schema>, table: keyof Schema, column: string, ids: ReadonlySet<string>): Promise<number> {
  let sum = 0
  const all = [...ids]
  for (let from = 0; from < all.length; from += ROWS_AT_ONCE) {
    const some = all.slice(from, from + ROWS_AT_ONCE)
    const { rows } = await sql<{
      count: number
    }>`select count(*) as count from ${sql.table(table)} where ${sql.ref(column)} in (${sql.join(some)})`.execute(read)
    sum += rows[0]?.count ?? 0
  }
  return sum
}

/** The id on the other server if it is free here, else the next number; numbers that are given later are larger. */
async function freeExperimentId(write: Write, wanted: string): Promise<string> {
  const value = await lastNumber(write, 'experiment')
  const number = numberOf(wanted)
  const taken = await write.selectFrom('experiments').select('id').where('id', '=', wanted).executeTakeFirst()
  const id =
    taken === undefined && number !== undefined && number >= 0 && number <= NUMBER_MAX && wanted === String(number)
      ? wanted
      : String(value + 1)
  await write
    .updateTable('counters')
    .set({ value: Math.max(value, Number(id)) })
    .where('name', '=', 'experiment')
    .execute()
  return id
}

/** Inserts rows; existing rows stay as they are. */
async function putRows(write: Write, table: Parameters<Write['insertInto']>[0], rows: readonly object[]): Promise<void> {
  for (let from = 0; from < rows.length; from += ROWS_AT_ONCE)
    await write
      .insertInto(table)
      .values(rows.slice(from, from + ROWS_AT_ONCE) as never)
      .onConflict((conflict) => conflict.doNothing())
      .execute()
}
