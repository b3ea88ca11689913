import type { Rates, Scenario } from './traffic.ts'

/** Response times of the base: log-normal, half of them under 50 ms, 99 % under 200 ms. */
const [MEDIAN_MS, P99_MS] = [50, 200]
const Z99 = 2.326
const SIGMA = Math.log(P99_MS / MEDIAN_MS) / Z99
const SLOW_MS = P99_MS

/** Share of the requests that take longer, where a part of them takes so many times as long. */
function longerThan(ms: number, part = 0, times = 1): number {
  const tail = (limit: number): number => normalTail(Math.log(limit / MEDIAN_MS) / SIGMA)
  return (1 - part) * tail(ms) + part * tail(ms / times)
}

/** Upper tail of the normal distribution: Abramowitz and Stegun (1964), 26.2.17, to seven digits. */
function normalTail(z: number): number {
  if (z < 0) return 1 - normalTail(-z)
  const t = 1 / (1 + 0.2316419 * z)
  const series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * series
}

const rates = (failed: number, more: Partial<Rates> = {}): Rates => ({
  failed,
  slow: longerThan(SLOW_MS),
  over500: longerThan(500),
  wrong: 0.1,
  frequent: 0.7,
  ...more,
})

const equal = (failed: number): Scenario => ({
  what: `no worse, errors of ${percent(failed)}`,
  base: rates(failed),
  candidate: rates(failed),
})

const errors = (from: number, to: number): Scenario => ({
  what: `errors of ${percent(to)} instead of ${percent(from)}`,
  base: rates(from),
  candidate: rates(to),
  harmed: to - from,
})

const SLOWER = { slow: longerThan(SLOW_MS, 0.1, 3), over500: longerThan(500, 0.1, 3) }

/** What happens to the candidate. */
export const SCENARIOS: readonly Scenario[] = [
  ...[0.001, 0.005, 0.02].map(equal),
  errors(0.005, 0.01),
  errors(0.02, 0.04),
  errors(0.005, 0.025),
  errors(0.001, 0.021),
  errors(0.005, 0.2),
  {
    what: 'a tenth of the requests takes three times as long',
    base: rates(0.005),
    candidate: rates(0.005, SLOWER),
    harmed: SLOWER.slow - longerThan(SLOW_MS),
  },
  {
    what: 'the classes collapse: one has 99 % of the answers, not 70 %',
    base: rates(0.005),
    candidate: rates(0.005, { frequent: 0.99 }),
    harmed: 0.29,
    classes: true,
  },
  {
    what: 'labels say 20 % wrong answers, not 10 %',
    base: rates(0.005),
    candidate: rates(0.005, { wrong: 0.2 }),
    harmed: 0.1,
    labels: true,
  },
]

/** Requests of both versions a second. */
export const TRAFFIC: readonly number[] = [0.2, 5, 50, 500]

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`
}
