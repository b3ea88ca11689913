import { SlipwayError } from '../core/errors.ts'
import { both } from '../storage/sql/both.ts'
import { requireLoggedModel } from '../tracking/logged-models.ts'
import { whyNoLocation } from '../tracking/locations.ts'
import { requireModel } from './models.ts'
import { requireVersion } from './read-versions.ts'
import { requireRun } from '../tracking/runs.ts'
import { filesBelow } from '../files/file-trees.ts'
import type { Kysely } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { Scope } from '../ledger/scope.ts'
import type { Root, TreeFile } from '../files/file-trees.ts'

/** The files of a version to be, and their origin. */
export interface Source {
  /** Undefined if the files are not in this registry. */
  readonly files: readonly TreeFile[] | undefined
  /** Place of files that are not in this registry. */
  readonly location: string | undefined
  readonly runId: string | undefined
  readonly loggedModelId: string | undefined
  readonly parentVersion: string | undefined
}

/** The place of a file as clients name it: `mlflow-artifacts:/1/RUN/artifacts/model`. */
export interface Place {
  readonly root: Root
  /** Path inside the tree; '' for the whole tree. */
  readonly path: string
}

const OF_A_RUN = /^(?:.+\/)?([0-9a-f]{32})\/artifacts(?:\/(.*))?$/
const OF_A_LOGGED_MODEL = /^(?:.+\/)?models\/(m-[0-9a-f]{32})\/artifacts(?:\/(.*))?$/
const OF_A_VERSION = /^versions\/([0-9a-f]{32})(?:\/(.*))?$/

/** The place of a path below `mlflow-artifacts:/`; undefined for a path of no run, logged model or version. */
export function placeOf(path: string): Place | undefined {
  const clean = path.replace(/^\/+|\/+$/g, '')
  const version = OF_A_VERSION.exec(clean)
  if (version !== null) return { root: `version:${version[1]!}`, path: version[2] ?? '' }
  const model = OF_A_LOGGED_MODEL.exec(clean)
  if (model !== null) return { root: `model:${model[1]!}`, path: model[2] ?? '' }
  const run = OF_A_RUN.exec(clean)
  if (run !== null) return { root: `run:${run[1]!}`, path: run[2] ?? '' }
  return undefined
}

const OURS = 'mlflow-artifacts:'

/**
 * Finds the files that a source names.
 * @throws SLW_INPUT_INVALID for places that callers must not read, such as files of this machine; SLW_NOT_FOUND for a run, logged
 *   model or version that does not exist
 */
export async function resolveSource(
  read: Kysely<Schema>,
  scope: Scope,
  { source, runId, loggedModelId }: { source: string; runId?: string | undefined; loggedModelId?: string | undefined },
): Promise<Source> {
  const made = loggedModelId === undefined || loggedModelId === '' ? undefined : await requireLoggedModel(read, scope, loggedModelId)
  const given = runId === undefined || runId === '' ? made?.source_run_id || undefined : runId
  const base = { runId: given, loggedModelId: made?.id, parentVersion: undefined }
  const reason = whyNoLocation(source)
  if (reason !== undefined) throw refused(source, reason)
  if (source.startsWith('models:/')) return await ofModels(read, scope, source, base)
  if (source.startsWith('runs:/')) {
    const [run = '', ...rest] = source.slice('runs:/'.length).split('/')
    if (runId !== undefined && runId !== '' && runId !== run) throw refused(source, `it is of another run than run_id, which is ${runId}`)
    const place: Place = { root: `run:${run}`, path: rest.join('/') }
    const [{ artifact_uri: store }, files] = await both(
      read,
      (from) => requireRun(from, scope, run),
      (from) => filesOf(from, place, source),
    )
    return { ...base, runId: base.runId ?? run, ...(files.length === 0 ? elsewhere(store, place.path, files) : here(files)) }
  }
  if (source.startsWith(OURS)) {
    const place = placeOf(source.slice(OURS.length))
    if (place === undefined) throw refused(source, 'it belongs to no run, logged model or version')
    await requireOwner(read, scope, place)
    return { ...base, ...here(await filesOf(read, place, source)) }
  }
  if (!/^[a-z][a-z0-9+.-]+:/i.test(source) || /^file:/i.test(source))
    throw refused(source, 'a path of a machine is no place that others can read; log the model to a run, or push it')
  return { ...base, files: undefined, location: source }
}

