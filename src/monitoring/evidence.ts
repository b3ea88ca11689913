/**
 * Evidence of windows and labels, for the judge: what happened to requests and units under two versions of an endpoint, by segments of its
 * routing. Requests without a unit are counted. Units are sets, whose members count once, at their first event, in the segment of that.
 */
import { STEPS } from '../contract/ranges.ts'
import { HASHES, under } from '../contract/statistics/units.ts'
import type { Range } from '../contract/ranges.ts'
import type { UnitsData } from '../contract/statistics/units.ts'
import type { Arm, Evidence } from '../judge/evidence.ts'
import type { LabelCounts, UnitLabel } from './feedback.ts'
import type { Rollup } from './windows.ts'

/** A version under comparison. */
export interface Compared {
  /** Default: whatever variant it was. */
  readonly variant?: string | undefined
  readonly model: string
  readonly version: string
}

/** A version, and the variant that it was. */
type Seen = Compared & { readonly variant: string }

/** Shares under one segment. */
export interface SegmentShares {
  readonly segment: number
  readonly ranges: readonly Range[]
  /** Model and version of each variant then. */
  readonly versions: Readonly<Record<string, { readonly model: string; readonly version: string }>>
}

export interface EvidenceQuery {
  readonly base: Compared
  readonly candidate: Compared
  readonly segments: readonly SegmentShares[]
  /** Latency edges that are judged even where no request was slower, milliseconds. Default: those that some request exceeded. */
  readonly edges?: readonly number[] | undefined
  /** How long a unit is watched before it counts as one that went well. */
  readonly horizonMs: number
  /** UTC epoch milliseconds. */
  readonly nowMs: number
}

export const ERRORS = 'errors'
export const WRONG_LABELS = 'wrong labels'

/** The metric of requests that took longer than an edge. */
export function slowerThan(edgeMs: number): string {
  return `slower than ${edgeMs} ms`
}

/** Outcomes that are errors for whoever asked; those who went away are told apart. */
const WRONG: ReadonlySet<unknown> = new Set(['failed', 'late', 'overloaded'])

interface Row {
  readonly arm: Arm
  readonly segment: number
  readonly fromMs: number
  readonly untilMs: number
}

/** @param rollups of one span; those of other versions and sources are left out */
export function evidenceOf(query: EvidenceQuery, rollups: readonly Rollup[]): Evidence[] {
  const shares = sharesOf(query)
  const evidence: Evidence[] = []
  const units: UnitRow[] = []
  const edges = new Set<number>(query.edges)
  const counted: { readonly row: Row; readonly exposures: number; readonly wrong: number; readonly slow: ReadonlyMap<number, number> }[] =
    []
  for (const { variant, model, version, segment, source, startMs, endMs, series } of rollups) {
    const arm = armOf(query, { variant, model, version })
    if (arm === undefined || source !== 'online' || !shares.has(segment)) continue
    const row: Row = { arm, segment, fromMs: startMs, untilMs: endMs }
    let [exposures, wrong] = [0, 0]
    const slow = new Map<number, number>()
    for (const { name, labels, statistic } of series) {
      if (statistic.kind === 'count' && name === 'exposures') exposures += statistic.value
      else if (statistic.kind === 'count' && name === 'outcomes' && WRONG.has(labels['outcome'])) wrong += statistic.value
      else if (statistic.kind === 'count' && name === 'exceeded') slow.set(Number(labels['edge']), statistic.value)
      else if (statistic.kind === 'units' && name === 'units')
        units.push({ arm, segment, event: eventOf(labels['event'], labels['edge']), units: statistic })
    }
    for (const edge of slow.keys()) edges.add(edge)
    counted.push({ row, exposures, wrong, slow })
  }
  for (const { event } of units) if (event.startsWith(EXCEEDED)) edges.add(Number(event.slice(EXCEEDED.length)))
  for (const { row, exposures, wrong, slow } of counted) {
    if (exposures === 0) continue
    evidence.push(rowOf(shares, row, { metric: ERRORS, k: wrong, exposures }))
    for (const edge of edges) evidence.push(rowOf(shares, row, { metric: slowerThan(edge), k: slow.get(edge) ?? 0, exposures }))
  }
  const events: readonly (readonly [metric: string, event: string])[] = [
    [ERRORS, 'wrong'],
    ...[...edges].map((edge): readonly [string, string] => [slowerThan(edge), `${EXCEEDED}${edge}`]),
  ]
  for (const [metric, event] of events) evidence.push(...ofUnits(query, shares, { metric, firsts: firstsOf(units, event) }))
  return evidence
}

