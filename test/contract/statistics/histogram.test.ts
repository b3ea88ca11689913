import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Histogram, LATENCY_EDGES, mergeHistograms, quantile, ROWS_EDGES } from '../../../src/contract/statistics/histogram.ts'
import type { HistogramData } from '../../../src/contract/statistics/histogram.ts'

function histogramOf(values: readonly number[], edges?: readonly number[]): HistogramData {
  const histogram = new Histogram(edges)
  for (const value of values) histogram.observe(value)
  return histogram.snapshot()
}

/** Values whose sums are exact in any order. */
const dyadic = fc.array(
  fc.nat(2 ** 24).map((value) => value / 2 ** 12),
  { maxLength: 30 },
)
/** Any that the native buckets reach. */
const positive = fc.double({ min: 2 ** -20, max: 2 ** 16, noNaN: true })

describe('histograms', () => {
  it('merged in any order and grouping are the histogram of all observations', () =>
    fc.assert(
      fc.property(dyadic, dyadic, dyadic, (a, b, c) => {
        const [x, y, z] = [a, b, c].map((values) => histogramOf(values))
        const all = histogramOf([...a, ...b, ...c])
        assert.deepEqual(mergeHistograms(mergeHistograms(x!, y!), z!), all)
        assert.deepEqual(mergeHistograms(x!, mergeHistograms(y!, z!)), all)
        assert.deepEqual(mergeHistograms(z!, mergeHistograms(y!, x!)), all)
      }),
    ))

  it('survive JSON, and merging leaves both sides as they were', () => {
    const [a, b] = [histogramOf([0.001, 3]), histogramOf([0, 0.001])]
    const before = JSON.stringify([a, b])
    assert.deepEqual(mergeHistograms(JSON.parse(JSON.stringify(a)) as HistogramData, b), histogramOf([0.001, 3, 0, 0.001]))
    assert.equal(JSON.stringify([a, b]), before)
  })

  it('every observation is in the bucket whose edges hold it, both classic and native', () =>
    fc.assert(
      fc.property(fc.oneof(positive, fc.constantFrom(...LATENCY_EDGES)), (value) => {
        const { counts, edges, native, schema } = histogramOf([value])
        const place = counts.indexOf(1)
        assert.ok((edges[place - 1] ?? -1) < value && value <= (edges[place] ?? Infinity))
        const [[index, count] = [Number.NaN, 0]] = native
        assert.equal(count, 1)
        assert.ok(2 ** ((index - 1) / 2 ** schema) < value && value <= 2 ** (index / 2 ** schema), `${value} in ${index}`)
      }),
      { numRuns: 1000 },
    ))

  it('powers of two are upper edges of their native buckets, exactly', () => {
    for (let power = -23; power <= 15; power++) {
      const { native } = histogramOf([2 ** power, 2 ** power * (1 + 2 ** -52)])
      assert.deepEqual(
        native,
        [
          [power * 8, 1],
          [power * 8 + 1, 1],
        ],
        `2^${power}`,
      )
    }
  })

  it('zero and tiny values are counted apart, enormous ones in the last bucket, and what is no measurement not at all', () => {
    const { count, counts, native, sum, zeroCount } = histogramOf([0, 2 ** -24, 1e300, Infinity, Number.NaN, -1])
    assert.deepEqual([count, zeroCount, native, sum], [4, 2, [[16 * 8, 2]], Infinity])
    assert.deepEqual([counts[0], counts.at(-1)], [2, 2])
  })

  it('a quantile is off by at most one native bucket', () =>
    fc.assert(
      fc.property(fc.array(positive, { minLength: 1, maxLength: 200 }), fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
        const exact = values.toSorted((a, b) => a - b)[Math.max(1, Math.ceil(q * values.length)) - 1]!
        const found = quantile(histogramOf(values), q)
        const bucket = 2 ** (1 / 8) * (1 + 1e-12)
        assert.ok(found <= exact * bucket && found >= exact / bucket, `${found} for ${exact}`)
      }),
    ))

  it('a quantile of nothing is NaN, and of zeros zero', () => {
    assert.ok(Number.isNaN(quantile(histogramOf([]), 0.5)))
    assert.equal(quantile(histogramOf([0, 0, 5]), 0.5), 0)
  })

  it('of different edges are not merged', () => {
    assert.throws(() => mergeHistograms(histogramOf([1]), histogramOf([1], ROWS_EDGES)), RangeError)
    assert.throws(() => mergeHistograms(histogramOf([1], [1, 2]), histogramOf([1], [1, 3])), RangeError)
    assert.throws(() => mergeHistograms(histogramOf([1]), { ...histogramOf([1]), schema: 4 }), RangeError)
  })
})
