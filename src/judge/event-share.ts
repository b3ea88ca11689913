/**
 * The event-share kernel. Requests are shared out at random, a share w of them to the candidate; only what goes wrong is counted. Where the
 * candidate goes wrong r times as often as the base, an event is the candidate's with probability r w / (r w + 1 - w), whatever the rate of
 * both, and however it moves in time. After Lindon & Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022).
 *
 * For events of N in all and k of the candidate, and a ratio q against which is bet, ln E_q = sum over shares of
 * k ln(q / r) - N ln((q w + 1 - w) / (r w + 1 - w)). The mean of E_q over a grid is a nonnegative supermartingale where the true ratio is at
 * most r, so that it passes 1 / alpha at any time with a probability of at most alpha (Ville's inequality).
 */
import { logMean, logSumExp } from './log-sums.ts'
import type { Pair } from './evidence.ts'

/** Events under one share; those of equal shares add up, so that a look costs no more the longer a rollout lasts. */
export interface Events {
  /** Share of the candidate. */
  readonly share: number
  /** Events of the candidate, and of both arms. */
  readonly k: number
  readonly n: number
}

/**
 * Ratios against which is bet, as multiples of the bound, and how much is bet on each. Most lies where people want to know soon, between one and
 * a half and five: there the median time is within 1.2 to 1.4 of that of a test which knows the true ratio (bench/judge).
 */
const FACTORS = [1.1, 1.25, 1.45, 1.7, 2, 2.4, 3, 4, 6, 10, 20]
const SHARES = [0.01, 0.03, 0.08, 0.18, 0.2, 0.12, 0.13, 0.15, 0.07, 0.02, 0.01]
const LOG_FACTORS = FACTORS.map(Math.log)
const LOG_SHARES = SHARES.map(Math.log)

/** Chance that an event is the candidate's, where it goes wrong `ratio` times as often as the base. */
export function chanceOf(ratio: number, share: number): number {
  return Number.isFinite(ratio) ? (ratio * share) / (ratio * share + 1 - share) : 1
}

/**
 * What a bet loses with each event, as ln, whosever that is: (q w + 1 - w) / (r w + 1 - w) = 1 + (q / r - 1) p, with the chance p of the
 * candidate under the bound.
 */
function lossOf(index: number, direction: 1 | -1, chanceAtBound: number): number {
  const factor = direction === 1 ? FACTORS[index]! : 1 / FACTORS[index]!
  return Math.log(1 + (factor - 1) * chanceAtBound)
}

/** @param counted which events count: all, or those within the horizon for a pass */
export function eventsOf(pairs: readonly Pair[], counted: 'k' | 'kInHorizon' = 'k'): Events[] {
  const byShare = new Map<number, { k: number; n: number }>()
  for (const { share, base, candidate } of pairs) {
    // An arm without requests says nothing of a ratio.
    if (share <= 0 || share >= 1) continue
    let sum = byShare.get(share)
    if (sum === undefined) byShare.set(share, (sum = { k: 0, n: 0 }))
    sum.k += candidate[counted]
    sum.n += base[counted] + candidate[counted]
  }
  return [...byShare].map(([share, sum]) => ({ share, ...sum })).toSorted((a, b) => a.share - b.share)
}

/**
 * ln of the evidence that the candidate's rate is more than `ratio` times the base's. 0 is none; more than ln(1 / alpha) is enough.
 * @param burst events that may come in one: evidence is raised to the power of 1 / burst, which keeps the promise for bursts of one arm of up
 *   to so many events, as the mean of a power is at most the power of the mean
 */
export function logWorse(events: readonly Events[], ratio: number, burst = 1): number {
  return mixture(events, ratio, 1 / burst, 1)
}

/** ln of the evidence that it is less than `ratio` times the base's. */
export function logBetter(events: readonly Events[], ratio: number, burst = 1): number {
  return mixture(events, ratio, 1 / burst, -1)
}

/** ln of the evidence that both rates are not alike, in whichever direction. */
export function logUnlike(events: readonly Events[]): number {
  return logMean(logWorse(events, 1), logBetter(events, 1))
}

function mixture(events: readonly Events[], ratio: number, power: number, direction: 1 | -1): number {
  const logs = LOG_SHARES.slice()
  for (const { share, k, n } of events) {
    const chance = chanceOf(ratio, share)
    for (let index = 0; index < logs.length; index++)
      logs[index]! += power * (k * direction * LOG_FACTORS[index]! - n * lossOf(index, direction, chance))
  }
  return logSumExp(logs)
}

