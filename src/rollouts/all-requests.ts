/**
 * What happens to all requests of a step, whoever assigned them. Once the new version has all of them there is nothing beside it to compare
 * with: then what goes wrong is held to a limit, by what went wrong before the rollout began. Audiences are told of, and not judged.
 */
import { logOver } from '../judge/absolute-cap.ts'
import { isOf } from '../monitoring/evidence.ts'
import { trafficOf } from '../monitoring/traffic.ts'
import type { RolloutEvidence } from '../contract/rollout-api.ts'
import type { Windows } from '../monitoring/windows.ts'
import type { Arms, JudgingQuery } from './arms.ts'

const SERIES: ReadonlySet<string> = new Set(['request_seconds'])
/** Requests of the latest two hours are told of, milliseconds. */
const REPORT_MS = 2 * 3_600_000
/** How many times as often as before requests may go wrong, and which share of them in any case. */
const WORSE = 3
const SHARE = 0.01
/** Failures that one incident may have at least: as with what is compared. */
const BURST_MIN = 8

export interface AllRequests {
  readonly failures: readonly string[]
  readonly traffic: NonNullable<RolloutEvidence['traffic']>
}

/** @param alpha probability of a false alarm, over all looks */
export async function judgeAll(
  { windows }: { readonly windows: Windows },
  { environment, endpoint, rollout, nowMs }: JudgingQuery,
  { arms: { base, candidate }, alpha }: { readonly arms: Arms; readonly alpha: number },
): Promise<AllRequests> {
  const { strategy, step, stepBeganAt, stepSegment = Infinity, errorRate = 0, state } = rollout
  const isAll = state === 'baking'
  if (!isAll && strategy.stages[step]?.needs !== 'nothing') return { failures: [], traffic: [] }
  const fromMs = Math.max(stepBeganAt, nowMs - REPORT_MS)
  const asked = { span: '10s', fromMs, untilMs: nowMs + 1, endpoint, source: 'online', names: SERIES } as const
  const rollups = (await windows.list(environment, asked)).filter(({ segment }) => segment >= stepSegment)
  const traffic = [base, candidate].flatMap((arm) => {
    const mine = rollups.filter((rollup) => isOf(arm, rollup)).map((rollup) => ({ ...rollup, variant: '' }))
    return trafficOf(mine, Math.max(1, nowMs - fromMs)).map(({ version, requests, errors, p50Ms, p99Ms }) => ({
      version,
      requests,
      errors,
      ...(p50Ms !== undefined && { p50Ms }),
      ...(p99Ms !== undefined && { p99Ms }),
    }))
  })
  if (!isAll) return { failures: [], traffic }
  const counts = rollups.filter((rollup) => isOf(candidate, rollup)).flatMap((rollup) => trafficOf([rollup], 1))
  const sum = (of: 'requests' | 'errors'): number => counts.reduce((total, one) => total + one[of], 0)
  const [exposures, k] = [sum('requests'), sum('errors')]
  const limit = Math.min(0.99, Math.max(strategy.errors.limit ?? SHARE, WORSE * errorRate))
  const shown = logOver({ k, exposures }, limit) / Math.max(BURST_MIN, ...counts.map(({ errors }) => errors))
  if (exposures === 0 || shown < Math.log(1 / alpha)) return { failures: [], traffic }
  const percent = (share: number): string => `${Number((100 * share).toPrecision(2))} %`
  return {
    failures: [`errors: ${k} of all ${exposures} requests (${percent(k / exposures)}) went wrong, and ${percent(limit)} may`],
    traffic,
  }
}
