/** Sets of categories as columns: whether a value is in a set is looked up once, and a tree asks for 0 or 1. */
import type { Ensemble, Tree } from './ensemble.ts'

/**
 * Columns to make of some features. A feature's cuts make intervals, of which all sets are unions; the table has a row for each interval of
 * each feature, and a column for each set.
 */
export interface Memberships {
  readonly features: readonly number[]
  /** Cuts of each feature, ascending, as many for each: infinity fills up. */
  readonly cuts: Float64Array
  readonly cutCount: number
  /** Rows of `setCount` numbers: for each feature an interval below each cut, one above all, and one for NaN. 0 goes left, 1 right. */
  readonly table: Uint8Array
  readonly setCount: number
}

/** Values that are compared and made for each row. */
const CUTS_MAX = 8192
const COLUMNS_MAX = 8192
const TABLE_MAX = 8_000_000

interface Split {
  readonly cuts: Float64Array
  readonly lowestLeft: boolean
  readonly missingLeft: boolean
}

interface Sets {
  readonly columns: Map<string, number>
  readonly splits: Split[]
  readonly cuts: Set<number>
}

/**
 * The ensemble with a column for each set in the place of splits that have several cuts. The columns follow `featureCount` and those of
 * `zeroMissing`, those of the first feature first.
 * @returns undefined where there are no such splits, or the columns would be too many
 */
export function withMemberships(ensemble: Ensemble): { readonly trees: readonly Tree[]; readonly memberships: Memberships } | undefined {
  const byFeature = new Map<number, Sets>()
  for (const tree of ensemble.trees)
    for (const split of tree.feature.keys()) {
      if (cutsIn(tree, split) === 1) continue
      const sets = byFeature.get(tree.feature[split]!) ?? { columns: new Map(), splits: [], cuts: new Set() }
      byFeature.set(tree.feature[split]!, sets)
      addSet(sets, splitOf(tree, split))
    }
  const features = [...byFeature.keys()].toSorted((a, b) => a - b)
  const setCount = Math.max(0, ...features.map((feature) => byFeature.get(feature)!.splits.length))
  const cutCount = Math.max(1, ...features.map((feature) => byFeature.get(feature)!.cuts.size))
  if (features.length === 0 || features.length * cutCount > CUTS_MAX || features.length * setCount > COLUMNS_MAX) return undefined
  if (features.length * (cutCount + 2) * setCount > TABLE_MAX) return undefined
  const first = ensemble.featureCount + ensemble.zeroMissing.length
  const columnOf = (tree: Tree, split: number): number => {
    const feature = tree.feature[split]!
    return first + features.indexOf(feature) * setCount + byFeature.get(feature)!.columns.get(keyOf(splitOf(tree, split)))!
  }
  return {
    trees: ensemble.trees.map((tree) => withColumns(tree, columnOf)),
    memberships: {
      features,
      setCount,
      cutCount,
      ...tableOf(
        features.map((feature) => byFeature.get(feature)!),
        { setCount, cutCount },
      ),
    },
  }
}

function cutsIn({ cutStart }: Tree, split: number): number {
  return cutStart[split + 1]! - cutStart[split]!
}

function splitOf({ cuts, cutStart, lowestLeft, missingLeft }: Tree, split: number): Split {
  return {
    cuts: cuts.subarray(cutStart[split], cutStart[split + 1]),
    lowestLeft: lowestLeft[split] === 1,
    missingLeft: missingLeft[split] === 1,
  }
}

function keyOf({ cuts, lowestLeft, missingLeft }: Split): string {
  return `${lowestLeft} ${missingLeft} ${cuts.join(' ')}`
}

function addSet({ columns, splits, cuts }: Sets, split: Split): void {
  const key = keyOf(split)
  if (columns.has(key)) return
  columns.set(key, splits.length)
  splits.push(split)
  for (const cut of split.cuts) cuts.add(cut)
}

function tableOf(
  sets: readonly Sets[],
  { setCount, cutCount }: { readonly setCount: number; readonly cutCount: number },
): { readonly cuts: Float64Array; readonly table: Uint8Array } {
  const cuts = new Float64Array(sets.length * cutCount).fill(Number.POSITIVE_INFINITY)
  const table = new Uint8Array(sets.length * (cutCount + 2) * setCount)
  for (const [index, { splits, cuts: all }] of sets.entries()) {
    const sorted = Float64Array.from(all).toSorted()
    cuts.set(sorted, index * cutCount)
    for (const [column, split] of splits.entries()) {
      const put = (row: number, left: boolean): void => {
        table[(index * (cutCount + 2) + row) * setCount + column] = left ? 0 : 1
      }
      // The side changes at each of its cuts.
      let left = split.lowestLeft
      let next = 0
      for (let row = 0; row <= sorted.length; row++) {
        put(row, left)
        if (row < sorted.length && split.cuts[next] === sorted[row]) {
          left = !left
          next++
        }
      }
      put(cutCount + 1, split.missingLeft)
    }
  }
  return { cuts, table }
}

/** The tree with questions of columns in the place of those of sets. */
function withColumns(tree: Tree, columnOf: (tree: Tree, split: number) => number): Tree {
  const count = tree.feature.length
  const changed = {
    feature: tree.feature.slice(),
    cutStart: Int32Array.from({ length: count + 1 }, (_, index) => index),
    cuts: new Float64Array(count),
    lowestLeft: tree.lowestLeft.slice(),
    missingLeft: tree.missingLeft.slice(),
  }
  for (let split = 0; split < count; split++) {
    const isSet = cutsIn(tree, split) !== 1
    changed.cuts[split] = isSet ? 0.5 : tree.cuts[tree.cutStart[split]!]!
    if (!isSet) continue
    changed.feature[split] = columnOf(tree, split)
    changed.lowestLeft[split] = 1
  }
  return { ...tree, ...changed }
}
