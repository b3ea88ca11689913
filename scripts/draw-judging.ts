/** Draws the plots of docs/guides/judging.md from seeded simulations: `scripts/node scripts/draw-judging.ts`. A test compares. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { peekedTest } from '../bench/judge/contrast.ts'
import { medianOf, repeated, runOnce, seeded, Tally, windowsOf, worseThan } from '../bench/judge/simulate.ts'
import { chanceOf, eventsOf, logWorse, ratioInterval } from '../src/judge/event-share.ts'
import { pairUp } from '../src/judge/evidence.ts'
import { linePlot } from './line-plot.ts'
import type { Evidence } from '../src/judge/evidence.ts'
import type { Line } from './line-plot.ts'

const [BLUE, RED, GREEN, GREY] = ['#1f5fbf', '#c0392b', '#2e8b57', '#666']
const ALPHA = 0.05

function evidence(): string {
  const EVENTS = 400
  const line = (ratio: number, seed: number): readonly [number, number][] => {
    const random = seeded(seed)
    const tally = new Tally()
    const share = 0.1
    return Array.from({ length: EVENTS }, (_, n) => {
      tally.add(share, random() < chanceOf(ratio, share))
      return [n + 1, Math.exp(logWorse(tally.events, 1))] as const
    })
  }
  const many = (ratio: number, name: string, color: string): Line[] =>
    Array.from({ length: 6 }, (_, seed) => ({ name, color, points: line(ratio, 11 + seed) }))
  return linePlot({
    title: 'Evidence that the candidate is worse, at 10 % of the traffic',
    x: { label: 'bad events of both arms', from: 0, to: EVENTS, ticks: [0, 100, 200, 300, 400] },
    y: { label: 'e-value', from: 0.01, to: 10_000, log: true, ticks: [0.01, 0.1, 1, 10, 100, 1000, 10_000] },
    lines: [
      ...many(1, 'no worse', BLUE),
      ...many(2, 'twice as often', RED),
      {
        name: 'fails: 1 / 0.05',
        color: GREY,
        dashed: true,
        points: [
          [0, 1 / ALPHA],
          [EVENTS, 1 / ALPHA],
        ],
      },
    ],
  })
}

function looks(): string {
  const [WINDOWS, RUNS] = [240, 400]
  const run = { shareAt: () => 0.1, rateAt: () => 0.01, ratio: 1, windows: WINDOWS, requests: 1000 }
  const ours = Array.from({ length: WINDOWS }, () => 0)
  const peeked = Array.from({ length: WINDOWS }, () => 0)
  for (let seed = 1; seed <= RUNS; seed++) {
    const tally = { k: 0, n: 0 }
    const watcher = peekedTest()
    let [failed, found] = [false, false]
    let window = 0
    for (const rows of windowsOf(run, seeded(seed))) {
      for (const { arm, k } of rows) {
        tally.n += k
        if (arm === 'candidate') tally.k += k
      }
      failed ||= logWorse([{ share: 0.1, ...tally }], 1) >= Math.log(1 / ALPHA)
      found = watcher(rows) || found
      if (failed) ours[window]! += 1 / RUNS
      if (found) peeked[window]! += 1 / RUNS
      window++
    }
  }
  const points = (shares: readonly number[]) => shares.map((share, index) => [index + 1, share] as const)
  return linePlot({
    title: 'Versions that are no worse, and are turned back',
    x: { label: 'looks, one every ten seconds', from: 1, to: WINDOWS, ticks: [1, 60, 120, 180, 240] },
    y: {
      label: 'share of rollouts so far',
      from: 0,
      to: 0.6,
      ticks: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
      write: (value) => `${Math.round(100 * value)} %`,
    },
    lines: [
      { name: 'two proportions, 5 %', color: RED, points: points(peeked) },
      { name: 'Slipway, 5 %', color: BLUE, points: points(ours) },
      {
        name: 'promised',
        color: GREY,
        dashed: true,
        points: [
          [1, ALPHA],
          [WINDOWS, ALPHA],
        ],
      },
    ],
  })
}

function times(): string {
  const shares = [0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5]
  const rate = 0.01
  const line = (ratio: number, color: string): Line => ({
    name: `${ratio} times as often`,
    color,
    points: shares.map((share) => {
      const run = { shareAt: () => share, ratio, events: 20_000 }
      const events = medianOf(repeated(101, 5, (random) => runOnce(run, random, { alpha: ALPHA, log: worseThan(1) })))
      return [share, events / (rate * (1 - share) + rate * ratio * share)] as const
    }),
  })
  return linePlot({
    title: 'Requests of both arms until a worse version fails, at 1 % errors',
    x: { label: 'share of the candidate', from: 0.01, to: 0.5, log: true, ticks: shares, write: (value) => `${Math.round(100 * value)} %` },
    y: {
      label: 'requests, median',
      from: 300,
      to: 300_000,
      log: true,
      ticks: [300, 1000, 3000, 10_000, 30_000, 100_000, 300_000],
      write: (value) => value.toLocaleString('en'),
    },
    lines: [line(1.5, GREEN), line(2, BLUE), line(5, RED)],
  })
}

function interval(): string {
  const WINDOWS = 200
  const run = { shareAt: () => 0.2, rateAt: () => 0.01, ratio: 2, windows: WINDOWS, requests: 500 }
  const rows: Evidence[] = []
  const low: [number, number][] = []
  const high: [number, number][] = []
  for (const window of windowsOf(run, seeded(4))) {
    rows.push(...window)
    const found = ratioInterval(eventsOf(pairUp(rows)), ALPHA)
    low.push([low.length + 1, found.low])
    high.push([high.length + 1, found.high])
  }
  return linePlot({
    title: 'Ratios that are not ruled out, of a candidate that goes wrong twice as often',
    x: { label: 'looks, one every ten seconds', from: 1, to: WINDOWS, ticks: [1, 50, 100, 150, 200] },
    y: { label: 'times as often as the base', from: 0.25, to: 16, log: true, ticks: [0.25, 0.5, 1, 2, 4, 8, 16] },
    lines: [
      { name: 'not ruled out (95 %)', color: BLUE, points: low },
      { name: 'not ruled out (95 %)', color: BLUE, points: high },
      {
        name: 'the truth',
        color: GREY,
        dashed: true,
        points: [
          [1, 2],
          [WINDOWS, 2],
        ],
      },
    ],
  })
}

/** By file name. */
export function judgingPlots(): ReadonlyMap<string, string> {
  return new Map([
    ['evidence.svg', evidence()],
    ['looks.svg', looks()],
    ['interval.svg', interval()],
    ['times.svg', times()],
  ])
}

if (import.meta.main) {
  const folder = join(import.meta.dirname, '../docs/guides/judging')
  mkdirSync(folder, { recursive: true })
  for (const [name, svg] of judgingPlots()) writeFileSync(join(folder, name), svg)
}
