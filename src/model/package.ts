import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { formatFileIssues, readYaml } from '../contract/read-yaml.ts'
import { ModelPackageDocument } from '../contract/model-package.ts'
import { SlipwayError } from '../core/errors.ts'
import { inspectOnnx } from '../onnx/inspect.ts'
import { MLMODEL_BYTES_MAX, MLMODEL_FILE, readPythonModel } from './mlmodel.ts'
import type { OnnxModel } from '../onnx/inspect.ts'
import type { PythonModel } from './mlmodel.ts'

export const PACKAGE_FILE = 'slipway.yaml'

/** A model and all that is known of it, read from a folder or a bare file. */
export interface ModelPackage {
  readonly name: string
  readonly version: string
  /** Folder that relative paths of the document start from. */
  readonly folder: string
  readonly modelPath: string
  readonly modelBytes: number
  readonly document: ModelPackageDocument
  /** What the file says of itself. */
  readonly file: OnnxModel | PythonModel
}

/** Where a package is, as found by the layout or named on the command line. */
export interface PackageLocation {
  readonly name: string
  readonly version: string
  /** An .onnx file, or a folder. */
  readonly path: string
}

/**
 * Reads one model package. A model of Python is described, and not opened.
 * @throws SLW_PACKAGE_INVALID, SLW_MODEL_INVALID, SLW_MODEL_UNSAFE, SLW_MODEL_UNSUPPORTED
 */
export async function readPackage(location: PackageLocation): Promise<ModelPackage> {
  const isFile = (await stat(location.path)).isFile()
  const folder = isFile ? dirname(location.path) : location.path
  const document = isFile ? {} : await readDocument(folder)
  const python = isFile ? undefined : await pythonModel(folder, document)
  const modelPath = isFile ? location.path : python === undefined ? await modelFile(folder, document) : join(folder, python.file)
  const real = await realpath(modelPath).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    throw new SlipwayError('SLW_PACKAGE_INVALID', `${folder}: ${basename(modelPath)}, which ${MLMODEL_FILE} names, is not there`)
  })
  return {
    name: document.name ?? location.name,
    version: document.version ?? location.version,
    folder,
    modelPath: real,
    modelBytes: (await stat(real)).size,
    document,
    file: python ?? (await inspectOnnx(real)),
  }
}

/** slipway.yaml of the folder; of the folder above where this one is a numbered version; else nothing is declared. */
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

/** Of a folder that MLflow has written, unless the model in it is of ONNX. */
async function pythonModel(folder: string, document: ModelPackageDocument): Promise<PythonModel | undefined> {
  const names = await readdir(folder)
  if (!names.includes(MLMODEL_FILE) || document.model?.endsWith('.onnx') === true || names.some((name) => name.endsWith('.onnx')))
    return undefined
  const path = join(folder, MLMODEL_FILE)
  const { size } = await stat(path)
  if (size > MLMODEL_BYTES_MAX) throw new SlipwayError('SLW_PACKAGE_INVALID', `${path}: ${size} bytes; MLflow writes a few thousand`)
  return readPythonModel(await readFile(path, 'utf8'))
}

async function modelFile(folder: string, document: ModelPackageDocument): Promise<string> {
  if (document.model !== undefined) {
    const path = join(folder, document.model)
    if (relative(folder, path).startsWith('..'))
      throw new SlipwayError('SLW_PACKAGE_INVALID', `${join(folder, PACKAGE_FILE)}: model: "${document.model}" is outside the package`)
    if ((await stat(path).catch(() => undefined))?.isFile() !== true)
      throw new SlipwayError(
        'SLW_PACKAGE_INVALID',
        `${join(folder, PACKAGE_FILE)}: model: "${document.model}" is not a file of the package`,
      )
    return path
  }
  const found = (await readdir(folder)).filter((name) => name.endsWith('.onnx') && !name.startsWith('.'))
  if (found.length === 1 && found[0] !== undefined) return join(folder, found[0])
  throw new SlipwayError(
    'SLW_PACKAGE_INVALID',
    found.length === 0
      ? `${folder}: no .onnx file`
      : `${folder}: ${found.length} .onnx files (${found.join(', ')}); name one with "model:" in ${PACKAGE_FILE}`,
  )
}

/**
 * SHA-256 over the files that make up the model and the document without its `serving` part, so that how a model is served
 * never changes what it is.
 */
export async function packageDigest(model: ModelPackage): Promise<string> {
  const hash = createHash('sha256')
  const { serving: _serving, ...described } = model.document
  hash.update(JSON.stringify(described))
  const folder = dirname(model.modelPath)
  const beside = model.file.format === 'onnx' ? [] : [MLMODEL_FILE]
  for (const file of [basename(model.modelPath), ...beside, ...model.file.externalFiles.toSorted()]) {
    const part = createHash('sha256')
    await pipeline(createReadStream(join(folder, file)), part)
    hash.update(`${file}\0`).update(part.digest())
  }
  return `sha256:${hash.digest('hex')}`
}
