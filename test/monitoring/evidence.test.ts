/** What the judge gets of windows: traps of counting that are about units, segments and arms. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { shareOut } from '../../src/contract/ranges.ts'
import { unitHash, Units } from '../../src/contract/statistics/units.ts'
import { ERRORS, evidenceOf, labelEvidence, slowerThan, WRONG_LABELS } from '../../src/monitoring/evidence.ts'
import { mergeSeries } from '../../src/contract/statistics/series.ts'
import type { EvidenceQuery } from '../../src/monitoring/evidence.ts'
import type { Rollup } from '../../src/monitoring/windows.ts'
import type { Series } from '../../src/contract/statistics/series.ts'
import type { Evidence } from '../../src/judge/evidence.ts'

const HOUR_MS = 3_600_000
const versions = { main: { model: 'm', version: '1' }, next: { model: 'm', version: '2' }, other: { model: 'm', version: '9' } }
const QUERY: EvidenceQuery = {
  base: { variant: 'main', model: 'm', version: '1' },
  candidate: { variant: 'next', model: 'm', version: '2' },
  segments: [
    { segment: 1, ranges: shareOut({ main: 95, next: 5 }), versions },
    { segment: 2, ranges: shareOut({ main: 45, next: 45, other: 10 }), versions },
    { segment: 3, ranges: shareOut({ main: 100 }), versions },
    // The base was another version, and the candidate of another model.
    { segment: 4, ranges: shareOut({ main: 50, next: 50 }), versions: { ...versions, main: { model: 'm', version: '0' } } },
    { segment: 5, ranges: shareOut({ main: 50, next: 50 }), versions: { ...versions, next: { model: 'other', version: '2' } } },
  ],
  horizonMs: HOUR_MS,
  nowMs: 10 * HOUR_MS,
}

const count = (name: string, value: number, labels: Series['labels'] = {}): Series => ({
  name,
  labels,
  statistic: { kind: 'count', value },
})

function units(event: string, first: Readonly<Record<string, number>>): Series {
  const set = new Units()
  for (const [unit, atMs] of Object.entries(first)) set.add(unitHash(unit), atMs)
  return { name: 'units', labels: { event }, statistic: set.snapshot() }
}

const rollup = (variant: string, segment: number, series: readonly Series[], more: Partial<Rollup> = {}): Rollup => ({
  startMs: 0,
  endMs: 10_000,
  endpoint: 'e',
  variant,
  model: 'm',
  version: variant === 'main' ? '1' : '2',
  segment,
  source: 'online',
  series,
  ...more,
})

/** Sums by metric, arm and segment. */
function sums(rows: readonly Evidence[]): Record<string, [k: number, exposures: number, kInHorizon: number]> {
  const found: Record<string, [number, number, number]> = {}
  for (const { metric, arm, segment, k, exposures, kInHorizon = k } of rows) {
    const sum = (found[`${metric}, ${arm}, ${segment}`] ??= [0, 0, 0])
    sum[0] += k
    sum[1] += exposures
    sum[2] += kInHorizon
  }
  return found
}

describe('evidence of requests', () => {
  it('is what chance assigned to these versions, with the share of the candidate among both', () => {
    const rows = evidenceOf(QUERY, [
      rollup('main', 1, [
        count('exposures', 950),
        count('outcomes', 9, { outcome: 'failed' }),
        count('outcomes', 5, { outcome: 'cancelled' }),
      ]),
      rollup('next', 1, [
        count('exposures', 50),
        count('outcomes', 1, { outcome: 'late' }),
        count('outcomes', 1, { outcome: 'overloaded' }),
      ]),
      rollup('next', 2, [count('exposures', 40), count('exceeded', 7, { edge: 250 })]),
      rollup('main', 2, [count('exposures', 60)]),
      // Another version of the variant, another variant, a segment in which the candidate had nothing, and what was no request of anybody.
      rollup('next', 2, [count('exposures', 999)], { version: '3' }),
      rollup('other', 2, [count('exposures', 999)], { version: '9' }),
      rollup('main', 3, [count('exposures', 999)]),
      rollup('main', 2, [count('exposures', 999)], { source: 'batch' }),
      // Segments under which one of them was another version, whose rows would stand alone.
      rollup('next', 4, [count('exposures', 999), count('outcomes', 99, { outcome: 'failed' })]),
      rollup('main', 5, [count('exposures', 999), count('outcomes', 99, { outcome: 'failed' })]),
      rollup('next', 5, [count('exposures', 999)], { model: 'other' }),
    ])
    assert.deepEqual(sums(rows), {
      [`${ERRORS}, base, 1`]: [9, 950, 9],
      [`${ERRORS}, candidate, 1`]: [2, 50, 2],
      [`${ERRORS}, candidate, 2`]: [0, 40, 0],
      [`${ERRORS}, base, 2`]: [0, 60, 0],
      [`${slowerThan(250)}, base, 1`]: [0, 950, 0],
      [`${slowerThan(250)}, candidate, 1`]: [0, 50, 0],
      [`${slowerThan(250)}, candidate, 2`]: [7, 40, 7],
      [`${slowerThan(250)}, base, 2`]: [0, 60, 0],
    })
    assert.deepEqual(new Set(rows.map(({ segment, share }) => `${segment} ${String(share)}`)), new Set(['1 0.05', '2 0.5']))
  })
})

