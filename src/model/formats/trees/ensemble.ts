/** Models of trees, whichever library they come from: sums of leaves, and what becomes of the sums. */
import { invalid, unsafe } from './document.ts'
import type { FeatureSpec } from '../../../contract/model-package.ts'

/**
 * A binary tree. A split looks at one feature: its cuts, in ascending order, make intervals (`x <= cut` belongs below a cut), which are by
 * turns of one side and of the other. A split by a threshold has one cut; a set of categories has several. Children are split numbers, or
 * leaves as `~leaf`; a tree without splits is leaf 0.
 */
export interface Tree {
  /** The sum to which the leaves add. Undefined: each leaf has a value for each sum. */
  readonly target: number | undefined
  readonly feature: Int32Array
  readonly left: Int32Array
  readonly right: Int32Array
  /** The cuts of split n are from `cutStart[n]` to `cutStart[n + 1]`. */
  readonly cutStart: Int32Array
  readonly cuts: Float64Array
  /** Whether the interval below the first cut goes left. */
  readonly lowestLeft: Uint8Array
  /** Whether NaN goes left. */
  readonly missingLeft: Uint8Array
  readonly leaves: Float64Array
}

/** What becomes of the sums; `x` is a sum. */
export type Link =
  | { readonly kind: 'identity' | 'exp' | 'softmax' }
  /** 1 / (1 + exp(-scale * x)). */
  | { readonly kind: 'sigmoid'; readonly scale: number }
  /** log(1 + exp(x)). */
  | { readonly kind: 'softplus' }
  /** sign(x) * x * x. */
  | { readonly kind: 'signedSquare' }
  /** Whether x is above 0. */
  | { readonly kind: 'step' }

export interface Ensemble {
  /** Library and version that wrote the file, as far as it says. */
  readonly producer: string
  readonly format: 'xgboost' | 'lightgbm' | 'catboost'
  readonly objective: string
  readonly featureCount: number
  /** Named columns in the order of the input; undefined where the file has no names. */
  readonly features: readonly FeatureSpec[] | undefined
  /**
   * Features that splits see a second time, with what is next to 0 as missing: feature `featureCount + n` is the n-th of these.
   * Default of the libraries that know nothing of it: none.
   */
  readonly zeroMissing: readonly number[]
  /** Datatype of the features. */
  readonly input: 'FP32' | 'FP64'
  /** Datatype in which leaves are added up, in the order of the trees. */
  readonly sums: 'FP32' | 'FP64'
  readonly trees: readonly Tree[]
  /** Where each sum begins. */
  readonly base: readonly number[]
  /** What the sums are multiplied by before anything else. */
  readonly scale: number
  readonly link: Link
  /** Labels of the classes; undefined where the answer is no class. One sum stands for two classes. */
  readonly classes: readonly (string | number)[] | undefined
  /** What is worth saying beside, such as the trees that are left out. */
  readonly notes: readonly string[]
}

/** Number of features that an answer to people names; more have no names. */
export const NAMED_FEATURES_MAX = 10_000
export const FEATURES_MAX = 1 << 22
/** Splits in all trees together; each takes about 100 bytes while the model is loaded. */
const SPLITS_MAX = 4_000_000
/** Questions on the way to a leaf. ONNX Runtime 1.30 loads a tree by recursion, and ends the process at about 10000 with a stack of 8 MiB. */
const DEPTH_MAX = 2048

/** @throws SLW_MODEL_INVALID where a tree is none; SLW_MODEL_UNSAFE where it is too deep */
export function checkEnsemble({ trees, featureCount: given, zeroMissing, base }: Ensemble): void {
  const featureCount = given + zeroMissing.length
  for (const [index, tree] of trees.entries()) {
    if (tree.target !== undefined && !(tree.target >= 0 && tree.target < base.length))
      throw invalid(`tree ${index} adds to sum ${tree.target}, and there are ${base.length}`)
    checkTree(tree, index, { featureCount, leafCount: tree.target === undefined ? tree.leaves.length / base.length : tree.leaves.length })
  }
}

function checkTree(
  { feature, left, right, cutStart }: Tree,
  index: number,
  { featureCount, leafCount }: { readonly featureCount: number; readonly leafCount: number },
): void {
  const seen = new Uint8Array(feature.length)
  const waiting: number[] = feature.length === 0 ? [] : [0]
  const depths: number[] = [1]
  if (!(Number.isInteger(leafCount) && leafCount > 0)) throw invalid(`tree ${index} has no leaf`)
  for (let split = waiting.pop(); split !== undefined; split = waiting.pop()) {
    const depth = depths.pop()!
    if (depth > DEPTH_MAX) throw unsafe(`tree ${index} asks more than ${DEPTH_MAX} questions on the way to a leaf`)
    if (seen[split] === 1) throw invalid(`tree ${index} comes to split ${split} twice`)
    seen[split] = 1
    if (!(feature[split]! >= 0 && feature[split]! < featureCount))
      throw invalid(`tree ${index}, split ${split}: feature ${feature[split]} of ${featureCount}`)
    const cuts = cutStart[split + 1]! - cutStart[split]!
    const questions = cuts === 1 ? 1 : Math.ceil(Math.log2(cuts + 1)) + 1
    for (const child of [left[split]!, right[split]!]) {
      if (child >= feature.length || ~child >= leafCount) throw invalid(`tree ${index}, split ${split}: there is no child ${child}`)
      if (child >= 0) {
        waiting.push(child)
        depths.push(depth + questions)
      }
    }
  }
}

