import { advantage, METRIC_KINDS } from './metrics.ts'
import type { MetricName } from '../contract/gates.ts'
import { shortly } from './words.ts'

/** Bounds of a metric, as gates documents have them. */
export interface Thresholds {
  readonly min?: number | undefined
  readonly max?: number | undefined
  readonly change?: number | undefined
  readonly relative?: number | undefined
}

/** By how much a value has to be better than that of a champion that is 0, where a share of it is asked for: as MLflow. */
const BETTER_THAN_ZERO = 1e-10
/** Sums of numbers such as 0.1 and 0.2 are off by this much: the last digits decide nothing. */
const ROUNDING = 1e-12

/**
 * What stands against a value, in words: none where it passes. The language is that of MLflow's thresholds (mlflow/models/evaluation/validation.py):
 * a bound, an absolute change and a relative change against a baseline. Here changes may be negative, which says how much worse is accepted.
 * @param champion its value; undefined: what is said about it is not judged
 */
export function missedThresholds(
  metric: MetricName,
  value: number,
  { min, max, change, relative }: Thresholds,
  champion?: number,
): string[] {
  const missed: string[] = []
  const size = METRIC_KINDS[metric].better === 'zero' && max !== undefined ? Math.abs(value) : value
  if (min !== undefined && value < min - ROUNDING) missed.push(`is below ${shortly(min)}`)
  if (max !== undefined && size > max + ROUNDING) missed.push(`is above ${shortly(max)}`)
  if (champion === undefined) return missed
  const ahead = advantage(metric, value, champion)
  const told = `the champion has ${shortly(champion)}`
  if (change !== undefined && ahead < change - ROUNDING) missed.push(`${told}, and it must be ${wanted(shortly(Math.abs(change)), change)}`)
  if (relative !== undefined && ahead < neededAhead(relative, champion) - ROUNDING)
    missed.push(`${told}, and it must be ${wanted(`${shortly(100 * Math.abs(relative))} %`, relative)}`)
  return missed
}

function neededAhead(relative: number, champion: number): number {
  return champion === 0 && relative > 0 ? BETTER_THAN_ZERO + ROUNDING : relative * Math.abs(champion)
}

function wanted(amount: string, change: number): string {
  if (change === 0) return 'no worse'
  return change > 0 ? `better by ${amount}` : `worse by ${amount} at most`
}