/** Evidence of first labels. Labels come when they come: what has none is in no arm. */
export function labelEvidence(query: EvidenceQuery, counts: readonly LabelCounts[], ofEach: readonly UnitLabel[]): Evidence[] {
  const shares = sharesOf(query)
  const evidence: Evidence[] = []
  for (const { variant, model, version, segment, fromMs, untilMs, labels, wrong } of counts) {
    const arm = armOf(query, { variant, model, version })
    if (arm === undefined || !shares.has(segment)) continue
    evidence.push(rowOf(shares, { arm, segment, fromMs, untilMs }, { metric: WRONG_LABELS, k: wrong, exposures: labels }))
  }
  const exposed = new Map<number, First>()
  const went = new Map<number, First>()
  for (const { variant, model, version, segment, unit, predictedMs: atMs, wrong } of ofEach) {
    const arm = armOf(query, { variant, model, version })
    if (arm === undefined || !shares.has(segment)) continue
    earlier(exposed, unit, { arm, segment, atMs })
    if (wrong) earlier(went, unit, { arm, segment, atMs })
  }
  // A label says what was true at once: nothing has to ripen.
  const firsts = { exposed, went, standsFor: 1 }
  return [...evidence, ...ofUnits({ ...query, horizonMs: 0 }, shares, { metric: WRONG_LABELS, firsts })]
}

/** The arm that a version is in. */
export function armOf({ base, candidate }: Pick<EvidenceQuery, 'base' | 'candidate'>, one: Seen): Arm | undefined {
  return isOf(candidate, one) ? 'candidate' : isOf(base, one) ? 'base' : undefined
}

export function isOf({ variant, model, version }: Compared, one: Seen): boolean {
  return (variant === undefined || variant === one.variant) && model === one.model && version === one.version
}

/** Whether these very versions were variants of a segment, and each of them had a share. */
export function isOfBoth(segment: SegmentShares, compared: readonly Compared[]): boolean {
  return compared.every((one) => stepsOf(segment, one) > 0)
}

/** Points that a version had under a segment. */
function stepsOf({ ranges, versions }: SegmentShares, compared: Compared): number {
  const isMeant = (variant: string): boolean => {
    const then = versions[variant]
    return then !== undefined && isOf(compared, { variant, ...then })
  }
  return ranges.reduce((sum, { variant, from, until }) => sum + (isMeant(variant) ? until - from : 0), 0)
}

/** Share of the candidate among both, by segment; none where one of them has no requests, or was another version. */
export function sharesOf({ base, candidate, segments }: Pick<EvidenceQuery, 'base' | 'candidate' | 'segments'>): Map<number, number> {
  const shares = new Map<number, number>()
  for (const one of segments) {
    if (!isOfBoth(one, [base, candidate])) continue
    const [mine, theirs] = [stepsOf(one, candidate) / STEPS, stepsOf(one, base) / STEPS]
    if (mine > 0 && theirs > 0) shares.set(one.segment, mine / (mine + theirs))
  }
  return shares
}

function rowOf(
  shares: ReadonlyMap<number, number>,
  { arm, segment, fromMs, untilMs }: Row,
  counts: Pick<Evidence, 'metric' | 'k' | 'exposures' | 'kInHorizon'>,
): Evidence {
  return { ...counts, interval: { fromMs, untilMs }, segment: String(segment), arm, share: shares.get(segment)! }
}

interface UnitRow {
  readonly arm: Arm
  readonly segment: number
  readonly event: string
  readonly units: UnitsData
}

const EXCEEDED = 'exceeded '

function eventOf(event: unknown, edge: unknown): string {
  return edge === undefined ? String(event) : `${String(event)} ${String(edge)}`
}

