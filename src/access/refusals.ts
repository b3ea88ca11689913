import { countOf } from '../storage/sql/count-of.ts'
import { Turns } from '../core/turns.ts'
import type { Clock } from '../core/clock.ts'
import type { Database } from '../storage/sql/database.ts'

/** A call that was refused. */
export interface Refusal {
  readonly caller: string
  readonly address: string
  /** `PUT /models/:model/aliases/:alias`. */
  readonly route: string
  readonly environment: string
  readonly code: string
}

/** Number of times that a call was refused in a minute. */
export interface RefusalCount extends Refusal {
  /** Start of the minute, UTC epoch milliseconds. */
  readonly minute: number
  readonly count: number
}

const MINUTE_MS = 60_000
const LIFE_MS = 90 * 24 * 3600 * 1000
/** Different refusals of one minute that are counted separately; further ones are counted together. */
const KINDS_MAX = 1000
/** Counts kept while the database does not accept them; beyond this number new refusals are counted together. */
const COUNTS_MAX = 5000
const WRITTEN_AT_ONCE = 500

/** Refused calls, counted in memory and written down every now and then, so that refused callers cost little. */
export class Refusals {
  readonly #database: Database
  readonly #clock: Clock
  readonly #turns = new Turns()
  #counts = new Map<string, RefusalCount>()
  /** Different refusals of the current minute, written down or not. */
  #kinds = { minute: 0, seen: new Set<string>() }

  constructor(database: Database, clock: Clock) {
    this.#database = database
    this.#clock = clock
  }

  note(refusal: Refusal): void {
    const minute = Math.floor(this.#clock.epochMs() / MINUTE_MS) * MINUTE_MS
    if (this.#kinds.minute !== minute) this.#kinds = { minute, seen: new Set() }
    const { seen } = this.#kinds
    const kind = JSON.stringify(refusal)
    if (seen.size < KINDS_MAX && this.#counts.size < COUNTS_MAX) seen.add(kind)
    this.#count({
      ...(seen.has(kind) ? refusal : { ...refusal, caller: '(others)', address: '(others)', route: '(others)' }),
      minute,
      count: 1,
    })
  }

  #count({ count, ...what }: RefusalCount): void {
    const key = JSON.stringify(what)
    this.#counts.set(key, { ...what, count: (this.#counts.get(key)?.count ?? 0) + count })
  }

  /** Writes the counts down. Counts that the database does not accept are kept for the next time. */
  async flush(): Promise<void> {
    await this.#turns.take(async () => {
      const counts = [...this.#counts.values()]
      if (counts.length === 0) return
      this.#counts = new Map()
      for (let from = 0; from < counts.length; from += WRITTEN_AT_ONCE)
        try {
          await this.#write(counts.slice(from, from + WRITTEN_AT_ONCE))
        } catch (error) {
          for (const one of counts.slice(from)) this.#count(one)
          throw error
        }
    })
  }

  async #write(counts: readonly RefusalCount[]): Promise<void> {
    await this.#database.write(async (write) => {
      for (const { count, ...key } of counts)
        await write
          .insertInto('refusals')
          .values({ ...key, count })
          .onConflict((conflict) =>
            conflict
              .columns(['minute', 'caller', 'address', 'route', 'environment', 'code'])
              .doUpdateSet((columns) => ({ count: columns('refusals.count', '+', count) })),
          )
          .execute()
    })
  }

  /** The newest first. */
  async list({
    limit,
    skipped = 0,
  }: {
    readonly limit: number
    readonly skipped?: number
  }): Promise<{ refusals: RefusalCount[]; total: number }> {
    await this.flush()
    const all = this.#database.read.selectFrom('refusals')
    const refusals = await all
      .selectAll()
      .orderBy('minute', 'desc')
      .orderBy('caller')
      .orderBy('address')
      .orderBy('route')
      .orderBy('environment')
      .orderBy('code')
      .limit(limit)
      .offset(skipped)
      .execute()
    return { refusals, total: await countOf(all) }
  }

  async sweep(): Promise<void> {
    const before = this.#clock.epochMs() - LIFE_MS
    await this.#database.write((write) => write.deleteFrom('refusals').where('minute', '<', before).execute())
  }
}
