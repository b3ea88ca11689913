import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { parse } from 'yaml'
import { SlipwayError } from '../core/errors.ts'
import { archiveName, isArchive, unpackedArchive } from './archive.ts'
import { foreignFile, foreignFolder } from './foreign-formats.ts'
import { FORMATS, isModelFile, nameWithoutExtension } from './formats/formats.ts'
import { MLMODEL_FILE } from './formats/mlmodel.ts'
import { isHubFolder } from './formats/onnx.ts'
import { PACKAGE_FILE } from './package-file.ts'
import { CONFIG_FILE, glanceAtConfig } from './triton/config.ts'
import type { ForeignFormat } from './foreign-formats.ts'
import type { PackageLocation } from './package.ts'
import type { ConfigVersions, TritonConfig } from './triton/config.ts'

/** Selection of the numbered versions of a model that are served: the newest, so many of the newest, all, or those that are listed. */
export type VersionPolicy = 'latest' | ConfigVersions

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
/** Libraries whose models are read as they are, with the files that they write. */
const TREES = 'XGBoost (.json, .ubj), LightGBM (.txt) or CatBoost (.json)'
const NO_NAME = 'cannot be the name of a model (letters, digits, ".", "_", "-")'

export interface LayoutOptions {
  readonly path: string
  /** Overrides the name of the folder or file; only where the path holds one model. */
  readonly name?: string | undefined
  /** Default: as a config.pbtxt says, else the latest. */
  readonly versions?: VersionPolicy | undefined
}

/** What a path is: one model file, the folder of one model, a folder of its numbered versions, or a repository of such folders. */
export type LayoutKind = 'file' | 'package' | 'versions' | 'repository'

/** An entry of a folder that is not served. */
export interface SkippedEntry {
  readonly path: string
  readonly reason: string
}

export interface Layout {
  readonly kind: LayoutKind
  readonly packages: readonly PackageLocation[]
  readonly skipped: readonly SkippedEntry[]
}

/** As {@link findLayout}, the models alone. */
export async function findPackages(options: LayoutOptions): Promise<readonly PackageLocation[]> {
  return (await findLayout(options)).packages
}

/**
 * Finds the models at a path: a model file; an archive of what follows; a package folder (slipway.yaml, MLmodel, or exactly one model file); a folder of numbered
 * versions; or a repository of those. A folder that holds folders of models is a repository, whatever lies beside them; what fits in no
 * model is skipped, by name. A model is called as its slipway.yaml says, else as its folder or file.
 * @param kind what the path was found to be before: one entry that comes later does not make it something else. Default: it is found out
 * @throws SLW_PATH_NOT_FOUND, SLW_MODEL_INVALID with what was found instead
 */
export async function findLayout(options: LayoutOptions, kind?: LayoutKind): Promise<Layout> {
  const path = resolve(options.path)
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) throw new SlipwayError('SLW_PATH_NOT_FOUND', `${options.path}: no such file or folder`)
  if (found.isFile() && isArchive(path)) {
    const folder = await unpackedArchive(path)
    return await findIn({ ...options, path: folder, shown: options.path, ownName: archiveName(path) }, kind)
  }
  if (found.isFile()) {
    if (!(await isModelFile(path))) {
      const foreign = await foreignFile(path)
      const message =
        foreign === undefined ? `not an .onnx file, no model of ${TREES}, and no archive (.tar.gz, .tgz, .tar)` : notServed(foreign)
      throw new SlipwayError('SLW_MODEL_INVALID', `${options.path}: ${message}`)
    }
    const name = checkName(options.name ?? nameWithoutExtension(path), options.path)
    return { kind: 'file', packages: [{ name, version: '1', path }], skipped: [] }
  }
  return await findIn({ ...options, path, shown: options.path, ownName: basename(path) }, kind)
}

interface FolderOptions extends LayoutOptions {
  /** The path that was given, for messages. */
  readonly shown: string
  /** Name of the model where nothing gives it another. */
  readonly ownName: string
}

async function findIn(options: FolderOptions, kind: LayoutKind | undefined): Promise<Layout> {
  const { shown } = options
  const folder = await look(options.path)
  const is = kind === undefined || kind === 'file' ? kindOf(folder) : kind
  const layout = is === undefined ? undefined : layoutOf(folder, is, options)
  const nameless = layout?.packages.length === 0 ? layout.skipped.find(({ reason }) => reason.includes(NO_NAME)) : undefined
  if (nameless !== undefined) checkName(basename(nameless.path), nameless.path)
  if (layout === undefined || layout.packages.length === 0) {
    const foreign = await foreignFolder(folder.path, folder.names)
    if (foreign !== undefined)
      throw new SlipwayError('SLW_MODEL_INVALID', `${shown}: no model here; ${foreign.name} is ${notServed(foreign)}`)
    throw new SlipwayError(
      'SLW_MODEL_INVALID',
      `${shown}: no model here; ${describe(folder)}. Expected an .onnx file or a model of ${TREES}, a folder with ${PACKAGE_FILE} or exactly one of them, numbered versions (1/model.onnx), or a folder of such folders`,
    )
  }
  if (options.name !== undefined && new Set(layout.packages.map((model) => model.name)).size > 1)
    throw new SlipwayError('SLW_CONFIG_INVALID', `${shown} holds several models, so the name "${options.name}" fits none of them`)
  return layout
}

