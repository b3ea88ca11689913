/** Signature turns people's rows into tensors, and tensors into answers that people read, and checks requests on the way. */
import { SlipwayError } from '../core/errors.ts'
import { isFloat } from '../tensor/datatype.ts'
import { elementCount } from '../tensor/tensor.ts'
import { answerOfText, planEmbedding } from './text/answer-of-text.ts'
import { textInputs } from './text/text.ts'
import type { AnswerSpec, FeatureSpec, ImageSpec, ModelPackageDocument, TensorOverride } from '../contract/model-package.ts'
import type { ModelFile as FileOfModel } from '../model/formats/format.ts'
import type { TextFiles } from '../model/text-files.ts'
import type { Tensor, TensorSpec } from '../tensor/tensor.ts'
import type { EmbeddingPlan } from './text/answer-of-text.ts'
import type { TextInputs } from './text/text.ts'

export type Label = string | number | boolean

/** A feature and the columns of the input tensor that it fills. */
export interface Feature {
  readonly spec: FeatureSpec
  readonly input: number
  readonly start: number
  readonly width: number
  /** Encoding of its value as elements. */
  readonly encode: 'number' | 'onehot' | 'index' | 'text' | 'tokens'
}

/** Plan of an answer from output tensors; `undefined` parts do not apply to the task. */
export type AnswerPlan =
  | {
      readonly task: 'classification'
      /** Whether the package says so; else it was guessed from the file. */
      readonly declared: boolean
      readonly probabilities: string | undefined
      readonly label: string | undefined
      readonly labels: readonly Label[] | undefined
      readonly activation: 'none' | 'softmax' | 'sigmoid'
      readonly threshold: number | undefined
      readonly topK: number | undefined
    }
  | { readonly task: 'regression'; readonly value: string }
  | {
      readonly task: 'ranking'
      readonly scores: string
      readonly items: string | undefined
      readonly labels: readonly Label[] | undefined
      readonly topK: number
    }
  | EmbeddingPlan
  | { readonly task: 'tensors' }

/** Allowed values of one input tensor, from rows and from raw tensors. */
export interface InputRange {
  readonly minimum: number
  readonly maximum: number
}

/** Inputs, outputs and answers of a model, and the checks of requests. */
export interface Signature {
  /** Platform of the model file. */
  readonly platform: ModelFile['platform']
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  /** Undefined where rows are given per input tensor. */
  readonly features: readonly Feature[] | undefined
  /** Names of the columns of the only input where there are no features: tables have them in any order. */
  readonly columns?: readonly string[] | undefined
  readonly image: (ImageSpec & { readonly input: string }) | undefined
  /** Undefined where no texts are taken. With it the features are the texts. */
  readonly text: TextInputs | undefined
  /** What people should know: why a model that has a tokenizer takes no texts. */
  readonly remark: string | undefined
  readonly answer: AnswerPlan
  readonly ranges: ReadonlyMap<string, InputRange>
  /** Outputs that the file gives as maps from labels to numbers (ZipMap), and the labels: here they are tensors with a column for each. */
  readonly maps: ReadonlyMap<string, readonly Label[]>
  /** Values for inputs that may be left out. */
  readonly defaults: ReadonlyMap<string, Tensor>
  /** Names of the elements of a row of an output, by output, where a file beside the model has them. */
  readonly labels: ReadonlyMap<string, readonly string[]>
  /** Whether dim 0 of every input is free: rows exist. */
  readonly hasRows: boolean
  readonly examples: readonly Record<string, unknown>[]
  readonly nanPolicy: 'reject' | 'warn' | 'off'
}

/** The parts of a model file that a signature needs, in any format. */
export type ModelFile = Pick<FileOfModel, 'platform' | 'inputs' | 'outputs' | 'classLabels' | 'features' | 'outputLabels' | 'rewrite'>

export interface SignatureOptions {
  readonly file: ModelFile
  readonly document: ModelPackageDocument
  /** Names of the columns of the only input, in their order. Default: they have none. */
  readonly columns?: readonly string[] | undefined
  /** Name of the package, for messages. */
  readonly source: string
  /** Policy for raw tensors, and for features without one of their own. */
  readonly nanPolicy?: 'reject' | 'warn' | 'off' | undefined
  /** What lies beside a model of texts. */
  readonly text?: TextFiles | undefined
}

/**
 * Builds a signature from the model file and the additions of slipway.yaml.
 * @throws SLW_PACKAGE_INVALID where they contradict each other
 */
