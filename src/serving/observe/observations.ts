/**
 * Observations of each version under each routing segment, in statistics that merge. They are counted once: metrics and windows are made
 * of them, and several processes add theirs up to those of one server.
 */
import { Histogram, LATENCY_EDGES, ROWS_EDGES } from '../../contract/statistics/histogram.ts'
import { Exposures, PANE } from './exposures.ts'
import { isEvidence, outcomeOf } from './outcome.ts'
import { RunTimes } from './run-times.ts'
import { increment } from '../../core/increment.ts'
import { mergeSeries } from '../../contract/statistics/series.ts'
import type { KnownStatistic } from '../../contract/statistics/statistics.ts'
import type { Series } from '../../contract/statistics/series.ts'
import type { Assignment } from '../router/decision.ts'
import type { BatchEvent, FeedbackEvent, InstanceFailureEvent, Observer, RequestEvent, ShadowEvent, Subject } from './events.ts'

/** Statistics of one version under one segment since the process started. Plain data, which crosses processes. */
export interface Observed {
  readonly subject: Subject
  /** Segment of the routing in force when the requests came. */
  readonly segment: number
  readonly series: readonly Series<KnownStatistic>[]
  /** When the last request was answered or refused, UTC epoch milliseconds; undefined before the first. */
  readonly lastRequestMs?: number | undefined
}

/** Segment number of statistics that are reported of a version as a whole, and of no segment. */
export const FOLDED_SEGMENT = 0
/** Segment of requests that came without a routing decision. */
const FIRST_SEGMENT = 1
/**
 * Time for which the counts of a segment are reported apart, once another segment has followed: by then windows have taken them, and no
 * process of a server counts under the old segment any more.
 */
export const KEEP_SEGMENT_MS = 15 * 60_000
/** Time for which the statistics of a version that is no longer served are reported. */
export const KEEP_GONE_MS = 10 * 60_000

export function reasonOf(code: string): string {
  return code.replace(/^SLW_/, '').toLowerCase()
}

/** Assignments whose answers are those of everybody: audiences and testers are others. */
const ANSWERS_OF_ALL: ReadonlySet<Assignment> = new Set<Assignment>(['randomised', 'only', 'incomplete'])

/** Counts of one version under one segment. */
class Tally {
  /** {@link FOLDED_SEGMENT} until the first request sets it. */
  segment: number
  readonly requests = new Map<string, Map<number, Histogram>>()
  readonly queue = new Histogram(LATENCY_EDGES)
  readonly batchWait = new Histogram(LATENCY_EDGES)
  readonly compute = new Histogram(LATENCY_EDGES)
  readonly batchRows = new Histogram(ROWS_EDGES)
  readonly rejected = new Map<string, number>()
  readonly failures = new Map<string, number>()
  readonly cached = new Map<string, number>()
  readonly exposures = new Exposures()
  readonly runTimes = new RunTimes()
  /** Milliseconds that the cache took: to find an answer, and to look for one and keep it. */
  cacheHitMs = 0
  cacheMissMs = 0
  lastRequestMs: number | undefined
  inlineRuns = 0
  poolRuns = 0
  rows = 0
  /** When another tally became the current one, monotonic milliseconds; Infinity for the current one. */
  countedMs = Infinity

  constructor(segment: number) {
    this.segment = segment
  }

  requestHistogram(protocol: string, status: number): Histogram {
    let byStatus = this.requests.get(protocol)
    if (byStatus === undefined) this.requests.set(protocol, (byStatus = new Map<number, Histogram>()))
    let histogram = byStatus.get(status)
    if (histogram === undefined) byStatus.set(status, (histogram = new Histogram(LATENCY_EDGES)))
    return histogram
  }

  series(): Series<KnownStatistic>[] {
    const counted = (name: string, label: string, counts: ReadonlyMap<string, number>): Series<KnownStatistic>[] =>
      [...counts].map(([value, count]) => ({ name, labels: { [label]: value }, statistic: { kind: 'count', value: count } }))
    const plain = (name: string, statistic: KnownStatistic): Series<KnownStatistic> => ({ name, labels: {}, statistic })
    return [
      ...[...this.requests].flatMap(([protocol, byStatus]) =>
        [...byStatus].map(([code, histogram]) => ({
          name: 'request_seconds',
          labels: { protocol, code },
          statistic: histogram.snapshot(),
        })),
      ),
      plain('queue_seconds', this.queue.snapshot()),
      plain('batch_wait_seconds', this.batchWait.snapshot()),
      plain('compute_seconds', this.compute.snapshot()),
      plain('batch_rows', this.batchRows.snapshot()),
      ...counted(
        'runs',
        'instance',
        new Map([
          ['inline', this.inlineRuns],
          ['pool', this.poolRuns],
        ]),
      ),
      plain('rows', { kind: 'count', value: this.rows }),
      ...counted('rejected', 'reason', this.rejected),
      ...counted('instance_failures', 'reason', this.failures),
      ...counted('cache_requests', 'result', this.cached),
      ...(this.cached.size === 0
        ? []
        : counted(
            'cache_seconds',
            'result',
            new Map([
              ['hit', this.cacheHitMs / 1000],
              ['miss', this.cacheMissMs / 1000],
            ]),
          )),
      ...this.runTimes.series(),
      ...this.exposures.series(),
    ]
  }
}

