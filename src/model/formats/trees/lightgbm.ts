import { invalid, unsupported } from './document.ts'
import { below, CategoryCuts, FEATURES_MAX, NAMED_FEATURES_MAX, SplitBudget, TreeBuilder, ZERO } from './ensemble.ts'
import type { FeatureSpec } from '../../../contract/model-package.ts'
import type { Ensemble, Link, Tree } from './ensemble.ts'

/** Beginning of a model of LightGBM. */
export function isLightgbm(head: Buffer): boolean {
  return /^tree\r?\nversion=/.test(head.toString('latin1', 0, 64))
}

/**
 * Reads a model that LightGBM has saved as text (versions 2 to 4: src/boosting/gbdt_model_text.cpp, and Tree in src/io/tree.cpp).
 * @throws SLW_MODEL_INVALID, SLW_MODEL_UNSUPPORTED, SLW_MODEL_UNSAFE
 */
export function readLightgbm(bytes: Buffer): Ensemble {
  const lines = new Lines(bytes)
  lines.next()
  const header = lines.fields()
  const version = header.text('version')
  if (!/^v[234]$/.test(version))
    throw unsupported(`it is in version "${version.slice(0, 20)}" of LightGBM's format; v2, v3 and v4 are known`)
  const sums = header.whole('num_tree_per_iteration', 100_000)
  if (sums === 0) throw invalid('num_tree_per_iteration is 0')
  const featureCount = header.whole('max_feature_idx', FEATURES_MAX - 1) + 1
  const objective = header.has('objective') ? header.text('objective') : 'custom'
  const trees: Tree[] = []
  const budget = new SplitBudget()
  const zeroMissing: number[] = []
  const zeroColumns = new Map<number, number>()
  /** The column in which zeros of a feature are missing. */
  const zeroColumn = (feature: number): number => {
    const known = zeroColumns.get(feature)
    if (known !== undefined) return known
    zeroColumns.set(feature, featureCount + zeroMissing.length)
    zeroMissing.push(feature)
    return featureCount + zeroMissing.length - 1
  }
  let line = lines.next()
  for (; line !== undefined && line !== 'end of trees'; line = lines.next()) {
    if (line === '') continue
    if (!/^Tree=\d+$/.test(line))
      throw invalid(`line ${lines.number}: "${line.slice(0, 40)}", expected Tree=${trees.length} or "end of trees"`)
    trees.push(treeOf(lines.fields(), { target: trees.length % sums, budget, index: trees.length, featureCount, zeroColumn }))
  }
  if (line === undefined) throw invalid(`it ends after ${trees.length} trees, without "end of trees"`)
  const averaged = header.has('average_output')
  const iterations = trees.length / sums
  if (!Number.isInteger(iterations)) throw invalid(`${trees.length} trees, and ${sums} belong together`)
  return {
    producer: `LightGBM, format ${version}`,
    format: 'lightgbm',
    objective,
    featureCount,
    features: featuresOf(header, lines, featureCount),
    zeroMissing,
    input: 'FP64',
    sums: 'FP64',
    trees,
    base: Array.from({ length: sums }, () => 0),
    scale: averaged && iterations > 0 ? 1 / iterations : 1,
    ...meaningOf(objective, sums),
    notes: averaged ? [`the mean of ${iterations} trees`] : [],
  }
}

