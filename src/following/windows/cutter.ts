import { WINDOW_MS } from '../../contract/observation-window.ts'
import { growthOf, mergeSeries } from '../../contract/statistics/series.ts'
import { EXPOSURE_SERIES, PANE } from '../../serving/observe/exposures.ts'
import { FOLDED_SEGMENT, observedKey } from '../../serving/observe/observations.ts'
import type { ObservationWindow } from '../../contract/observation-window.ts'
import type { Observed } from '../../serving/observe/observations.ts'

export interface CutterOptions {
  readonly server: string
  readonly bootId: string
}

/** The series of a version that go into windows. */
const IN_WINDOWS: ReadonlySet<string> = new Set([
  'request_seconds',
  'queue_seconds',
  'compute_seconds',
  'rejected',
  'rows',
  ...EXPOSURE_SERIES,
])

/** Cuts the observations of a server into windows of event time: each holds the growth since the one before. */
export class WindowCutter {
  readonly #options: CutterOptions
  /** The series at the last cut. */
  #before: ReadonlyMap<string, Observed['series']> = new Map()
  #fromMs: number
  /** End of the panes that were given out, by what they are of: each is, once, also after a clock was put back. */
  readonly #given = new Map<string, number>()
  #sequence = 0

  /** @param nowMs when counting began, UTC epoch milliseconds */
  constructor(options: CutterOptions, nowMs: number) {
    this.#options = options
    this.#fromMs = onGrid(nowMs)
  }

  /**
   * The growth since the last cut; nothing of a version without requests. Where a sum is less than before, some of its processes no longer
   * report the segment: their part has been counted.
   */
  cut(observed: readonly Observed[], nowMs: number): ObservationWindow[] {
    const endMs = Math.max(onGrid(nowMs), this.#fromMs + WINDOW_MS)
    const sequence = this.#sequence++
    const { server, bootId } = this.#options
    const windows: ObservationWindow[] = []
    const seen = new Map<string, Observed['series']>()
    for (const { subject, segment, series: all } of observed) {
      if (segment === FOLDED_SEGMENT) continue
      const { endpoint, variant, model, version } = subject
      const named = observedKey({ subject, segment })
      const series = all.filter(({ name }) => IN_WINDOWS.has(name))
      const panes = series.filter(({ labels }) => PANE in labels)
      const going = series.filter(({ labels }) => !(PANE in labels))
      const grown = [...growthOf(going, this.#before.get(named) ?? []), ...this.#within(named, panes, endMs)]
      seen.set(named, going)
      if (grown.length === 0) continue
      const span = { startMs: this.#fromMs, endMs }
      windows.push({
        key: { source: 'online', server, bootId, sequence, endpoint, variant, model, version, segment, ...span },
        series: grown,
      })
    }
    for (const named of this.#given.keys()) if (!seen.has(named)) this.#given.delete(named)
    // A series that is no longer reported starts at zero when it comes back.
    this.#before = seen
    // After a clock was put back, the next window begins at the new time.
    this.#fromMs = Math.max(onGrid(nowMs), nowMs < this.#fromMs ? onGrid(nowMs) : endMs)
    return windows
  }

  /** The statistics that were taken of this window alone, as one each. */
  #within(named: string, panes: Observed['series'], endMs: number): Observed['series'] {
    const given = this.#given.get(named) ?? -Infinity
    const inside = panes.filter(({ labels }) => Number(labels[PANE]) >= given && Number(labels[PANE]) < endMs)
    if (inside.length === 0) return []
    this.#given.set(named, endMs)
    const plain = inside.map(({ name, labels: { [PANE]: _pane, ...labels }, statistic }) => ({ name, labels, statistic }))
    return plain.reduce<Observed['series']>((sum, one) => mergeSeries(sum, [one]), [])
  }
}

/** Time until the next window ends, milliseconds. */
export function untilNextCut(nowMs: number): number {
  return onGrid(nowMs) + WINDOW_MS - nowMs
}

function onGrid(ms: number): number {
  return Math.floor(ms / WINDOW_MS) * WINDOW_MS
}
