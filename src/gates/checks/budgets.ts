/** What was measured on this machine, against budgets. */
import { resultOf } from '../result.ts'
import { numbersOf, percent, shortly } from '../words.ts'
import type { GateChecks } from '../../contract/gates.ts'
import type { GateResult } from '../../contract/gate-report.ts'
import type { Found } from '../result.ts'

type LatencyCheck = NonNullable<GateChecks['latency']>
type MemoryCheck = NonNullable<GateChecks['memory']>

/** Requests from which on there is a 99th percentile: of fewer it is the slowest one. */
const RUNS_MIN = 100
const BYTES_PER_MB = 1024 * 1024

/** Milliseconds of requests, each of one row. */
export interface Latencies {
  readonly candidate: readonly number[]
  /** Undefined where there is no champion, or nothing is asked about it. */
  readonly champion: readonly number[] | undefined
}

export function judgeLatency(check: LatencyCheck, { candidate, champion }: Latencies): GateResult {
  return resultOf('latency', check, 'latency', latency(check, { candidate, champion }))
}

function latency({ p99Ms, relative }: LatencyCheck, { candidate, champion }: Latencies): Found {
  const scarce = [candidate, ...(champion === undefined ? [] : [champion])].find((runs) => runs.length < RUNS_MIN)
  if (scarce !== undefined)
    return {
      verdict: 'insufficient',
      sentence: `${scarce.length} requests were measured, and a 99th percentile needs ${RUNS_MIN}`,
      numbers: { runs: scarce.length },
    }
  const own = percentile(candidate, 0.99)
  const other = champion === undefined ? undefined : percentile(champion, 0.99)
  const numbers = numbersOf({ runs: candidate.length, p50Ms: percentile(candidate, 0.5), p99Ms: own, championP99Ms: other })
  const text = `99 of 100 requests of one row take at most ${shortly(own)} ms here${other === undefined ? '' : `, those of the champion ${shortly(other)} ms`}`
  return budget({ value: own, max: p99Ms, other, relative, unit: 'ms' }, text, numbers)
}

/** The smallest value that a share of all does not exceed (nearest rank). */
function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!
}

/** Resident bytes of processes that hold one instance each; undefined where the system does not tell them. */
export interface MemoryUse {
  readonly candidate: number | undefined
  readonly champion: number | undefined
}

export function judgeMemory(check: MemoryCheck, use: MemoryUse): GateResult {
  return resultOf('memory', check, 'memory', memory(check, use))
}

function memory({ maxMb, relative }: MemoryCheck, { candidate, champion }: MemoryUse): Found {
  if (candidate === undefined)
    return { verdict: 'insufficient', sentence: 'this system does not tell what a process holds (it takes the /proc of Linux)' }
  const [own, other] = [candidate / BYTES_PER_MB, champion === undefined ? undefined : champion / BYTES_PER_MB]
  const text = `a process that has it loaded holds ${shortly(own)} MiB here${other === undefined ? '' : `, one of the champion ${shortly(other)} MiB`}`
  return budget({ value: own, max: maxMb, other, relative, unit: 'MiB' }, text, numbersOf({ megabytes: own, championMegabytes: other }))
}

interface Budget {
  readonly value: number
  readonly max: number | undefined
  readonly other: number | undefined
  /** How much more than the other it may be, as a share of it. */
  readonly relative: number | undefined
  readonly unit: string
}

function budget({ value, max, other, relative, unit }: Budget, text: string, numbers: Record<string, number>): Found {
  if (max !== undefined && value > max) return { verdict: 'fail', sentence: `${text}, and ${shortly(max)} ${unit} is the budget`, numbers }
  if (relative !== undefined && other !== undefined && value > other * (1 + relative))
    return { verdict: 'fail', sentence: `${text}, and ${percent(relative)} more is accepted`, numbers }
  if (relative !== undefined && other === undefined && max === undefined)
    return { verdict: 'insufficient', sentence: `${text}, and there is no champion to compare it with`, numbers }
  return { verdict: 'pass', sentence: text, numbers }
}