async function ofModels(read: Kysely<Schema>, scope: Scope, source: string, base: Omit<Source, 'files' | 'location'>): Promise<Source> {
  const rest = source.slice('models:/'.length).replace(/^\/+/, '')
  if (/^m-[0-9a-f]{32}$/.test(rest)) {
    const model = await requireLoggedModel(read, scope, rest)
    const runId = base.runId ?? (model.source_run_id === '' ? undefined : model.source_run_id)
    const files = await filesBelow(read, `model:${model.id}`)
    return { ...base, runId, loggedModelId: model.id, ...elsewhere(model.artifact_uri, '', files) }
  }
  const [name = '', number = '', ...more] = rest.split('/')
  if (more.length > 0) throw refused(source, 'expected models:/NAME/NUMBER')
  const version = await requireVersion(read, await requireModel(read, scope, decodeURIComponent(name)), number)
  return {
    runId: base.runId ?? version.run_id ?? undefined,
    loggedModelId: base.loggedModelId ?? version.logged_model_id ?? undefined,
    parentVersion: `${name}/${number}`,
    ...(version.digest === null
      ? { files: undefined, location: version.location ?? version.source }
      : here(await filesBelow(read, `version:${version.id}`))),
  }
}

type FilesOrLocation = Pick<Source, 'files' | 'location'>

function here(files: readonly TreeFile[]): FilesOrLocation {
  return { files, location: undefined }
}

/** The files below a store; a store elsewhere has none here, and says where they lie. */
function elsewhere(store: string, path: string, files: readonly TreeFile[]): FilesOrLocation {
  if (store.startsWith(OURS)) return here(files)
  return { files: undefined, location: [store.replace(/\/+$/, ''), path].filter((part) => part !== '').join('/') }
}

async function filesOf(read: Kysely<Schema>, { root, path }: Place, source: string): Promise<TreeFile[]> {
  const files = await filesBelow(read, root, path)
  const skipped = path === '' ? 0 : path.length + 1
  if (files.some((file) => file.path.split('/').includes('..'))) throw refused(source, 'it has files outside of it')
  return files.map((file) => ({ ...file, path: file.path.slice(skipped) }))
}

/** Name of the model whose version the place is of; undefined for places of runs and logged models, and for no version of the environment. */
export async function modelOfPlace(read: Kysely<Schema>, { environment }: Scope, { root }: Place): Promise<string | undefined> {
  if (!root.startsWith('version:')) return undefined
  const found = await read
    .selectFrom('versions')
    .innerJoin('models', 'models.id', 'versions.model_id')
    .select('models.name')
    .where('versions.id', '=', root.slice('version:'.length))
    .where('environment', '=', environment)
    .executeTakeFirst()
  return found?.name
}

/** @throws SLW_NOT_FOUND if the owner of a place does not exist, or is of another environment */
export async function requireOwner(read: Kysely<Schema>, scope: Scope, { root }: Place): Promise<void> {
  const id = root.slice(root.indexOf(':') + 1)
  if (root.startsWith('run:')) await requireRun(read, scope, id)
  else if (root.startsWith('model:')) await requireLoggedModel(read, scope, id)
  else {
    const found = await read
      .selectFrom('versions')
      .innerJoin('models', 'models.id', 'versions.model_id')
      .select('versions.id')
      .where('versions.id', '=', id)
      .where('environment', '=', scope.environment)
      .executeTakeFirst()
    if (found === undefined) throw new SlipwayError('SLW_NOT_FOUND', `no version has the id ${id}`)
  }
}

function refused(source: string, reason: string): SlipwayError {
  return new SlipwayError('SLW_INPUT_INVALID', `Invalid model version source: '${source}': ${reason}`)
}
