import { readJson } from './json.ts'
import { readUbjson } from './ubjson.ts'
import { invalid, Section, unsupported } from './document.ts'
import { belowFloat, CategoryCuts, FEATURES_MAX, NAMED_FEATURES_MAX, SplitBudget, TreeBuilder } from './ensemble.ts'
import type { FeatureSpec } from '../../../contract/model-package.ts'
import type { Ensemble, Link, Tree } from './ensemble.ts'

/** Statistics of the training, which no prediction needs. */
const SKIPPED: ReadonlySet<string> = new Set(['base_weights', 'loss_changes', 'sum_hessian', 'parents'])

interface Objective {
  readonly link: Link
  /** The start, as the file has it, is a value of the answer; this gives the sum that it stands for. Default: it is a sum. */
  readonly toSum?: (start: number) => number
  readonly classifies?: boolean
}

const IDENTITY: Objective = { link: { kind: 'identity' } }
const LOG_LINK: Objective = { link: { kind: 'exp' }, toSum: (start) => Math.fround(Math.log(start)) }
const LOGIT: (start: number) => number = (start) => Math.fround(-Math.log(Math.fround(Math.fround(1 / start) - 1)))
const LOGISTIC: Objective = { link: { kind: 'sigmoid', scale: 1 }, toSum: LOGIT }
const SOFTMAX: Objective = { link: { kind: 'softmax' }, classifies: true }

/** Objectives of XGBoost up to 3.2 (doc/parameter.rst, and src/objective for what becomes of sums). */
const OBJECTIVES: Readonly<Record<string, Objective>> = {
  'reg:squarederror': IDENTITY,
  'reg:linear': IDENTITY,
  'reg:squaredlogerror': IDENTITY,
  'reg:pseudohubererror': IDENTITY,
  'reg:absoluteerror': IDENTITY,
  'reg:quantileerror': IDENTITY,
  'reg:logistic': LOGISTIC,
  'binary:logistic': { ...LOGISTIC, classifies: true },
  'binary:logitraw': IDENTITY,
  'binary:hinge': { link: { kind: 'step' }, classifies: true },
  'multi:softmax': SOFTMAX,
  'multi:softprob': SOFTMAX,
  'count:poisson': LOG_LINK,
  'reg:gamma': LOG_LINK,
  'reg:tweedie': LOG_LINK,
  'survival:cox': LOG_LINK,
  'survival:aft': LOG_LINK,
  'rank:pairwise': IDENTITY,
  'rank:ndcg': IDENTITY,
  'rank:map': IDENTITY,
}

/** An object whose first key has seven bytes: the length is a number of eight. */
const UBJSON_HEAD = Buffer.from('7b4c00000000000000076c6561726e65727b', 'hex')

