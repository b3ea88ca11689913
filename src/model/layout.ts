import { readdir, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { SlipwayError } from '../core/errors.ts'
import { FORMATS } from './formats/formats.ts'
import { PACKAGE_FILE } from './package-file.ts'
import type { PackageLocation } from './package.ts'

/** Selection of the numbered versions of a model that are served. */
export type VersionPolicy = 'latest' | 'all' | readonly string[]

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

export interface LayoutOptions {
  readonly path: string
  /** Overrides the name of the folder or file; only where the path holds one model. */
  readonly name?: string | undefined
  readonly versions: VersionPolicy
}

/**
 * Finds the models at a path: an .onnx file; a package folder (slipway.yaml, MLmodel, or exactly one .onnx); a folder of numbered
 * versions; or a repository of those.
 * @throws SLW_PATH_NOT_FOUND, SLW_MODEL_INVALID with what was found instead
 */
export async function findPackages(options: LayoutOptions): Promise<PackageLocation[]> {
  const path = resolve(options.path)
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) throw new SlipwayError('SLW_PATH_NOT_FOUND', `${options.path}: no such file or folder`)
  if (found.isFile()) {
    if (!path.endsWith('.onnx'))
      throw new SlipwayError('SLW_MODEL_INVALID', `${options.path}: not an .onnx file; a file to serve ends in .onnx`)
    return [{ name: checkName(options.name ?? basename(path, '.onnx'), options.path), version: '1', path }]
  }
  const own = await modelFolder(path, options.name ?? basename(path), options.versions)
  if (own !== undefined) return own
  const models: PackageLocation[] = []
  const entries = (await readdir(path, { withFileTypes: true })).filter((entry) => !entry.name.startsWith('.'))
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const child = join(path, entry.name)
    if ((await stat(child).catch(() => undefined))?.isDirectory() !== true) continue
    models.push(...((await modelFolder(child, entry.name, options.versions)) ?? []))
  }
  if (models.length === 0)
    throw new SlipwayError(
      'SLW_MODEL_INVALID',
      `${options.path}: no model here; ${await describe(path)}. Expected an .onnx file, a folder with ${PACKAGE_FILE} or exactly one .onnx, numbered versions (1/model.onnx), or a folder of such folders`,
    )
  if (options.name !== undefined && new Set(models.map((model) => model.name)).size > 1) {
    throw new SlipwayError('SLW_CONFIG_INVALID', `${options.path} holds several models, so the name "${options.name}" fits none of them`)
  }
  return models
}

/** The versions in the folder of a model, or undefined where the folder is no model. */
async function modelFolder(path: string, name: string, policy: VersionPolicy): Promise<PackageLocation[] | undefined> {
  const names = await readdir(path)
  const versions: string[] = []
  for (const entry of names) if (/^\d+$/.test(entry) && (await holdsModel(join(path, entry)))) versions.push(entry)
  if (versions.length > 0)
    return chooseVersions(
      versions.map((version) => ({ name: checkName(name, path), version, path: join(path, version) })),
      policy,
      name,
    )
  if (await holdsModel(path)) return [{ name: checkName(name, path), version: '1', path }]
  return undefined
}

async function holdsModel(path: string): Promise<boolean> {
  const names: string[] = await readdir(path).catch(() => [])
  return names.includes(PACKAGE_FILE) || FORMATS.some((format) => format.holds(names))
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
  throw new SlipwayError(
    'SLW_CONFIG_INVALID',
    `${path}: "${name}" cannot be the name of a model (letters, digits, ".", "_", "-"); give one with NAME=PATH`,
  )
}

async function describe(path: string): Promise<string> {
  const names = (await readdir(path)).filter((name) => !name.startsWith('.'))
  if (names.length === 0) return 'the folder is empty'
  const models = names.filter((name) => name.endsWith('.onnx'))
  if (models.length > 1) return `found ${models.length} .onnx files (${models.slice(0, 5).join(', ')}): which one?`
  return `found ${names.slice(0, 8).join(', ')}${names.length > 8 ? `, and ${names.length - 8} more` : ''}`
}
