/** Requests of two versions of a classifier, and what goes wrong with them: counts of five seconds, by a seed. */
import { seeded } from '../judge/simulate.ts'
import type { Random } from '../judge/simulate.ts'

export const TICK_S = 5

/** Probabilities for one request of one version. */
export interface Rates {
  /** It fails. */
  readonly failed: number
  /** It takes longer than 99 % of the base's requests do. */
  readonly slow: number
  /** It takes longer than 500 ms. */
  readonly over500: number
  /** The answer is another class than its label says. */
  readonly wrong: number
  /** The answer is the more frequent of two classes. */
  readonly frequent: number
}

export interface Scenario {
  readonly what: string
  readonly base: Rates
  readonly candidate: Rates
  /** Of the candidate's requests, those that are worse off than the base's would have been; undefined where it is no worse. */
  readonly harmed?: number
  /** Whether labels are judged. */
  readonly labels?: boolean
  /** Whether the classes of the answers are judged; it takes long to simulate. */
  readonly classes?: boolean
}

/** What one version did in a tick. */
export interface Counts {
  readonly requests: number
  readonly failed: number
  readonly slow: number
  readonly over500: number
  readonly labels: number
  readonly wrong: number
  readonly frequent: number
}

export interface Tick {
  readonly base: Counts
  readonly candidate: Counts
}

/** Of the predictions, those that get a label. */
const LABELLED = 0.3
/** Failures that both versions have alike, as what they both ask is gone: twice an hour, for half a minute, a fifth of the requests. */
const BURST = { perHour: 2, ticks: 30 / TICK_S, failed: 0.2 }

/** Requests of one rollout: the same bursts and the same chance for each controller, whatever it does with them. */
export class Traffic {
  readonly #scenario: Scenario
  readonly #perTick: number
  readonly #random: Random
  readonly #bursts: Random
  #burstTicks = 0

  constructor(scenario: Scenario, requestsPerSecond: number, seed: number) {
    this.#scenario = scenario
    this.#perTick = requestsPerSecond * TICK_S
    this.#random = seeded(seed)
    this.#bursts = seeded(seed + 1_000_003)
  }

  /** @param share of the candidate, from 0 to 1 */
  next(share: number): Tick {
    if (this.#burstTicks > 0) this.#burstTicks--
    else if (this.#bursts() < (BURST.perHour * TICK_S) / 3600) this.#burstTicks = BURST.ticks
    const { base, candidate } = this.#scenario
    return { base: this.#counts(base, 1 - share), candidate: this.#counts(candidate, share) }
  }

  #counts({ failed, slow, over500, wrong, frequent }: Rates, share: number): Counts {
    const random = this.#random
    const { labels: hasLabels = false, classes = false } = this.#scenario
    const requests = poisson(this.#perTick * share, random)
    const slowOnes = binomial(requests, slow, random)
    const labels = hasLabels ? binomial(requests, LABELLED, random) : 0
    return {
      requests,
      failed: binomial(requests, this.#burstTicks > 0 ? BURST.failed : failed, random),
      slow: slowOnes,
      over500: binomial(slowOnes, over500 / slow, random),
      labels,
      wrong: binomial(labels, wrong, random),
      frequent: classes ? binomial(requests, frequent, random) : 0,
    }
  }
}

/** Above this mean, counts are drawn from a normal distribution. */
const MEAN_MAX = 30

function poisson(mean: number, random: Random): number {
  if (mean > MEAN_MAX) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal(random)))
  const end = Math.exp(-mean)
  let count = 0
  for (let product = random(); product > end; product *= random()) count++
  return count
}

function binomial(n: number, p: number, random: Random): number {
  if (p > 0.5) return n - binomial(n, 1 - p, random)
  if (n * p > MEAN_MAX) return Math.min(n, Math.max(0, Math.round(n * p + Math.sqrt(n * p * (1 - p)) * normal(random))))
  if (p === 0) return 0
  // The gaps between hits are geometric.
  const log = Math.log(1 - p)
  let count = 0
  for (let at = gap(random, log); at < n; at += 1 + gap(random, log)) count++
  return count
}

function gap(random: Random, log: number): number {
  return Math.floor(Math.log(1 - random()) / log)
}

/** Box and Muller (1958). */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}
