import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import fc from 'fast-check'
import { cdf, mergeQuantiles, quantileOf, quantilesKind, QuantileSketch, rankOf } from '../../../src/contract/statistics/quantile-sketch.ts'
import { mergeStatistics, readStatistic, writeStatistic } from '../../../src/contract/statistics/statistics.ts'
import type { QuantilesData } from '../../../src/contract/statistics/quantile-sketch.ts'
import type { Statistic } from '../../../src/contract/statistics/statistics.ts'

/** What datasketches promises of k = 200: of 99 in 100 sketches the largest error of a rank, and of a share between two values. */
const RANK_ERROR = 0.0133
const SHARE_ERROR = 0.01652

function sketchOf(values: Iterable<number>, k?: number): QuantilesData {
  const sketch = new QuantileSketch(k)
  for (const value of values) sketch.observe(value)
  return sketch.snapshot()
}

/** The same values in any language: between 0 and 1, below 1. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(1_664_525, state) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function uniform(seed: number, count: number): number[] {
  const random = randomOf(seed)
  return Array.from({ length: count }, () => random())
}

const ascending = (values: Iterable<number>): number[] => [...Float64Array.from(values).toSorted()]

/** The share of sorted values at or below `value`. */
function exactRank(sorted: readonly number[], value: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low / sorted.length
}

interface Errors {
  /** The largest error of a rank. */
  readonly worst: number
  /** The largest error of a share between two values. */
  readonly spread: number
}

/** Errors at places that are spread evenly over the sorted values. */
function errorsOf(data: QuantilesData, values: Iterable<number>, points = 500): Errors {
  const sorted = ascending(values)
  let [most, least] = [0, 0]
  for (let index = 0; index < points; index++) {
    const value = sorted[Math.floor(((2 * index + 1) * sorted.length) / (2 * points))]!
    const off = rankOf(data, value) - exactRank(sorted, value)
    most = Math.max(most, off)
    least = Math.min(least, off)
  }
  return { worst: Math.max(most, -least), spread: most - least }
}

const retained = ({ levels }: QuantilesData): number => levels.reduce((sum, level) => sum + level.length, 0)
const weight = ({ levels }: QuantilesData): number => levels.reduce((sum, level, height) => sum + level.length * 2 ** height, 0)
const throughJson = (data: QuantilesData): Statistic => {
  const read = readStatistic(JSON.parse(JSON.stringify(writeStatistic(data))) as QuantilesData)
  assert.ok('values' in read, JSON.stringify(read))
  assert.equal(read.values.length, 1)
  return read.values[0]!
}

const anyValue = fc.oneof(fc.double({ noNaN: true }), fc.constantFrom(0, -0, 1, Infinity, -Infinity), fc.integer({ min: -3, max: 3 }))

