/** What a folder of Triton says in its config.pbtxt, checked and said in the words of this server. What is not supported is refused with its line. */
import { stat, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { lineError, readTextFormat } from './text-format.ts'
import { has, isSet, lineOf, numberOf, numbersOf, partOf, partsOf, textOf } from './message.ts'
import { readEnsemble } from './ensemble.ts'
import { remarksOf } from './remarks.ts'
import { servingOf } from './scheduling.ts'
import { readTensor } from './tensors.ts'
import { readWarmup } from './warmup.ts'
import type { ServingOptions } from '../../contract/serving-options.ts'
import type { Ensemble } from './ensemble.ts'
import type { ConfigTensor } from './tensors.ts'
import type { Message } from './text-format.ts'
import type { WarmupSample } from './warmup.ts'

/** Name of the file, in the folder of the model: beside its numbered versions, or beside the model file. */
export const CONFIG_FILE = 'config.pbtxt'
/** A folder of Triton's has its model under this name, unless it says another. */
const MODEL_FILE = 'model.onnx'

/** A larger file is none that somebody wrote, and is not read into memory. */
const BYTES_MAX = 16 * 1024 * 1024

/** Versions that a configuration wants served: so many of the newest, all, or those that are listed. */
export type ConfigVersions = 'all' | { readonly latest: number } | readonly string[]

export interface TritonConfig {
  /** The file. */
  readonly path: string
  /** '' where it says none. */
  readonly name: string
  /** Rows of a run. 0: shapes are whole, and each request is a run of its own. Undefined: what the model can do. */
  readonly maxBatchSize: number | undefined
  /** Empty where it lists none: those of the model file. */
  readonly inputs: readonly ConfigTensor[]
  readonly outputs: readonly ConfigTensor[]
  /** Name of the model file in the folder of a version. */
  readonly modelFile: string
  /** Line that names the model file; undefined where none does. */
  readonly modelFileLine: number | undefined
  readonly serving: ServingOptions
  readonly versions: ConfigVersions | undefined
  readonly warmup: readonly WarmupSample[]
  /** Undefined: a model in a file. */
  readonly ensemble: Ensemble | undefined
  /** What it says that has no effect here, for people. Undefined: nothing. */
  readonly remark: string | undefined
}

/** Path of the configuration of a package: in its folder, or in the one above a numbered version. */
export function configPathOf(folder: string): string[] {
  const own = join(folder, CONFIG_FILE)
  return /^\d+$/.test(basename(folder)) ? [own, join(dirname(folder), CONFIG_FILE)] : [own]
}

/**
 * The configuration of a package.
 * @param folder of the package, or of one of its numbered versions
 * @returns undefined where there is none
 * @throws SLW_PACKAGE_INVALID with the line
 */
export async function readTritonConfig(folder: string): Promise<TritonConfig | undefined> {
  for (const path of configPathOf(folder)) {
    const text = await readIfThere(path)
    if (text !== undefined) return parseTritonConfig(text, path)
  }
  return undefined
}

/** Says where a model file was named alone although a configuration lies beside it. @returns undefined where there is none */
export async function unreadConfig(path: string): Promise<string | undefined> {
  if ((await stat(path)).isDirectory()) return undefined
  for (const config of configPathOf(dirname(path)))
    if ((await readIfThere(config)) !== undefined)
      return `${config} is not read, as the model file alone was named; serve the folder ${dirname(config)} to have it acted on`
  return undefined
}

async function readIfThere(path: string): Promise<string | undefined> {
  return await readBounded(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  })
}

async function readBounded(path: string): Promise<string> {
  const { size } = await stat(path)
  if (size > BYTES_MAX) throw lineError(path, 1, `the file has ${size} bytes, ${BYTES_MAX} are allowed`)
  return await readFile(path, 'utf8')
}

/** Configurations by path and state of the file: folders are looked at several times a second. */
const known = new Map<string, { readonly state: string; readonly read: TritonConfig | Error }>()

/** As {@link readTritonConfig}, for one file, of which what was read is kept. @returns the error where it is wrong, which its load reports */
export async function glanceAtConfig(path: string): Promise<TritonConfig | Error | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() !== true) {
    known.delete(path)
    return undefined
  }
  const state = `${found.mtimeMs} ${found.size} ${found.ino}`
  const before = known.get(path)
  if (before?.state === state) return before.read
  const read = await readBounded(path)
    .then((text) => parseTritonConfig(text, path))
    .catch((error: Error) => error)
  known.set(path, { state, read })
  return read
}