export function buildSignature(options: SignatureOptions): Signature {
  const { document, file, source } = options
  const inputs = file.inputs.map((spec) => override(spec, document.inputs ?? [], source))
  const known = new Set(inputs.map((input) => input.name))
  for (const { name } of document.inputs ?? []) {
    if (!known.has(name)) throw invalid(source, `inputs: the model has no input "${name}"; it has ${[...known].join(', ')}`)
  }
  const ranges = new Map<string, InputRange>()
  for (const { name, minimum, maximum } of document.inputs ?? []) {
    if (minimum !== undefined || maximum !== undefined)
      ranges.set(name, { minimum: minimum ?? Number.NEGATIVE_INFINITY, maximum: maximum ?? Number.POSITIVE_INFINITY })
  }
  const image =
    document.image === undefined ? undefined : { ...document.image, input: document.image.input ?? onlyInput(inputs, source, 'image') }
  if (image !== undefined && !known.has(image.input))
    throw invalid(source, `image: the model has no input "${image.input}"; it has ${[...known].join(', ')}`)
  if (image !== undefined)
    checkImageShape(
      image,
      inputs.find((input) => input.name === image.input)!,
      source,
    )
  const columns = document.features ?? file.features
  const { text, refused } = textInputs(options.text, inputs, document, source)
  if (text !== undefined && (document.features !== undefined || image !== undefined))
    throw invalid(source, `text: the package has ${image === undefined ? 'features' : 'image'} too; rows are one of them`)
  const described = text === undefined ? {} : options.text!.described
  const answerSpec = text === undefined ? (document.answer ?? {}) : answerOfText(document.answer ?? {}, file, described)
  return {
    platform: file.platform,
    inputs,
    outputs: file.outputs,
    text,
    remark: refused,
    features:
      text !== undefined
        ? TEXT_FEATURES
        : columns === undefined
          ? undefined
          : placeFeatures(
              columns.map((feature) => ({ ...feature, nan: feature.nan ?? options.nanPolicy ?? 'reject' })),
              inputs,
              source,
            ),
    columns: document.features === undefined && image === undefined && text === undefined ? options.columns : undefined,
    image,
    answer: planAnswer(answerSpec, file, source, described),
    ranges,
    maps: file.rewrite.labels,
    defaults: file.rewrite.defaults,
    labels: file.outputLabels ?? new Map(),
    hasRows: inputs.length > 0 && inputs.every((input) => input.anyRank === true || input.shape[0] === -1),
    examples: document.examples ?? [],
    nanPolicy: options.nanPolicy ?? 'off',
  }
}

function invalid(source: string, message: string): SlipwayError {
  return new SlipwayError('SLW_PACKAGE_INVALID', `${source}: ${message}`)
}

export function imageChannels(image: ImageSpec): 1 | 3 {
  return image.channels === 'gray' ? 1 : 3
}

/** The shape of one picture as a row of the input tensor. */
export function imageRowShape(image: ImageSpec): number[] {
  const channels = imageChannels(image)
  const { width, height, layout = 'nchw' } = image
  return { nchw: [channels, height, width], nhwc: [height, width, channels], flat: [channels * height * width] }[layout]
}

/** Checks that the tensor of the pictures fits the input. */
function checkImageShape(image: ImageSpec, input: TensorSpec, source: string): void {
  const { width, height, layout = 'nchw' } = image
  const row = imageRowShape(image)
  const expected = input.shape.slice(1)
  const fits = input.anyRank === true || (expected.length === row.length && expected.every((dim, axis) => dim === -1 || dim === row[axis]))
  if (!fits)
    throw invalid(
      source,
      `image: ${layout} ${width} x ${height} gives rows of [${row.join(', ')}], input "${input.name}" takes [${expected.join(', ')}]`,
    )
}

function onlyInput(inputs: readonly TensorSpec[], source: string, what: string): string {
  if (inputs.length === 1 && inputs[0] !== undefined) return inputs[0].name
  throw invalid(
    source,
    `${what}: the model has ${inputs.length} inputs (${inputs.map((input) => input.name).join(', ')}); say which with "input:"`,
  )
}

function override(spec: TensorSpec, overrides: readonly TensorOverride[], source: string): TensorSpec {
  const given = overrides.find((candidate) => candidate.name === spec.name)
  if (given?.shape === undefined) return spec
  const shape = given.shape.map((dim) => (typeof dim === 'number' ? dim : -1))
  const fits =
    spec.anyRank === true ||
    (shape.length === spec.shape.length && shape.every((dim, index) => dim === -1 || spec.shape[index] === -1 || spec.shape[index] === dim))
  if (!fits)
    throw invalid(
      source,
      `inputs: shape [${given.shape.join(', ')}] of "${spec.name}" does not fit the file, which says [${spec.shape.join(', ')}]`,
    )
  const { anyRank: _anyRank, ...known } = spec
  return { ...known, shape, dimensionNames: given.shape.map((dim) => (typeof dim === 'string' ? dim : undefined)) }
}

function placeFeatures(specs: readonly FeatureSpec[], inputs: readonly TensorSpec[], source: string): Feature[] {
  const filled = inputs.map(() => 0)
  const features = specs.map((spec) => {
    const name = spec.input ?? (inputs.length === 1 ? inputs[0]?.name : spec.name)
    const input = inputs.findIndex((candidate) => candidate.name === name)
    if (input < 0)
      throw invalid(
        source,
        `features: "${spec.name}" has no input to go to; the model has ${inputs.map((candidate) => candidate.name).join(', ')}: say which with "input:"`,
      )
    const text = inputs[input]?.datatype === 'BYTES'
    const encode = encodingOf(spec, text, source)
    const width = (encode === 'onehot' ? (spec.categories?.length ?? 1) : 1) * (spec.length ?? 1)
    const start = filled[input] ?? 0
    filled[input] = start + width
    return { spec, input, start, width, encode }
  })
  for (const [index, input] of inputs.entries()) {
    const row = input.shape.slice(1)
    const expected = row.includes(-1) || input.anyRank === true ? filled[index] : elementCount(row)
    if (expected !== filled[index])
      throw invalid(source, `features fill ${filled[index]} columns of input "${input.name}", which has ${expected}`)
  }
  return features
}

