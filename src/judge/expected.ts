/** What a rollout is to expect, before it begins: how many requests, and how long, until each outcome is seen. */
import { medianEvents } from './event-share.ts'
import type { MetricRule } from './spec.ts'

export interface Traffic {
  /** Share of the candidate, between 0 and 1. */
  readonly share: number
  /** How often the base goes wrong now, from 0 to 1. */
  readonly baseRate: number
  /** Requests of both arms a second. */
  readonly requestsPerSecond: number
}

export interface Expected {
  /** Times as often as the base. */
  readonly ratio: number
  /** What is shown. */
  readonly shown: 'fail' | 'pass'
  /** Requests of both arms, half of all rollouts of this kind need fewer; undefined where it is not seen within twenty thousand events. */
  readonly requests: number | undefined
  readonly seconds: number | undefined
}

/** Outcomes that people ask for: bad ones that are to be seen, and a good one that is to pass. */
const BAD = [1.5, 2, 3, 5]
const EVENTS_MAX = 20_000

/** Medians for the share and rate of now. */
export function expectations({ tolerate, ruleOut, alphaFail, alphaPass }: MetricRule, traffic: Traffic): Expected[] {
  const bad = BAD.map((factor) => expected(tolerate * factor, 'fail', { bound: tolerate, alpha: alphaFail }, traffic))
  return [...bad, expected(Math.min(1, tolerate), 'pass', { bound: ruleOut, alpha: alphaPass }, traffic)]
}

function expected(
  ratio: number,
  shown: 'fail' | 'pass',
  { bound, alpha }: { readonly bound: number; readonly alpha: number },
  { share, baseRate, requestsPerSecond }: Traffic,
): Expected {
  const events = medianEvents(share, ratio, { bound, alpha, direction: shown === 'fail' ? 1 : -1 }, EVENTS_MAX)
  // Of the requests, each arm's part goes wrong at its rate.
  const rate = baseRate * (1 - share) + Math.min(1, baseRate * ratio) * share
  const requests = events === undefined || rate === 0 ? undefined : Math.ceil(events / rate)
  return { ratio, shown, requests, seconds: requests === undefined || requestsPerSecond === 0 ? undefined : requests / requestsPerSecond }
}