describe('evidence of units', () => {
  it('counts each once: where it was first seen, and where it first went wrong, over windows, servers and segments', () => {
    const rows = evidenceOf(QUERY, [
      rollup('main', 1, [units('exposed', { a: 1000, b: 1000, c: 1000 }), units('wrong', { b: 2000 })]),
      rollup('main', 1, [units('exposed', { a: 5000 }), units('wrong', { b: 9000 })]),
      // The canary grew: c is its own from now on, and fails there; b fails once more.
      rollup('next', 2, [units('exposed', { b: 20_000, c: 20_000, d: 20_000 }), units('wrong', { b: 21_000, c: 21_000 })]),
    ])
    assert.deepEqual(sums(rows), {
      [`${ERRORS}, base, 1 units`]: [1, 3, 1],
      [`${ERRORS}, candidate, 2 units`]: [1, 1, 1],
    })
  })

  it('has gone well only after an hour, and passes nobody by what came later', () => {
    const late = 9 * HOUR_MS + 1
    const rows = evidenceOf(QUERY, [
      rollup('next', 1, [
        units('exposed', { old: 0, young: late, wrong: late, slow: 0 }),
        units('wrong', { wrong: late + 10, slow: 2 * HOUR_MS }),
      ]),
    ])
    assert.deepEqual(sums(rows), { [`${ERRORS}, candidate, 1 units`]: [2, 3, 1] })
  })

  it('is the same in whatever order and split windows are merged', () =>
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            variant: fc.constantFrom('main', 'next'),
            segment: fc.constantFrom(1, 2),
            unit: fc.integer({ min: 0, max: 30 }).map((index) => `u${index}`),
            event: fc.constantFrom('exposed', 'wrong'),
            atMs: fc.integer({ min: 0, max: 100_000 }),
            exposures: fc.integer({ min: 0, max: 5 }),
          }),
          { maxLength: 60 },
        ),
        fc.integer({ min: 1, max: 9 }),
        (events, parts) => {
          const one = (some: typeof events): Rollup[] =>
            [...Map.groupBy(some, ({ variant, segment }) => `${variant} ${segment}`)].map(([name, group]) => {
              const [variant = '', segment = ''] = name.split(' ')
              const series = group.map(({ event, unit, atMs, exposures }) => [
                units(event, { [unit]: atMs }),
                count('exposures', exposures),
              ])
              return rollup(
                variant,
                Number(segment),
                series.reduce<Series[]>((sum, next) => mergeSeries(sum, next), []),
              )
            })
          const whole = sums(evidenceOf(QUERY, one(events)))
          const split = Array.from({ length: parts }, (_, part) => one(events.filter((__, index) => index % parts === part))).flat()
          assert.deepEqual(sums(evidenceOf(QUERY, split.toReversed())), whole)
        },
      ),
    ))
})

describe('evidence of labels', () => {
  it('is of first labels, by the prediction; of units once', () => {
    const at = { variant: 'next', model: 'm', version: '2', segment: 1 }
    const rows = labelEvidence(
      QUERY,
      [
        { ...at, fromMs: 0, untilMs: 600_000, labels: 10, wrong: 3 },
        { ...at, version: '9', fromMs: 0, untilMs: 600_000, labels: 99, wrong: 99 },
      ],
      [
        { ...at, unit: 1, predictedMs: 10, wrong: true },
        { ...at, unit: 1, predictedMs: 20, wrong: true },
        { ...at, unit: 2, predictedMs: 10, wrong: false },
      ],
    )
    assert.deepEqual(sums(rows), {
      [`${WRONG_LABELS}, candidate, 1`]: [3, 10, 3],
      [`${WRONG_LABELS}, candidate, 1 units`]: [1, 2, 1],
    })
  })
})