/** The first time that something happened to a unit, and where. */
interface First {
  readonly arm: Arm
  readonly segment: number
  readonly atMs: number
}

interface Firsts {
  readonly exposed: ReadonlyMap<number, First>
  readonly went: ReadonlyMap<number, First>
  /** Units of the part that went wrong is kept of, for each exposed one that is kept. */
  readonly standsFor: number
}

/**
 * Sets of one event are thinned to the smallest limit of them all. Those that went wrong are fewer than those that were seen, and keep more of
 * theirs: what is shown depends on them alone.
 */
function firstsOf(rows: readonly UnitRow[], event: string): Firsts {
  const [exposed, went] = [thinned(rows, 'exposed'), thinned(rows, event)]
  return { exposed: exposed.firsts, went: went.firsts, standsFor: went.limit / exposed.limit }
}

function thinned(rows: readonly UnitRow[], event: string): { readonly firsts: Map<number, First>; readonly limit: number } {
  const some = rows.filter((row) => row.event === event)
  const limit = Math.min(HASHES, ...some.map(({ units }) => units.limit))
  const firsts = new Map<number, First>()
  for (const { arm, segment, units } of some) for (const [unit, atMs] of under(units, limit)) earlier(firsts, unit, { arm, segment, atMs })
  return { firsts, limit }
}

/** Of two at the same time, some one, which is the same in whatever order they come. */
function earlier(firsts: Map<number, First>, unit: number, first: First): void {
  const known = firsts.get(unit)
  if (known === undefined || first.atMs < known.atMs || (first.atMs === known.atMs && textOf(first) < textOf(known)))
    firsts.set(unit, first)
}

function textOf({ arm, segment }: First): string {
  return `${arm} ${segment}`
}

/** One row for each arm and segment: a unit counts where it was first seen, and what went wrong where that happened first. */
function ofUnits(
  { horizonMs, nowMs }: EvidenceQuery,
  shares: ReadonlyMap<number, number>,
  { metric, firsts: { exposed, went, standsFor } }: { readonly metric: string; readonly firsts: Firsts },
): Evidence[] {
  const rows = new Map<string, { row: Row; k: number; kInHorizon: number; exposures: number }>()
  const at = ({ arm, segment, atMs }: First) => {
    const name = `${arm} ${segment}`
    let found = rows.get(name)
    if (found === undefined)
      rows.set(name, (found = { row: { arm, segment, fromMs: atMs, untilMs: atMs }, k: 0, kInHorizon: 0, exposures: 0 }))
    return found
  }
  for (const [unit, first] of exposed) {
    // Who has been watched for less has not gone well yet.
    if (went.has(unit) || nowMs - first.atMs >= horizonMs) at(first).exposures++
  }
  for (const [unit, first] of went) {
    const found = at(first)
    found.k++
    const seenAt = exposed.get(unit)?.atMs ?? first.atMs
    if (first.atMs - seenAt <= horizonMs) found.kInHorizon++
  }
  const intervals = spans([...exposed.values(), ...went.values()])
  return [...rows.values()].map(({ row, k, kInHorizon, exposures }) => {
    const { fromMs, untilMs } = intervals.get(row.segment)!
    const evidence = rowOf(
      shares,
      { ...row, fromMs, untilMs },
      { metric, k, exposures: Math.max(k, Math.round(exposures * standsFor)), kInHorizon },
    )
    // Apart from the requests of the same segment that were for no unit.
    return { ...evidence, segment: `${row.segment} units` }
  })
}

/** First and last time of each segment, of both arms together. */
function spans(firsts: readonly First[]): Map<number, { fromMs: number; untilMs: number }> {
  const found = new Map<number, { fromMs: number; untilMs: number }>()
  for (const { segment, atMs } of firsts) {
    const known = found.get(segment)
    if (known === undefined) found.set(segment, { fromMs: atMs, untilMs: atMs })
    else {
      known.fromMs = Math.min(known.fromMs, atMs)
      known.untilMs = Math.max(known.untilMs, atMs)
    }
  }
  return found
}