/** Bounds within which ratios are looked for. */
const [LEAST_RATIO, LARGEST_RATIO] = [1e-4, 1e4]
const HALVINGS = 60

/**
 * Ratios that the events do not speak against, each end at alpha / 2: the true one lies within at every look, but for a probability of
 * alpha. Evidence grows and falls with the ratio without turning, so that the ends are found by halving.
 */
export function ratioInterval(events: readonly Events[], alpha: number, burst = 1): { readonly low: number; readonly high: number } {
  const enough = Math.log(2 / alpha)
  return {
    low: boundary((ratio) => logWorse(events, ratio, burst) >= enough, 0, LEAST_RATIO),
    high: boundary((ratio) => logBetter(events, ratio, burst) < enough, Number.POSITIVE_INFINITY, LARGEST_RATIO),
  }
}

/**
 * The ratio up to which something holds, which holds for all smaller ones.
 * @param otherwise where it holds for the least ratio not, or for the largest still
 */
function boundary(holds: (ratio: number) => boolean, otherwise: number, extreme: number): number {
  if (holds(extreme) === (extreme === LARGEST_RATIO)) return otherwise
  let [low, high] = [Math.log(LEAST_RATIO), Math.log(LARGEST_RATIO)]
  for (let halving = 0; halving < HALVINGS; halving++) {
    const middle = (low + high) / 2
    if (holds(Math.exp(middle))) low = middle
    else high = middle
  }
  return Math.exp((low + high) / 2)
}

/** The ratio under which the events are most likely; undefined without events. */
export function likeliestRatio(events: readonly Events[]): number | undefined {
  const k = events.reduce((sum, part) => sum + part.k, 0)
  const n = events.reduce((sum, part) => sum + part.n, 0)
  if (n === 0) return undefined
  if (k === 0) return 0
  if (k === n) return Number.POSITIVE_INFINITY
  // The expected number of events of the candidate grows with the ratio.
  const expected = (ratio: number): number => events.reduce((sum, { share, n: all }) => sum + all * chanceOf(ratio, share), 0)
  return boundary((ratio) => expected(ratio) < k, 0, LEAST_RATIO)
}

/** Mean growth of the evidence with each event, at a true ratio, for the best bet of the grid: what there is to expect. */
export function growthPerEvent(share: number, trueRatio: number, bound: number, direction: 1 | -1): number {
  const chance = chanceOf(trueRatio, share)
  const chanceAtBound = chanceOf(bound, share)
  return Math.max(...LOG_FACTORS.map((logFactor, index) => chance * direction * logFactor - lossOf(index, direction, chanceAtBound)))
}

/**
 * Events that half of all rollouts need until something is shown, at a true ratio, looked at after each; by simulations that are the same each
 * time. Undefined where it takes more than `most`.
 */
export function medianEvents(
  share: number,
  trueRatio: number,
  { bound, alpha, direction }: { readonly bound: number; readonly alpha: number; readonly direction: 1 | -1 },
  most: number,
): number | undefined {
  const chance = chanceOf(trueRatio, share)
  const chanceAtBound = chanceOf(bound, share)
  const enough = Math.log(1 / alpha)
  const losses = FACTORS.map((_, index) => lossOf(index, direction, chanceAtBound))
  const random = randomNumbers()
  const stops: number[] = []
  const logs = new Float64Array(FACTORS.length)
  for (let run = 0; run < SIMULATED_RUNS; run++) {
    logs.set(LOG_SHARES)
    let n = 0
    for (let shown = false; !shown && n < most; n++) {
      const hit = random() < chance
      let top = Number.NEGATIVE_INFINITY
      for (let index = 0; index < logs.length; index++) {
        logs[index]! += (hit ? direction * LOG_FACTORS[index]! : 0) - losses[index]!
        if (logs[index]! > top) top = logs[index]!
      }
      // The sum is at most as many times the largest as there are bets.
      shown = top + Math.log(logs.length) >= enough && logSumExp(logs) >= enough
    }
    stops.push(n)
  }
  const median = stops.toSorted((a, b) => a - b)[SIMULATED_RUNS >> 1]!
  return median >= most ? undefined : median
}

const SIMULATED_RUNS = 101

/** The same numbers from 0 to 1 each time: a linear congruential generator with the constants of Numerical Recipes (7.1). */
function randomNumbers(): () => number {
  let state = 1
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
