/**
 * What the judge promises and how soon it sees, by seeded simulations: `npm run bench:judge [-- --runs 5000]`. Five minutes; prints tables and asserts
 * nothing.
 */
import { parseArgs } from 'node:util'
import { expectations } from '../../src/judge/expected.ts'
import { judge } from '../../src/judge/judge.ts'
import { resolveJudge } from '../../src/judge/spec.ts'
import { helpFrom } from '../../scripts/help.ts'
import { markdownTable, median } from '../table.ts'
import { peekedTest, ratioThreshold, successThreshold } from './contrast.ts'
import {
  betterThan,
  heavyUnits,
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
} from './simulate.ts'
import type { Evidence } from '../../src/judge/evidence.ts'
import type { Watcher } from './contrast.ts'
import type { RolloutRun } from './simulate.ts'

helpFrom(import.meta.filename)

const { values } = parseArgs({ options: { runs: { type: 'string', default: '1000' } } })
const RUNS = Number(values.runs)
const ALPHA = 0.05
const BASE = 0.01

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
const ramp = (n: number): number => [0.01, 0.05, 0.25, 0.5][Math.min(3, Math.floor(n / 1000))]!

console.log(
  `seeds 1 to ${RUNS}, alpha ${ALPHA}; a share of ${percent(ALPHA)} is known to ${percent(3 * Math.sqrt((ALPHA * (1 - ALPHA)) / RUNS))} (three standard deviations)\n`,
)

console.log('A look after every event, to 5000 events:\n')
{
  const rows = (
    [
      ['1 %', () => 0.01],
      ['5 %', () => 0.05],
      ['10 %', () => 0.1],
      ['50 %', () => 0.5],
      ['1, 5, 25, 50 %', ramp],
    ] as const
  ).map(([what, shareAt]) => {
    const alarms = repeated(RUNS, 1, (random) => runOnce({ shareAt, ratio: 1, events: 5000 }, random, { alpha: ALPHA, log: worseThan(1) }))
    const tolerated = repeated(RUNS, 2, (random) =>
      runOnce({ shareAt, ratio: 1.1, events: 5000 }, random, { alpha: ALPHA, log: worseThan(1.1) }),
    )
    const passes = repeated(RUNS, 3, (random) => runOnce({ shareAt, ratio: 2, events: 5000 }, random, { alpha: ALPHA, log: betterThan(2) }))
    return [what, ...[alarms, tolerated, passes].map((stops) => percent(shareStopped(stops)))]
  })
  console.log(markdownTable(['share of the candidate', 'false alarms', 'with 1.1 tolerated, at 1.1', 'false passes, at 2'], rows))
}

const steps = (window: number): number => (window < 60 ? 0.05 : window < 120 ? 0.2 : 0.5)
const WINDOWS = 240
const REQUESTS = 1000
const RULES = resolveJudge({ falseAlarm: ALPHA, metrics: { errors: {} } })

console.log(
  `\nA rollout over ${WINDOWS} windows of ${REQUESTS} requests at 5, 20 and 50 %, looked at after each, of a version that is no worse; how many are turned back:\n`,
)
{
  const cases: Record<string, Partial<RolloutRun>> = {
    'errors of 1 %': {},
    'a rate that moves, 0.5 to 2.5 %': { rateAt: (window) => BASE * (1.5 + Math.sin(window / 7)) },
    'bursts that both arms have': { rateAt: (_, random) => (random() < 0.05 ? 0.2 : 0.005) },
    'bursts of 2 in one arm': { rateAt: () => 2 * BASE, burst: () => 2 },
    'bursts of 4 in one arm': { rateAt: () => 2 * BASE, burst: () => 4 },
    'bursts of 8 in one arm': { rateAt: () => 2 * BASE, burst: () => 8 },
    'bursts of 1 to 15 in one arm': { rateAt: () => 2 * BASE, burst: (random) => 1 + Math.floor(15 * random()) },
  }
  const turnedBack = (run: RolloutRun, watch: () => Watcher): number => {
    let alarms = 0
    for (let seed = 1; seed <= RUNS; seed++) {
      const watcher = watch()
      for (const window of windowsOf(run, seeded(seed)))
        if (watcher(window)) {
          alarms++
          break
        }
    }
    return alarms / RUNS
  }
  const rows = Object.entries(cases).map(([what, more]) => {
    const run: RolloutRun = { shareAt: steps, rateAt: () => BASE, ratio: 1, windows: WINDOWS, requests: REQUESTS, ...more }
    let alarms = 0
    for (let seed = 1; seed <= RUNS; seed++) if (judged(run, RULES, seeded(seed), ['fail']).verdict === 'fail') alarms++
    return [
      what,
      percent(alarms / RUNS),
      ...[peekedTest, successThreshold, ratioThreshold].map((watch) => percent(turnedBack(run, () => watch()))),
    ]
  })
  console.log(
    markdownTable(['', 'Slipway', 'test of two proportions, peeked at', '99 % success, five times', 'twice the base, three times'], rows),
  )
}