describe('quantile sketches', () => {
  it('are exact as long as they hold no more than k values, merged in any grouping', () =>
    fc.assert(
      fc.property(fc.array(fc.array(anyValue, { maxLength: 40 }), { minLength: 1, maxLength: 5 }), (parts) => {
        const data = parts.map((part) => sketchOf(part)).reduce(mergeQuantiles)
        const sorted = ascending(parts.flat().map((value) => value + 0))
        assert.deepEqual(data, sketchOf(sorted))
        assert.deepEqual(data.levels, sorted.length === 0 ? [] : [sorted])
        for (const value of sorted) assert.equal(rankOf(data, value), exactRank(sorted, value))
        if (sorted.length > 0)
          for (const q of [0, 0.01, 0.25, 0.5, 0.77, 1])
            assert.equal(quantileOf(data, q), sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1])
      }),
    ))

  it('tell ranks within the bound, whatever the distribution and the order', () => {
    const random = randomOf(5)
    const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
    const count = 40_000
    const shapes: Record<string, number[]> = {
      uniform: uniform(1, count),
      normal: Array.from({ length: count }, normal),
      lognormal: Array.from({ length: count }, () => Math.exp(3 * normal())),
      'large negatives': Array.from({ length: count }, () => -1e300 * random()),
      'smallest of all': Array.from({ length: count }, () => Number.MIN_VALUE * Math.floor(1e6 * (random() - 0.5))),
      ascending: ascending(uniform(2, count)),
      descending: ascending(uniform(3, count)).toReversed(),
      constant: Array<number>(count).fill(7),
      'two values': Array.from({ length: count }, () => (random() < 0.3 ? -1 : 1)),
      'one in two thousand': Array.from({ length: count }, (_, index) => (index % 2000 === 0 ? 1 : 0)),
      'mostly zero': Array.from({ length: count }, () => (random() < 0.6 ? 0 : random() - 0.5)),
      'with infinities': Array.from({ length: count }, () => (random() < 0.2 ? Infinity : random() < 0.2 ? -Infinity : random())),
    }
    for (const [name, values] of Object.entries(shapes)) {
      const data = sketchOf(values)
      const { worst, spread } = errorsOf(data, values)
      assert.ok(worst <= RANK_ERROR && spread <= SHARE_ERROR, `${name}: ${worst} and ${spread}`)
      assert.deepEqual([data.count, weight(data), data.nan], [count, count, 0], name)
      const sorted = ascending(values)
      assert.deepEqual([data.min, data.max, quantileOf(data, 0), quantileOf(data, 1)], [sorted[0], sorted.at(-1), sorted[0], sorted.at(-1)])
      for (const q of [0.001, 0.1, 0.5, 0.9, 0.999]) {
        const found = quantileOf(data, q)
        // With ties, a quantile has a range of ranks.
        const [under, upTo] = [sorted.findIndex((value) => value >= found) / count, exactRank(sorted, found)]
        assert.ok(under - RANK_ERROR <= q && q <= upTo + RANK_ERROR, `${name}: ${found} for ${q} has ranks ${under} to ${upTo}`)
      }
    }
    assert.deepEqual(cdf(sketchOf(shapes['constant']!), [6, 7, 8]), [0, 1, 1])
  })

  it('have errors without a tendency: over many, ranks are off upwards as often as downwards', () => {
    let [up, sum] = [0, 0]
    for (let seed = 1; seed <= 400; seed++) {
      const values = uniform(seed * 7919, 2000)
      const off = rankOf(sketchOf(values), 0.5) - exactRank(ascending(values), 0.5)
      sum += off
      if (off > 0) up++
    }
    assert.ok(up > 150 && up < 250, `${up} of 400 upwards`)
    assert.ok(Math.abs(sum / 400) < 0.001, `off by ${sum / 400} on average`)
  })

  it('count NaN apart, and hold zero without its sign', () => {
    const data = sketchOf([Number.NaN, -0, 3, Number.NaN, -Infinity, Infinity])
    assert.deepEqual(data, {
      kind: 'quantiles',
      k: 200,
      count: 4,
      nan: 2,
      min: -Infinity,
      max: Infinity,
      levels: [[-Infinity, 0, 3, Infinity]],
    })
    assert.deepEqual(cdf(data, [Infinity, -Infinity, 0, -1e308]), [1, 0.25, 0.5, 0.25])
    assert.ok(Number.isNaN(rankOf(data, Number.NaN)))
  })

  it('of nothing, or of NaN alone, have neither quantiles nor ranks', () => {
    for (const data of [sketchOf([]), sketchOf([Number.NaN])]) {
      assert.deepEqual([data.count, data.levels], [0, []])
      for (const found of [data.min, data.max, quantileOf(data, 0), quantileOf(data, 0.5), quantileOf(data, 1), ...cdf(data, [-1, 1])])
        assert.ok(Number.isNaN(found))
      const one = mergeQuantiles(data, sketchOf([4]))
      assert.deepEqual([one.count, one.nan, one.min, one.max, one.levels], [1, data.nan, 4, 4, [[4]]])
    }
    assert.ok(quantilesKind.isEmpty(sketchOf([])))
    assert.ok(!quantilesKind.isEmpty(sketchOf([Number.NaN])))
  })

  it('refuse a share that is none, and a k that is too small, too large or broken', () => {
    for (const q of [-0.1, 1.1, Number.NaN]) assert.throws(() => quantileOf(sketchOf([1]), q), RangeError)
    for (const k of [7, 4097, 200.5, Number.NaN, Infinity]) assert.throws(() => new QuantileSketch(k), RangeError)
  })

  it('of the same observations are the same, however often they are read meanwhile', () => {
    const values = uniform(4, 30_000)
    const read = new QuantileSketch()
    for (const [index, value] of values.entries()) {
      read.observe(value)
      if (index % 97 === 0) read.snapshot()
    }
    assert.deepEqual(read.snapshot(), sketchOf(values))
    assert.equal(read.count, 30_000)
  })

  it('keep some six hundred values of ten million, in any order of theirs', () => {
    const random = randomOf(9)
    const sketch = new QuantileSketch()
    let most = 0
    for (let index = 0; index < 10_000_000; index++) {
      sketch.observe(random())
      if (index % 65_537 === 0) most = Math.max(most, retained(sketch.snapshot()))
    }
    const data = sketch.snapshot()
    most = Math.max(most, retained(data))
    assert.ok(most < 700, `${most} values`)
    assert.equal(weight(data), 10_000_000)
    // A generator of full period is uniform far within the error.
    for (let value = 0.05; value < 1; value += 0.05)
      assert.ok(Math.abs(rankOf(data, value) - value) <= RANK_ERROR, `${rankOf(data, value)} at ${value}`)
  })

  it('have errors that grow as k falls', () => {
    const values = uniform(6, 50_000)
    let last = 0
    for (const k of [4096, 1024, 256, 64, 16]) {
      const data = sketchOf(values, k)
      const { worst } = errorsOf(data, values)
      assert.ok(worst > last && worst <= 2.5 / k ** 0.97, `${worst} with k ${k}`)
      assert.ok(retained(data) <= 3 * k + 150, `${retained(data)} with k ${k}`)
      last = worst
    }
  })
})

