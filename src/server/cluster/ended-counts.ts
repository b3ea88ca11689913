import { FOLDED_SEGMENT, KEEP_GONE_MS, KEEP_SEGMENT_MS, mergeObserved, observedKey } from '../../serving/observe/observations.ts'
import { mergeFamilies } from '../../serving/observe/merge.ts'
import type { LiveEndpoint } from '../../serving/live.ts'
import type { Family } from '../../serving/observe/exposition.ts'
import type { ProcessCounts } from '../../serving/observe/merge.ts'
import type { Observed } from '../../serving/observe/observations.ts'

interface Kept {
  readonly observed: Observed
  /** Times at which the version was last served, and its segment last in force; monotonic milliseconds. */
  servedMs: number
  inForceMs: number
}

/**
 * Counts of processes that have ended, so that the counters of the server never go back. They are kept as a process keeps its own: by
 * segment while the segment is in force and a while after, and as long as the version is served.
 */
export class EndedCounts {
  #kept: Kept[] = []
  #families: readonly Family[] = []

  /** @param counts the last report of a process that has ended */
  add({ observed, families }: ProcessCounts, nowMs: number): void {
    this.#families = mergeFamilies([this.#families, families])
    this.#kept = [...this.#kept, ...observed.map((one) => ({ observed: one, servedMs: nowMs, inForceMs: nowMs }))]
  }

  /** @param live current state of the endpoints in the processes that run */
  counts(live: readonly LiveEndpoint[], nowMs: number): ProcessCounts {
    for (const kept of this.#kept) {
      const { subject, segment } = kept.observed
      const endpoint = live.find(({ name }) => name === subject.endpoint)
      if (endpoint?.variants.some(({ name, version }) => name === subject.variant && version === subject.version) === true)
        kept.servedMs = nowMs
      if (endpoint !== undefined && (endpoint.segment ?? segment) === segment) kept.inForceMs = nowMs
    }
    const known = this.#kept.filter(({ servedMs }) => nowMs - servedMs <= KEEP_GONE_MS)
    const told = (kept: Kept): number => (nowMs - kept.inForceMs > KEEP_SEGMENT_MS ? FOLDED_SEGMENT : kept.observed.segment)
    // One entry of each version and segment is left, however many processes have ended.
    const groups = Map.groupBy(known, (kept) => observedKey({ subject: kept.observed.subject, segment: told(kept) }))
    this.#kept = [...groups.values()].map((some) => ({
      observed: mergeObserved([some.map((kept) => ({ ...kept.observed, segment: told(kept) }))])[0]!,
      servedMs: Math.max(...some.map(({ servedMs }) => servedMs)),
      inForceMs: Math.max(...some.map(({ inForceMs }) => inForceMs)),
    }))
    return { observed: this.#kept.map(({ observed }) => observed), families: this.#families }
  }
}
