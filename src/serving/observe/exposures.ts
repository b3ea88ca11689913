/**
 * What happened to requests under one version and segment, for whoever compares versions: how they were assigned, and of those that chance
 * assigned what became of each. Requests of units are in sets, so that a unit counts once; the others are counted.
 */
import { WINDOW_MS } from '../../contract/observation-window.ts'
import { Histogram } from '../../contract/statistics/histogram.ts'
import { QuantileSketch } from '../../contract/statistics/quantile-sketch.ts'
import { unitHash, Units } from '../../contract/statistics/units.ts'
import { increment } from '../../core/increment.ts'
import { WRONG } from './outcome.ts'
import type { Series } from '../../contract/statistics/series.ts'
import type { KnownStatistic } from '../../contract/statistics/statistics.ts'
import type { FeedbackEvent, Predictions, ShadowResult } from './events.ts'
import type { Outcome } from './outcome.ts'

/** Seconds from a prediction to its label: a minute to a year. */
export const DELAY_EDGES: readonly number[] = [
  60,
  600,
  3600,
  6 * 3600,
  86_400,
  3 * 86_400,
  7 * 86_400,
  14 * 86_400,
  30 * 86_400,
  90 * 86_400,
  365 * 86_400,
]
/** Classes that are counted by name; the others are counted together. */
const CLASSES_MAX = 50
const OTHERS = '(others)'

/** Windows whose sketches are kept until they are cut: two minutes of them. */
const PANES_MAX = 12
/** Label of a statistic that is of one window, with the start of it; windows have it without. */
export const PANE = 'pane'

interface Pane {
  /** UTC epoch milliseconds, on the grid of windows. */
  readonly start: number
  readonly sketch: QuantileSketch
}

export interface Exposed {
  readonly outcome: Outcome
  readonly durationMs: number
  /** Milliseconds. */
  readonly edges: readonly number[] | undefined
  readonly unit: string | undefined
  /** UTC epoch milliseconds. */
  readonly nowMs: number
}

export class Exposures {
  readonly #assignments = new Map<string, number>()
  readonly #fallbacks = new Map<string, number>()
  #exposures = 0
  readonly #outcomes = new Map<string, number>()
  readonly #exceeded = new Map<number, number>()
  readonly #units = new Map<string, { readonly labels: Series['labels']; readonly units: Units }>()
  readonly #classes = new Map<string, number>()
  readonly #panes: Pane[] = []
  #pane: Pane | undefined
  readonly #shadows = new Map<string, number>()
  readonly #labels = new Map<string, number>()
  #delays: Histogram | undefined

  assigned(assignment: string): void {
    increment(this.#assignments, assignment)
  }

  /** Another variant answered, as the assigned one failed. */
  fellBack(outcome: string): void {
    increment(this.#fallbacks, outcome)
  }

  /** One request that chance assigned, at its first attempt. */
  exposed({ outcome, durationMs, edges, unit, nowMs }: Exposed): void {
    const hash = unit === undefined ? undefined : unitHash(unit)
    if (hash === undefined) this.#exposures++
    else this.#unitsOf('exposed').add(hash, nowMs)
    if (outcome !== 'answered') {
      if (hash === undefined) increment(this.#outcomes, outcome)
      else this.#unitsOf(outcome).add(hash, nowMs)
      if (hash !== undefined && WRONG.has(outcome)) this.#unitsOf('wrong').add(hash, nowMs)
    }
    if (edges === undefined) return
    for (const edge of edges) {
      if (durationMs <= edge) continue
      if (hash === undefined) increment(this.#exceeded, edge)
      else this.#unitsOf('exceeded', edge).add(hash, nowMs)
    }
  }

  /** @param nowMs UTC epoch milliseconds; needed for numbers alone */
  predicted({ numeric, values }: Predictions, nowMs: number): void {
    for (const value of values) {
      if (numeric) this.#paneAt(nowMs).observe(Number(value))
      else {
        const name = String(value).slice(0, 100)
        increment(this.#classes, this.#classes.has(name) || this.#classes.size < CLASSES_MAX ? name : OTHERS)
      }
    }
  }

  /** Sketches cannot be subtracted: each window has one of its own. */
  #paneAt(nowMs: number): QuantileSketch {
    const start = Math.floor(nowMs / WINDOW_MS) * WINDOW_MS
    if (this.#pane?.start === start) return this.#pane.sketch
    this.#pane = { start, sketch: new QuantileSketch() }
    this.#panes.push(this.#pane)
    if (this.#panes.length > PANES_MAX) this.#panes.shift()
    return this.#pane.sketch
  }

  shadow(result: ShadowResult): void {
    increment(this.#shadows, result)
  }

  labelled({ right, delayMs }: FeedbackEvent): void {
    increment(this.#labels, right === undefined ? 'unknown' : right ? 'right' : 'wrong')
    this.#delays ??= new Histogram(DELAY_EDGES)
    this.#delays.observe(delayMs / 1000)
  }

  #unitsOf(event: string, edge?: number): Units {
    const name = edge === undefined ? event : `${event} ${edge}`
    let found = this.#units.get(name)
    if (found === undefined)
      this.#units.set(name, (found = { labels: edge === undefined ? { event } : { event, edge }, units: new Units() }))
    return found.units
  }

  series(): Series<KnownStatistic>[] {
    const found: Series<KnownStatistic>[] = []
    const counts = (name: string, label: string, all: ReadonlyMap<string | number, number>): void => {
      for (const [value, count] of all) found.push({ name, labels: { [label]: value }, statistic: { kind: 'count', value: count } })
    }
    counts('assignments', 'assignment', this.#assignments)
    counts('fallbacks', 'outcome', this.#fallbacks)
    if (this.#exposures > 0) found.push({ name: 'exposures', labels: {}, statistic: { kind: 'count', value: this.#exposures } })
    counts('outcomes', 'outcome', this.#outcomes)
    counts('exceeded', 'edge', this.#exceeded)
    for (const { labels, units } of this.#units.values()) found.push({ name: 'units', labels, statistic: units.snapshot() })
    counts('predicted', 'class', this.#classes)
    for (const { start, sketch } of this.#panes)
      found.push({ name: 'predicted_values', labels: { [PANE]: start }, statistic: sketch.snapshot() })
    counts('shadow', 'result', this.#shadows)
    counts('labels', 'result', this.#labels)
    if (this.#delays !== undefined) found.push({ name: 'label_delay_seconds', labels: {}, statistic: this.#delays.snapshot() })
    return found
  }
}

/** Names of the series that windows have. Labels are counted where they are kept, each once for all servers. */
export const EXPOSURE_SERIES = [
  'assignments',
  'fallbacks',
  'exposures',
  'outcomes',
  'exceeded',
  'units',
  'predicted',
  'predicted_values',
  'shadow',
] as const