describe('merged quantile sketches', () => {
  const PARTS = 64

  /** Parts whose values lie apart, so that a part that weighs too much or too little shows. */
  const parts = (seed: number, sizeOf: (part: number) => number): number[][] =>
    Array.from({ length: PARTS }, (_, part) => uniform(seed * 1000 + part, sizeOf(part)).map((value) => value + (part % 7) / 3))

  function mergedAtRandom(sketches: readonly QuantilesData[], random: () => number): QuantilesData {
    const left = [...sketches]
    while (left.length > 1) {
      const [first] = left.splice(Math.floor(random() * left.length), 1)
      const at = Math.floor(random() * left.length)
      left[at] = mergeQuantiles(left[at]!, first!)
    }
    return left[0]!
  }

  function mergedInPairs(sketches: readonly QuantilesData[]): QuantilesData {
    if (sketches.length === 1) return sketches[0]!
    const middle = sketches.length >>> 1
    return mergeQuantiles(mergedInPairs(sketches.slice(0, middle)), mergedInPairs(sketches.slice(middle)))
  }

  const sizes: Record<string, (part: number) => number> = {
    equal: () => 1000,
    'very unequal': (part) => (part % 16 === 3 ? 20_000 : part % 5),
    'one by one': () => 13,
    growing: (part) => part * part,
  }

  it('of 64 parts are within the bound in a chain, in pairs and in any shape', () => {
    let [trials, beyond] = [0, 0]
    for (const [name, sizeOf] of Object.entries(sizes))
      for (let seed = 1; seed <= 3; seed++) {
        const values = parts(seed, sizeOf)
        const sketches = values.map((part) => sketchOf([...part, Number.NaN]))
        const random = randomOf(seed)
        const shapes = {
          chain: sketches.reduce(mergeQuantiles),
          'chain from the right': sketches.reduceRight(mergeQuantiles),
          pairs: mergedInPairs(sketches),
          random: mergedAtRandom(sketches, random),
          'another random': mergedAtRandom(sketches, random),
        }
        const all = ascending(values.flat())
        for (const [shape, data] of Object.entries(shapes)) {
          const { worst, spread } = errorsOf(data, all)
          trials++
          if (worst > RANK_ERROR || spread > SHARE_ERROR) beyond++
          assert.ok(worst <= 1.3 * RANK_ERROR, `${name}, ${shape}, seed ${seed}: ${worst}`)
          assert.deepEqual([data.count, weight(data), data.nan, data.min, data.max], [all.length, all.length, PARTS, all[0], all.at(-1)])
          assert.ok(retained(data) < 700)
        }
      }
    assert.ok(beyond <= Math.ceil(0.01 * trials), `${beyond} of ${trials} beyond the bound`)
  })

  it('of the same observations do not add their errors up: the error of doubling thirty times is that of one', () => {
    const values = uniform(8, 10_000)
    let data = sketchOf(values)
    for (let doubling = 0; doubling < 30; doubling++) data = mergeQuantiles(data, data)
    assert.deepEqual([data.count, weight(data)], [10_000 * 2 ** 30, 10_000 * 2 ** 30])
    assert.ok(errorsOf(data, values).worst <= RANK_ERROR)
    assert.ok(retained(data) < 900, `${retained(data)} values`)
    assert.deepEqual(throughJson(data), data)
  })

  it('of the same part again and again have the error of one', () => {
    for (const size of [210, 250, 300]) {
      const values = uniform(size, size)
      const part = sketchOf(values)
      let data = part
      for (let times = 1; times < 1000; times++) data = mergeQuantiles(data, part)
      assert.equal(weight(data), 1000 * size)
      const { worst } = errorsOf(data, values)
      assert.ok(worst <= RANK_ERROR, `${size}: ${worst}`)
    }
  })

  it('are the same whichever is first, and leave both as they were', () =>
    fc.assert(
      fc.property(fc.nat(3000), fc.nat(3000), fc.nat(), fc.boolean(), (a, b, seed, isRounded) => {
        const values = uniform(seed, a + b).map((value) => (isRounded ? Math.round(20 * value) : value))
        const [x, y] = [sketchOf(values.slice(0, a)), sketchOf(values.slice(a))]
        const wrote = JSON.stringify([x, y])
        const data = mergeQuantiles(x, y)
        assert.deepEqual(mergeQuantiles(y, x), data)
        assert.deepEqual(throughJson(data), data)
        assert.deepEqual(mergeQuantiles(throughJson(x) as QuantilesData, throughJson(y) as QuantilesData), data)
        assert.equal(JSON.stringify([x, y]), wrote)
        assert.deepEqual([data.count, weight(data)], [a + b, a + b])
      }),
      { numRuns: 60 },
    ))

  it('of another k, or of more observations than numbers can count, are refused', () => {
    assert.throws(() => mergeQuantiles(sketchOf([1], 200), sketchOf([1], 100)), /k of 200 and of 100/)
    let data = sketchOf([1])
    for (let doubling = 0; doubling < 52; doubling++) data = mergeQuantiles(data, data)
    assert.equal(data.count, 2 ** 52)
    assert.deepEqual(throughJson(data), data)
    assert.throws(() => mergeQuantiles(data, data), RangeError)
    const unknown = { ...sketchOf([]), nan: 2 ** 52 }
    assert.throws(() => mergeQuantiles(unknown, unknown), RangeError)
  })

  it('have grown from nothing alone: there is no other difference of two', () => {
    const now = sketchOf([1, 2, 3])
    assert.equal(quantilesKind.subtract(now, sketchOf([])), now)
    assert.equal(quantilesKind.subtract(now, sketchOf([1])), undefined)
    assert.equal(quantilesKind.subtract(now, sketchOf([Number.NaN])), undefined)
    assert.throws(() => quantilesKind.subtract(now, sketchOf([], 100)), RangeError)
  })
})

