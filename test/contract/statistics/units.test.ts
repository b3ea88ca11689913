import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { readStatistic, writeStatistic } from '../../../src/contract/statistics/statistics.ts'
import { HASHES, sizeOf, unitHash, Units, UNITS_MAX, unitsKind } from '../../../src/contract/statistics/units.ts'
import { unitPoint } from '../../../src/contract/routing.ts'
import type { UnitsData } from '../../../src/contract/statistics/units.ts'

function setOf(units: Iterable<readonly [number, number]>): UnitsData {
  const set = new Units()
  for (const [hash, timeMs] of units) set.add(hash, timeMs)
  return set.snapshot()
}

const named = (from: number, until: number): UnitsData =>
  setOf(Array.from({ length: until - from }, (_, index) => [unitHash(`u${from + index}`), 1000 + index] as const))

const sorted = ({ limit, first }: UnitsData) => ({ limit, first: [...first].toSorted(([a], [b]) => a - b) })

const entries = fc.array(
  fc.tuple(
    fc.integer({ min: 0, max: 200 }).map((index) => unitHash(String(index))),
    fc.integer({ min: 0, max: 1000 }),
  ),
)

describe('a set of units', () => {
  it('is the same in whatever order and split it is merged, with the earliest time of each', () =>
    fc.assert(
      fc.property(entries, entries, entries, (a, b, c) => {
        const whole = sorted(setOf([...a, ...b, ...c]))
        const [x, y, z] = [setOf(a), setOf(b), setOf(c)]
        assert.deepEqual(sorted(unitsKind.merge(unitsKind.merge(x, y), z)), whole)
        assert.deepEqual(sorted(unitsKind.merge(z, unitsKind.merge(y, x))), whole)
        assert.deepEqual(sorted(unitsKind.merge(x, x)), sorted(x), 'twice is once')
      }),
    ))

  it('comes back from its wire form, and what is new since a cut adds up to it', () =>
    fc.assert(
      fc.property(entries, entries, (before, more) => {
        const [then, now] = [setOf(before), setOf([...before, ...more])]
        const read = readStatistic(JSON.parse(JSON.stringify(writeStatistic(now))))
        assert.ok('values' in read)
        assert.deepEqual(sorted(read.values[0] as UnitsData), sorted(now))
        const grown = unitsKind.subtract(now, then)
        assert.deepEqual(sorted(grown === undefined ? then : unitsKind.merge(then, grown)), sorted(now))
      }),
    ))

  it('keeps a bounded part of ten thousand times as many, whose share of any kind is that of all', () => {
    const [exposed, wrong] = [new Units(), new Units()]
    let wrongs = 0
    for (let index = 0; index < 2_000_000; index++) {
      const unit = unitHash(`unit ${index}`)
      exposed.add(unit, index)
      if (index % 20 === 0) {
        wrong.add(unit, index)
        wrongs++
      }
    }
    const [all, some] = [exposed.snapshot(), wrong.snapshot()]
    assert.ok(all.first.size <= UNITS_MAX && all.first.size >= UNITS_MAX / 2 - 200)
    assert.ok(Math.abs(sizeOf(all) / 2_000_000 - 1) < 0.07, `estimated ${sizeOf(all)}`)
    assert.ok(Math.abs(sizeOf(some) / wrongs - 1) < 0.07)
    // Under one limit the shares are those of the same units.
    const limit = Math.min(all.limit, some.limit)
    const kept = [...some.first.keys()].filter((hash) => hash < limit)
    assert.ok(kept.every((hash) => all.first.has(hash)))
    const share = kept.length / [...all.first.keys()].filter((hash) => hash < limit).length
    assert.ok(Math.abs(share - 0.05) < 0.02, `share ${share}`)
  })

  it('tells of a smaller limit though no unit is new: what was told before no longer stands for all', () => {
    const small = named(0, 100)
    const thinned: UnitsData = { kind: 'units', limit: HASHES / 4, first: new Map([...small.first].filter(([hash]) => hash < HASHES / 4)) }
    const grown = unitsKind.subtract(thinned, small)
    assert.equal(grown?.limit, HASHES / 4)
    assert.deepEqual(sorted(unitsKind.merge(small, grown!)), sorted(thinned))
    assert.equal(unitsKind.subtract(small, small), undefined)
  })

  it('hashes units independently of their points', () => {
    let together = 0
    for (let index = 0; index < 20_000; index++) if (unitPoint('salt', `u${index}`) < 0.5 === unitHash(`u${index}`) < HASHES / 2) together++
    assert.ok(Math.abs(together / 20_000 - 0.5) < 0.02, `${together} of 20000`)
  })

  it('refuses what is no set', () => {
    for (const wire of [
      { kind: 'units', limit: 0, units: '' },
      { kind: 'units', limit: HASHES, units: '!' },
      { kind: 'units', limit: HASHES, units: 'A'.repeat(200_000) },
      { kind: 'units', limit: HASHES * 2, units: '' },
    ])
      assert.ok('issues' in readStatistic(wire), JSON.stringify(wire).slice(0, 60))
  })
})
