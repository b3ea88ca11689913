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
import { PACKAGE_FILE } from './package-file.ts'
import { readTextFiles } from './text-files.ts'
import type { ModelFile, ModelFormat } from './formats/format.ts'
import type { TextFiles } from './text-files.ts'

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
  /** What lies beside a model of texts; undefined for any other. */
  readonly text: TextFiles | undefined
}

/** Location of a package, found by the layout or named on the command line. */
export interface PackageLocation {
  readonly name: string
  readonly version: string
  /** An .onnx file, or a folder. */
  readonly path: string
}

/**
 * Reads one model package. A Python model is described, and not opened.
 * @throws SLW_PACKAGE_INVALID, SLW_MODEL_INVALID, SLW_MODEL_UNSAFE, SLW_MODEL_UNSUPPORTED
 */
export async function readPackage(location: PackageLocation): Promise<ModelPackage> {
  const isFile = (await stat(location.path)).isFile()
  const folder = isFile ? dirname(location.path) : location.path
  const document = isFile ? {} : await readDocument(folder)
  const candidate = { folder, document, names: isFile ? [] : await readdir(folder) }
  const format = isFile ? formatOfFile(location.path) : FORMATS.find((one) => one.recognises(candidate))!
  const modelPath = isFile ? location.path : await format.locate(candidate)
  const real = await realpath(modelPath)
  // What lies beside a model file that is a link lies beside the link.
  const file = await format.read(modelPath)
  const text = isFile ? undefined : await readTextFiles(folder, modelPath, file.inputs, document)
  return {
    name: document.name ?? location.name,
    version: document.version ?? location.version,
    folder,
    modelPath: real,
    modelBytes: (await stat(real)).size,
    document,
    file: text === undefined ? file : { ...file, describedBy: [...file.describedBy, ...text.paths] },
    text,
  }
}

/** Format by file extension; a file with another one gets its error from the last format, ONNX. */
function formatOfFile(path: string): ModelFormat {
  return FORMATS.find(({ extensions }) => extensions.some((extension) => path.endsWith(extension))) ?? FORMATS.at(-1)!
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
 * SHA-256 over the files that make up the model and the document without its `serving` part, so that serving options never change the
 * digest.
 */
export async function packageDigest(model: ModelPackage): Promise<string> {
  const hash = createHash('sha256')
  const { serving: _serving, ...described } = model.document
  hash.update(JSON.stringify(described))
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

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1
}