{
  const runs = Math.min(RUNS, 200)
  console.log(`\nVersions that are as bad as must be ruled out, and pass all the same, over 200 windows (${runs} runs):\n`)
  const strict = resolveJudge({ metrics: { errors: { cap: false } } })
  const shares = [0.05, 0.2, 0.5]
  const rows = [1, 2, 8, 16, 30].map((size) => [
    `bursts of ${size}`,
    ...shares.map((share) => {
      const run: RolloutRun = {
        shareAt: () => share,
        rateAt: () => 2 * BASE,
        ratio: 2,
        windows: 200,
        requests: REQUESTS,
        burst: () => size,
      }
      let passes = 0
      for (let seed = 1; seed <= runs; seed++) if (judged(run, strict, seeded(seed), ['pass']).verdict === 'pass') passes++
      return percent(passes / runs)
    }),
  ])
  console.log(markdownTable(['failures of one arm in', ...shares.map(percent)], rows))
}

console.log('\nUnits that come again and again: 4000, of which a hundred cause most errors, while the share grows from 5 to 50 %:\n')
{
  const heavy = heavyUnits(20_000)
  const alarms = (counted: 'units' | 'requests'): number => {
    let count = 0
    for (let seed = 1; seed <= RUNS; seed++)
      if (unitRun(heavy, seeded(seed), (tallies) => worseThan(1)(tallies[counted].events) >= Math.log(1 / ALPHA))) count++
    return count / RUNS
  }
  console.log(`false alarms counting units: ${percent(alarms('units'))}; counting their requests: ${percent(alarms('requests'))}`)
}

console.log('\nHow soon a worse version is seen, in bad events of both arms; beside it the test that knows the true ratio:\n')
{
  const rows: string[][] = []
  for (const share of [0.01, 0.05, 0.1, 0.25, 0.5])
    for (const ratio of [1.5, 2, 3, 5]) {
      const run = { shareAt: () => share, ratio, events: 20_000 }
      const ours = repeated(RUNS, 5, (random) => runOnce(run, random, { alpha: ALPHA, log: worseThan(1) }))
      const best = repeated(RUNS, 5, (random) => runOnce(run, random, { alpha: ALPHA, log: oracle(1, ratio) }))
      const sorted = ours.map(({ at }) => at).toSorted((a, b) => a - b)
      const rate = BASE * (1 - share) + BASE * ratio * share
      rows.push([
        percent(share),
        String(ratio),
        String(medianOf(ours)),
        String(sorted[Math.floor(0.9 * RUNS)]),
        String(medianOf(best)),
        (medianOf(ours) / medianOf(best)).toFixed(2),
        `${(medianOf(ours) / rate / 1000).toFixed(1)} k`,
      ])
    }
  console.log(markdownTable(['share', 'ratio', 'median', 'p90', 'oracle', 'of the oracle', 'requests at 1 %, median'], rows))
}

console.log('\nHow soon a version that is no worse passes, in bad events:\n')
{
  const rows = [0.05, 0.1, 0.25, 0.5].map((share) => [
    percent(share),
    ...[1.25, 1.5, 2, 3].map((bound) => {
      const stops = repeated(RUNS, 6, (random) =>
        runOnce({ shareAt: () => share, ratio: 1, events: 20_000 }, random, { alpha: ALPHA, log: betterThan(bound) }),
      )
      return String(medianOf(stops))
    }),
  ])
  console.log(markdownTable(['share', 'rules out 1.25', '1.5', '2', '3'], rows))
}

console.log('\nWhat is told beforehand, at 5 % of 100 requests a second with 1 % errors:\n')
{
  const rows = expectations(RULES.metrics[0]!, { share: 0.05, baseRate: BASE, requestsPerSecond: 100 }).map(
    ({ ratio, shown, requests, seconds }) => [
      `${ratio} times as often`,
      shown,
      String(requests),
      seconds === undefined ? '' : `${(seconds / 60).toFixed(1)} min`,
    ],
  )
  console.log(markdownTable(['a version that goes wrong', 'is shown to', 'requests', 'time'], rows))
}

{
  const metrics = Array.from({ length: 20 }, (_, index) => `metric-${index}`)
  const rules = resolveJudge({ metrics: Object.fromEntries(metrics.map((name) => [name, {}])) })
  const rows: Evidence[] = metrics.flatMap((metric) =>
    Array.from({ length: 100 }, (_, at) => ({
      metric,
      interval: { fromMs: at, untilMs: at + 1 },
      segment: String(at),
      share: 0.05 + (at % 10) / 100,
    })).flatMap((row) => [
      { ...row, arm: 'base' as const, k: 3, exposures: 1000 },
      { ...row, arm: 'candidate' as const, k: 1, exposures: 100 },
    ]),
  )
  const times = Array.from({ length: 200 }, () => {
    const began = performance.now()
    judge(rules, rows)
    return performance.now() - began
  })
  console.log(`\nOne look over 20 metrics and 100 segments of 10 shares: ${median(times.slice(50)).toFixed(2)} ms (goal 1 ms)`)
}
