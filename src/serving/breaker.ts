/**
 * Breaker takes a variant out of a server that does nothing but fail there, while the variant with the largest share does not: within a few
 * requests, and with nobody's help. Who is taken out stays out until the routing changes.
 */
import type { Clock } from '../core/clock.ts'
import type { Outcome } from './observe/outcome.ts'

/** Failures one after the other that trip it. */
const STREAK = 10
/** Latest requests that count for how a variant does. */
const LATEST = 20
/** Answers among the latest that have no number in them, of all that have numbers. */
const NOT_NUMBERS = 0.8
/** Ends of instances within {@link ENDS_MS} that trip it. */
const ENDS = 3
const ENDS_MS = 60_000

/** What became of one request, as far as it says something of the variant. */
export interface Noted {
  readonly outcome: Outcome
  /** Whether outputs that are numbers were none: NaN. */
  readonly notNumber?: boolean
}

class Record {
  streak = 0
  readonly wrong: boolean[] = []
  readonly notNumber: boolean[] = []
  ends: number[] = []
}

export interface BreakerOptions {
  readonly clock: Clock
  /** Name of the variant with the largest share: it is never taken out. */
  readonly base: () => string | undefined
  readonly trip: (variant: string, reason: string) => void
}

export class Breaker {
  readonly #options: BreakerOptions
  readonly #records = new Map<string, Record>()

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  /** Forgets everything: the routing has changed. */
  reset(): void {
    this.#records.clear()
  }

  /** Forgets a variant: it is another version now. */
  forget(variant: string): void {
    this.#records.delete(variant)
  }

  note(variant: string, { outcome, notNumber = false }: Noted): void {
    // Whoever went away says nothing of the version.
    if (outcome === 'cancelled') return
    const record = this.#of(variant)
    const wrong = outcome !== 'answered'
    record.streak = wrong ? record.streak + 1 : 0
    push(record.wrong, wrong)
    if (!wrong) push(record.notNumber, notNumber)
    if (record.streak >= STREAK) this.#tripUnless('wrong', variant, `${record.streak} requests failed, one after the other`)
    else if (notNumber && isFull(record.notNumber)) this.#tripUnless('notNumber', variant, 'nearly all of its answers are NaN')
  }

  /** An instance of the variant ended by itself. */
  ended(variant: string): void {
    const record = this.#of(variant)
    const now = this.#options.clock.monotonicMs()
    record.ends = [...record.ends.filter((at) => at > now - ENDS_MS), now]
    if (record.ends.length < ENDS) return
    const base = this.#options.base()
    const others = base === undefined ? [] : this.#of(base).ends.filter((at) => at > now - ENDS_MS)
    if (others.length < ENDS) this.#trip(variant, `its instances ended ${record.ends.length} times within a minute`)
  }

  #of(variant: string): Record {
    let record = this.#records.get(variant)
    if (record === undefined) this.#records.set(variant, (record = new Record()))
    return record
  }

  /** Trips, unless the base does as badly: then it is not the version. */
  #tripUnless(kind: 'wrong' | 'notNumber', variant: string, reason: string): void {
    const base = this.#options.base()
    const others = base === undefined ? [] : this.#of(base)[kind]
    if (others.filter(Boolean).length * 2 < Math.max(1, others.length)) this.#trip(variant, reason)
  }

  #trip(variant: string, reason: string): void {
    if (variant === this.#options.base()) return
    this.#records.delete(variant)
    this.#options.trip(variant, reason)
  }
}

function push(latest: boolean[], value: boolean): void {
  latest.push(value)
  if (latest.length > LATEST) latest.shift()
}

function isFull(latest: readonly boolean[]): boolean {
  return latest.length >= LATEST && latest.filter(Boolean).length >= NOT_NUMBERS * latest.length
}