/** What the objectives of LightGBM make of sums (ConvertOutput in src/objective). */
function meaningOf(objective: string, sums: number): { readonly link: Link; readonly classes: readonly number[] | undefined } {
  const [name = '', ...settings] = objective.split(' ')
  const setting = (key: string): string | undefined => settings.find((one) => one.startsWith(`${key}:`))?.slice(key.length + 1)
  const sigmoid = (): Link => {
    const scale = Number(setting('sigmoid') ?? 1)
    if (!(scale > 0)) throw invalid(`objective=${objective}: its sigmoid is no number above 0`)
    return { kind: 'sigmoid', scale }
  }
  const classes = Array.from({ length: sums }, (_, index) => index)
  switch (name) {
    case 'custom':
    case 'lambdarank':
    case 'rank_xendcg':
    case 'regression_l1':
    case 'huber':
    case 'fair':
    case 'quantile':
    case 'mape':
      return { link: { kind: 'identity' }, classes: undefined }
    case 'regression':
      return { link: { kind: settings.includes('sqrt') ? 'signedSquare' : 'identity' }, classes: undefined }
    case 'poisson':
    case 'gamma':
    case 'tweedie':
      return { link: { kind: 'exp' }, classes: undefined }
    case 'binary':
      return { link: sigmoid(), classes: [0, 1] }
    case 'cross_entropy':
      return { link: { kind: 'sigmoid', scale: 1 }, classes: undefined }
    case 'cross_entropy_lambda':
      return { link: { kind: 'softplus' }, classes: undefined }
    case 'multiclass':
      return { link: { kind: 'softmax' }, classes }
    case 'multiclassova':
      return { link: sigmoid(), classes }
    default:
      throw unsupported(
        `its objective is "${name.slice(0, 40)}"; known are regression, regression_l1, huber, fair, quantile, mape, poisson, gamma, tweedie, binary, cross_entropy, cross_entropy_lambda, multiclass, multiclassova, lambdarank, rank_xendcg, and none`,
      )
  }
}

const IS_CATEGORY = 1
const DEFAULT_LEFT = 2

interface TreePlace {
  readonly target: number
  readonly budget: SplitBudget
  readonly index: number
  readonly featureCount: number
  readonly zeroColumn: (feature: number) => number
}

function treeOf(fields: Fields, { target, budget, index, featureCount, zeroColumn }: TreePlace): Tree {
  if (fields.has('is_linear') && fields.text('is_linear') !== '0')
    throw unsupported(`tree ${index} has linear models in its leaves (linear_tree); train it without`)
  const leafCount = fields.whole('num_leaves', 1 << 24)
  if (leafCount === 0) throw invalid(`tree ${index} has no leaf`)
  const count = leafCount - 1
  const leaves = fields.numbers('leaf_value', leafCount)
  const tree = new TreeBuilder(count, budget)
  if (count === 0) return tree.done(leaves, target)
  const features = fields.numbers('split_feature', count)
  const thresholds = fields.numbers('threshold', count)
  const decisions = fields.numbers('decision_type', count)
  const left = fields.numbers('left_child', count)
  const right = fields.numbers('right_child', count)
  const setCount = fields.whole('num_cat', 1 << 24)
  const bounds = setCount > 0 ? fields.numbers('cat_boundaries', setCount + 1) : new Float64Array(0)
  const words = setCount > 0 ? fields.numbers('cat_threshold', bounds[setCount]!) : new Float64Array(0)
  for (let split = 0; split < count; split++) {
    const decision = decisions[split]!
    const common = { feature: features[split]!, left: left[split]!, right: right[split]! }
    if (![common.feature, common.left, common.right, decision].every((value) => Number.isInteger(value) && Math.abs(value) < 2 ** 31))
      throw invalid(`tree ${index}, split ${split}: its feature, its children or its kind is no whole number`)
    if ((decision & IS_CATEGORY) !== 0) {
      const set = thresholds[split]!
      const [start, end] = [bounds[set], bounds[set + 1]]
      if (start === undefined || end === undefined || !(start <= end))
        throw invalid(`tree ${index}, split ${split}: there is no set ${set}`)
      tree.split({ ...common, ...byCategory(words.subarray(start, end), budget) })
    } else {
      if (!(common.feature >= 0 && common.feature < featureCount))
        throw invalid(`tree ${index}, split ${split}: feature ${common.feature} of ${featureCount}`)
      const { zerosApart, ...question } = byThreshold(thresholds[split]!, decision)
      tree.split({ ...common, ...question, ...(zerosApart && { feature: zeroColumn(common.feature) }) })
    }
  }
  return tree.done(leaves, target)
}