function encodingOf(spec: FeatureSpec, text: boolean, source: string): Feature['encode'] {
  if (spec.type === 'string' && !text)
    throw invalid(source, `features: "${spec.name}" is a string, but its input takes numbers; make it a category`)
  if (spec.type === 'category' && spec.categories === undefined)
    throw invalid(source, `features: category "${spec.name}" lists no categories`)
  if (text) return 'text'
  if (spec.type !== 'category') return 'number'
  if (spec.encode === 'text') throw invalid(source, `features: "${spec.name}" is encoded as text, but its input takes numbers`)
  return spec.encode ?? 'onehot'
}

/** A row of a model of texts: a text, and where the model compares two the other one. No columns of a tensor are theirs alone. */
const TEXT_FEATURES: readonly Feature[] = [
  { name: 'text', type: 'string' as const },
  { name: 'text_pair', type: 'string' as const, default: null, description: 'The second of two texts that belong together.' },
].map((spec) => ({ spec, input: -1, start: 0, width: 0, encode: 'tokens' }))

function planAnswer(spec: AnswerSpec, file: ModelFile, source: string, described: TextFiles['described']): AnswerPlan {
  const outputs = new Map(file.outputs.map((output) => [output.name, output]))
  for (const name of [spec.probabilities, spec.value, spec.scores]) {
    if (name !== undefined && !outputs.has(name))
      throw invalid(source, `answer: the model has no output "${name}"; it has ${[...outputs.keys()].join(', ')}`)
  }
  const task = spec.task ?? guessTask(spec, file)
  switch (task) {
    case 'classification':
      return planClassification(spec, file, source)
    case 'regression': {
      const value = spec.value ?? file.outputs[0]?.name
      if (value === undefined) throw invalid(source, 'answer: the model has no output')
      return { task, value }
    }
    case 'ranking': {
      const scores = spec.scores ?? file.outputs[0]?.name
      if (scores === undefined) throw invalid(source, 'answer: the model has no output')
      if (spec.items !== undefined && !file.inputs.some((input) => input.name === spec.items))
        throw invalid(source, `answer: items: the model has no input "${spec.items}"`)
      return { task, scores, items: spec.items, labels: spec.labels, topK: spec.topK ?? 10 }
    }
    case 'embedding':
      return planEmbedding(spec, file.outputs, described, source)
    case 'tensors':
      return { task }
  }
}

function guessTask(spec: AnswerSpec, file: ModelFile): AnswerPlan['task'] {
  if (spec.scores !== undefined) return 'ranking'
  if (
    spec.labels !== undefined ||
    spec.probabilities !== undefined ||
    file.classLabels !== undefined ||
    file.rewrite.labels.size > 0 ||
    labelledOutput(file) !== undefined
  )
    return 'classification'
  const only = file.outputs.length === 1 ? file.outputs[0] : undefined
  if (spec.value !== undefined) return 'regression'
  if (
    only !== undefined &&
    isFloat(only.datatype) &&
    only.shape.length > 0 &&
    only.shape[0] === -1 &&
    only.shape.slice(1).every((dim) => dim === 1)
  )
    return 'regression'
  return 'tensors'
}

/** The first output whose elements have names in a file of labels, where they are scores. */
function labelledOutput({ outputs, outputLabels }: ModelFile): readonly [name: string, labels: readonly string[]] | undefined {
  return [...(outputLabels ?? [])].find(
    ([name, labels]) => labels.length > 0 && outputs.some((output) => output.name === name && isFloat(output.datatype)),
  )
}

function planClassification(spec: AnswerSpec, file: ModelFile, source: string): AnswerPlan {
  const zipped = labelledOutput(file) ?? [...file.rewrite.labels][0]
  const labels = spec.labels ?? zipped?.[1] ?? file.classLabels
  const probabilities = spec.probabilities ?? zipped?.[0] ?? file.outputs.find((output) => isFloat(output.datatype))?.name
  const label = file.outputs.find((output) => !isFloat(output.datatype) && output.shape.length <= 2)?.name
  if (probabilities === undefined && label === undefined)
    throw invalid(source, 'answer: a classification needs an output with probabilities or labels')
  return {
    task: 'classification',
    declared: [spec.task, spec.labels, spec.probabilities, spec.activation, spec.threshold, spec.topK].some((said) => said !== undefined),
    probabilities,
    label,
    labels,
    activation: spec.activation ?? 'none',
    threshold: spec.threshold,
    topK: spec.topK,
  }
}
