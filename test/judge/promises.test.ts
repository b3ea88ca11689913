/**
 * What the judge promises, by seeded simulations: the full ones, with more runs and cases, are `npm run bench:judge`. A look follows every event.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { resolveJudge } from '../../src/judge/spec.ts'
import { twoProportionZ } from '../../src/judge/reports/fixed-horizon.ts'
import {
  allowed,
  betterThan,
  judged,
  medianOf,
  oracle,
  repeated,
  runOnce,
  seeded,
  shareStopped,
  unitRun,
  windowsOf,
  worseThan,
  heavyUnits,
} from '../../bench/judge/simulate.ts'
import type { RolloutRun, UnitRun, UnitTallies } from '../../bench/judge/simulate.ts'

const RUNS = 300
const ALPHA = 0.05
const ramp = (n: number): number => [0.01, 0.05, 0.25, 0.5][Math.min(3, Math.floor(n / 250))]!

describe('a version that is no worse', () => {
  for (const [what, shareAt] of [
    ['at 1 %', () => 0.01],
    ['at 5 %', () => 0.05],
    ['at 10 %', () => 0.1],
    ['at 50 %', () => 0.5],
    ['while its share grows', ramp],
  ] as const)
    it(`fails at any time no more often than is promised, ${what}`, () => {
      const run = { shareAt, ratio: 1, events: 1500 }
      const alarms = shareStopped(repeated(RUNS, 1, (random) => runOnce(run, random, { alpha: ALPHA, log: worseThan(1) })))
      assert.ok(alarms <= allowed(ALPHA, RUNS), `${alarms} of the runs`)
    })

  it('is let through no more often than is promised where it is as bad as must be ruled out', () => {
    for (const shareAt of [() => 0.05, ramp]) {
      const run = { shareAt, ratio: 2, events: 1500 }
      const passes = shareStopped(repeated(RUNS, 2, (random) => runOnce(run, random, { alpha: ALPHA, log: betterThan(2) })))
      assert.ok(passes <= allowed(ALPHA, RUNS), `${passes} of the runs`)
    }
  })

  it('is no alarm where more is tolerated', () => {
    const run = { shareAt: () => 0.05, ratio: 1.3, events: 1500 }
    const alarms = shareStopped(repeated(RUNS, 3, (random) => runOnce(run, random, { alpha: ALPHA, log: worseThan(1.3) })))
    assert.ok(alarms <= allowed(ALPHA, RUNS), `${alarms} of the runs`)
  })

  it('would fail six times as often by a test of two proportions that is looked at again and again', () => {
    const run: RolloutRun = { shareAt: () => 0.1, rateAt: () => 0.02, ratio: 1, windows: 150, requests: 1000 }
    let alarms = 0
    for (let seed = 0; seed < RUNS; seed++) {
      const sums = { base: { k: 0, exposures: 0 }, candidate: { k: 0, exposures: 0 } }
      for (const rows of windowsOf(run, seeded(seed))) {
        for (const { arm, k, exposures } of rows) sums[arm] = { k: sums[arm].k + k, exposures: sums[arm].exposures + exposures }
        if (twoProportionZ(sums.base, sums.candidate) <= 1.645) continue
        alarms++
        break
      }
    }
    assert.ok(alarms / RUNS > 0.25, `${alarms} of ${RUNS}`)
  })
})

const rules = resolveJudge({ falseAlarm: ALPHA, metrics: { errors: {} } })
const steps = (window: number): number => (window < 30 ? 0.05 : window < 60 ? 0.2 : 0.5)

describe('a rollout that is judged after each window', () => {
  const CASES: Record<string, Partial<RolloutRun>> = {
    'with a rate that moves': { rateAt: (window) => 0.01 * (1.5 + Math.sin(window / 7)) },
    'with bursts that both arms have': { rateAt: (_, random) => (random() < 0.05 ? 0.2 : 0.005) },
    ...Object.fromEntries(
      [2, 4, 8].map((size) => [
        `with bursts of ${size} in one arm`,
        { rateAt: () => 0.02, burst: () => size } satisfies Partial<RolloutRun>,
      ]),
    ),
  }
  for (const [what, run] of Object.entries(CASES))
    it(`${what} is turned back no more often than is promised, where the version is no worse`, () => {
      let alarms = 0
      for (let seed = 0; seed < 200; seed++)
        if (
          judged({ shareAt: steps, rateAt: () => 0.01, ratio: 1, windows: 120, requests: 1000, ...run }, rules, seeded(seed), ['fail'])
            .verdict === 'fail'
        )
          alarms++
      assert.ok(alarms / 200 <= allowed(ALPHA, 200), `${alarms} of 200`)
    })

  it('is let through no more often than is promised where it is as bad as must be ruled out, also where failures come in bursts', () => {
    const strict = resolveJudge({ metrics: { errors: { cap: false } } })
    for (const size of [1, 8, 30]) {
      let passes = 0
      const run: RolloutRun = { shareAt: () => 0.2, rateAt: () => 0.02, ratio: 2, windows: 120, requests: 1000, burst: () => size }
      for (let seed = 0; seed < 100; seed++) if (judged(run, strict, seeded(seed), ['pass']).verdict === 'pass') passes++
      assert.ok(passes / 100 <= allowed(ALPHA, 100), `${passes} of 100, in bursts of ${size}`)
    }
  })

  it('is turned back soon where the version is much worse, and let through where it is not', () => {
    const run: RolloutRun = { shareAt: steps, rateAt: () => 0.01, ratio: 3, windows: 200, requests: 2000 }
    const bad = Array.from({ length: 50 }, (_, seed) => judged(run, rules, seeded(seed)))
    assert.ok(bad.filter(({ verdict }) => verdict === 'fail').length >= 49)
    const good = Array.from({ length: 50 }, (_, seed) => judged({ ...run, ratio: 1 }, rules, seeded(seed)))
    assert.ok(good.filter(({ verdict }) => verdict === 'pass').length >= 45, JSON.stringify(good.map(({ verdict }) => verdict)))
  })
})

describe('units that come again and again', () => {
  const heavy = heavyUnits(12_000)
  const alarmsBy = (counted: keyof UnitTallies): number => {
    let alarms = 0
    for (let seed = 0; seed < 200; seed++)
      if (unitRun(heavy, seeded(seed), (tallies) => worseThan(1)(tallies[counted].events) >= Math.log(1 / ALPHA))) alarms++
    return alarms / 200
  }

  it('are counted once, at their first event under the share of that moment, and keep the promise; their requests do not', () => {
    const [units, requests] = [alarmsBy('units'), alarmsBy('requests')]
    assert.ok(units <= allowed(ALPHA, 200), `units: ${units}`)
    assert.ok(requests > 2 * ALPHA, `requests: ${requests}`)
  })

  it('pass by what happens within a horizon, as sooner or later every unit has had an event', () => {
    const passes = (horizon: number): number => {
      let count = 0
      const run: UnitRun = {
        units: 2000,
        requests: 200_000,
        shareAt: () => 0.3,
        weightOf: () => 1,
        rateOf: (_, arm) => (arm === 'candidate' ? 0.04 : 0.02),
        horizon,
      }
      for (let seed = 0; seed < 40; seed++)
        if (unitRun(run, seeded(seed), (tallies) => betterThan(2)(tallies.inHorizon.events) >= Math.log(1 / ALPHA))) count++
      return count / 40
    }
    // Within a few requests of a unit, twice the rate is about twice as many units; within a hundred it is hardly more.
    assert.ok(passes(1) <= allowed(ALPHA, 40), String(passes(1)))
    assert.ok(passes(100) > 0.9, String(passes(100)))
  })
})

describe('two servers', () => {
  it('with rates of their own and shares that lag keep the promise, each with the share that it applied', () => {
    let [own, merged] = [0, 0]
    for (let seed = 0; seed < 200; seed++) {
      const random = seeded(seed)
      const servers = [
        { share: 0.05, rate: 0.002 },
        { share: 0.25, rate: 0.02 },
      ]
      const counts = { k: [0, 0], n: [0, 0], candidate: 0, all: 0 }
      let [alarm, mergedAlarm] = [false, false]
      for (let window = 0; window < 150; window++)
        for (const [index, { share, rate }] of servers.entries()) {
          const requests = 1000
          const binomial = (n: number, p: number): number => {
            let count = 0
            for (let i = 0; i < n; i++) if (random() < p) count++
            return count
          }
          const candidate = Math.round(requests * share)
          const k = binomial(candidate, rate)
          const base = binomial(requests - candidate, rate)
          counts.k[index]! += k
          counts.n[index]! += k + base
          counts.candidate += candidate
          counts.all += requests
          const events = servers.map((server, at) => ({ share: server.share, k: counts.k[at]!, n: counts.n[at]! }))
          alarm ||= worseThan(1)(events) >= Math.log(1 / ALPHA)
          const together = [{ share: counts.candidate / counts.all, k: counts.k[0]! + counts.k[1]!, n: counts.n[0]! + counts.n[1]! }]
          mergedAlarm ||= worseThan(1)(together) >= Math.log(1 / ALPHA)
        }
      if (alarm) own++
      if (mergedAlarm) merged++
    }
    assert.ok(own / 200 <= allowed(ALPHA, 200), `${own} of 200`)
    assert.ok(merged / 200 > 0.9, `the share over both says otherwise: ${merged} of 200`)
  })
})

describe('how soon a worse version is seen', () => {
  // Medians of bad events in docs/guides/judging.md.
  for (const [share, ratio, most] of [
    [0.05, 2, 204],
    [0.5, 2, 60],
    [0.1, 3, 40],
  ] as const)
    it(`${ratio} times as often at ${100 * share} % takes at most ${most} events in the median, and not much more than a test that knows the ratio`, () => {
      const run = { shareAt: () => share, ratio, events: 5000 }
      const stop = (log: ReturnType<typeof worseThan>) =>
        medianOf(repeated(201, 5, (random) => runOnce(run, random, { alpha: ALPHA, log })))
      const [ours, best] = [stop(worseThan(1)), stop(oracle(1, ratio))]
      assert.ok(ours <= most, `${ours} events`)
      assert.ok(ours <= 1.5 * best, `${ours} events, ${best} by the one that knows`)
    })
})