/** One version: its current counts, and those of the segments before. */
class Version {
  readonly subject: Subject
  readonly earlier: Tally[] = []
  /** Series of segments that are no longer reported apart: they count for the version as a whole. */
  folded: readonly Series<KnownStatistic>[] = []
  foldedRequestMs: number | undefined
  current: Tally
  /** When the version was last seen to be served, monotonic milliseconds. */
  servedMs: number
  /** Whether the version has not been served for long, and is no longer reported. */
  forgotten = false

  constructor(subject: Subject, nowMs: number) {
    this.subject = subject
    this.current = new Tally(FOLDED_SEGMENT)
    this.servedMs = nowMs
  }

  /**
   * Makes the tally of a segment the current one; where that has not changed, as for nearly every request, at the cost of one comparison.
   * Requests decided under an older routing may be answered after the first ones of a newer one.
   */
  under(segment: number, nowMs: number): Tally {
    const { current, earlier } = this
    if (current.segment === segment) return current
    // Runs that were counted before the first request ended were of its segment.
    if (current.segment === FOLDED_SEGMENT) {
      current.segment = segment
      return current
    }
    const known = earlier.findIndex((tally) => tally.segment === segment)
    const tally = known === -1 ? new Tally(segment) : earlier.splice(known, 1)[0]!
    current.countedMs = nowMs
    earlier.push(current)
    tally.countedMs = Infinity
    this.current = tally
    return tally
  }

  /** The tally of a segment, which need not be the current one. */
  at(segment: number, nowMs: number): Tally {
    const { current, earlier } = this
    const known = current.segment === segment ? current : earlier.find((tally) => tally.segment === segment)
    if (known !== undefined) return known
    const tally = new Tally(segment)
    tally.countedMs = nowMs
    earlier.push(tally)
    return tally
  }

  fold(beforeMs: number): void {
    for (const tally of this.earlier.filter(({ countedMs }) => countedMs < beforeMs)) {
      // Windows have taken those that were of one window.
      const series = tally.series().filter(({ labels }) => !(PANE in labels))
      this.folded = mergeSeries(this.folded, series)
      this.foldedRequestMs = later(this.foldedRequestMs, tally.lastRequestMs)
      this.earlier.splice(this.earlier.indexOf(tally), 1)
    }
  }
}

export class Observations implements Observer {
  readonly #monotonicMs: () => number
  readonly #epochMs: () => number
  readonly #versions = new Map<string, Version>()
  /** Versions by the subject object that events carry: the lookup of every request. */
  readonly #bySubject = new WeakMap<Subject, Version>()

  constructor(monotonicMs: () => number = () => performance.now(), epochMs: () => number = Date.now) {
    this.#monotonicMs = monotonicMs
    this.#epochMs = epochMs
  }

  #tally(subject: Subject, segment: number): Tally {
    const version = this.#of(subject)
    return version.current.segment === segment ? version.current : version.under(segment, this.#monotonicMs())
  }

