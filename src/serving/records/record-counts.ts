import { METRICS } from '../observe/catalog.ts'
import type { Family } from '../observe/exposition.ts'

/**
 * Reasons for which a sampled prediction has no record: `memory` too much is kept in memory, `busy` too many wait to be written, `too_large`,
 * `full` the spool has no room, `disk` it could not be written.
 */
export const DROP_REASONS = ['memory', 'busy', 'too_large', 'full', 'disk'] as const
export type DropReason = (typeof DROP_REASONS)[number]

/** Numbers of records that were written, and of those that were not. */
export class RecordCounts {
  #written = 0
  readonly #dropped = new Map<DropReason, number>(DROP_REASONS.map((reason) => [reason, 0]))

  write(count: number): void {
    this.#written += count
  }

  drop(reason: DropReason, count = 1): void {
    this.#dropped.set(reason, this.#dropped.get(reason)! + count)
  }

  get dropped(): number {
    return [...this.#dropped.values()].reduce((sum, count) => sum + count, 0)
  }

  /** In words, such as `3 full, 1 disk`. */
  get why(): string {
    return [...this.#dropped]
      .filter(([, count]) => count > 0)
      .map(([reason, count]) => `${count} ${reason}`)
      .join(', ')
  }

  families(): Family[] {
    const samples = [...this.#dropped].map(([reason, value]) => ({ labels: { reason }, value }))
    return [
      { name: 'slipway_records_total', info: METRICS.slipway_records_total, samples: [{ labels: {}, value: this.#written }] },
      { name: 'slipway_records_dropped_total', info: METRICS.slipway_records_dropped_total, samples },
    ]
  }
}
