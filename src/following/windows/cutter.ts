import { subtractHistograms } from '../../contract/histogram.ts'
import { WINDOW_MS } from '../../contract/observation-window.ts'
import { API_VERSION } from '../../contract/schema.ts'
import type { HistogramData } from '../../contract/histogram.ts'
import type { ObservationWindow, Statistic } from '../../contract/observation-window.ts'
import type { Family } from '../../serving/observe/exposition.ts'

export interface CutterOptions {
  readonly server: string
  readonly bootId: string
  /** The segment of the weights under which a version was put into use. */
  readonly segmentOf: (endpoint: string, variant: string, version: string) => number
}

/** The metrics that windows are made of, and how their statistics are called. */
const MEASURED: Readonly<Record<string, string>> = {
  slipway_request_duration_seconds: 'request_seconds',
  slipway_queue_duration_seconds: 'queue_seconds',
  slipway_compute_duration_seconds: 'compute_seconds',
  slipway_rejected_total: 'rejected',
  slipway_rows_total: 'rows',
}
/** Cuts after which a series that is not there is gone, and not only missing for a moment. */
const FORGOTTEN_AFTER = 6
const SUBJECT = new Set(['endpoint', 'variant', 'model', 'version'])

interface Subject {
  readonly endpoint: string
  readonly variant: string
  readonly model: string
  readonly version: string
}

/** Cuts what a server counts into windows of event time: each holds what has come since the one before. */
export class WindowCutter {
  readonly #options: CutterOptions
  readonly #before = new Map<string, { readonly value: HistogramData | number; readonly cut: number }>()
  #fromMs: number
  #sequence = 0

  /** @param nowMs when counting began, UTC epoch milliseconds */
  constructor(options: CutterOptions, nowMs: number) {
    this.#options = options
    this.#fromMs = onGrid(nowMs)
  }

  /** What has come since the last time; nothing of a version that was not asked. */
  cut(families: readonly Family[], nowMs: number): ObservationWindow[] {
    const bySubject = new Map<string, { subject: Subject; statistics: Record<string, Statistic> }>()
    for (const { name, samples } of families) {
      const statistic = MEASURED[name]
      if (statistic === undefined) continue
      for (const { labels, value } of samples) {
        const { endpoint = '', variant = '', model = '', version = '' } = labels
        if (endpoint === '') continue
        const key = `${name}\0${JSON.stringify(labels)}`
        const change = changeOf(value, this.#before.get(key)?.value)
        this.#before.set(key, { value, cut: this.#sequence })
        if (change === undefined) continue
        const subject = { endpoint, variant, model, version }
        const named = `${endpoint}\0${variant}\0${model}\0${version}`
        let window = bySubject.get(named)
        if (window === undefined) bySubject.set(named, (window = { subject, statistics: {} }))
        window.statistics[`${statistic}${detailsOf(labels)}`] = change
      }
    }
    // What is not counted any more begins at nothing when it comes back.
    for (const [key, { cut }] of this.#before) if (this.#sequence - cut > FORGOTTEN_AFTER) this.#before.delete(key)
    const endMs = Math.max(onGrid(nowMs), this.#fromMs + WINDOW_MS)
    const sequence = this.#sequence++
    const { server, bootId, segmentOf } = this.#options
    const windows = [...bySubject.values()].map(({ subject, statistics }): ObservationWindow => {
      const segment = segmentOf(subject.endpoint, subject.variant, subject.version)
      const key = { source: 'online' as const, server, bootId, sequence, ...subject, segment, startMs: this.#fromMs, endMs }
      return { apiVersion: API_VERSION, key, statistics }
    })
    // A clock that was put back does not make windows of a time before.
    this.#fromMs = Math.max(onGrid(nowMs), nowMs < this.#fromMs ? onGrid(nowMs) : endMs)
    return windows
  }
}

/** How long until the next window ends. */
export function untilNextCut(nowMs: number): number {
  return onGrid(nowMs) + WINDOW_MS - nowMs
}

function onGrid(ms: number): number {
  return Math.floor(ms / WINDOW_MS) * WINDOW_MS
}

function changeOf(value: HistogramData | number, before: HistogramData | number | undefined): Statistic | undefined {
  if (typeof value === 'number') {
    const earlier = typeof before === 'number' && before <= value ? before : 0
    return value === earlier ? undefined : { kind: 'count', value: value - earlier }
  }
  const change = before === undefined || typeof before === 'number' ? value : subtractHistograms(value, before)
  return change.count === 0 ? undefined : change
}

/** Labels beyond those that name the version: `{protocol=v2,code=200}`. */
function detailsOf(labels: Readonly<Record<string, string>>): string {
  const rest = Object.entries(labels).filter(([name]) => !SUBJECT.has(name))
  return rest.length === 0 ? '' : `{${rest.map(([name, value]) => `${name}=${value}`).join(',')}}`
}
