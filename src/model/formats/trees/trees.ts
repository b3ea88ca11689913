/** Models of trees in the formats of the libraries that train them, read into graphs of ONNX: nothing of these libraries is run. */
import { open, readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { isSlipwayError, SlipwayError } from '../../../core/errors.ts'
import { formatBytes } from '../../../core/units.ts'
import { writeOnnx } from '../../../onnx/model.ts'
import { locatedByDocument } from '../located.ts'
import { isCatboost, readCatboost } from './catboost.ts'
import { checkEnsemble } from './ensemble.ts'
import { isLightgbm, readLightgbm } from './lightgbm.ts'
import { INPUT, outputOf, toOnnx } from './to-onnx.ts'
import { isXgboost, readXgboost } from './xgboost.ts'
import type { Candidate, ModelFile, ModelFormat } from '../format.ts'
import type { Ensemble } from './ensemble.ts'

/** Files are read at once; ten million splits have less. */
const FILE_BYTES_MAX = 256 * 1024 * 1024
/** Bytes by which a format is recognised. */
export const TREES_HEAD_BYTES = 256

interface Library {
  readonly name: string
  readonly extensions: readonly string[]
  readonly begins: (head: Buffer) => boolean
  readonly read: (bytes: Buffer) => Ensemble
}

/** The extensions `.xgb` and `.lgb` are those of MLflow. */
const XGBOOST: Library = { name: 'XGBoost', extensions: ['.json', '.ubj', '.xgb'], begins: isXgboost, read: readXgboost }
const LIGHTGBM: Library = { name: 'LightGBM', extensions: ['.txt', '.lgb'], begins: isLightgbm, read: readLightgbm }
const CATBOOST: Library = { name: 'CatBoost', extensions: ['.json'], begins: isCatboost, read: readCatboost }

export const xgboost = formatOf(XGBOOST)
export const lightgbm = formatOf(LIGHTGBM)
export const catboost = formatOf(CATBOOST)

const LIBRARIES = [XGBOOST, LIGHTGBM, CATBOOST]

/** Whether a file may be a model of trees by its name. */
export function mayBeTrees(name: string): boolean {
  return LIBRARIES.some(({ extensions }) => extensions.some((extension) => name.endsWith(extension)))
}

/** Whether a file is a model of trees by its first bytes, {@link TREES_HEAD_BYTES} of them. */
export function beginsAsTrees(head: Buffer): boolean {
  return LIBRARIES.some(({ begins }) => begins(head))
}

function formatOf(library: Library): ModelFormat {
  const { name, extensions, begins } = library
  const isNamed = (file: string): boolean => !file.startsWith('.') && extensions.some((extension) => file.endsWith(extension))
  const isFile = async (path: string): Promise<boolean> => begins(await headOf(path))
  const modelsIn = async (folder: string, names: readonly string[]): Promise<string[]> => {
    // A folder of data may have any number of such files.
    const named = names.filter(isNamed).slice(0, 50)
    const found = await Promise.all(named.map((one) => isFile(join(folder, one))))
    return named.filter((_, index) => found[index])
  }
  return {
    name,
    extensions,
    isFile,
    holds: async (names, folder) => !names.some((one) => one.endsWith('.onnx')) && (await modelsIn(folder, names)).length === 1,
    recognises: async ({ folder, names, document }) => {
      if (document.model !== undefined) return !document.model.endsWith('.onnx') && (await isFile(join(folder, document.model)))
      return !names.some((one) => one.endsWith('.onnx')) && (await modelsIn(folder, names)).length > 0
    },
    locate: async ({ folder, document }: Candidate) => {
      if (document.model !== undefined) return await locatedByDocument(folder, document.model)
      const found = await modelsIn(folder, await readdir(folder))
      if (found.length === 1) return join(folder, found[0]!)
      throw new SlipwayError(
        'SLW_PACKAGE_INVALID',
        `${folder}: ${found.length} models of ${name} (${found.join(', ')}); name one with "model:" in slipway.yaml`,
      )
    },
    read: async (path) => await readModel(path, library),
  }
}

/** Beginnings of files by path and state: folders are looked at several times a second. */
const heads = new Map<string, { readonly state: string; readonly head: Buffer }>()
const HEADS_MAX = 1000

/** Empty for what is no file. */
async function headOf(path: string): Promise<Buffer> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() !== true) return Buffer.alloc(0)
  const state = `${found.mtimeMs} ${found.size} ${found.ino}`
  const known = heads.get(path)
  if (known?.state === state) return known.head
  const file = await open(path).catch(() => undefined)
  if (file === undefined) return Buffer.alloc(0)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(TREES_HEAD_BYTES), 0, TREES_HEAD_BYTES, 0)
    const head = buffer.subarray(0, bytesRead)
    if (heads.size >= HEADS_MAX) heads.delete(heads.keys().next().value!)
    heads.set(path, { state, head })
    return head
  } finally {
    await file.close()
  }
}

async function readModel(path: string, { name, read }: Library): Promise<ModelFile> {
  const { size } = await stat(path)
  if (size > FILE_BYTES_MAX)
    throw new SlipwayError(
      'SLW_MODEL_UNSAFE',
      `${path}: ${formatBytes(size)}; models of ${name} are read up to ${formatBytes(FILE_BYTES_MAX)}`,
    )
  const bytes = await readFile(path)
  try {
    const ensemble = read(bytes)
    checkEnsemble(ensemble)
    return fileOf(ensemble, basename(path))
  } catch (error) {
    if (!isSlipwayError(error)) throw error
    throw new SlipwayError(error.code, `${path}: a model of ${name}: ${error.message}`)
  }
}

/** The model as it is served: a graph made of it, which is batched by rows. */
function fileOf(ensemble: Ensemble, file: string): ModelFile {
  const { producer, format, objective, featureCount, features, input, trees, classes, notes } = ensemble
  const output = outputOf(ensemble)
  const leaves = trees.reduce((sum, tree) => sum + tree.feature.length + 1, 0)
  return {
    format,
    platform: 'onnxruntime_onnx',
    inputs: [{ name: INPUT, datatype: input, shape: [-1, featureCount], dimensionNames: ['rows', undefined] }],
    outputs: [{ name: output.name, datatype: output.datatype, shape: [-1, output.columns], dimensionNames: ['rows', undefined] }],
    classLabels: classes,
    features,
    rewrite: { changes: [`read from ${file} into a graph of ONNX`, ...notes], labels: new Map(), defaults: new Map() },
    rowCoupling: undefined,
    openEnded: { duration: undefined, end: undefined, size: undefined, trap: undefined },
    rewrittenBytes: writeOnnx(toOnnx(ensemble)),
    externalFiles: [],
    describedBy: [],
    python: undefined,
    summary: `${producer}, ${objective}: ${trees.length} trees with ${leaves} leaves over ${featureCount} features`,
    about: {
      producer,
      objective,
      trees: trees.length,
      leaves,
      features: featureCount,
      ...(notes.length > 0 && { notes: notes.join('; ') }),
    },
  }
}
