import { readJson } from './json.ts'
import { invalid, Section, unsupported } from './document.ts'
import { FEATURES_MAX, NAMED_FEATURES_MAX, SplitBudget, TreeBuilder } from './ensemble.ts'
import type { FeatureSpec } from '../../../contract/model-package.ts'
import type { Ensemble, Link, Tree } from './ensemble.ts'

/** Statistics of the training, which no prediction needs. */
const SKIPPED: ReadonlySet<string> = new Set(['leaf_weights', 'weight', 'borders', 'training', 'output_options', 'ctr_data'])

/** Depth of a tree whose levels each ask one question: it has 2^depth leaves. */
const OBLIVIOUS_DEPTH_MAX = 16

/** Losses, with what CatBoost makes of sums when it predicts values (catboost/python-package/catboost/core.py, prediction types). */
const LOSSES: Readonly<Record<string, { readonly link: Link; readonly classifies?: boolean }>> = {
  ...Object.fromEntries(
    'RMSE MAE Quantile MultiQuantile Expectile Lq Huber MAPE LogCosh MultiRMSE YetiRank YetiRankPairwise PairLogit PairLogitPairwise QueryRMSE QuerySoftMax StochasticRank LambdaMart'
      .split(' ')
      .map((name) => [name, { link: { kind: 'identity' } } as const]),
  ),
  Poisson: { link: { kind: 'exp' } },
  Tweedie: { link: { kind: 'exp' } },
  Logloss: { link: { kind: 'sigmoid', scale: 1 }, classifies: true },
  CrossEntropy: { link: { kind: 'sigmoid', scale: 1 }, classifies: true },
  MultiClass: { link: { kind: 'softmax' }, classifies: true },
  MultiClassOneVsAll: { link: { kind: 'sigmoid', scale: 1 }, classifies: true },
  MultiLogloss: { link: { kind: 'sigmoid', scale: 1 } },
  MultiCrossEntropy: { link: { kind: 'sigmoid', scale: 1 } },
}