describe('the wire form of quantile sketches', () => {
  it('keeps all of a sketch, and no more than numbers of it', () => {
    for (const values of [[], [Number.NaN], [Infinity, -Infinity, 0.1, 1e-320], uniform(3, 20_000)]) {
      const data = sketchOf(values)
      assert.deepEqual(throughJson(data), data)
    }
    assert.equal(
      JSON.stringify(writeStatistic(sketchOf([2, -Infinity]))),
      '{"kind":"quantiles","k":200,"count":2,"nan":0,"min":"-Infinity","max":2,"levels":[["-Infinity",2]]}',
    )
    const bytes = JSON.stringify(writeStatistic(sketchOf(uniform(3, 100_000).map((value) => Math.round(1e4 * value))))).length
    assert.ok(bytes < 4000, `${bytes} bytes`)
  })

  it('has one zero, whatever its sign there', () => {
    const wire = JSON.parse('{"kind":"quantiles","k":200,"count":2,"nan":0,"min":-0,"max":-0,"levels":[[0,-0]]}') as QuantilesData
    assert.deepEqual(readStatistic(wire), { values: [sketchOf([0, 0])] })
  })

  it('is a statistic like others: read, merged, and kept side by side with none', () => {
    const [a, b] = [sketchOf([1, 2]), sketchOf([3])]
    assert.deepEqual(mergeStatistics(throughJson(a), throughJson(b)), sketchOf([1, 2, 3]))
    const unmerged = { kind: 'unmerged', parts: [writeStatistic(a), writeStatistic(b)], dropped: 0 }
    assert.deepEqual(readStatistic(unmerged), { values: [sketchOf([1, 2, 3])] })
  })

  it('is refused where no sketch can be like that', () => {
    const good = { kind: 'quantiles', k: 200, count: 5, nan: 1, min: 1, max: 9, levels: [[2, 3, 3], [4]] }
    assert.ok('values' in readStatistic(good))
    const wide = Array.from({ length: 400 }, (_, index) => index)
    const forged: Record<string, object> = {
      'a count of other items': { count: 6 },
      'a fraction of observations': { count: 5.5 },
      'a negative count': { count: -5 },
      'a count beyond exact numbers': { count: 2 ** 60, levels: [...Array.from({ length: 60 }, () => []), [4]] },
      'too many levels': { count: 0, levels: Array.from({ length: 54 }, () => []) },
      'an empty level at the top': { levels: [[2, 3, 3], [4], []] },
      'more items than there is room for': { count: 400, min: 0, max: 399, levels: [wide] },
      'more items than there is room for in two levels': { count: 800, min: 0, max: 399, levels: [[], wide] },
      'a level that is not sorted': { levels: [[3, 2, 3], [4]] },
      'an item below min': { min: 2.5 },
      'an item above max': { max: 3.5 },
      'infinity above max': { levels: [[2, 3, 'Infinity'], [4]] },
      'an item of NaN': { levels: [[2, 'NaN', 3], [4]] },
      'NaN as min': { min: 'NaN' },
      'NaN as max': { max: 'NaN' },
      'min that is missing among all': { count: 2, min: 1, max: 3, levels: [[2, 3]] },
      'max that is missing among all': { count: 2, min: 2, max: 4, levels: [[2, 3]] },
      'min of nothing': { count: 0, min: 1, max: 'NaN', levels: [] },
      'items without a count': { count: 0, min: 'NaN', max: 'NaN' },
      'k of zero': { k: 0 },
      'k beyond the limit': { k: 1e9 },
      'k as a text': { k: '200' },
      'nan below zero': { nan: -1 },
      'a text as item': { levels: [[2, '3', 3], [4]] },
      'null as item': { levels: [[2, null, 3], [4]] },
      'a list as item': { levels: [[2, [3], 3], [4]] },
      'true as item': { min: 1, levels: [[true, 3, 3], [4]] },
      'levels that are none': { levels: { 0: [1] } },
      'a level that is none': { levels: [[2, 3, 3], 4] },
      'no levels': { levels: undefined },
      'no min': { min: undefined },
    }
    for (const [name, fields] of Object.entries(forged)) {
      const read = readStatistic(JSON.parse(JSON.stringify({ ...good, ...fields })) as typeof good)
      assert.ok('issues' in read, name)
      assert.ok(read.issues.length > 0 && read.issues.every(({ message }) => message !== ''), name)
    }
  })

  it('of any JSON is read or refused, and what is read can be asked and merged', () =>
    fc.assert(
      fc.property(
        fc.record({
          kind: fc.constant('quantiles'),
          k: fc.oneof(fc.constant(8), fc.jsonValue()),
          count: fc.oneof(fc.nat(9), fc.jsonValue()),
          nan: fc.oneof(fc.nat(2), fc.jsonValue()),
          min: fc.oneof(fc.integer({ min: 0, max: 1 }), fc.constantFrom('NaN', '-Infinity'), fc.jsonValue()),
          max: fc.oneof(fc.integer({ min: 1, max: 2 }), fc.constantFrom('NaN', 'Infinity'), fc.jsonValue()),
          levels: fc.oneof(fc.array(fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 3 }), { maxLength: 3 }), fc.jsonValue()),
        }),
        (wire) => {
          const read = readStatistic(wire)
          if ('issues' in read) return
          const data = read.values[0] as QuantilesData
          const both = mergeQuantiles(data, data)
          assert.equal(weight(both), 2 * data.count)
          if (data.count > 0) assert.ok(quantileOf(both, 0.5) >= data.min && rankOf(both, data.max) === 1)
        },
      ),
      { numRuns: 2000 },
    ))
})

