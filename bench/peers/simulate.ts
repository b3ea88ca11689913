import { median } from '../table.ts'
import { argoStyle, flaggerStyle } from './controllers.ts'
import { SlipwayStyle } from './slipway.ts'
import { TICK_S, Traffic } from './traffic.ts'
import type { Controller, End } from './controllers.ts'
import type { Scenario } from './traffic.ts'

/** A rollout that has not ended by then is held. */
const HORIZON_S = 7200

export const STYLES = ['Slipway', 'Argo Rollouts', 'Flagger'] as const
export type Style = (typeof STYLES)[number]

export interface Setting {
  readonly scenario: Scenario
  /** Of both versions. */
  readonly requestsPerSecond: number
  readonly runs: number
  /** How long each of our steps lasts at least, seconds. Default: 300. */
  readonly bakeS?: number
}

/** What came of the rollouts of one controller. */
export interface Outcome {
  /** Shares of the rollouts, from 0 to 1. */
  readonly promoted: number
  readonly back: number
  readonly held: number
  /** Median seconds until it went back; undefined where that was never. */
  readonly backS: number | undefined
  /** Median of the requests that were worse off with the candidate than with the base, until it went back or was promoted. */
  readonly harmed: number | undefined
}

/** Rollouts of seeds 1 to `runs`. */
export function simulate(style: Style, { scenario, requestsPerSecond, runs, bakeS = 300 }: Setting): Outcome {
  const rollouts = Array.from({ length: runs }, (_, run) => {
    const controller = controllerOf(style, scenario, bakeS)
    return rollout(controller, new Traffic(scenario, requestsPerSecond, run + 1))
  })
  const share = (end: End): number => rollouts.filter((one) => one.end === end).length / runs
  const backs = rollouts.filter(({ end }) => end === 'back').map(({ atS }) => atS)
  return {
    promoted: share('promoted'),
    back: share('back'),
    held: share('held'),
    backS: backs.length === 0 ? undefined : median(backs),
    harmed: scenario.harmed === undefined ? undefined : median(rollouts.map(({ candidates }) => candidates)) * scenario.harmed,
  }
}

function controllerOf(style: Style, scenario: Scenario, bakeS: number): Controller {
  return style === 'Slipway' ? new SlipwayStyle(scenario, bakeS) : style === 'Flagger' ? flaggerStyle() : argoStyle()
}

interface Ended {
  readonly end: End
  readonly atS: number
  /** Requests that the candidate has had. */
  readonly candidates: number
}

function rollout(controller: Controller, traffic: Traffic): Ended {
  let candidates = 0
  for (let nowS = TICK_S; nowS <= HORIZON_S; nowS += TICK_S) {
    const tick = traffic.next(controller.share)
    candidates += tick.candidate.requests
    const end = controller.tick(nowS, tick)
    if (end !== undefined) return { end, atS: nowS, candidates }
  }
  return { end: 'held', atS: HORIZON_S, candidates }
}
