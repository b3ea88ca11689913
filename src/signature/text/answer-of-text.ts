import { SlipwayError } from '../../core/errors.ts'
import { isFloat } from '../../tensor/datatype.ts'
import { saidIn } from './text.ts'
import type { AnswerSpec } from '../../contract/model-package.ts'
import type { TextFiles } from '../../model/text-files.ts'
import type { TensorSpec } from '../../tensor/tensor.ts'

export type Pooling = NonNullable<AnswerSpec['pooling']>

/** Plan of vectors: one for each row, or for each token. */
export interface EmbeddingPlan {
  readonly task: 'embedding'
  readonly output: string
  readonly pooling: Pooling
  /** Whether each is made one long. */
  readonly normalize: boolean
  /** Whether the output has one vector for each token. */
  readonly perToken: boolean
}

/** What a model file says of its answers. */
interface Outputs {
  readonly outputs: readonly TensorSpec[]
  readonly classLabels: readonly (string | number)[] | undefined
  readonly rewrite: { readonly labels: ReadonlyMap<string, unknown> }
}

/** Completes what slipway.yaml says of the answers of a model of texts by what lies beside it. */
export function answerOfText(spec: AnswerSpec, file: Outputs, described: TextFiles['described']): AnswerSpec {
  const logits = file.outputs.find(({ name, datatype }) => name === (spec.probabilities ?? 'logits') && isFloat(datatype))
  const labelled = file.classLabels !== undefined || file.rewrite.labels.size > 0
  const said = [spec.labels, spec.probabilities, spec.value, spec.scores].some((one) => one !== undefined)
  const task = spec.task ?? (labelled || said ? undefined : guessTask(spec, file, logits))
  if (logits?.name !== 'logits' || logits.shape.length !== 2 || (task !== undefined && task !== 'classification'))
    return {
      ...spec,
      ...(task !== undefined && { task }),
      ...(task === 'regression' && logits !== undefined && { value: spec.value ?? logits.name }),
    }
  const labels = spec.labels ?? labelsIn(described, logits.shape[1]!)
  const several = saidIn(described, 'config.json', 'problem_type') === 'multi_label_classification'
  return {
    ...spec,
    ...(task !== undefined && { task }),
    probabilities: logits.name,
    activation: spec.activation ?? (several ? 'sigmoid' : 'softmax'),
    ...(labels !== undefined && { labels }),
  }
}

function guessTask(spec: AnswerSpec, { outputs }: Outputs, logits: TensorSpec | undefined): AnswerSpec['task'] {
  if ([spec.embedding, spec.pooling, spec.normalize].some((one) => one !== undefined)) return 'embedding'
  if (logits !== undefined) return logits.shape.length !== 2 ? 'tensors' : logits.shape[1] === 1 ? 'regression' : 'classification'
  return outputs.some(isEncoded) ? 'embedding' : undefined
}

const isEncoded = ({ name, datatype, shape }: TensorSpec): boolean =>
  isFloat(datatype) && (shape.length === 3 || (shape.length === 2 && (name === 'sentence_embedding' || name === 'pooler_output')))

/** Labels as config.json numbers them: as many as there are classes, or any number of them where that is not known. */
function labelsIn(described: TextFiles['described'], classes: number): string[] | undefined {
  const byId = saidIn(described, 'config.json', 'id2label')
  if (byId === null || typeof byId !== 'object') return undefined
  const entries = Object.entries(byId)
  const labels = entries.map((_, index): unknown => (byId as Record<string, unknown>)[index])
  return labels.every((label) => typeof label === 'string') && labels.length > 1 && (classes === -1 || classes === labels.length)
    ? (labels as string[])
    : undefined
}

/** @throws SLW_PACKAGE_INVALID for an output that has no vectors, and for a pooling that is not known */
export function planEmbedding(
  spec: AnswerSpec,
  outputs: readonly TensorSpec[],
  described: TextFiles['described'],
  source: string,
): EmbeddingPlan {
  const fail = (message: string): never => {
    throw new SlipwayError('SLW_PACKAGE_INVALID', `${source}: answer: ${message}`)
  }
  const output =
    spec.embedding === undefined
      ? (outputs.find(({ name }) => name === 'sentence_embedding') ??
        outputs.find(({ shape, datatype }) => isFloat(datatype) && shape.length === 3) ??
        outputs.find(({ datatype, shape }) => isFloat(datatype) && shape.length === 2))
      : outputs.find(({ name }) => name === spec.embedding)
  if (output === undefined || !isFloat(output.datatype) || output.shape.length < 2 || output.shape.length > 3)
    return fail(
      `embedding: the model has no output ${spec.embedding === undefined ? 'of vectors' : `"${spec.embedding}" of vectors`}; it has ${outputs.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(', ')}`,
    )
  const perToken = output.shape.length === 3
  const modules = modulesIn(described)
  const dense = modules.find((type) => /\.(?:Dense|LSTM|CNN|WeightedLayerPooling)$/.test(type))
  if (perToken && dense !== undefined && spec.pooling === undefined)
    fail(`modules.json has ${dense} behind the pooling, which is not in the graph: export it with that, or say "pooling:"`)
  return {
    task: 'embedding',
    output: output.name,
    perToken,
    pooling: perToken ? (spec.pooling ?? poolingIn(described, fail) ?? 'mean') : 'none',
    normalize: spec.normalize ?? modules.some((type) => type.endsWith('.Normalize')),
  }
}

function modulesIn(described: TextFiles['described']): string[] {
  const modules = described['modules.json']
  if (!Array.isArray(modules)) return []
  return modules.flatMap((module: unknown) => {
    const type = module !== null && typeof module === 'object' ? (module as { type?: unknown }).type : undefined
    return typeof type === 'string' ? [type] : []
  })
}

/** Keys of 1_Pooling/config.json. */
const POOLING_KEYS: Readonly<Record<string, Pooling>> = {
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_cls_token: 'cls',
  pooling_mode_max_tokens: 'max',
}

function poolingIn(described: TextFiles['described'], fail: (message: string) => never): Pooling | undefined {
  const config = described['1_Pooling/config.json']
  if (config === null || typeof config !== 'object') return undefined
  const chosen = Object.entries(config)
    .filter(([key, value]) => key.startsWith('pooling_mode_') && value === true)
    .map(([key]) => key)
  const named = (config as { pooling_mode?: unknown }).pooling_mode
  if (typeof named === 'string' && chosen.length === 0) {
    if (named === 'mean' || named === 'cls' || named === 'max') return named
    fail(`1_Pooling/config.json has pooling_mode ${named}, which is not known here: write mean, cls, max or none as "pooling:"`)
  }
  const [only] = chosen
  if (only === undefined) return undefined
  return POOLING_KEYS[only] === undefined || chosen.length > 1
    ? fail(`1_Pooling/config.json has ${chosen.join(' and ')}, which is not known here: write mean, cls, max or none as "pooling:"`)
    : POOLING_KEYS[only]
}
