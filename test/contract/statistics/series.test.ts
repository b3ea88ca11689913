import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Histogram } from '../../../src/contract/statistics/histogram.ts'
import { growthOf, mergeSeries, seriesKey } from '../../../src/contract/statistics/series.ts'
import type { Series } from '../../../src/contract/statistics/series.ts'
import type { KnownStatistic } from '../../../src/contract/statistics/statistics.ts'

type Known = Series<KnownStatistic>

const count = (value: number): KnownStatistic => ({ kind: 'count', value })

function latencies(values: readonly number[]): KnownStatistic {
  const histogram = new Histogram()
  for (const value of values) histogram.observe(value)
  return histogram.snapshot()
}

const named = (statistics: Readonly<Record<string, KnownStatistic>>): Known[] =>
  Object.entries(statistics).map(([name, statistic]) => ({ name, labels: {}, statistic }))

const inOrder = (series: readonly Series[]): Series[] => series.toSorted((a, b) => (seriesKey(a) < seriesKey(b) ? -1 : 1))

describe('sets of statistics', () => {
  const any = fc.array(
    fc.record({
      name: fc.constantFrom('requests', 'errors'),
      labels: fc.constantFrom({}, { code: 200 }, { code: 500, protocol: 'v2' }, { protocol: 'v2', code: 500 }),
      statistic: fc.oneof(
        fc.nat(1000).map(count),
        fc
          .array(
            fc.nat(4096).map((value) => value / 1024),
            { maxLength: 10 },
          )
          .map(latencies),
      ),
    }),
    { maxLength: 6 },
  )
  // A name has one kind; what comes twice under one name and labels is added up before.
  const sets = any.map((list) =>
    mergeSeries<KnownStatistic>(
      [],
      list.map((one) => ({ ...one, name: `${one.name} ${one.statistic.kind}` })),
    ).reduce<Known[]>((all, one) => mergeSeries(all, [one]), []),
  )

  it('add up in any order and grouping, by name and labels', () =>
    fc.assert(
      fc.property(sets, sets, sets, (a, b, c) => {
        const merged = inOrder(mergeSeries(mergeSeries(a, b), c))
        assert.deepEqual(inOrder(mergeSeries(a, mergeSeries(b, c))), merged)
        assert.deepEqual(inOrder(mergeSeries(mergeSeries(c, b), a)), merged)
        assert.deepEqual(inOrder(mergeSeries(merged, [])), merged)
      }),
    ))

  it('grow by what was added, and what has not grown is not told', () =>
    fc.assert(
      fc.property(sets, sets, (before, more) => {
        const grown = growthOf(mergeSeries(before, more), before)
        const expected = growthOf(more, [])
        assert.deepEqual(inOrder(grown).map(seriesKey), inOrder(expected).map(seriesKey))
        for (const series of grown) {
          const [one, other] = [series.statistic, expected.find((some) => seriesKey(some) === seriesKey(series))!.statistic]
          assert.ok(
            one.kind === 'count'
              ? one.value === (other as { value: number }).value
              : one.kind === 'histogram' && other.kind === 'histogram' && one.count === other.count,
          )
        }
      }),
    ))

  it('counts are summed, histograms merged, and what one side has alone is kept', () => {
    const merged = mergeSeries(
      named({ requests: count(2), left: count(1), seconds: latencies([1]) }),
      named({ requests: count(3), right: count(4), seconds: latencies([2]) }),
    )
    assert.deepEqual(inOrder(merged), inOrder(named({ requests: count(5), left: count(1), right: count(4), seconds: latencies([1, 2]) })))
  })

  it('one name for two kinds of statistic is refused', () => {
    assert.throws(
      () => mergeSeries(named({ a: count(1) }), named({ a: latencies([1]) })),
      /statistic "a": a count on one side and a histogram on the other/,
    )
  })
})
