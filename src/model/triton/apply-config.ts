import { readFile, stat } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { mergeServing } from '../../contract/serving-options.ts'
import { fitTensors } from './tensors.ts'
import { lineError } from './text-format.ts'
import type { ModelPackageDocument } from '../../contract/model-package.ts'
import type { ModelFile, Reshapes } from '../formats/format.ts'
import type { TritonConfig } from './config.ts'
import type { ConfigTensor, Reshape } from './tensors.ts'
import type { TensorSpec } from '../../tensor/tensor.ts'

/** Size limit of a file of labels: there is none with so many. */
const LABELS_BYTES_MAX = 16 * 1024 * 1024

/**
 * The document of a package with what its configuration says below it: slipway.yaml wins.
 * @param folder of the version
 * @throws SLW_PACKAGE_INVALID where the model file that it names is not there
 */
export async function documentWith(config: TritonConfig, own: ModelPackageDocument, folder: string): Promise<ModelPackageDocument> {
  const model = own.model ?? (config.ensemble === undefined ? await modelFileOf(config, folder) : undefined)
  return { ...own, ...(model !== undefined && { model }), serving: mergeServing(config.serving, own.serving) }
}

/** The model file; a folder of that name has it, and its weights, inside. */
async function modelFileOf({ path, modelFile, modelFileLine }: TritonConfig, folder: string): Promise<string | undefined> {
  const found = await stat(join(folder, modelFile)).catch(() => undefined)
  if (found?.isFile() === true) return modelFile
  if (found?.isDirectory() === true) return `${modelFile}/model.onnx`
  if (modelFileLine === undefined) return undefined
  throw lineError(path, modelFileLine, `default_model_filename: ${folder} has no "${modelFile}"`)
}

/** A model as its configuration describes it. @throws SLW_PACKAGE_INVALID where that contradicts the file, or a file of labels is not there */
export async function fileWith(config: TritonConfig, file: ModelFile): Promise<ModelFile> {
  const { path: source, maxBatchSize, inputs, outputs } = config
  const options = { source, maxBatchSize, defaults: new Set(file.rewrite.defaults.keys()) }
  const outputLabels = await labelsOf(config)
  const reshapes: Reshapes = {
    inputs: reshapesOf(inputs, (shape, modelShape) => ({ from: shape, to: modelShape })),
    outputs: reshapesOf(outputs, (shape, modelShape) => ({ from: modelShape, to: shape })),
  }
  return {
    ...file,
    inputs: fitTensors(file.inputs, inputs, { ...options, side: 'input' }),
    outputs: fitTensors(file.outputs, outputs, { ...options, side: 'output' }),
    ...(outputLabels.size > 0 && { outputLabels }),
    ...(reshapes.inputs.size + reshapes.outputs.size > 0 && { reshapes }),
  }
}

/** An ensemble, which is described by its configuration alone. @throws SLW_PACKAGE_INVALID */
export async function ensembleFile(config: TritonConfig): Promise<ModelFile> {
  const { path: source, inputs, outputs, ensemble } = config
  if (inputs.length === 0 || outputs.length === 0)
    throw lineError(source, 1, 'an ensemble describes its inputs and outputs, and here some are missing')
  const wrong = [...inputs, ...outputs].find(({ optional, modelShape }) => optional || modelShape !== undefined)
  if (wrong !== undefined)
    throw lineError(
      source,
      wrong.line,
      `"${wrong.name}": an ensemble has no values for optional inputs, and no shapes but those of its tensors`,
    )
  const specs = (tensors: readonly ConfigTensor[]): TensorSpec[] =>
    tensors.map(({ name, datatype, shape }) => ({ name, datatype, shape, dimensionNames: shape.map(() => undefined) }))
  const outputLabels = await labelsOf(config)
  const models = ensemble!.steps.map(({ model }) => model)
  return {
    format: 'ensemble',
    platform: 'ensemble',
    inputs: specs(inputs),
    outputs: specs(outputs),
    ...(outputLabels.size > 0 && { outputLabels }),
    classLabels: undefined,
    rewrite: { changes: [], labels: new Map(), defaults: new Map() },
    rewrittenBytes: undefined,
    rowCoupling: undefined,
    openEnded: { duration: undefined, end: undefined, size: undefined, trap: undefined },
    externalFiles: [],
    describedBy: [],
    python: undefined,
    summary: `an ensemble of ${models.join(', ')}`,
    about: { producer: 'config.pbtxt', models: models.join(', ') },
  }
}

async function labelsOf({ path, outputs }: TritonConfig): Promise<Map<string, readonly string[]>> {
  const labels = new Map<string, readonly string[]>()
  for (const { name, labelFile, line } of outputs) if (labelFile !== undefined) labels.set(name, await readLabels(path, labelFile, line))
  return labels
}

function reshapesOf(
  tensors: readonly ConfigTensor[],
  make: (shape: readonly number[], modelShape: readonly number[]) => Reshape,
): ReadonlyMap<string, Reshape> {
  return new Map(tensors.flatMap(({ name, shape, modelShape }) => (modelShape === undefined ? [] : [[name, make(shape, modelShape)]])))
}

/** One label on each line, in the order of the elements. */
async function readLabels(source: string, name: string, line: number): Promise<readonly string[]> {
  const folder = dirname(source)
  const path = join(folder, name)
  if (relative(folder, path).startsWith('..')) throw lineError(source, line, `label_filename: "${name}" lies outside of the folder`)
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() !== true) throw lineError(source, line, `label_filename: ${path}: no such file`)
  if (found.size > LABELS_BYTES_MAX)
    throw lineError(source, line, `label_filename: ${path} has ${found.size} bytes, ${LABELS_BYTES_MAX} are allowed`)
  const labels = (await readFile(path, 'utf8')).replace(/\r?\n$/, '').split(/\r?\n/)
  return labels.length === 1 && labels[0] === '' ? [] : labels
}
