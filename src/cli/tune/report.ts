import { formatBytes, formatMs } from '../../core/units.ts'
import { style, table } from '../output.ts'
import { flagsOf, keyOf } from './candidates.ts'
import type { Candidate } from './candidates.ts'
import type { Point } from './point.ts'
import type { Confirmation, Row, Search } from './search.ts'

/** Largest relative deviation of a fresh server from the prediction without a warning. */
export const PROMISE = 0.15
/** Share of the machine taken by other programs from which on a warning is printed. */
const BUSY = 0.1

/** Result of a tuning, as a document. */
export interface TuneResult {
  readonly apiVersion: 'slipway/v1'
  readonly kind: 'TuneResult'
  readonly model: string
  readonly version: string
  readonly path: string
  readonly cores: number
  readonly batchable: boolean
  readonly latencyGoalMs: number | undefined
  readonly budgetMs: number
  readonly tookMs: number
  /** Share of the machine (0 to 1) that other programs took meanwhile; undefined where the kernel does not report it. */
  readonly othersShare: number | undefined
  /** `unfinished`: interrupted, or out of time before a winner was confirmed; nothing is written then. */
  readonly outcome: 'found' | 'goal not met' | 'unfinished'
  readonly present: Candidate
  /** The best candidate; where none meets the goal, the nearest. */
  readonly best: Candidate | undefined
  /** Flags of `slipway serve` for the best candidate. */
  readonly flags: string | undefined
  /** From the repeats in turns, without the confirmation. */
  readonly predicted: Point | undefined
  readonly confirmed: Confirmation | undefined
  /** The candidate that looked better than the present settings, and was not when both were measured afresh. */
  readonly rejected: Candidate | undefined
  readonly candidates: readonly (Row & { readonly gain: number | undefined })[]
  /** The file that was changed. */
  readonly written: string | undefined
}

/** Throughput of a row relative to that of the present settings; undefined unless both meet the goal. */
export function gainOf(row: Row, present: Row | undefined): number | undefined {
  if (row.score === undefined || present?.score === undefined || row.score.met !== present.score.met || !row.score.met) return undefined
  return row.score.point.requestsPerSecond / present.score.point.requestsPerSecond
}

/** All candidates, the best first, those that were left out last. */
export function resultTable(search: Search, present: Candidate): string {
  const { best, ranking, rows } = search
  const ordered = [
    ...ranking.filter((row) => row === best),
    ...ranking.filter((row) => row !== best),
    ...rows.filter((row) => row.score === undefined),
  ]
  const marks = (row: Row): string => [row === best && 'best', keyOf(row.candidate) === keyOf(present) && 'now'].filter(Boolean).join(', ')
  const lines = ordered.map((row) => {
    const { candidate, score, memoryBytes, state, why } = row
    const gain = gainOf(row, search.row(present))
    return [
      String(candidate.instances),
      String(candidate.threads),
      String(candidate.maxBatchSize),
      score === undefined ? '-' : String(score.point.clients),
      score === undefined ? '-' : score.point.requestsPerSecond.toFixed(0),
      score === undefined ? '-' : formatMs(score.point.p50Ms),
      score === undefined ? '-' : formatMs(score.point.p99Ms),
      memoryBytes === undefined ? '-' : formatBytes(memoryBytes),
      gain === undefined ? '-' : `${gain.toFixed(2)}x`,
      [marks(row), score?.met === false ? 'misses the goal' : '', why ?? (state === 'waiting' ? 'not measured' : '')]
        .filter(Boolean)
        .join('; '),
    ]
  })
  return table(lines, ['instances', 'threads', 'max batch', 'clients', 'req/s', 'p50', 'p99', 'memory', 'gain', ''])
}

function describePoint({ requestsPerSecond, p50Ms, p99Ms, clients }: Point): string {
  return `${requestsPerSecond.toFixed(0)} req/s, p50 ${formatMs(p50Ms)}, p99 ${formatMs(p99Ms)} with ${clients} client${clients === 1 ? '' : 's'}`
}

/** The verdict below the table. */
export function verdict(result: TuneResult): string {
  const { best, predicted, confirmed, latencyGoalMs, rejected } = result
  if (best === undefined || predicted === undefined) return 'nothing was measured'
  const name = style('bold', flagsOf(best))
  if (result.outcome === 'goal not met')
    return `no configuration meets p99 <= ${formatMs(latencyGoalMs ?? 0)}; the nearest is ${name}\n           ${describePoint(predicted)}`
  const lines = [`best       ${name}`, `predicted  ${describePoint(predicted)} (${predicted.repeats} repeats)`]
  if (confirmed === undefined) return [...lines, 'not confirmed: it ended before'].join('\n')
  const { best: again, present } = confirmed
  const deviation = (of: 'requestsPerSecond' | 'p99Ms'): number => again[of] / predicted[of]
  lines.push(
    `confirmed  ${describePoint(again)}, in a fresh process: ${deviation('requestsPerSecond').toFixed(2)} of the predicted throughput, ${deviation('p99Ms').toFixed(2)} of the p99`,
  )
  lines.push(
    present === undefined
      ? `gain       none: ${rejected === undefined ? 'nothing is better than the present settings by more than noise' : `${flagsOf(rejected)} looked better, and was not when both were measured afresh`}`
      : `gain       ${(again.requestsPerSecond / present.requestsPerSecond).toFixed(2)}x the present settings, measured in turns with them: ${describePoint(present)}`,
  )
  return lines.join('\n')
}

/** Warnings about the reliability of the figures. */
export function doubts({ predicted, confirmed, latencyGoalMs, othersShare = 0 }: TuneResult): string[] {
  const found: string[] = []
  if (othersShare > BUSY)
    found.push(`other programs took ${(othersShare * 100).toFixed(0)} % of the machine meanwhile: it can do more than these figures`)
  if (predicted === undefined || confirmed === undefined) return found
  const { best } = confirmed
  const far = (['requestsPerSecond', 'p99Ms'] as const).filter((of) => Math.abs(best[of] / predicted[of] - 1) > PROMISE)
  if (far.length > 0)
    found.push(
      `the confirmation differs from the prediction by more than ${PROMISE * 100} % in ${far.map((of) => (of === 'p99Ms' ? 'p99' : 'throughput')).join(' and ')}: the machine was not equally free; try again with a larger --budget`,
    )
  if (latencyGoalMs !== undefined && best.p99Ms > latencyGoalMs)
    found.push(`in the confirmation the p99 was over the goal of ${formatMs(latencyGoalMs)}; allow fewer clients at once`)
  return found
}