type Question = Pick<Parameters<TreeBuilder['split']>[0], 'cuts' | 'lowestLeft' | 'missingLeft'>

/** Values lose their fraction; those in the set go left, NaN and all others go right (Tree::CategoricalDecision). */
function byCategory(words: Float64Array, budget: SplitBudget): Question {
  const cuts = new CategoryCuts(below, { zeroFromMinusOne: true, budget })
  for (const [index, word] of words.entries()) for (let bit = 0; bit < 32; bit++) if (((word >>> bit) & 1) === 1) cuts.add(32 * index + bit)
  return { cuts: cuts.done(), lowestLeft: false, missingLeft: false }
}

/**
 * What is missing is nothing, 0, or NaN, and goes to the default side (Tree::NumericalDecision). Without anything missing, NaN is 0. Rows
 * reach the trees with values next to 0 made 0 (Predictor in src/application/predictor.hpp).
 * @returns `zerosApart` where zeros go another way than their neighbours
 */
function byThreshold(threshold: number, decision: number): Question & { readonly zerosApart: boolean } {
  const missing = (decision >> 2) & 3
  const defaultLeft = (decision & DEFAULT_LEFT) !== 0
  if (missing === 3) throw invalid(`a split has kind ${decision}`)
  // Whether 0 is at most the threshold decides for all that is 0.
  const zeroLeft = threshold >= 0
  const cut = threshold >= -ZERO && threshold < 0 ? below(-ZERO) : threshold >= 0 && threshold < ZERO ? ZERO : threshold
  const missingLeft = missing === 0 ? zeroLeft : defaultLeft
  return { cuts: [cut], lowestLeft: true, missingLeft, zerosApart: missing === 1 && zeroLeft !== defaultLeft }
}

/** Columns by name, unless the names are those that LightGBM makes up. Columns of categories have those of the table, in their order. */
function featuresOf(header: Fields, lines: Lines, count: number): FeatureSpec[] | undefined {
  const names = header.has('feature_names') ? header.text('feature_names').split(' ', NAMED_FEATURES_MAX + 1) : []
  if (names.length !== count || count > NAMED_FEATURES_MAX || new Set(names).size !== count) return undefined
  if (names.every((name) => /^Column_\d+$/.test(name))) return undefined
  let columns: number[] = []
  let tables: unknown
  for (let line = lines.next(); line !== undefined; line = lines.next()) {
    const [, indices] = /^\[categorical_feature: ([\d,]*)\]$/.exec(line) ?? []
    if (indices !== undefined)
      columns = indices
        .split(',')
        .filter((part) => part !== '')
        .map(Number)
        .toSorted((a, b) => a - b)
    const [, json] = /^pandas_categorical:(.*)$/s.exec(line) ?? []
    if (json !== undefined) tables = parsed(json)
  }
  const categories = new Map<number, (string | number | boolean)[]>()
  if (Array.isArray(tables) && tables.length === columns.length)
    for (const [index, column] of columns.entries()) {
      const values: unknown = tables[index]
      if (Array.isArray(values) && values.length > 0 && values.every(isScalar)) categories.set(column, values)
    }
  return names.map((name, index): FeatureSpec => {
    const known = categories.get(index)
    return known === undefined
      ? { name, type: 'number', nan: 'off' }
      : { name, type: 'category', categories: known, encode: 'index', nan: 'off' }
  })
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

/** Longest line that is read as a text; lists of numbers may be longer. */
const TEXT_MAX = 1 << 26

/** A file by lines. */
class Lines {
  readonly #bytes: Buffer
  #at = 0
  number = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get #ended(): boolean {
    return this.#at >= this.#bytes.length
  }

  /** The next line; undefined at the end. @throws SLW_MODEL_INVALID where it is too long */
  next(): string | undefined {
    if (this.#ended) return undefined
    const line = this.#take()
    if (line.length > TEXT_MAX) throw invalid(`line ${this.number} has ${line.length} bytes`)
    return line.toString('utf8')
  }

  /** The lines up to an empty one, as `key=value`. */
  fields(): Fields {
    const fields = new Map<string, Buffer>()
    while (!this.#ended) {
      const line = this.#take()
      if (line.length === 0) break
      const end = line.indexOf(0x3d)
      if (end > 100 || (end < 0 && line.length > 100)) throw invalid(`line ${this.number}: expected key=value`)
      if (end < 0) fields.set(line.toString('latin1'), Buffer.alloc(0))
      else fields.set(line.toString('latin1', 0, end), line.subarray(end + 1))
      if (fields.size > 1000) throw invalid(`line ${this.number}: more than 1000 fields`)
    }
    return new Fields(fields, this.number)
  }

  #take(): Buffer {
    const found = this.#bytes.indexOf(0x0a, this.#at)
    const end = found < 0 ? this.#bytes.length : found
    const line = this.#bytes.subarray(this.#at, end > this.#at && this.#bytes[end - 1] === 0x0d ? end - 1 : end)
    this.#at = end + 1
    this.number++
    return line
  }
}

