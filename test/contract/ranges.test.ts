import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { shareOut, STEPS } from '../../src/contract/ranges.ts'
import { unitPoint } from '../../src/contract/routing.ts'
import { Router } from '../../src/serving/router/router.ts'
import { randomFrom } from '../soak/random.ts'
import type { Range } from '../../src/contract/ranges.ts'

function sizes(ranges: readonly Range[]): Record<string, number> {
  const found: Record<string, number> = {}
  for (const { variant, from, until } of ranges) found[variant] = (found[variant] ?? 0) + until - from
  return found
}

/** Whose each point is. */
function owners(ranges: readonly Range[]): string[] {
  const all = Array.from({ length: STEPS }, () => '')
  for (const { variant, from, until } of ranges) all.fill(variant, from, until)
  return all
}

describe('ranges of points', () => {
  it('adjoin in the order of the variants at first, and cover everything', () => {
    assert.deepEqual(shareOut({ main: 95, next: 5 }), [
      { variant: 'main', from: 0, until: 9500 },
      { variant: 'next', from: 9500, until: 10_000 },
    ])
    assert.deepEqual(shareOut({ main: 0, next: 3 }), [{ variant: 'next', from: 0, until: 10_000 }])
    assert.deepEqual(
      shareOut({ a: 1, b: 1, c: 1 }).map(({ until }) => until),
      [3334, 6667, 10_000],
    )
    assert.deepEqual(shareOut({ main: 0 }), [])
    assert.deepEqual(sizes(shareOut({ main: 99.99, next: 0.01 })), { main: 9999, next: 1 })
    assert.deepEqual(sizes(shareOut({ main: 1e6, next: 0.0001 })), { main: 9999, next: 1 }, 'what has a weight has requests')
  })

  it('of a canary that grows are taken from whoever shrinks, and from nobody else', () => {
    let ranges = shareOut({ main: 90, other: 10 })
    const third = owners(ranges).flatMap((variant, point) => (variant === 'other' ? [point] : []))
    let had: number[] = []
    for (const share of [1, 5, 25, 50, 90]) {
      ranges = shareOut({ main: 90 - share, other: 10, next: share }, ranges)
      const now = owners(ranges)
      assert.ok(
        third.every((point) => now[point] === 'other'),
        `the third party keeps its points at ${share} %`,
      )
      assert.ok(
        had.every((point) => now[point] === 'next'),
        `whoever had the canary keeps it at ${share} %`,
      )
      had = now.flatMap((variant, point) => (variant === 'next' ? [point] : []))
      assert.equal(had.length, share * 100)
    }
  })

  it('move by as little as weights do, whatever they are', () => {
    const random = randomFrom(5)
    for (let round = 0; round < 200; round++) {
      let ranges: Range[] = []
      for (let change = 0; change < 8; change++) {
        const weights = Object.fromEntries(
          Array.from({ length: 1 + random.below(6) }, () => [`v${random.below(8)}`, random.pick([0, 1, 5, 33.33, 100 * random.next()])]),
        )
        if (Object.values(weights).every((weight) => weight === 0)) continue
        const next = shareOut(weights, ranges)
        let end = 0
        for (const { variant, from, until } of next) {
          assert.ok(from === end && until > from && weights[variant]! > 0, JSON.stringify(next))
          end = until
        }
        assert.equal(end, STEPS)
        if (ranges.length > 0) {
          const [before, after] = [owners(ranges), owners(next)]
          const moved = before.filter((variant, point) => variant !== after[point]).length
          const [had, have] = [sizes(ranges), sizes(next)]
          const needed = Object.keys({ ...had, ...have }).reduce(
            (sum, variant) => sum + Math.max(0, (have[variant] ?? 0) - (had[variant] ?? 0)),
            0,
          )
          assert.equal(moved, needed, `${JSON.stringify(had)} to ${JSON.stringify(have)}`)
        }
        ranges = next
      }
    }
  })

  it('of a rollout over ten million units: nobody who has the canary loses it, and the shares are what was set', () => {
    const UNITS = 10_000_000
    const SHARES = [0.01, 1, 10, 50, 100]
    let ranges = shareOut({ main: 100 })
    const canaries = SHARES.map((share) => {
      ranges = shareOut({ main: 100 - share, next: share }, ranges)
      return owners(ranges).map((variant) => variant === 'next')
    })
    const counts = SHARES.map(() => 0)
    for (let unit = 0; unit < UNITS; unit++) {
      const at = Math.floor(unitPoint('salt', `user-${unit}`) * STEPS)
      let had = false
      for (const [step, canary] of canaries.entries()) {
        if (had && !canary[at]) assert.fail(`unit ${unit} lost the canary at ${SHARES[step]} %`)
        had = canary[at]!
        counts[step]! += Number(had)
      }
    }
    for (const [step, share] of SHARES.entries()) {
      const expected = (UNITS * share) / 100
      const spread = 5 * Math.sqrt(expected * (1 - share / 100)) + 1
      assert.ok(Math.abs(counts[step]! - expected) <= spread, `${counts[step]} at ${share} %`)
    }
  })
})

describe('a router with ranges', () => {
  const variant = (name: string) => ({ spec: { name, version: name } })
  const ranges = shareOut({ main: 40, next: 20, other: 40 }, shareOut({ main: 60, other: 40 }))

  it('sends each unit where its point lies', () => {
    const routing = { weights: { main: 40, next: 20, other: 40 }, salt: 's', segment: 2, ranges }
    const router = new Router('e', ['main', 'next', 'other'].map(variant), routing)
    const now = owners(ranges)
    for (let unit = 0; unit < 20_000; unit++) {
      const { decision } = router.decide({ unit: String(unit) })!
      assert.equal(decision.assigned, now[Math.floor(unitPoint('s', String(unit)) * STEPS)])
      assert.equal(decision.assignment, 'randomised')
    }
  })

  it('shares out the units of a variant that is not there, and moves no others', () => {
    const routing = { weights: { main: 40, next: 20, other: 40 }, salt: 's', segment: 2, ranges }
    const router = new Router('e', ['main', 'other'].map(variant), routing)
    const now = owners(ranges)
    const counts = { main: 0, other: 0 }
    for (let unit = 0; unit < 20_000; unit++) {
      const { decision } = router.decide({ unit: String(unit) })!
      const owner = now[Math.floor(unitPoint('s', String(unit)) * STEPS)]
      assert.equal(decision.assignment, 'incomplete')
      if (owner === 'next') counts[decision.assigned as keyof typeof counts]++
      else assert.equal(decision.assigned, owner)
    }
    assert.ok(Math.abs(counts.main - counts.other) < 0.1 * (counts.main + counts.other), JSON.stringify(counts))
  })
})
