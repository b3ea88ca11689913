/** Levels that a sketch may have: 2^53 observations, beyond which a count is no longer exact. */
export const LEVELS_MAX = 53

/** Width below which no level shrinks: what is lost by compacting fewer at a time is more than the room is worth. */
const WIDTH_MIN = 8
/** Width of the lowest level, which all observations pass: a wider one is sorted less often. */
const LOWEST_WIDTH = 32

/**
 * Widths of `levelCount` levels, the lowest first: k at the top, and two thirds of it at each level below. Whole numbers until the one
 * division, so that every machine finds the same.
 */
function widthsOf(k: number, levelCount: number): number[] {
  return Array.from({ length: levelCount }, (_, level) => {
    const depth = Math.min(levelCount - level - 1, 30)
    return Math.max(level === 0 ? LOWEST_WIDTH : WIDTH_MIN, Math.ceil((k * 2 ** depth) / 3 ** depth))
  })
}

/** Items that a sketch of so many levels may keep, at most. */
export function capacityOf(k: number, levelCount: number): number {
  return sum(widthsOf(k, levelCount))
}

/**
 * The compactors of KLL, in the form of Karnin, Lang and Liberty, "Optimal Quantile Approximation in Streams" (FOCS 2016), with c = 2/3: an
 * item of level h stands for 2^h observations. Once there is no room, the lowest level that is as wide as it may be is compacted: every
 * other of its sorted items, from the first or from the second, goes one level up, and the rest is dropped.
 *
 * All levels lie in one array, the lowest first and what is free before it; compacting works in place.
 */
export class Compactors {
  readonly #k: number
  #items: Float64Array
  /** The items as bits. */
  #words: Uint32Array
  /** Level h is `items` from `starts[h]` up to `starts[h + 1]`. All are sorted but the lowest. */
  readonly #starts = new Int32Array(LEVELS_MAX + 2)
  #widths: readonly number[]
  #capacity: number
  #turn: number
  #hash = 0

  /** Empty, or the given levels of sorted items, compacted as far as they are more than there is room for. */
  constructor(k: number, levels: readonly (readonly number[])[] = []) {
    this.#k = k
    this.#widths = widthsOf(k, Math.max(1, levels.length))
    this.#capacity = sum(this.#widths)
    const total = sum(levels.map((level) => level.length))
    this.#items = new Float64Array(Math.max(this.#capacity, total))
    this.#words = new Uint32Array(this.#items.buffer)
    let at = this.#items.length - total
    for (const [index, level] of levels.entries()) {
      this.#starts[index] = at
      for (const item of level) this.#items[at++] = item
    }
    this.#starts.fill(at, levels.length)
    this.#turn = this.#fingerprint()
    while (this.#items.length - this.#starts[0]! > this.#capacity) this.#makeRoom()
  }

  add(item: number): void {
    const starts = this.#starts
    if (starts[0] === 0) this.#makeRoom()
    this.#items[--starts[0]!] = item
  }

  /** The items of each level, sorted. The highest level is never empty; without any item there are no levels. */
  levels(): number[][] {
    if (this.#starts[0] === this.#items.length) return []
    this.#sortLowest()
    return this.#widths.map((_, level) => {
      const items: number[] = []
      for (let at = this.#starts[level]!; at < this.#starts[level + 1]!; at++) items.push(this.#items[at]!)
      return items
    })
  }

  #makeRoom(): void {
    const [starts, widths] = [this.#starts, this.#widths]
    let level = 0
    while (starts[level + 1]! - starts[level]! < widths[level]!) level++
    if (level === widths.length - 1) this.#addLevel()
    if (level === 0) this.#sortLowest()
    this.#compact(level)
  }

  #addLevel(): void {
    const count = this.#widths.length + 1
    this.#widths = widthsOf(this.#k, count)
    this.#capacity = sum(this.#widths)
    const growth = Math.max(0, this.#capacity - this.#items.length)
    if (growth > 0) {
      const items = new Float64Array(this.#items.length + growth)
      items.set(this.#items, growth)
      this.#items = items
      this.#words = new Uint32Array(items.buffer)
    }
    for (let level = 0; level < count; level++) this.#starts[level]! += growth
    this.#starts[count] = this.#items.length
  }

  #sortLowest(): void {
    this.#items.subarray(this.#starts[0], this.#starts[1]).sort()
  }

  /** Halves a sorted level into the one above it; of an odd number the first item stays. */
  #compact(level: number): void {
    const [items, starts] = [this.#items, this.#starts]
    const end = starts[level + 1]!
    const upperEnd = starts[level + 2]!
    const from = starts[level]! + ((end - starts[level]!) & 1)
    const half = (end - from) / 2
    for (let index = 0, source = from + this.#coin(from + half); index < half; index++, source += 2) items[from + index] = items[source]!
    // The write never passes what is unread: it lags behind `upper` by the items of `lower` that are still to come.
    let [lower, upper, write] = [from, end, from + half]
    while (lower < from + half) items[write++] = upper < upperEnd && items[upper]! < items[lower]! ? items[upper++]! : items[lower++]!
    items.copyWithin(starts[0]! + half, starts[0]!, from)
    for (let index = 0; index <= level; index++) starts[index]! += half
    starts[level + 1] = from + half
  }

  /**
   * A fair bit: 0 or 1. It follows from how often it was asked for and from the items, so that the same observations give the same sketch,
   * while the errors of sketches of different ones are independent and cancel out where they are merged.
   */
  #coin(at: number): number {
    this.#turn = (this.#turn + 0x9e3779b9) | 0
    this.#hash = mixed(this.#turn ^ this.#hash ^ this.#words[2 * at]! ^ this.#words[2 * at + 1]!)
    return this.#hash & 1
  }

  #fingerprint(): number {
    let hash = 0
    for (let at = this.#starts[0]!; at < this.#items.length; at++)
      hash = mixed((hash + at) ^ this.#words[2 * at]! ^ this.#words[2 * at + 1]!)
    return hash
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

/** The last steps of MurmurHash3. */
function mixed(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