class Fields {
  readonly #fields: ReadonlyMap<string, Buffer>
  readonly #line: number

  constructor(fields: ReadonlyMap<string, Buffer>, line: number) {
    this.#fields = fields
    this.#line = line
  }

  has(key: string): boolean {
    return this.#fields.has(key)
  }

  text(key: string): string {
    const value = this.#value(key)
    if (value.length > TEXT_MAX) throw invalid(`before line ${this.#line}: ${key} has ${value.length} bytes`)
    return value.toString('utf8')
  }

  whole(key: string, most: number): number {
    const text = this.text(key)
    const value = Number(text)
    if (!/^\d+$/.test(text) || value > most)
      throw invalid(`before line ${this.#line}: ${key} is "${text.slice(0, 40)}", expected a whole number up to ${most}`)
    return value
  }

  /** A list of so many numbers, with spaces between them. */
  numbers(key: string, count: number): Float64Array {
    const bytes = this.#value(key)
    // Each takes two bytes at least.
    if (!(Number.isInteger(count) && count >= 0 && count <= bytes.length))
      throw invalid(`before line ${this.#line}: ${key} has no ${count} numbers`)
    const numbers = new Float64Array(count)
    let at = 0
    let found = 0
    while (at < bytes.length) {
      if (bytes[at] === 0x20) {
        at++
        continue
      }
      const space = bytes.indexOf(0x20, at)
      const end = space < 0 ? bytes.length : space
      if (found === count) throw invalid(`before line ${this.#line}: ${key} has more than ${count} numbers`)
      numbers[found++] = numberOf(bytes, at, end) ?? this.#noNumber(key, bytes.toString('latin1', at, Math.min(end, at + 40)))
      at = end
    }
    if (found !== count) throw invalid(`before line ${this.#line}: ${key} has ${found} numbers, expected ${count}`)
    return numbers
  }

  #noNumber(key: string, text: string): never {
    throw invalid(`before line ${this.#line}: ${key} holds "${text}", which is no number`)
  }

  #value(key: string): Buffer {
    const value = this.#fields.get(key)
    if (value === undefined) throw invalid(`before line ${this.#line}: ${key} is missing`)
    return value
  }
}

function numberOf(bytes: Buffer, start: number, end: number): number | undefined {
  const negative = bytes[start] === 0x2d
  let whole = 0
  let at = negative ? start + 1 : start
  if (end - at <= 9) {
    while (at < end && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) whole = 10 * whole + bytes[at++]! - 0x30
    if (at === end) return negative ? -whole : whole
  }
  if (end - start > 64) return undefined
  const text = bytes.toString('latin1', start, end)
  const word = /^([+-]?)(inf|infinity|nan)$/i.exec(text)
  if (word !== null)
    return word[2]!.toLowerCase() === 'nan' ? Number.NaN : word[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  return /^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(text) && !Number.isNaN(Number(text)) ? Number(text) : undefined
}
