import { createReadStream } from 'node:fs'
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createHash } from 'node:crypto'
import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { findPackages } from '../../model/layout.ts'
import { MLMODEL_FILE } from '../../model/formats/mlmodel.ts'
import { PACKAGE_FILE } from '../../model/package-file.ts'
import { readPackage } from '../../model/package.ts'
import { ContentDigester } from '../../core/content-digest.ts'
import type { TritonConfig } from '../../model/triton/config.ts'

/** Name of the file with the signature, beside the signed files. */
export const SIGNATURE_FILE = 'model.sig'

/** A file that is to be sent. */
export interface PackageFile {
  /** Inside the version, with `/`. */
  readonly path: string
  readonly file: string
  readonly size: number
}

/** The version that a local path would be pushed as. */
export interface LocalVersion {
  /** The name of the folder or file; '' where there is none. */
  readonly name: string
  readonly files: readonly PackageFile[]
  /** A signature that lies beside the files. */
  readonly signature: string | undefined
}

/**
 * The files of a model in any layout that a server reads, and of any folder that MLflow has written. Models that a server would
 * refuse are refused here, before anything is sent.
 * @param followLinks whether links may lead out of the folder, as in caches that are made of links. Default: they are refused
 * @throws SLW_PATH_NOT_FOUND, SLW_MODEL_INVALID, SLW_PACKAGE_INVALID, SLW_MODEL_UNSAFE, ...
 */
export async function localVersion(path: string, followLinks = false): Promise<LocalVersion> {
  const location = await locate(path)
  if (location === undefined) {
    const folder = resolve(path)
    return { name: basename(folder), files: await filesIn(folder, followLinks), signature: await signatureIn(folder) }
  }
  const { folder, file: model, triton } = await readPackage(location)
  if (triton?.ensemble !== undefined)
    throw new SlipwayError(
      'SLW_MODEL_UNSUPPORTED',
      `${triton.path}: an ensemble is no version by itself; push the models that it consists of`,
    )
  if ((await stat(location.path)).isFile()) {
    const root = dirname(location.path)
    // Whoever names a link means what it leads to.
    const named = await fileAt(root, basename(location.path))
    const within = followLinks ? undefined : root
    const beside = [...model.externalFiles.map(({ location: at }) => at), ...model.describedBy]
    const files = [named, ...(await Promise.all(beside.map((name) => fileAt(root, name, within))))]
    return { name: location.name, files, signature: await signatureIn(dirname(location.path)) }
  }
  const files = await filesIn(folder, followLinks)
  // The package file of a numbered version may lie one folder up.
  if (/^\d+$/.test(basename(folder)) && !files.some((file) => file.path === PACKAGE_FILE)) {
    const above = await fileAt(dirname(folder), PACKAGE_FILE).catch(() => undefined)
    if (above !== undefined) files.push(above)
  }
  if (triton !== undefined && dirname(triton.path) !== folder) files.push(...(await filesOfConfig(triton, files)))
  return { name: location.name, files, signature: await signatureIn(folder) }
}

/** A config.pbtxt that lies one folder up, and the files that it names, which are not among the version's own. */
async function filesOfConfig({ path, outputs, warmup }: TritonConfig, own: readonly PackageFile[]): Promise<PackageFile[]> {
  const labels = outputs.flatMap(({ labelFile }) => labelFile ?? [])
  const values = warmup.flatMap(({ inputs }) =>
    inputs.flatMap(({ values: from }) => (typeof from === 'string' ? [] : `warmup/${from.file}`)),
  )
  const names = [...new Set([basename(path), ...labels, ...values])].filter((name) => !own.some((file) => file.path === name))
  return await Promise.all(names.map((name) => fileAt(dirname(path), name, dirname(path))))
}

/** The one package at a path; undefined for a folder that only MLflow can read. */
async function locate(path: string): Promise<Awaited<ReturnType<typeof findPackages>>[number] | undefined> {
  const names: string[] = await readdir(path).catch(() => [])
  const models = names.filter((name) => name.endsWith('.onnx'))
  if (names.includes(MLMODEL_FILE) && !names.includes(PACKAGE_FILE) && models.length !== 1) return undefined
  try {
    const found = await findPackages({ path, versions: 'latest' })
    const [location] = found
    if (location !== undefined && found.length === 1) return location
    throw new SlipwayError(
      'SLW_USAGE',
      `${path} holds ${found.length} models (${found.map(({ name }) => name).join(', ')}); push one of its folders`,
    )
  } catch (error) {
    const known = isSlipwayError(error) && (error.code === 'SLW_MODEL_INVALID' || error.code === 'SLW_CONFIG_INVALID')
    if (known && names.includes(MLMODEL_FILE)) return undefined
    throw error
  }
}

/** All files below a folder but hidden ones and the signature. Of links to files the bytes of their targets are sent. */
async function filesIn(folder: string, followLinks: boolean, inside = ''): Promise<PackageFile[]> {
  const files: PackageFile[] = []
  for (const entry of (await readdir(join(folder, inside), { withFileTypes: true })).toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = inside === '' ? entry.name : `${inside}/${entry.name}`
    if (entry.name.startsWith('.') || path === SIGNATURE_FILE) continue
    if (entry.isDirectory()) files.push(...(await filesIn(folder, followLinks, path)))
    else files.push(await fileAt(folder, path, followLinks ? undefined : folder))
  }
  return files
}

/** @param within folder that links must not lead out of. Default: they may lead anywhere */
async function fileAt(folder: string, path: string, within?: string): Promise<PackageFile> {
  const file = join(folder, path)
  if (within !== undefined) {
    const [target, root] = await Promise.all([realpath(file), realpath(within)])
    if (!target.startsWith(root.endsWith(sep) ? root : `${root}${sep}`))
      throw new SlipwayError(
        'SLW_MODEL_UNSAFE',
        `${file} is a link to ${target}, which lies outside of ${within}; put the file itself there, or give --follow-links where that is meant, as in a cache made of links`,
      )
  }
  const found = await stat(file)
  if (!found.isFile()) throw new SlipwayError('SLW_MODEL_INVALID', `${file} is no file; a link to a folder cannot be sent`)
  return { path, file, size: found.size }
}

async function signatureIn(folder: string): Promise<string | undefined> {
  return await readFile(join(folder, SIGNATURE_FILE), 'utf8').catch(() => undefined)
}

/** The content id of a file. */
export async function contentIdOf({ file }: PackageFile): Promise<string> {
  const digester = new ContentDigester()
  for await (const bytes of createReadStream(file)) digester.update(bytes as Buffer)
  return digester.finish().id
}

/** SHA-256 of a file, as signatures have it. */
export async function sha256Of({ file }: PackageFile): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
