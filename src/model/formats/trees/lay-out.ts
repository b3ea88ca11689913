/** Lays trees out as nodes that ask one question each: is the feature at most the threshold? */
import type { Ensemble, Tree } from './ensemble.ts'

/** Nodes of all trees, those of a tree one after another and its root first. */
export interface Forest {
  /** Tree of each node. */
  readonly tree: Int32Array
  /** -1 at leaves. */
  readonly feature: Int32Array
  readonly threshold: Float64Array
  readonly whenTrue: Int32Array
  readonly whenFalse: Int32Array
  /** Whether NaN goes where true goes. */
  readonly missingTrue: Uint8Array
  /** First leaf value of a leaf; -1 at splits. */
  readonly leafOf: Int32Array
  readonly roots: Int32Array
  readonly leafNode: Int32Array
  readonly leafTree: Int32Array
  readonly leafTarget: Int32Array
  readonly leafValue: Float64Array
  /** Whether several splits lead to one node. */
  readonly shared: boolean
}

/**
 * A split with several cuts becomes a search among them. Only `whenTrue` may lead to a node that others lead to as well, because ONNX
 * Runtime wants what is false to follow at once; where that is needed, a node leads on whose question is always true.
 * A tree whose leaves have a value for each sum is laid out once for each. The start of each sum is a tree of one leaf in front, so that
 * floats are added in the order in which the libraries add them.
 */
export function layOut({ trees, base }: Ensemble): Forest {
  const forest = new ForestBuilder()
  const added = new Set(trees.map(({ target }) => target))
  // A sum to which no tree adds has to be there all the same.
  const isAlone = (sum: number): boolean => !added.has(sum) && !added.has(undefined)
  for (const [target, value] of base.entries()) if (value !== 0 || isAlone(target)) forest.constant(target, value)
  for (const tree of trees)
    for (const target of tree.target === undefined ? base.keys() : [tree.target]) forest.tree(tree, target, base.length)
  return forest.done()
}

/** A list of numbers that grows. */
class Growing<T extends Int32Array | Float64Array | Uint8Array> {
  #values: T
  length = 0

  constructor(values: T) {
    this.#values = values
  }

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new (this.#values.constructor as new (length: number) => T)(2 * this.length)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.length++] = value
  }

  set(at: number, value: number): void {
    this.#values[at] = value
  }

  done(): T {
    return this.#values.slice(0, this.length) as T
  }
}

const integers = (): Growing<Int32Array> => new Growing(new Int32Array(1024))

class ForestBuilder {
  readonly #tree = integers()
  readonly #feature = integers()
  readonly #threshold = new Growing(new Float64Array(1024))
  readonly #whenTrue = integers()
  readonly #whenFalse = integers()
  readonly #missingTrue = new Growing(new Uint8Array(1024))
  readonly #leafOf = integers()
  readonly #roots = integers()
  readonly #leafNode = integers()
  readonly #leafTree = integers()
  readonly #leafTarget = integers()
  readonly #leafValue = new Growing(new Float64Array(1024))
  #shared = false

  constant(target: number, value: number): void {
    this.#roots.push(this.#feature.length)
    this.#leaf(target, value)
  }