describe('quantile sketches against datasketches, over the same values', () => {
  let reference: {
    readonly k: number
    readonly n: number
    readonly points: number
    readonly seeds: readonly number[]
    readonly rankError: number
    readonly shareError: number
    readonly shapes: Readonly<Record<string, { ranks: readonly (readonly [number, number])[]; worst: number[]; spread: number[] }>>
  }
  before(async () => {
    reference = JSON.parse(await readFile(join(import.meta.dirname, 'reference/quantile_sketch.json'), 'utf8')) as typeof reference
  })

  const shapes: Readonly<Record<string, (values: readonly number[]) => number[]>> = {
    uniform: (values) => [...values],
    bell: (values) => {
      const at = (index: number): number => values[index % values.length]!
      return values.map((value, index) => value + at(index + 1) + at(index + 2) + at(index + 3) - 2)
    },
    tail: (values) => values.map((value) => 1 / (1 - value)),
    rounded: (values) => values.map((value) => Math.floor(50 * value)),
    ascending,
    descending: (values) => ascending(values).toReversed(),
    waves: (values) => values.map((value, index) => value + (Math.floor(index / 1000) % 10)),
  }

  it('err no more on average, and beyond its published bound no more often than that allows', (t) => {
    let [beyond, spreadBeyond, trials] = [0, 0, 0]
    assert.deepEqual(Object.keys(reference.shapes), Object.keys(shapes))
    for (const [name, theirs] of Object.entries(reference.shapes)) {
      const ours = reference.seeds.map((seed) => {
        const values = shapes[name]!(uniform(seed, reference.n))
        if (seed === reference.seeds[0])
          for (const [value, rank] of theirs.ranks)
            assert.equal(Math.round(exactRank(ascending(values), value) * reference.n), rank, `${name}: the same values`)
        return errorsOf(sketchOf(values, reference.k), values, reference.points)
      })
      trials += ours.length
      beyond += ours.filter(({ worst }) => worst > reference.rankError).length
      spreadBeyond += ours.filter(({ spread }) => spread > reference.shareError).length
      const [worst, theirWorst] = [mean(ours.map((one) => one.worst)), mean(theirs.worst)]
      const [spread, theirSpread] = [mean(ours.map((one) => one.spread)), mean(theirs.spread)]
      t.diagnostic(
        `${name}: ranks off by ${percent(worst)} (${percent(theirWorst)} there), shares by ${percent(spread)} (${percent(theirSpread)})`,
      )
      assert.ok(worst <= 1.3 * theirWorst && spread <= 1.3 * theirSpread, name)
    }
    t.diagnostic(`${beyond} and ${spreadBeyond} of ${trials} beyond the bounds`)
    assert.ok(trials >= 100 && beyond <= Math.ceil(0.01 * trials) && spreadBeyond <= Math.ceil(0.01 * trials), `${beyond}, ${spreadBeyond}`)
  })
})

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function percent(share: number): string {
  return `${(100 * share).toFixed(3)} %`
}