/** Beginning of a model of CatBoost as JSON: its keys are sorted. */
export function isCatboost(head: Buffer): boolean {
  return /^\{\s*("ctr_data"\s*:|"features_info"\s*:\s*\{\s*"(float_features|cat\w*|ctrs|text\w*|embedding\w*)")/.test(
    head.toString('latin1'),
  )
}

/**
 * Reads a model that CatBoost has saved with `format='json'` (catboost/libs/model/model_export/json_model_helpers.cpp). Features are numbers.
 * @throws SLW_MODEL_INVALID, SLW_MODEL_UNSUPPORTED, SLW_MODEL_UNSAFE
 */
export function readCatboost(bytes: Buffer): Ensemble {
  const document = new Section(readJson(bytes, SKIPPED), '')
  const info = document.section('features_info')
  for (const key of ['categorical_features', 'text_features', 'embedding_features', 'ctrs'])
    if (info.has(key) && info.list(key).length > 0)
      throw unsupported(
        `it has ${key.replace('_', ' ')}, whose numbers CatBoost takes from tables of its own; encode them as numbers before training, or save it with format='onnx'`,
      )
  const floats = info.sections('float_features')
  const places = floats.map((feature) => feature.count('flat_feature_index', FEATURES_MAX))
  const featureCount = places.length
  if (places.some((place, index) => place !== index)) throw invalid('features_info.float_features are not in the order of the columns')
  const nanRight = floats.map((feature) => feature.has('nan_value_treatment') && feature.text('nan_value_treatment') === 'AsTrue')
  const { scale, bias } = scaleOf(document)
  const place: TreePlace = { nanRight, scale, sums: bias.length, budget: new SplitBudget() }
  const trees = document.has('oblivious_trees')
    ? document.sections('oblivious_trees').map((tree) => obliviousTree(tree, place))
    : document.sections('trees').map((tree) => nestedTree(tree, place))
  const model = document.section('model_info')
  const loss = lossOf(model)
  const known = LOSSES[loss]
  if (known === undefined) throw unsupported(`its loss function is "${loss}"; known are ${Object.keys(LOSSES).join(', ')}`)
  return {
    producer: `CatBoost${/Branch: tags\/v([\d.]+)/.exec(model.has('catboost_version_info') ? model.text('catboost_version_info') : '')?.[1]?.replace(/^/, ' ') ?? ''}`,
    format: 'catboost',
    objective: loss,
    featureCount,
    features: featuresOf(floats),
    zeroMissing: [],
    input: 'FP32',
    sums: 'FP64',
    trees,
    base: bias,
    scale: 1,
    link: known.link,
    classes: known.classifies === true ? classesOf(model, bias.length) : undefined,
    notes: [],
  }
}

function scaleOf(document: Section): { readonly scale: number; readonly bias: readonly number[] } {
  const [scale, bias] = document.list('scale_and_bias')
  const start = typeof bias === 'number' ? [bias] : bias instanceof Float64Array ? [...bias] : []
  if (typeof scale !== 'number' || start.length === 0) throw invalid('scale_and_bias are no numbers')
  return { scale, bias: start }
}

function lossOf(model: Section): string {
  const params = model.has('params') ? model.section('params') : undefined
  if (params === undefined || !params.has('loss_function')) throw unsupported('it does not say its loss function')
  return params.section('loss_function').text('type')
}

function classesOf(model: Section, sums: number): (string | number)[] {
  const count = sums === 1 ? 2 : sums
  const names = model.has('class_params') ? model.section('class_params').list('class_names') : []
  if (names.length === 0) return Array.from({ length: count }, (_, index) => index)
  const known = names.filter((name) => typeof name === 'string' || typeof name === 'number')
  if (known.length !== count) throw invalid(`model_info.class_params.class_names has ${names.length} names, expected ${count}`)
  return known
}

function featuresOf(floats: readonly Section[]): FeatureSpec[] | undefined {
  const names = floats.map((feature) => (feature.has('feature_id') ? feature.text('feature_id') : ''))
  if (names.length > NAMED_FEATURES_MAX || new Set(names).size !== names.length) return undefined
  return names.every((name, index) => name === String(index) || name === '')
    ? undefined
    : names.map((name): FeatureSpec => ({ name, type: 'number', nan: 'off' }))
}

interface TreePlace {
  readonly nanRight: readonly boolean[]
  readonly scale: number
  readonly sums: number
  readonly budget: SplitBudget
}

interface Question {
  readonly feature: number
  readonly cuts: readonly number[]
  readonly lowestLeft: true
  readonly missingLeft: boolean
}

/** `x > border` goes right. */
function questionOf(split: Section, { nanRight }: TreePlace): Question {
  const type = split.has('split_type') ? split.text('split_type') : 'FloatFeature'
  if (type !== 'FloatFeature') throw unsupported(`it has a split of kind "${type}"; numbers are known`)
  const feature = split.count('float_feature_index', nanRight.length - 1)
  return { feature, cuts: [Math.fround(split.number('border'))], lowestLeft: true, missingLeft: nanRight[feature] !== true }
}

/** A tree each of whose levels asks one question; the answers of the levels are the bits of the leaf's number, the first the lowest. */
function obliviousTree(tree: Section, place: TreePlace): Tree {
  const questions = tree.sections('splits').map((split) => questionOf(split, place))
  const depth = questions.length
  if (depth > OBLIVIOUS_DEPTH_MAX) throw unsupported(`a tree is ${depth} deep; ${OBLIVIOUS_DEPTH_MAX} are known`)
  const count = 2 ** depth - 1
  // A tree is written once for each value of its leaves.
  place.budget.take(count * (place.sums - 1))
  const built = new TreeBuilder(count, place.budget)
  for (const [level, question] of questions.entries())
    for (let prefix = 0; prefix < 2 ** level; prefix++) {
      const child = (bits: number): number => (level + 1 === depth ? ~bits : 2 ** (level + 1) - 1 + bits)
      built.split({ ...question, left: child(prefix), right: child(prefix + 2 ** level) })
    }
  const leaves = tree.numbers('leaf_values', 2 ** depth * place.sums).map((value) => value * place.scale)
  return built.done(leaves, place.sums === 1 ? 0 : undefined)
}

/** A tree as objects inside one another. */
function nestedTree(root: Section, place: TreePlace): Tree {
  const splits: { readonly question: Question; children: [number, number] }[] = []
  const leaves: number[] = []
  const waiting: { readonly node: Section; readonly put: (child: number) => void }[] = [{ node: root, put: () => {} }]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { node, put } = next
    if (!node.has('split')) {
      const value = node.value('value')
      const values = typeof value === 'number' ? [value] : value instanceof Float64Array ? [...value] : []
      if (values.length !== place.sums) throw invalid(`${node.place('value')} has ${values.length} values, expected ${place.sums}`)
      put(~(leaves.length / place.sums))
      for (const one of values) leaves.push(one * place.scale)
      continue
    }
    put(splits.length)
    const children: [number, number] = [0, 0]
    splits.push({ question: questionOf(node.section('split'), place), children })
    waiting.push(
      { node: node.section('left'), put: (child) => (children[0] = child) },
      { node: node.section('right'), put: (child) => (children[1] = child) },
    )
  }
  place.budget.take(splits.length * (place.sums - 1))
  const built = new TreeBuilder(splits.length, place.budget)
  for (const { question, children } of splits) built.split({ ...question, left: children[0], right: children[1] })
  return built.done(Float64Array.from(leaves), place.sums === 1 ? 0 : undefined)
}