/** Values this close to 0 are 0 to LightGBM (kZeroThreshold in its meta.h, a float there). */
export const ZERO = Math.fround(1e-35)

const bits = new DataView(new ArrayBuffer(8))

/** The largest double below one that is neither NaN nor -infinity. */
export function below(value: number): number {
  if (value === 0) return -Number.MIN_VALUE
  bits.setFloat64(0, value)
  bits.setBigInt64(0, bits.getBigInt64(0) + (value > 0 ? -1n : 1n))
  return bits.getFloat64(0)
}

/** The largest float below one that is neither NaN nor -infinity. */
export function belowFloat(value: number): number {
  if (value === 0) return -1.401298464324817e-45
  bits.setFloat32(0, value)
  bits.setInt32(0, bits.getInt32(0) + (value > 0 ? -1 : 1))
  return bits.getFloat32(0)
}

/**
 * Makes the cuts of a set of categories, whose first interval belongs to none of them. A value belongs to the category that it is
 * without its fraction.
 */
export class CategoryCuts {
  readonly #before: (value: number) => number
  readonly #zeroFromMinusOne: boolean
  readonly #budget: SplitBudget
  readonly #cuts: number[] = []
  #last: number | undefined

  /**
   * @param before the largest value below one
   * @param options.zeroFromMinusOne whether -0.5 is category 0
   */
  constructor(before: (value: number) => number, options: { readonly zeroFromMinusOne: boolean; readonly budget: SplitBudget }) {
    this.#before = before
    this.#zeroFromMinusOne = options.zeroFromMinusOne
    this.#budget = options.budget
  }

  /** Adds a whole number that is not below those before it. @throws SLW_MODEL_UNSAFE */
  add(category: number): void {
    if (category === this.#last) return
    if (this.#last === category - 1 && this.#last !== undefined) this.#cuts.pop()
    else {
      this.#budget.take(2)
      // Above -1 is everything that is not at most -1; from 0 on is everything that is not below 0.
      this.#cuts.push(category === 0 && this.#zeroFromMinusOne ? -1 : this.#before(category))
    }
    this.#cuts.push(this.#before(category + 1))
    this.#last = category
  }

  done(): readonly number[] {
    return this.#cuts
  }
}

/** Counts the splits of all trees, a set of categories by the intervals that it has, as they are read. */
export class SplitBudget {
  #splits = 0

  /** @throws SLW_MODEL_UNSAFE */
  take(count: number): void {
    this.#splits += count
    if (this.#splits > SPLITS_MAX) throw unsafe(`more than ${SPLITS_MAX} splits in all trees together`)
  }
}

/** Collects the splits of a tree. */
export class TreeBuilder {
  readonly #feature: Int32Array
  readonly #left: Int32Array
  readonly #right: Int32Array
  readonly #cutStart: Int32Array
  readonly #cuts: number[] = []
  readonly #lowestLeft: Uint8Array
  readonly #missingLeft: Uint8Array
  #count = 0

  constructor(splits: number, budget: SplitBudget) {
    budget.take(splits + 1)
    this.#feature = new Int32Array(splits)
    this.#left = new Int32Array(splits)
    this.#right = new Int32Array(splits)
    this.#cutStart = new Int32Array(splits + 1)
    this.#lowestLeft = new Uint8Array(splits)
    this.#missingLeft = new Uint8Array(splits)
  }

  /** Adds the next split. Children are split numbers, or `~leaf`. */
  split(split: {
    readonly feature: number
    readonly left: number
    readonly right: number
    readonly cuts: readonly number[]
    readonly lowestLeft: boolean
    readonly missingLeft: boolean
  }): void {
    const at = this.#count++
    this.#feature[at] = split.feature
    this.#left[at] = split.left
    this.#right[at] = split.right
    this.#lowestLeft[at] = Number(split.lowestLeft)
    this.#missingLeft[at] = Number(split.missingLeft)
    for (const cut of split.cuts) this.#cuts.push(cut)
    this.#cutStart[at + 1] = this.#cuts.length
  }

  done(leaves: Float64Array, target: number | undefined): Tree {
    return {
      target,
      feature: this.#feature,
      left: this.#left,
      right: this.#right,
      cutStart: this.#cutStart,
      cuts: Float64Array.from(this.#cuts),
      lowestLeft: this.#lowestLeft,
      missingLeft: this.#missingLeft,
      leaves,
    }
  }
}