  tree(tree: Tree, target: number, sums: number): void {
    const value = (leaf: number): number => (tree.target === undefined ? tree.leaves[leaf * sums + target]! : tree.leaves[leaf]!)
    this.#roots.push(this.#feature.length)
    if (tree.feature.length === 0) {
      this.#leaf(target, value(0))
      return
    }
    // Nodes are numbered as they come; who waits for a number gets it then.
    const waiting: { readonly child: number; readonly fix: ((node: number) => void)[] }[] = [{ child: 0, fix: [] }]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const at = this.#feature.length
      for (const fix of next.fix) fix(at)
      if (next.child < 0) this.#leaf(target, value(~next.child))
      else {
        const [left, right] = this.#split(tree, next.child, target)
        waiting.push({ child: tree.left[next.child]!, fix: left }, { child: tree.right[next.child]!, fix: right })
      }
    }
  }

  /** @returns who waits for the left child, and who waits for the right */
  #split(tree: Tree, split: number, target: number): [left: ((node: number) => void)[], right: ((node: number) => void)[]] {
    const [start, end] = [tree.cutStart[split]!, tree.cutStart[split + 1]!]
    const lowestLeft = tree.lowestLeft[split] === 1
    const missingLeft = tree.missingLeft[split] === 1
    const feature = tree.feature[split]!
    if (end - start === 1) {
      const at = this.#node(feature, tree.cuts[start]!, missingLeft === lowestLeft)
      const isTrue = (node: number): void => this.#whenTrue.set(at, node)
      const isFalse = (node: number): void => this.#whenFalse.set(at, node)
      return lowestLeft ? [[isTrue], [isFalse]] : [[isFalse], [isTrue]]
    }
    this.#shared = true
    const sides: [((node: number) => void)[], ((node: number) => void)[]] = [[], []]
    // Interval i lies below cut start + i, and the last above all.
    const sideOf = (interval: number): 0 | 1 => ((interval % 2 === 0) === lowestLeft ? 0 : 1)
    const missing = missingLeft ? 0 : 1
    const missingInterval = sideOf(0) === missing ? 0 : 1
    const search = (low: number, high: number): number => {
      const middle = (low + high) >> 1
      const holdsMissing = missingInterval >= low && missingInterval <= high
      const at = this.#node(feature, tree.cuts[start + middle]!, holdsMissing && missingInterval <= middle)
      if (middle + 1 < high) this.#whenFalse.set(at, search(middle + 1, high))
      else {
        // What is false has to be a node of its own.
        const onward = this.#node(feature, Number.POSITIVE_INFINITY, true)
        this.#whenFalse.set(at, onward)
        this.#whenFalse.set(onward, this.#feature.length)
        this.#leaf(target, 0)
        sides[sideOf(high)].push((node) => this.#whenTrue.set(onward, node))
      }
      if (low < middle) this.#whenTrue.set(at, search(low, middle))
      else sides[sideOf(low)].push((node) => this.#whenTrue.set(at, node))
      return at
    }
    if (end === start) {
      // No cut: all that is there goes one way, and what is missing perhaps another.
      const at = this.#node(feature, Number.POSITIVE_INFINITY, missing === sideOf(0))
      sides[sideOf(0)].push((node) => this.#whenTrue.set(at, node))
      sides[1 - sideOf(0)]!.push((node) => this.#whenFalse.set(at, node))
      return sides
    }
    search(0, end - start)
    return sides
  }

  #node(feature: number, threshold: number, missingTrue: boolean): number {
    this.#tree.push(this.#roots.length - 1)
    this.#feature.push(feature)
    this.#threshold.push(threshold)
    this.#whenTrue.push(0)
    this.#whenFalse.push(0)
    this.#missingTrue.push(Number(missingTrue))
    this.#leafOf.push(-1)
    return this.#feature.length - 1
  }

  #leaf(target: number, value: number): void {
    const at = this.#node(-1, 0, false)
    this.#leafOf.set(at, this.#leafValue.length)
    this.#leafNode.push(at)
    this.#leafTree.push(this.#roots.length - 1)
    this.#leafTarget.push(target)
    this.#leafValue.push(value)
  }

  done(): Forest {
    return {
      tree: this.#tree.done(),
      feature: this.#feature.done(),
      threshold: this.#threshold.done(),
      whenTrue: this.#whenTrue.done(),
      whenFalse: this.#whenFalse.done(),
      missingTrue: this.#missingTrue.done(),
      leafOf: this.#leafOf.done(),
      roots: this.#roots.done(),
      leafNode: this.#leafNode.done(),
      leafTree: this.#leafTree.done(),
      leafTarget: this.#leafTarget.done(),
      leafValue: this.#leafValue.done(),
      shared: this.#shared,
    }
  }
}