/** A folder, and those inside it. */
interface Folder {
  readonly path: string
  /** Names that do not begin with a dot, in order. */
  readonly names: readonly string[]
  /** Whether it is a package by itself. */
  readonly holdsModel: boolean
  /** Whether a file says so that was written for it, and not only the one model file that lies in it. */
  readonly isDescribed: boolean
  readonly folders: ReadonlyMap<string, Folder>
  /** Name that its slipway.yaml or config.pbtxt gives it. */
  readonly ownName: string | undefined
  /** What its config.pbtxt says, or why that cannot be read. Undefined: there is none. */
  readonly config: TritonConfig | Error | undefined
}

/** Names in documents, by path and state of the file: folders are looked at several times a second. */
const namesIn = new Map<string, { readonly state: string; readonly name: string | undefined }>()

/** The name that a document gives to its model; undefined where it gives none, or is broken, which its load reports. */
async function nameIn(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() !== true) return undefined
  const state = `${found.mtimeMs} ${found.size} ${found.ino}`
  const known = namesIn.get(path)
  if (known?.state === state) return known.name
  const name = await readFile(path, 'utf8')
    .then((text) => (parse(text) as { name?: unknown } | null)?.name)
    .catch(() => undefined)
  const entry = { state, name: typeof name === 'string' ? name : undefined }
  namesIn.set(path, entry)
  return entry.name
}

async function look(path: string, depth = 0): Promise<Folder> {
  const entries = await readdir(path, { withFileTypes: true })
  const shown = entries.filter(({ name }) => !name.startsWith('.')).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const names = shown.map(({ name }) => name)
  const folders = new Map<string, Folder>()
  // A repository has folders of models, which have folders of versions.
  if (depth < 2)
    for (const entry of shown) {
      const { name } = entry
      const child = join(path, name)
      // A link may lead to a folder, and some file systems do not say what an entry is.
      if (entry.isFile() || (!entry.isDirectory() && (await stat(child).catch(() => undefined))?.isDirectory() !== true)) continue
      const inside = await look(child, depth + 1).catch(() => undefined)
      if (inside !== undefined) folders.set(name, inside)
    }
  const config = names.includes(CONFIG_FILE) ? await glanceAtConfig(join(path, CONFIG_FILE)) : undefined
  const read = config instanceof Error ? undefined : config
  if (read !== undefined)
    for (const [name, inside] of folders) if (isNumber(name) && holdsFor(read, inside)) folders.set(name, { ...inside, holdsModel: true })
  const described = DESCRIPTIONS.filter((name) => names.includes(name))
  const sizes = await Promise.all(described.map((name) => stat(join(path, name)).catch(() => undefined)))
  const isOfConfig =
    read !== undefined && (read.ensemble === undefined ? names.includes(read.modelFile) : ![...folders.keys()].some(isNumber))
  const holdsModel = names.includes(PACKAGE_FILE) || isOfConfig || (await holdsAny(path, names))
  const isDescribed = config !== undefined || sizes.some((found) => (found?.size ?? 0) > 0) || (await isHubFolder(names, path))
  const ownName = names.includes(PACKAGE_FILE) ? await nameIn(join(path, PACKAGE_FILE)) : undefined
  return { path, names, holdsModel, isDescribed, folders, config, ownName: ownName ?? (read?.name === '' ? undefined : read?.name) }
}

/** Whether the folder of a version has the model that a configuration above it names; an ensemble has none. */
function holdsFor({ ensemble, modelFile }: TritonConfig, { names }: Folder): boolean {
  return ensemble !== undefined || names.includes(modelFile)
}

async function holdsAny(path: string, names: readonly string[]): Promise<boolean> {
  for (const format of FORMATS) if (await format.holds(names, path)) return true
  return false
}

/** Files that describe a package; an empty one describes nothing. */
const DESCRIPTIONS = [PACKAGE_FILE, MLMODEL_FILE]

const isNumber = (name: string): boolean => /^\d+$/.test(name)

function versionsIn({ folders }: Folder): [string, Folder][] {
  return [...folders].filter(([name, folder]) => isNumber(name) && folder.holdsModel)
}

