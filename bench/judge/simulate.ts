/** Seeded simulations of rollouts, for the promises of the judge. */
import { chanceOf, logBetter, logWorse } from '../../src/judge/event-share.ts'
import { judge } from '../../src/judge/judge.ts'
import { randomFrom } from '../../test/soak/random.ts'
import type { Arm, Evidence } from '../../src/judge/evidence.ts'
import type { Events } from '../../src/judge/event-share.ts'
import type { Peaks, Verdict } from '../../src/judge/judgement.ts'
import type { JudgeRules } from '../../src/judge/spec.ts'

/** In [0, 1). */
export type Random = () => number

/** Numbers that a seed repeats. */
export function seeded(seed: number): Random {
  const random = randomFrom(seed)
  return () => random.next()
}

/** Events that a rollout has seen, by share, as they come. */
export class Tally {
  readonly #byShare = new Map<number, { share: number; k: number; n: number }>()

  add(share: number, isCandidate: boolean): void {
    let sum = this.#byShare.get(share)
    if (sum === undefined) this.#byShare.set(share, (sum = { share, k: 0, n: 0 }))
    sum.n++
    if (isCandidate) sum.k++
  }

  get events(): readonly Events[] {
    return [...this.#byShare.values()]
  }
}

export interface EventRun {
  /** Share of the candidate at the nth event. */
  readonly shareAt: (n: number) => number
  /** How many times as often as the base the candidate goes wrong. */
  readonly ratio: number
  readonly events: number
  /** Events of one burst, all of one arm. Default: 1. */
  readonly burst?: (random: Random) => number
}

export interface Stopped {
  /** Number of the event at which it was shown; Infinity where it never was. */
  readonly at: number
}

/** One rollout that is looked at after every event. @param log the evidence, of which more than ln(1 / alpha) is enough */
export function runOnce(
  { shareAt, ratio, events, burst }: EventRun,
  random: Random,
  { alpha, log }: { readonly alpha: number; readonly log: (events: readonly Events[]) => number },
): Stopped {
  const tally = new Tally()
  const enough = Math.log(1 / alpha)
  for (let n = 0; n < events;) {
    const share = shareAt(n)
    const isCandidate = random() < chanceOf(ratio, share)
    for (let left = burst?.(random) ?? 1; left > 0 && n < events; left--) {
      tally.add(share, isCandidate)
      n++
      if (log(tally.events) >= enough) return { at: n }
    }
  }
  return { at: Number.POSITIVE_INFINITY }
}

export const worseThan =
  (bound: number, burst = 1) =>
  (events: readonly Events[]): number =>
    logWorse(events, bound, burst)

export const betterThan =
  (bound: number, burst = 1) =>
  (events: readonly Events[]): number =>
    logBetter(events, bound, burst)

/** The sequential test that knows the true ratio: no test can be much faster (Wald). */
export const oracle =
  (bound: number, truth: number) =>
  (events: readonly Events[]): number =>
    events.reduce(
      (sum, { share, k, n }) => sum + k * Math.log(truth / bound) - n * Math.log((truth * share + 1 - share) / (bound * share + 1 - share)),
      0,
    )

export function repeated(runs: number, seed: number, act: (random: Random) => Stopped): Stopped[] {
  return Array.from({ length: runs }, (_, run) => act(seeded(seed + 7919 * run)))
}

export function medianOf(stops: readonly Stopped[]): number {
  return stops.map(({ at }) => at).toSorted((a, b) => a - b)[stops.length >> 1]!
}

export function shareStopped(stops: readonly Stopped[]): number {
  return stops.filter(({ at }) => Number.isFinite(at)).length / stops.length
}

/**
 * What a share of runs may be at most, where the probability is `alpha`: three standard deviations above, so that a promise that is kept fails a
 * test once in a thousand times, and not at all for a seed that has been tried.
 */
export function allowed(alpha: number, runs: number): number {
  return alpha + 3 * Math.sqrt((alpha * (1 - alpha)) / runs)
}

/** Poisson counts, by the product of uniforms: for means of some tens at most. */
export function poisson(mean: number, random: Random): number {
  const end = Math.exp(-mean)
  let count = 0
  for (let product = random(); product > end; product *= random()) count++
  return count
}

export interface RolloutRun {
  /** Share of the candidate in window w. */
  readonly shareAt: (window: number) => number
  /** Base rate of what goes wrong in window w. */
  readonly rateAt: (window: number, random: Random) => number
  readonly ratio: number
  readonly windows: number
  /** Requests of both arms in a window. */
  readonly requests: number
  /** Events of one burst, all of one arm and window. Default: 1. */
  readonly burst?: (random: Random) => number
}

/** Rows of evidence of one rollout, window by window, as servers send them. */
export function* windowsOf({ shareAt, rateAt, ratio, windows, requests, burst }: RolloutRun, random: Random): Generator<Evidence[]> {
  const meanBurst = burst === undefined ? 1 : Array.from({ length: 1000 }, () => burst(random)).reduce((sum, size) => sum + size, 0) / 1000
  for (let window = 0; window < windows; window++) {
    const share = shareAt(window)
    const rate = rateAt(window, random)
    const interval = { fromMs: window * 10_000, untilMs: (window + 1) * 10_000 }
    const arm = (name: Arm, part: number, times: number): Evidence => {
      const exposures = Math.round(requests * part)
      let k = 0
      for (let left = poisson((exposures * rate * times) / meanBurst, random); left > 0; left--) k += burst?.(random) ?? 1
      return { metric: 'errors', interval, segment: String(share), arm: name, k: Math.min(k, exposures), exposures, share }
    }
    yield [arm('base', 1 - share, 1), arm('candidate', share, ratio)]
  }
}

/**
 * Judges a rollout at the end of each window, as a controller does.
 * @param until verdicts that end it
 * @returns the verdict that it ended with, and in which window
 */
export function judged(
  run: RolloutRun,
  rules: JudgeRules,
  random: Random,
  until: readonly Verdict[] = ['fail', 'pass'],
): { readonly verdict: Verdict; readonly window: number } {
  const rows: Evidence[] = []
  let peaks: ReadonlyMap<string, Peaks> | undefined
  let window = 0
  let verdict: Verdict = 'no data'
  for (const more of windowsOf(run, random)) {
    rows.push(...more)
    const judgement = judge(rules, rows, peaks)
    peaks = judgement.peaks
    verdict = judgement.verdict
    if (until.includes(verdict)) return { verdict, window }
    window++
  }
  return { verdict, window }
}

export interface UnitRun {
  readonly units: number
  /** Requests that come, one after the other; the share of the candidate grows on the way. */
  readonly requests: number
  readonly shareAt: (request: number) => number
  /** Weight of each unit: how much of the requests is its own. */
  readonly weightOf: (unit: number) => number
  /** Probability that a request of a unit goes wrong. */
  readonly rateOf: (unit: number, arm: Arm) => number
  /** Requests of a unit that count towards a pass. */
  readonly horizon: number
}

/** Of four thousand units a hundred cause most of what goes wrong, in both arms alike; half-way the candidate's share grows from 5 to 50 %. */
export function heavyUnits(requests: number): UnitRun {
  return {
    units: 4000,
    requests,
    shareAt: (request) => (request < requests / 2 ? 0.05 : 0.5),
    weightOf: (unit) => (unit < 100 ? 10 : 1),
    rateOf: (unit) => (unit < 100 ? 0.5 : 0.003),
    horizon: 3,
  }
}

/** Requests of sticky units, and what is counted of them in three ways. */
export class UnitTallies {
  /** Each event. */
  readonly requests = new Tally()
  /** Each unit once, at its first event, under the share of that moment. */
  readonly units = new Tally()
  /** Likewise, where it came within the horizon. */
  readonly inHorizon = new Tally()
}

/** @param look after every event. @returns whether it said to stop */
export function unitRun(
  { units, requests, shareAt, weightOf, rateOf, horizon }: UnitRun,
  random: Random,
  look: (tallies: UnitTallies) => boolean,
): boolean {
  const points = Array.from({ length: units }, () => random())
  const ends: number[] = []
  let sum = 0
  for (let unit = 0; unit < units; unit++) ends.push((sum += weightOf(unit)))
  const seen = new Uint32Array(units)
  const failed = new Uint8Array(units)
  const tallies = new UnitTallies()
  for (let request = 0; request < requests; request++) {
    const share = shareAt(request)
    const unit = upperBound(ends, random() * sum)
    seen[unit]!++
    const isCandidate = points[unit]! < share
    if (random() >= rateOf(unit, isCandidate ? 'candidate' : 'base')) continue
    tallies.requests.add(share, isCandidate)
    if (failed[unit] === 0) {
      failed[unit] = 1
      tallies.units.add(share, isCandidate)
      if (seen[unit]! <= horizon) tallies.inHorizon.add(share, isCandidate)
    }
    if (look(tallies)) return true
  }
  return false
}

function upperBound(ends: readonly number[], at: number): number {
  let [low, high] = [0, ends.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (ends[middle]! <= at) low = middle + 1
    else high = middle
  }
  return low
}
