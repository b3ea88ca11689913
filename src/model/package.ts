/** Model holds model packages: their layouts of files, their formats, and their contents. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { formatFileIssues, readYaml } from '../contract/read-yaml.ts'
import { ModelPackageDocument } from '../contract/model-package.ts'
import { SlipwayError } from '../core/errors.ts'
import { FORMATS } from './formats/formats.ts'
import { MLMODEL_BYTES_MAX, MLMODEL_FILE, readMlmodelColumns } from './formats/mlmodel.ts'
import { PACKAGE_FILE } from './package-file.ts'
import { readTextFiles } from './text-files.ts'
import { documentWith, ensembleFile, fileWith } from './triton/apply-config.ts'
import { readTritonConfig } from './triton/config.ts'
import type { ModelFile, ModelFormat } from './formats/format.ts'
import type { TextFiles } from './text-files.ts'
import type { ConfigVersions, TritonConfig } from './triton/config.ts'

/** A model and everything known about it, read from a folder or a bare file. */
export interface ModelPackage {
  readonly name: string
  readonly version: string
  /** Folder that relative paths of the document start from. */
  readonly folder: string
  readonly modelPath: string
  readonly modelBytes: number
  readonly document: ModelPackageDocument
  /** Description read from the model file. */
  readonly file: ModelFile
  /** Names of the columns of its only input, in their order, where an `MLmodel` beside it has them. */
  readonly columns?: readonly string[] | undefined
  /** What a config.pbtxt of Triton says of it; undefined where there is none. */
  readonly triton: TritonConfig | undefined
  /** What lies beside a model of texts; undefined for any other. */
  readonly text: TextFiles | undefined
}

/** Location of a package, found by the layout or named on the command line. */
export interface PackageLocation {
  readonly name: string
  readonly version: string
  /** A model file, or a folder. */
  readonly path: string
  /** Versions of the model that its config.pbtxt wants served. Undefined: it says nothing of them. */
  readonly versions?: ConfigVersions
  /** Models that an ensemble consists of. Undefined: it is none. */
  readonly parts?: readonly string[]
}

/**
 * Reads one model package. A Python model is described, and not opened.
 * @throws SLW_PACKAGE_INVALID, SLW_MODEL_INVALID, SLW_MODEL_UNSAFE, SLW_MODEL_UNSUPPORTED
 */
export async function readPackage(location: PackageLocation): Promise<ModelPackage> {
  const isFile = (await stat(location.path)).isFile()
  const folder = isFile ? dirname(location.path) : location.path
  const own = isFile ? {} : await readDocument(folder)
  const triton = isFile ? undefined : await readTritonConfig(folder)
  const document = triton === undefined ? own : await documentWith(triton, own, folder)
  if (triton?.ensemble !== undefined) return await ensembleOf(triton, { folder, document, ...location })
  const candidate = { folder, document, names: isFile ? [] : await readdir(folder) }
  const format = await firstFormat((one) => (isFile ? one.isFile(location.path) : one.recognises(candidate)))
  const modelPath = isFile ? location.path : await format.locate(candidate)
  const real = await realpath(modelPath)
  // What lies beside a model file that is a link lies beside the link.
  const file = await format.read(modelPath)
  const text = await readTextFiles(folder, modelPath, file.inputs, document)
  const described = triton === undefined ? file : await fileWith(triton, file)
  return {
    name: document.name ?? location.name,
    version: document.version ?? location.version,
    folder,
    modelPath: real,
    modelBytes: (await stat(real)).size,
    document,
    file: text === undefined ? described : { ...described, describedBy: [...described.describedBy, ...text.paths] },
    triton,
    text,
    columns: candidate.names.includes(MLMODEL_FILE) ? await columnsIn(join(folder, MLMODEL_FILE), file) : undefined,
  }
}

/** Columns of an `MLmodel` file, where they are those of the only input of the model. */
async function columnsIn(path: string, { inputs }: ModelFile): Promise<readonly string[] | undefined> {
  const [only] = inputs
  if (only === undefined || inputs.length !== 1 || only.shape.length !== 2) return undefined
  if (((await stat(path).catch(() => undefined))?.size ?? Number.POSITIVE_INFINITY) > MLMODEL_BYTES_MAX) return undefined
  const columns = readMlmodelColumns(await readFile(path, 'utf8'))
  return only.shape[1] === -1 || only.shape[1] === columns?.length ? columns : undefined
}

/** An ensemble: its configuration is all there is of it. */
async function ensembleOf(
  triton: TritonConfig,
  { folder, document, name, version }: Pick<ModelPackage, 'folder' | 'document' | 'name' | 'version'>,
): Promise<ModelPackage> {
  const modelPath = await realpath(triton.path)
  return {
    name: document.name ?? name,
    version: document.version ?? version,
    folder,
    modelPath,
    modelBytes: (await stat(modelPath)).size,
    document,
    file: await ensembleFile(triton),
    triton,
    text: undefined,
  }
}

/** A file in no known format gets its error from the last one, ONNX. */
async function firstFormat(fits: (format: ModelFormat) => boolean | Promise<boolean>): Promise<ModelFormat> {
  for (const format of FORMATS) if (await fits(format)) return format
  return FORMATS.at(-1)!
}

/** slipway.yaml of the folder, or of the folder above for a numbered version; empty where there is none. */
async function readDocument(folder: string): Promise<ModelPackageDocument> {
  const candidates = [join(folder, PACKAGE_FILE)]
  if (/^\d+$/.test(basename(folder))) candidates.push(join(dirname(folder), PACKAGE_FILE))
  for (const path of candidates) {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (text === undefined) continue
    const read = readYaml(text, ModelPackageDocument)
    if ('issues' in read) throw new SlipwayError('SLW_PACKAGE_INVALID', formatFileIssues(path, read.issues), { issues: read.issues })
    return read.value
  }
  return {}
}

/**
 * SHA-256 over the files that make up the model, the document without its `serving` part, and what a config.pbtxt says of tensors, so that
 * serving options never change the digest.
 */
export async function packageDigest(model: ModelPackage): Promise<string> {
  const hash = createHash('sha256')
  const { serving: _serving, ...described } = model.document
  hash.update(JSON.stringify(described))
  if (model.triton !== undefined) hash.update(JSON.stringify(saidByTriton(model.file)))
  const folder = dirname(model.modelPath)
  const files = [
    { name: basename(model.modelPath), path: model.modelPath },
    ...model.file.describedBy.map((name) => ({ name, path: join(folder, name) })),
    ...model.file.externalFiles.map(({ location, path }) => ({ name: location, path })).toSorted(byName),
  ]
  for (const { name, path } of files) {
    const part = createHash('sha256')
    await pipeline(createReadStream(path), part)
    hash.update(`${name}\0`).update(part.digest())
  }
  return `sha256:${hash.digest('hex')}`
}

/** What a config.pbtxt, and the files that it names, say of a model. */
function saidByTriton({ inputs, outputs, outputLabels = new Map(), reshapes }: ModelFile): readonly unknown[] {
  return [inputs, outputs, [...outputLabels], [...(reshapes?.inputs ?? [])], [...(reshapes?.outputs ?? [])]]
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1
}
