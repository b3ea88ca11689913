import { totalVariation } from '../../src/judge/distribution.ts'
import { judge } from '../../src/judge/judge.ts'
import { resolveJudge } from '../../src/judge/spec.ts'
import type { Binned } from '../../src/judge/distribution.ts'
import type { Arm, Evidence } from '../../src/judge/evidence.ts'
import type { Judgement, Peaks } from '../../src/judge/judgement.ts'
import type { Controller, End } from './controllers.ts'
import type { Counts, Scenario, Tick } from './traffic.ts'

const SHARES = [0.05, 0.25, 0.5]
/** Two ticks. */
const INTERVAL_S = 10
const [STEP_SAMPLE_MIN, DEADLINE_S, FRESHNESS_S] = [100, 3600, 120]
const FALSE_ALARM = 0.05
/** How late a label is. */
const LABELS_AFTER_S = 60
/** Total variation of the classes that turns back, and how many bins servers keep. */
const [CHANGE_MAX, BINS] = [0.25, 51]
/** A look every ten seconds; of long rollouts one a minute, and the classes once a minute, so that the simulation ends. */
const [OFTEN_UNTIL_S, SELDOM_S] = [1200, 60]

const NONE: Counts = { requests: 0, failed: 0, slow: 0, over500: 0, labels: 0, wrong: 0, frequent: 0 }

/** The default strategy, with the judge as it is; the breaker of servers is left out. */
export class SlipwayStyle implements Controller {
  readonly #scenario: Scenario
  readonly #bakeS: number
  readonly #rules: ReturnType<typeof resolveJudge>
  readonly #alpha: number
  readonly #rows: Evidence[] = []
  readonly #labels: { readonly fromS: number; readonly rows: Evidence[] }[] = []
  readonly #bins = new Map<number, { bins: [Binned, Binned] }>()
  #peaks: ReadonlyMap<string, Peaks> | undefined
  #step = 0
  #stepS = 0
  #stepSample = 0
  #newestS = 0
  #open: Tick = { base: NONE, candidate: NONE }

  /** @param bakeS how long each step lasts at least */
  constructor(scenario: Scenario, bakeS: number) {
    this.#scenario = scenario
    this.#bakeS = bakeS
    const metrics = { errors: {}, slow: { tolerate: 1.5, cap: 0.02 }, ...(scenario.labels === true && { wrong: { cap: false as const } }) }
    // The classes are a guardrail, too.
    const guardrails = Object.keys(metrics).length
    this.#alpha = FALSE_ALARM / (guardrails + 1)
    this.#rules = resolveJudge({ falseAlarm: this.#alpha * guardrails, metrics })
  }

  get share(): number {
    return SHARES[this.#step]!
  }

  tick(nowS: number, tick: Tick): End | undefined {
    this.#open = { base: added(this.#open.base, tick.base), candidate: added(this.#open.candidate, tick.candidate) }
    if (nowS % INTERVAL_S !== 0) return undefined
    const closed = this.#open
    this.#open = { base: NONE, candidate: NONE }
    // Burn-in: the first interval does not count.
    if (nowS > INTERVAL_S) this.#take(nowS - INTERVAL_S, closed)
    if (nowS - this.#newestS > FRESHNESS_S) return 'held'
    return nowS <= OFTEN_UNTIL_S || nowS % SELDOM_S === 0 ? this.#look(nowS) : undefined
  }

  #take(fromS: number, { base, candidate }: Tick): void {
    this.#stepSample += candidate.requests
    if (base.requests + candidate.requests > 0) this.#newestS = fromS + INTERVAL_S
    const interval = { fromMs: fromS * 1000, untilMs: (fromS + INTERVAL_S) * 1000 }
    const arms = [
      ['base', base],
      ['candidate', candidate],
    ] as const
    const rows = (metric: string, of: (counts: Counts) => { k: number; exposures: number }): Evidence[] =>
      arms.map(([arm, counts]: readonly [Arm, Counts]) => ({
        metric,
        interval,
        segment: String(this.#step),
        arm,
        share: this.share,
        ...of(counts),
      }))
    this.#rows.push(...rows('errors', ({ failed, requests }) => ({ k: failed, exposures: requests })))
    this.#rows.push(...rows('slow', ({ slow, requests }) => ({ k: slow, exposures: requests })))
    if (this.#scenario.labels === true)
      this.#labels.push({ fromS, rows: rows('wrong', ({ wrong, labels }) => ({ k: wrong, exposures: labels })) })
    if (this.#scenario.classes === true) this.#bin(base, candidate)
  }

  #bin(base: Counts, candidate: Counts): void {
    const { share } = this
    const [frequent, other] = this.#bins.get(this.#step)?.bins ?? [
      { bin: 'frequent', share, base: 0, candidate: 0 },
      { bin: 'other', share, base: 0, candidate: 0 },
    ]
    this.#bins.set(this.#step, {
      bins: [
        { ...frequent, base: frequent.base + base.frequent, candidate: frequent.candidate + candidate.frequent },
        {
          ...other,
          base: other.base + base.requests - base.frequent,
          candidate: other.candidate + candidate.requests - candidate.frequent,
        },
      ],
    })
  }

  #look(nowS: number): End | undefined {
    while (this.#labels[0] !== undefined && this.#labels[0].fromS + INTERVAL_S + LABELS_AFTER_S <= nowS)
      this.#rows.push(...this.#labels.shift()!.rows)
    const judgement = judge(this.#rules, this.#rows, this.#peaks)
    this.#peaks = judgement.peaks
    if (judgement.verdict === 'fail' || (nowS % SELDOM_S === 0 && this.#classes().low > CHANGE_MAX)) return 'back'
    const stepS = nowS - this.#stepS
    if (stepS >= this.#bakeS && this.#stepSample >= STEP_SAMPLE_MIN) {
      // Answers that look otherwise are not let through unshown.
      if (this.#step === SHARES.length - 1) return passes(judgement) && this.#classes().observed <= CHANGE_MAX ? 'promoted' : undefined
      this.#step++
      this.#stepS = nowS
      this.#stepSample = 0
    } else if (this.#step < SHARES.length - 1 && stepS > this.#bakeS + DEADLINE_S) return 'held'
    return undefined
  }

  #classes(): { readonly low: number; readonly observed: number } {
    const rows = [...this.#bins.values()].flatMap(({ bins }) => bins)
    return rows.length === 0 ? { low: 0, observed: 0 } : totalVariation(rows, this.#alpha, BINS)
  }
}

/** Labels come when they come: what has to pass is what every request shows. */
function passes({ metrics }: Judgement): boolean {
  return metrics.every(({ rule, verdict }) => rule.metric === 'wrong' || verdict === 'pass')
}

function added(a: Counts, b: Counts): Counts {
  return {
    requests: a.requests + b.requests,
    failed: a.failed + b.failed,
    slow: a.slow + b.slow,
    over500: a.over500 + b.over500,
    labels: a.labels + b.labels,
    wrong: a.wrong + b.wrong,
    frequent: a.frequent + b.frequent,
  }
}