  #of(subject: Subject): Version {
    const known = this.#bySubject.get(subject)
    if (known !== undefined && !known.forgotten) return known
    // A version that is loaded again continues its counts; one that was forgotten meanwhile begins at zero.
    const key = keyOf(subject)
    let version = this.#versions.get(key)
    if (version === undefined) this.#versions.set(key, (version = new Version(subject, this.#monotonicMs())))
    this.#bySubject.set(subject, version)
    return version
  }

  request(event: RequestEvent): void {
    const { subject, decision } = event
    if (subject === undefined) return
    const segment = decision?.segment ?? FIRST_SEGMENT
    const tally = this.#tally(subject, segment)
    tally.lastRequestMs = this.#epochMs()
    this.#expose(tally, event)
    tally.requestHistogram(event.protocol, event.status).observe(event.durationMs / 1000)
    if (event.errorCode !== undefined) {
      increment(tally.rejected, reasonOf(event.errorCode))
      return
    }
    if (event.cache !== undefined) {
      increment(tally.cached, event.cache)
      if (event.cache === 'miss') tally.cacheMissMs += event.cacheMs
      else tally.cacheHitMs += event.cacheMs
    }
    tally.queue.observe(event.queueMs / 1000)
    tally.batchWait.observe(event.batchWaitMs / 1000)
    tally.rows += event.rows
  }

  /** Counts a request for the version that it was assigned to: at its first attempt, whoever answered in the end. */
  #expose(answering: Tally, { decision, attempt, cache, errorCode, durationMs, predictions }: RequestEvent): void {
    if (decision === undefined) return
    const isOwn = attempt === undefined && cache !== 'hit' && cache !== 'shared' && ANSWERS_OF_ALL.has(decision.assignment)
    if (isOwn && predictions !== undefined) answering.exposures.predicted(predictions, predictions.numeric ? this.#epochMs() : 0)
    const tally = attempt === undefined ? answering : this.#tally(attempt.subject, decision.segment)
    const { exposures } = tally
    exposures.assigned(decision.assignment)
    const outcome = outcomeOf(attempt === undefined ? errorCode : attempt.errorCode)
    if (attempt !== undefined && outcome !== undefined) exposures.fellBack(outcome)
    if (outcome === undefined || !isEvidence(decision, attempt === undefined ? cache : undefined)) return
    const { unit, edges } = decision
    exposures.exposed({
      outcome,
      durationMs: attempt?.durationMs ?? durationMs,
      edges,
      unit,
      nowMs: unit === undefined ? 0 : this.#epochMs(),
    })
  }

  shadow({ subject, segment, result }: ShadowEvent): void {
    this.#tally(subject, segment).exposures.shadow(result)
  }

  feedback(event: FeedbackEvent): void {
    this.#of(event.subject).at(event.segment, this.#monotonicMs()).exposures.labelled(event)
  }

  /** A run may be of requests of two segments: it counts for the current one. */
  batch(event: BatchEvent): void {
    const { current } = this.#of(event.subject)
    if (event.instance === 'inline') current.inlineRuns++
    else current.poolRuns++
    if (event.failed) return
    current.compute.observe(event.computeMs / 1000)
    current.batchRows.observe(event.rows)
    current.runTimes.observe(event)
  }

  instanceFailure(event: InstanceFailureEvent): void {
    increment(this.#of(event.subject).current.failures, event.reason.replaceAll(' ', '_'))
  }

  /**
   * All statistics so far.
   * @param served subjects that are served now: others are forgotten after a while, and not at once
   */
  snapshot(served: Iterable<Subject>): Observed[] {
    const now = this.#monotonicMs()
    for (const subject of served) {
      const version = this.#versions.get(keyOf(subject))
      if (version !== undefined) version.servedMs = now
    }
    const observed: Observed[] = []
    for (const [key, version] of this.#versions) {
      if (now - version.servedMs > KEEP_GONE_MS) {
        version.forgotten = true
        this.#versions.delete(key)
        continue
      }
      version.fold(now - KEEP_SEGMENT_MS)
      const { subject, folded, foldedRequestMs, earlier, current } = version
      if (folded.length > 0) observed.push({ subject, segment: FOLDED_SEGMENT, series: folded, lastRequestMs: foldedRequestMs })
      for (const tally of [...earlier, current]) {
        const { segment, lastRequestMs } = tally
        observed.push({ subject, segment, series: tally.series(), lastRequestMs })
      }
    }
    return observed
  }
}

/** Key of the statistics of one version under one segment. */
export function observedKey({ subject, segment }: Pick<Observed, 'subject' | 'segment'>): string {
  return `${keyOf(subject)}\0${segment}`
}

function keyOf({ endpoint, variant, model, version }: Subject): string {
  return `${endpoint}\0${variant}\0${model}\0${version}`
}

/** Merges the statistics of several processes into those of one server. */
export function mergeObserved(all: readonly (readonly Observed[])[]): Observed[] {
  return mergedBy(all.flat(), observedKey)
}

/** Statistics of whole versions, merged across segments. */
export function acrossSegments(observed: readonly Observed[]): Observed[] {
  return mergedBy(observed, ({ subject }) => keyOf(subject))
}

function mergedBy(observed: readonly Observed[], keyOfOne: (one: Observed) => string): Observed[] {
  const merged = new Map<string, Observed>()
  for (const one of observed) {
    const key = keyOfOne(one)
    const other = merged.get(key)
    merged.set(
      key,
      other === undefined
        ? one
        : { ...other, series: mergeSeries(other.series, one.series), lastRequestMs: later(other.lastRequestMs, one.lastRequestMs) },
    )
  }
  return [...merged.values()]
}

function later(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.max(a, b)
}