function holdsModels(folder: Folder): boolean {
  return folder.holdsModel || versionsIn(folder).length > 0
}

function kindOf(folder: Folder): LayoutKind | undefined {
  if (folder.isDescribed && (folder.config === undefined || holdsModels(folder)))
    return versionsIn(folder).length > 0 ? 'versions' : 'package'
  if ([...folder.folders].some(([name, child]) => !isNumber(name) && !name.endsWith('.onnx') && holdsModels(child))) return 'repository'
  if (versionsIn(folder).length > 0) return 'versions'
  return folder.holdsModel ? 'package' : undefined
}

function layoutOf(folder: Folder, kind: LayoutKind, { shown, ownName, name, versions }: FolderOptions): Layout {
  if (kind !== 'repository') {
    const own = checkName(name ?? folder.ownName ?? ownName, shown)
    return { kind, packages: modelIn(folder, own, versions, kind), skipped: kind === 'versions' ? strangersIn(folder) : [] }
  }
  const packages: PackageLocation[] = []
  const skipped = strangersIn(folder)
  for (const [child, inside] of folder.folders) {
    if (!holdsModels(inside)) skipped.push({ path: inside.path, reason: `no model in this folder; ${describe(inside)}` })
    else {
      const own = inside.ownName ?? child
      const other = packages.find((model) => model.name === own)
      if (!NAME.test(own)) skipped.push({ path: inside.path, reason: `"${own}" ${NO_NAME}` })
      else if (other !== undefined) skipped.push({ path: inside.path, reason: `the name "${own}" is that of ${other.path}` })
      else packages.push(...modelIn(inside, own, versions, versionsIn(inside).length > 0 ? 'versions' : 'package'))
    }
  }
  return { kind, packages, skipped }
}

/** Files that would be a model in a folder of their own. */
function strangersIn({ path, names, folders }: Folder): SkippedEntry[] {
  return names
    .filter((name) => !folders.has(name) && (name.endsWith('.onnx') || DESCRIPTIONS.includes(name)))
    .map((name) => ({ path: join(path, name), reason: 'this folder holds folders of models: a model needs a folder of its own here' }))
}

function modelIn(folder: Folder, name: string, policy: VersionPolicy | undefined, kind: LayoutKind): PackageLocation[] {
  const config = folder.config instanceof Error ? undefined : folder.config
  const parts = config?.ensemble === undefined ? {} : { parts: [...new Set(config.ensemble.steps.map(({ model }) => model))] }
  if (kind === 'package') return folder.holdsModel ? [{ name, version: '1', path: folder.path, ...parts }] : []
  const own = config?.versions
  const all = versionsIn(folder).map(([version, inside]) => ({
    name,
    version,
    path: inside.path,
    ...(own !== undefined && { versions: own }),
    ...parts,
  }))
  return chooseVersions(all, policy ?? own ?? 'latest', name)
}

/**
 * The versions that a policy selects, oldest first. A model in no numbered folder has no versions to choose from.
 * @param lenient whether listed versions that do not exist are skipped
 * @throws SLW_CONFIG_INVALID with the versions that exist
 */
export function chooseVersions<T extends PackageLocation>(all: readonly T[], policy: VersionPolicy, name: string, lenient = false): T[] {
  const sorted = all.toSorted((a, b) => Number(a.version) - Number(b.version))
  if (policy === 'all' || !sorted.some((location) => basename(location.path) === location.version)) return sorted
  if (policy === 'latest') return sorted.slice(-1)
  if ('latest' in policy) return sorted.slice(-policy.latest)
  for (const wanted of policy) {
    if (!lenient && !sorted.some((location) => location.version === wanted))
      throw new SlipwayError(
        'SLW_CONFIG_INVALID',
        `model "${name}" has no version ${wanted}; found ${sorted.map((location) => location.version).join(', ')}`,
      )
  }
  return sorted.filter((location) => policy.includes(location.version))
}

function checkName(name: string, path: string): string {
  if (NAME.test(name)) return name
  throw new SlipwayError('SLW_CONFIG_INVALID', `${path}: "${name}" ${NO_NAME}; give one with NAME=PATH`)
}

function notServed({ what, cure }: ForeignFormat): string {
  return `${what}, which is not served here: ${cure}`
}

function describe({ names, config }: Folder): string {
  if (config instanceof Error) return config.message
  if (names.length === 0) return 'the folder is empty'
  const models = names.filter((name) => name.endsWith('.onnx'))
  if (models.length > 1) return `found ${models.length} .onnx files (${models.slice(0, 5).join(', ')}): which one?`
  return `found ${names.slice(0, 8).join(', ')}${names.length > 8 ? `, and ${names.length - 8} more` : ''}`
}
