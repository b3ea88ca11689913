import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Histogram } from '../../src/contract/histogram.ts'
import { mergeStatistics } from '../../src/contract/observation-window.ts'
import type { Statistic } from '../../src/contract/observation-window.ts'

const count = (value: number): Statistic => ({ kind: 'count', value })

function latencies(values: readonly number[]): Statistic {
  const histogram = new Histogram()
  for (const value of values) histogram.observe(value)
  return histogram.snapshot()
}

describe('statistics of observation windows', () => {
  const statistics = fc
    .record(
      {
        requests: fc.nat(1000),
        errors: fc.nat(1000),
        seconds: fc.array(
          fc.nat(4096).map((value) => value / 1024),
          { maxLength: 10 },
        ),
      },
      { requiredKeys: [] },
    )
    .map(({ errors, requests, seconds }) => ({
      ...(requests !== undefined && { requests: count(requests) }),
      ...(errors !== undefined && { errors: count(errors) }),
      ...(seconds !== undefined && { seconds: latencies(seconds) }),
    }))

  it('add up in any order and grouping, name by name', () =>
    fc.assert(
      fc.property(statistics, statistics, statistics, (a, b, c) => {
        const merged = mergeStatistics(mergeStatistics(a, b), c)
        assert.deepEqual(mergeStatistics(a, mergeStatistics(b, c)), merged)
        assert.deepEqual(mergeStatistics(mergeStatistics(c, b), a), merged)
        assert.deepEqual(mergeStatistics(merged, {}), merged)
      }),
    ))

  it('counts are summed, histograms merged, and what one side has alone is kept', () => {
    const merged = mergeStatistics(
      { requests: count(2), left: count(1), seconds: latencies([1]) },
      { requests: count(3), right: count(4), seconds: latencies([2]) },
    )
    assert.deepEqual(merged, { requests: count(5), left: count(1), right: count(4), seconds: latencies([1, 2]) })
  })

  it('one name for two kinds of statistic is refused', () => {
    assert.throws(
      () => mergeStatistics({ a: count(1) }, { a: latencies([1]) }),
      /statistic "a" is a count on one side and a histogram on the other/,
    )
  })
})