/** Beginning of a model of XGBoost, as JSON or as UBJSON. */
export function isXgboost(head: Buffer): boolean {
  const text = head.toString('latin1')
  return (
    /^\{\s*("version"\s*:\s*\[[\d,\s]*\]\s*,\s*)?"learner"\s*:\s*\{/.test(text) || head.subarray(0, UBJSON_HEAD.length).equals(UBJSON_HEAD)
  )
}

/**
 * Reads a model that XGBoost has saved as JSON or UBJSON (doc/model.schema of XGBoost).
 * @throws SLW_MODEL_INVALID, SLW_MODEL_UNSUPPORTED, SLW_MODEL_UNSAFE
 */
export function readXgboost(bytes: Buffer): Ensemble {
  const isText = !/^\{[L#$]/.test(bytes.toString('latin1', 0, 2))
  const document = new Section(isText ? readJson(bytes, SKIPPED) : readUbjson(bytes, SKIPPED), '')
  const learner = document.section('learner')
  const name = learner.section('objective').text('name')
  const objective = OBJECTIVES[name]
  if (objective === undefined) throw unsupported(`its objective is "${name}"; known are ${Object.keys(OBJECTIVES).join(', ')}`)
  const parameters = learner.section('learner_model_param')
  const featureCount = parameters.count('num_feature', FEATURES_MAX)
  const sums = Math.max(1, parameters.count('num_class', 100_000, 0), parameters.count('num_target', 100_000, 1))
  const { model, weights } = boosterOf(learner.section('gradient_booster'))
  const { trees: count, notes } = treesInUse(learner, model)
  const budget = new SplitBudget()
  const groups = model.numbers('tree_info')
  const trees = model
    .sections('trees')
    .slice(0, count)
    .map((tree, index) => treeOf(tree, { target: groups[index], weight: weights?.[index], sums, budget }))
  const start = startOf(parameters, sums)
  const two = objective.classifies === true && sums === 1
  return {
    producer: ['XGBoost', [...document.numbers('version')].join('.')].join(' '),
    format: 'xgboost',
    objective: name,
    featureCount,
    features: featuresOf(learner, model, featureCount),
    zeroMissing: [],
    input: 'FP32',
    sums: 'FP32',
    trees,
    base: start.map((value) => objective.toSum?.(value) ?? value),
    scale: 1,
    link: objective.link,
    classes: two ? [0, 1] : objective.link.kind === 'softmax' ? Array.from({ length: sums }, (_, index) => index) : undefined,
    notes,
  }
}

/** The trees, and the weight of each where trees were dropped (DART). */
function boosterOf(booster: Section): { readonly model: Section; readonly weights: Float64Array | undefined } {
  const name = booster.text('name')
  if (name === 'gbtree') return { model: booster.section('model'), weights: undefined }
  if (name === 'dart') return { model: booster.section('gbtree').section('model'), weights: booster.numbers('weight_drop') }
  throw unsupported(`its booster is "${name}"${name === 'gblinear' ? ', a linear model and no trees' : ''}; gbtree and dart are known`)
}

/**
 * How many trees predict. The scikit-learn interface stops at the best iteration of early stopping, and says so in the file that it saves; a
 * Booster uses all.
 */
function treesInUse(learner: Section, model: Section): { readonly trees: number; readonly notes: readonly string[] } {
  const all = model.list('trees').length
  const attributes = learner.has('attributes') ? learner.section('attributes') : undefined
  if (attributes === undefined || !attributes.has('best_iteration')) return { trees: all, notes: [] }
  const best = attributes.count('best_iteration', 1_000_000_000)
  const said = `early stopping found iteration ${best + 1} the best`
  if (!attributes.has('scikit_learn')) return { trees: all, notes: [`${said}; all iterations are used, as Booster.predict does`] }
  const bounds = model.has('iteration_indptr') ? model.numbers('iteration_indptr') : undefined
  const end = bounds?.[best + 1]
  if (end === undefined || end >= all) return { trees: all, notes: [] }
  return { trees: end, notes: [`${said}: the first ${end} of ${all} trees are used, as the scikit-learn interface does`] }
}

/** One number, or in brackets one for each sum. */
function startOf(parameters: Section, sums: number): number[] {
  const text = parameters.text('base_score')
  const values = text
    .replace(/^\[(.*)\]$/s, '$1')
    .split(',')
    .map((value) => Math.fround(Number(value)))
  if (values.some((value) => Number.isNaN(value)) || (values.length !== 1 && values.length !== sums))
    throw invalid(`${parameters.place('base_score')} is "${text.slice(0, 40)}", expected one number, or ${sums}`)
  return Array.from({ length: sums }, (_, index) => values[values.length === 1 ? 0 : index]!)
}

interface TreePlace {
  readonly target: number | undefined
  readonly weight: number | undefined
  readonly sums: number
  readonly budget: SplitBudget
}

function treeOf(tree: Section, { target, weight, sums, budget }: TreePlace): Tree {
  const parameters = tree.section('tree_param')
  const left = tree.numbers('left_children')
  const count = left.length
  if (count === 0) throw invalid(`${tree.place('left_children')} is empty`)
  const right = tree.numbers('right_children', count)
  const features = tree.numbers('split_indices', count)
  const conditions = tree.numbers('split_conditions', count)
  const defaultLeft = tree.numbers('default_left', count)
  const types = tree.has('split_type') ? tree.numbers('split_type') : new Float64Array(count)
  const sets = categoriesOf(tree)
  const width = parameters.count('size_leaf_vector', 100_000, 1)
  const vector = width > 1 ? leafVectors(tree, width, sums) : undefined
  // Nodes are numbered all together there, and here splits and leaves each for themselves.
  const numbers = new Int32Array(count)
  let splits = 0
  let leaves = 0
  for (let node = 0; node < count; node++) numbers[node] = left[node] === -1 ? ~leaves++ : splits++
  const child = (node: number): number => {
    if (!(Number.isInteger(node) && node >= 0 && node < count)) throw invalid(`${tree.place('left_children')}: there is no node ${node}`)
    return numbers[node]!
  }
  // A tree is written once for each value of its leaves.
  if (vector !== undefined) budget.take(splits * (width - 1))
  const built = new TreeBuilder(splits, budget)
  const values = new Float64Array(leaves * (vector === undefined ? 1 : width))
  for (let node = 0; node < count; node++) {
    if (left[node] === -1) {
      const leaf = ~numbers[node]!
      if (vector === undefined) values[leaf] = weighted(conditions[node]!, weight)
      else values.set(vector.of(right[node]!, node), leaf * width)
      continue
    }
    const feature = features[node]!
    if (!Number.isInteger(feature)) throw invalid(`${tree.place('split_indices')}: ${feature}`)
    const split = { feature, left: child(left[node]!), right: child(right[node]!), missingLeft: defaultLeft[node] === 1 }
    if (types[node] === 1)
      // What is below 0, and what is in no category, goes left.
      built.split({ ...split, cuts: cutsOf(sets.get(node), budget), lowestLeft: true })
    else built.split({ ...split, cuts: [cutBelow(conditions[node]!)], lowestLeft: true })
  }
  return built.done(values, vector === undefined ? (target ?? -1) : undefined)
}

function cutsOf(categories: Float64Array | undefined, budget: SplitBudget): readonly number[] {
  const cuts = new CategoryCuts(belowFloat, { zeroFromMinusOne: false, budget })
  for (const category of categories?.toSorted() ?? []) cuts.add(category)
  return cuts.done()
}

/** `x < threshold` as `x <= cut`; nothing is below -infinity, and nothing is at most NaN. */
function cutBelow(threshold: number): number {
  const float = Math.fround(threshold)
  return float === Number.NEGATIVE_INFINITY || Number.isNaN(float) ? Number.NaN : belowFloat(float)
}

function weighted(value: number, weight: number | undefined): number {
  const float = Math.fround(value)
  return weight === undefined ? float : Math.fround(float * Math.fround(weight))
}

/** Categories that go right, by node. */
function categoriesOf(tree: Section): Map<number, Float64Array> {
  const sets = new Map<number, Float64Array>()
  if (!tree.has('categories_nodes')) return sets
  const nodes = tree.numbers('categories_nodes')
  const starts = tree.numbers('categories_segments', nodes.length)
  const sizes = tree.numbers('categories_sizes', nodes.length)
  const categories = tree.numbers('categories')
  for (const [index, node] of nodes.entries()) {
    const set = categories.subarray(starts[index], starts[index]! + sizes[index]!)
    if (set.length !== sizes[index] || set.some((category) => !(Number.isInteger(category) && category >= 0 && category < 2 ** 24)))
      throw invalid(`${tree.place('categories')}: node ${node} has no set of categories`)
    sets.set(node, set)
  }
  return sets
}

/** The values of leaves for all sums: from 3.2 on in a list of their own, which leaves point into; before, among the weights of all nodes. */
function leafVectors(tree: Section, width: number, sums: number): { readonly of: (place: number, node: number) => Float64Array } {
  if (width !== sums) throw invalid(`${tree.place('tree_param')}: leaves of ${width} values for ${sums} sums`)
  if (!tree.has('leaf_weights'))
    throw unsupported(
      'its trees have a value for each target in a leaf, as XGBoost before 3.2 wrote them; save it again with XGBoost 3.2 or newer',
    )
  const all = tree.numbers('leaf_weights').map((value) => Math.fround(value))
  return {
    of: (place) => {
      if (!(Number.isInteger(place) && place >= 0 && (place + 1) * width <= all.length))
        throw invalid(`${tree.place('leaf_weights')}: there is no leaf ${place}`)
      return all.subarray(place * width, (place + 1) * width)
    },
  }
}

/** Columns by name. The categories of a table are in the file from XGBoost 3.1 on, in the order of their numbers. */
function featuresOf(learner: Section, model: Section, count: number): FeatureSpec[] | undefined {
  const names = learner.texts('feature_names')
  const types = learner.texts('feature_types')
  if (names.length !== count || count > NAMED_FEATURES_MAX || new Set(names).size !== count) return undefined
  const encodings = model.has('cats') ? model.section('cats').list('enc') : []
  return names.map((name, index): FeatureSpec => {
    const type = types[index]
    const categories =
      type === 'c' && encodings[index] instanceof Map ? categoryNames(new Section(encodings[index], 'cats.enc')) : undefined
    if (categories !== undefined) return { name, type: 'category', categories, encode: 'index', nan: 'off' }
    // A column of truth values is an indicator there.
    return { name, type: type === 'int' ? 'integer' : type === 'i' ? 'boolean' : 'number', nan: 'off' }
  })
}

/** Texts lie one after another, with offsets; numbers as they are. */
function categoryNames(encoding: Section): (string | number)[] | undefined {
  const values = encoding.value('values')
  if (!(values instanceof Float64Array) || values.length === 0) return undefined
  if (!encoding.has('offsets')) return [...values]
  const offsets = encoding.numbers('offsets')
  const bytes = Buffer.from(Uint8Array.from(values))
  const names = Array.from({ length: Math.max(0, offsets.length - 1) }, (_, index) =>
    bytes.toString('utf8', offsets[index], offsets[index + 1]),
  )
  return names.length === 0 ? undefined : names
}