/** @throws SLW_PACKAGE_INVALID with the line */
export function parseTritonConfig(text: string, path: string): TritonConfig {
  const message = readTextFormat(text, 'ModelConfig', path)
  const isEnsemble = requireBackend(message, path)
  refuseUnsupported(message, path)
  const [inputs, outputs] = [partsOf(message, 'input'), partsOf(message, 'output')]
  const size = numberOf(message, 'max_batch_size')
  if (size < 0) throw lineError(path, lineOf(message, 'max_batch_size'), `max_batch_size: ${size} is below 0`)
  const isWhole = size > 0 || (inputs.length > 0 && outputs.length > 0)
  const maxBatchSize = isWhole ? size : undefined
  const modelFile = textOf(message, 'default_model_filename')
  if (modelFile.includes('/') || modelFile.startsWith('.'))
    throw lineError(path, lineOf(message, 'default_model_filename'), `default_model_filename: "${modelFile}" names no file of the folder`)
  const tensors = { source: path, maxBatchSize: size }
  return {
    path,
    name: textOf(message, 'name'),
    maxBatchSize,
    inputs: unique(
      inputs.map((each) => readTensor(each, tensors)),
      path,
    ),
    outputs: unique(
      outputs.map((each) => readTensor(each, tensors)),
      path,
    ),
    modelFile: modelFile === '' ? MODEL_FILE : modelFile,
    modelFileLine: modelFile === '' ? undefined : lineOf(message, 'default_model_filename'),
    serving: { ...(maxBatchSize === 0 && { batching: 'off' }), ...(size > 0 && { maxBatchSize: size }), ...servingOf(message, path) },
    versions: versionsOf(message, path),
    warmup: partsOf(message, 'model_warmup').map((each) => readWarmup(each, path)),
    ensemble: isEnsemble ? readEnsemble(message, path) : undefined,
    remark: remarksOf(message, path),
  }
}

function unique(tensors: readonly ConfigTensor[], source: string): readonly ConfigTensor[] {
  for (const [index, { name, line }] of tensors.entries()) {
    const before = tensors.slice(0, index).find((other) => other.name === name)
    if (before !== undefined) throw lineError(source, line, `"${name}" was described on line ${before.line} already`)
  }
  return tensors
}

/** @returns whether it is an ensemble. @throws SLW_PACKAGE_INVALID for a model of another backend */
function requireBackend(message: Message, source: string): boolean {
  const [platform, backend] = [textOf(message, 'platform'), textOf(message, 'backend')]
  const refuse = (field: string, value: string): never => {
    throw lineError(
      source,
      lineOf(message, field),
      `${field}: "${value}" is not served here; models of onnxruntime, and ensembles of them, are`,
    )
  }
  const isEnsemble = platform === 'ensemble'
  if (platform !== '' && platform !== 'onnxruntime_onnx' && !isEnsemble) refuse('platform', platform)
  if (backend !== '' && (backend !== 'onnxruntime' || isEnsemble)) refuse('backend', backend)
  if (isEnsemble !== has(message, 'ensemble_scheduling'))
    throw lineError(
      source,
      lineOf(message, isEnsemble ? 'platform' : 'ensemble_scheduling'),
      'platform: "ensemble" and ensemble_scheduling belong together, and only one is there',
    )
  return isEnsemble
}

/** Fields that would change answers, each with the reason why they have no place here. */
const REFUSED: readonly (readonly [field: string, why: string])[] = [
  ['sequence_batching', 'a model that keeps state between requests is not served here: give it its state as input and output'],
  [
    'batch_input',
    'inputs made of the shapes of a batch belong to ragged batches, which are not formed here: each row has its own shape padded by the client',
  ],
  ['batch_output', 'outputs cut by the shapes of a batch belong to ragged batches, which are not formed here'],
  ['model_repository_agents', 'no agent runs here before a model is loaded; "slipway model push" keeps and checks digests'],
  ['runtime', 'the library of a backend is not chosen here: models of ONNX run in the ONNX Runtime that Slipway brings'],
]

/** @throws SLW_PACKAGE_INVALID */
function refuseUnsupported(message: Message, source: string): void {
  for (const [field, why] of REFUSED) if (has(message, field)) throw lineError(source, lineOf(message, field), `${field}: ${why}`)
  const operations = partOf(message, 'model_operations')
  if (operations !== undefined && has(operations, 'op_library_filename'))
    throw lineError(
      source,
      lineOf(operations, 'op_library_filename'),
      'op_library_filename: libraries with operators of their own are not loaded here',
    )
  const transactions = partOf(message, 'model_transaction_policy')
  if (transactions !== undefined && isSet(transactions, 'decoupled'))
    throw lineError(
      source,
      lineOf(transactions, 'decoupled'),
      'decoupled: a model of ONNX gives one answer to one request, and no other number of them',
    )
}

function versionsOf(message: Message, source: string): ConfigVersions | undefined {
  const policy = partOf(message, 'version_policy')
  if (policy === undefined) return undefined
  if (has(policy, 'all')) return 'all'
  const specific = partOf(policy, 'specific')
  if (specific !== undefined) {
    const versions = numbersOf(specific, 'versions')
    if (versions.length === 0) throw lineError(source, specific.line, 'specific: it lists no versions')
    return versions.map(String)
  }
  const latest = partOf(policy, 'latest')
  if (latest === undefined) return undefined
  // Triton's default, too.
  const count = has(latest, 'num_versions') ? numberOf(latest, 'num_versions') : 1
  if (count === 0) throw lineError(source, lineOf(latest, 'num_versions'), 'num_versions: 0 versions would be served')
  return { latest: count }
}
