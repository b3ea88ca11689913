/**
 * Work in the background, in a table: a process that claims an item has it for the time of a lease, and then until another process claims
 * it. A token that grows with each claim distinguishes a late holder from the present one, as with `sql/leases`. Time is that of the
 * database, which all share.
 */
import { sql } from 'kysely'
import { SlipwayError } from '../../core/errors.ts'
import { faultPoint } from '../../core/fail-point.ts'
import { isUniqueViolation } from '../sql/statement-error.ts'
import { databaseTime } from '../sql/time.ts'
import { nextTime } from './schedule.ts'
import { toWorkItem } from './work-item.ts'
import type { RawBuilder, Transaction } from 'kysely'
import type { Database } from '../sql/database.ts'
import type { Schema } from '../sql/schema.ts'
import type { Schedule } from './schedule.ts'
import type { NewWork, WorkItem, WorkState } from './work-item.ts'

type Write = Transaction<Schema>

export interface WorkQueueOptions {
  readonly database: Database
  /** Identity of this process: shown to people, and distinguishes its claims from those of others. Never used twice. */
  readonly holder: string
  /** 32 hexadecimal digits, never twice. */
  readonly newId: () => string
}

/** The outcome of a claimed item. */
export type Outcome =
  | { readonly state: 'done'; readonly result?: unknown }
  /** Run again after the pause `againInMs`, if attempts are left; undefined: it would fail again. */
  | { readonly state: 'failed'; readonly error: string; readonly againInMs: number | undefined }

export interface WorkFilter {
  readonly kind?: string | undefined
  readonly state?: WorkState | undefined
}

/** Number of items of a kind in a state. */
export interface WorkCount {
  readonly kind: string
  readonly state: WorkState
  readonly count: number
}

const ATTEMPTS_MAX = 5
const ERROR_CHARACTERS = 2000
/** Time for which a due item is left to the process that it is reserved for. */
const RESERVED_MS = 60_000
/** Longest pause after a failure of a recurring item, unless its own interval is longer. */
const AGAIN_MAX_MS = 60_000

export class WorkQueue {
  readonly database: Database
  readonly holder: string
  readonly #newId: () => string

  constructor({ database, holder, newId }: WorkQueueOptions) {
    this.database = database
    this.holder = holder
    this.#newId = newId
  }

  /**
   * Puts work in the queue, in the transaction of its cause.
   * @returns the ID of the item, or of the one that waits or runs under the same key, which goes on as it is
   */
  async enqueue(write: Write, work: NewWork): Promise<{ readonly id: string; readonly isNew: boolean }> {
    const { kind, payload = {}, key, priority = 0, deadlineInMs, attemptsMax = ATTEMPTS_MAX, schedule } = work
    const dueInMs = work.dueInMs ?? (schedule === undefined ? 0 : await this.#untilNext(schedule))
    const row = await write
      .insertInto('work_items')
      .values({
        id: work.id ?? this.#newId(),
        kind,
        unique_key: key ?? null,
        payload: JSON.stringify(payload),
        state: 'waiting',
        priority,
        claim_at: this.#timeIn(dueInMs),
        deadline_at: deadlineInMs === undefined ? null : this.#timeIn(deadlineInMs),
        attempts: 0,
        attempts_max: attemptsMax,
        token: 0,
        holder: null,
        reserved_for: work.ours === true ? this.holder : null,
        progress: null,
        result: null,
        error: null,
        schedule: schedule === undefined ? null : JSON.stringify(schedule),
        created_at: this.#timeIn(0),
        started_at: null,
        ended_at: null,
      })
      .onConflict((conflict) =>
        conflict.columns(['kind', 'unique_key']).where('unique_key', 'is not', null).where('claim_at', 'is not', null).doNothing(),
      )
      .returning('id')
      .executeTakeFirst()
    if (row !== undefined) return { id: row.id, isNew: true }
    const { id } = await write
      .selectFrom('work_items')
      .select('id')
      .where('kind', '=', kind)
      .where('unique_key', '=', key!)
      .where('claim_at', 'is not', null)
      .executeTakeFirstOrThrow()
    return { id, isNew: false }
  }

  async #untilNext(schedule: Schedule): Promise<number> {
    const now = await this.database.now()
    return nextTime(schedule, now) - now
  }

  /** Whether an item of a kind may be claimed; cheap, and asked often. */
  async isDue(kind: string): Promise<boolean> {
    const row = await this.database.read
      .selectFrom('work_items')
      .select('id')
      .where('kind', '=', kind)
      .where('claim_at', '<=', databaseTime(this.database.dialect))
      .limit(1)
      .executeTakeFirst()
    return row !== undefined
  }

  /** Claims due items, the most urgent first and of those the oldest, for `leaseMs` and then until another process takes them. */
  async claim(kind: string, limit: number, leaseMs: number): Promise<Claim[]> {
    const { dialect } = this.database
    const rows = await this.database.write(async (write) => {
      await this.#giveUp(write)
      const due = write
        .selectFrom('work_items')
        .select('id')
        .where('kind', '=', kind)
        .where('claim_at', '<=', databaseTime(dialect))
        .where((columns) =>
          columns.or([
            columns('reserved_for', 'is', null),
            columns('reserved_for', '=', this.holder),
            columns('claim_at', '<=', this.#timeIn(-RESERVED_MS)),
          ]),
        )
        .orderBy('priority')
        .orderBy('claim_at')
        .limit(limit)
      const claimed = await write
        .updateTable('work_items')
        .set((columns) => ({
          state: 'running',
          claim_at: this.#timeIn(leaseMs),
          attempts: columns('attempts', '+', 1),
          token: columns('token', '+', 1),
          holder: this.holder,
          started_at: this.#timeIn(0),
        }))
        .where('id', 'in', dialect === 'postgres' ? due.forUpdate().skipLocked() : due)
        .returningAll()
        .execute()
      await faultPoint('work.claimed')
      return claimed
    })
    const items = rows.map(toWorkItem).toSorted((a, b) => a.priority - b.priority || a.createdAt - b.createdAt)
    return items.map((item) => new Claim(this, item))
  }

  /** Fails items that were not begun in time, and those whose processes ended in all attempts. */
  async #giveUp(write: Write): Promise<void> {
    const now = databaseTime(this.database.dialect)
    const over = (error: string) => ({ state: 'failed', claim_at: null, ended_at: this.#timeIn(0), error })
    await write
      .updateTable('work_items')
      .set(over('it was not begun before its deadline'))
      .where('deadline_at', '<=', now)
      // Keeps off the index of states: few items have a deadline and very many wait.
      .where(sql<string>`coalesce(state, '')`, '=', 'waiting')
      .where('claim_at', '<=', now)
      .execute()
    await write
      .updateTable('work_items')
      .set(over('the processes that ran it have ended or stood still, as often as it may be tried'))
      // A literal and no parameter: SQLite finds the index by it.
      .where('state', '=', sql.lit('running'))
      .where('claim_at', '<=', now)
      .where('schedule', 'is', null)
      .whereRef('attempts', '>=', 'attempts_max')
      .execute()
  }

  /** Renews held items for another `leaseMs`. @returns the IDs of those that are still held */
  async renew(ids: readonly string[], leaseMs: number): Promise<ReadonlySet<string>> {
    if (ids.length === 0) return new Set()
    return await this.database.write(async (write) => {
      const held = write
        .selectFrom('work_items')
        .select('id')
        .where('id', 'in', ids)
        .where('holder', '=', this.holder)
        .where('state', '=', 'running')
      // An item locked by a transaction of this process cannot be taken meanwhile: the others do not wait for it.
      const free = this.database.dialect === 'postgres' ? held.forNoKeyUpdate().skipLocked() : held
      await write
        .updateTable('work_items')
        .set({ claim_at: this.#timeIn(leaseMs) })
        .where('id', 'in', free)
        .execute()
      return new Set((await held.execute()).map(({ id }) => id))
    })
  }

  /** Writes down the outcomes of several items together. @returns the IDs of those that were still held */
  async end(ended: readonly { readonly item: WorkItem; readonly outcome: Outcome }[]): Promise<ReadonlySet<string>> {
    const plain = ended.filter(
      ({ item, outcome }) => item.schedule === undefined && outcome.state === 'done' && outcome.result === undefined,
    )
    return await this.database.write(async (write) => {
      const ids = await this.#doneTogether(
        write,
        plain.map(({ item }) => item),
      )
      for (const one of ended) if (!plain.includes(one) && (await this.endWithin(write, one.item, one.outcome))) ids.add(one.item.id)
      await faultPoint('work.ended')
      return ids
    })
  }

  /** Ends many items at once that are done without a result. */
  async #doneTogether(write: Write, items: readonly WorkItem[]): Promise<Set<string>> {
    if (items.length === 0) return new Set()
    const ours = sql.join(items.map(({ id, token }) => sql`(${id}, ${sql.lit(token)})`))
    const rows = await write
      .updateTable('work_items')
      .set({ state: 'done', error: null, claim_at: null, ended_at: this.#timeIn(0) })
      .where(
        'id',
        'in',
        items.map(({ id }) => id),
      )
      .where(sql<boolean>`(id, token) in (values ${ours})`)
      .where('state', '=', 'running')
      .returning('id')
      .execute()
    return new Set(rows.map(({ id }) => id))
  }

  /** Ends an item within a transaction, so that the work and its end are one. @returns whether the item was still held */
  async endWithin(write: Write, item: WorkItem, outcome: Outcome): Promise<boolean> {
    const row = await write
      .updateTable('work_items')
      .set(this.#afterwards(item, outcome, item.schedule === undefined ? 0 : await this.database.now()))
      .where('id', '=', item.id)
      .where('token', '=', item.token)
      .where('state', '=', 'running')
      .returning('id')
      .executeTakeFirst()
    return row !== undefined
  }

  #afterwards({ schedule, attempts, attemptsMax }: WorkItem, outcome: Outcome, nowMs: number) {
    const said =
      outcome.state === 'done'
        ? { error: null, ...(outcome.result !== undefined && { result: JSON.stringify(outcome.result) }) }
        : { error: outcome.error.replaceAll('\0', ' ').slice(0, ERROR_CHARACTERS) }
    const wait = (inMs: number) => ({ ...said, state: 'waiting', claim_at: this.#timeIn(Math.max(0, Math.round(inMs))), progress: null })
    if (schedule !== undefined) {
      // A recurring item never ends.
      const next = nextTime(schedule, nowMs) - nowMs
      if (outcome.state === 'done') return { ...wait(next), attempts: 0 }
      return wait(outcome.againInMs === undefined ? next : Math.min(outcome.againInMs, Math.max(next, AGAIN_MAX_MS)))
    }
    if (outcome.state === 'failed' && outcome.againInMs !== undefined && attempts < attemptsMax) return wait(outcome.againInMs)
    return { ...said, state: outcome.state, claim_at: null, ended_at: this.#timeIn(0) }
  }

  /** Releases held items that are not done to other processes at once; the attempt does not count. */
  async letGo(items: readonly WorkItem[]): Promise<void> {
    if (items.length === 0) return
    await this.database.write(async (write) => {
      for (const { id, token } of items)
        await write
          .updateTable('work_items')
          .set((columns) => ({ state: 'waiting', claim_at: this.#timeIn(0), attempts: columns('attempts', '-', 1) }))
          .where('id', '=', id)
          .where('token', '=', token)
          .where('state', '=', 'running')
          .execute()
    })
  }

  /** Releases all items and reservations: for a database that no other process can have open, where they are those of a killed one. */
  async letGoAll(): Promise<void> {
    await this.database.write((write) =>
      write
        .updateTable('work_items')
        .set({ claim_at: this.#timeIn(0), reserved_for: null })
        .where((where) => where.or([where('state', '=', 'running'), where('reserved_for', 'is not', null)]))
        .where('state', 'in', ['waiting', 'running'])
        .execute(),
    )
  }

  /** Fails a transaction unless the item is still held, and keeps it held until the transaction has ended. @throws SLW_LEASE_LOST */
  async fence(write: Write, { id, token, kind }: WorkItem): Promise<void> {
    const mine = write.selectFrom('work_items').select('id').where('id', '=', id).where('token', '=', token).where('state', '=', 'running')
    // SQLite has one transaction that writes at a time.
    const locked = this.database.dialect === 'postgres' ? mine.forShare() : mine
    if ((await locked.executeTakeFirst()) !== undefined) return
    throw new SlipwayError(
      'SLW_LEASE_LOST',
      `${this.holder} has lost ${kind} ${id} (token ${token}): another has taken over, or it was ended`,
    )
  }

  /** Records the progress of an item. @throws SLW_LEASE_LOST */
  async progress(item: WorkItem, progress: unknown): Promise<void> {
    await this.database.write(async (write) => {
      await this.fence(write, item)
      await write
        .updateTable('work_items')
        .set({ progress: JSON.stringify(progress) })
        .where('id', '=', item.id)
        .execute()
    })
  }

  /** @returns undefined where there is none */
  async get(id: string): Promise<WorkItem | undefined> {
    const row = await this.database.read.selectFrom('work_items').selectAll().where('id', '=', id).executeTakeFirst()
    return row === undefined ? undefined : toWorkItem(row)
  }

  /** Lists items, the newest first. @param after the last item of the page before */
  async list({ kind, state }: WorkFilter, limit: number, after?: Pick<WorkItem, 'createdAt' | 'id'>): Promise<WorkItem[]> {
    const rows = await this.database.read
      .selectFrom('work_items')
      .selectAll()
      .$if(kind !== undefined, (all) => all.where('kind', '=', kind!))
      .$if(state !== undefined, (all) => all.where('state', '=', state!))
      .$if(after !== undefined, (all) =>
        all.where((columns) =>
          columns.or([
            columns('created_at', '<', after!.createdAt),
            columns.and([columns('created_at', '=', after!.createdAt), columns('id', '<', after!.id)]),
          ]),
        ),
      )
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit)
      .execute()
    return rows.map(toWorkItem)
  }

  async counts(): Promise<WorkCount[]> {
    const rows = await this.database.read
      .selectFrom('work_items')
      .select(['kind', 'state', (columns) => columns.fn.countAll<number>().as('count')])
      .groupBy(['kind', 'state'])
      .orderBy('kind')
      .orderBy('state')
      .execute()
    return rows.map(({ kind, state, count }) => ({ kind, state: state as WorkState, count }))
  }

  /** Wait of the oldest due item of each kind that has any. Recurring items are left out: they wait until there is something to do. */
  async lateMs(): Promise<{ readonly kind: string; readonly ms: number }[]> {
    const now = await this.database.now()
    const rows = await this.database.read
      .selectFrom('work_items')
      .select(['kind', (columns) => columns.fn.min<number>('claim_at').as('oldest')])
      .where('state', '=', 'waiting')
      .where('claim_at', '<=', now)
      .where('schedule', 'is', null)
      .groupBy('kind')
      .orderBy('kind')
      .execute()
    return rows.map(({ kind, oldest }) => ({ kind, ms: now - oldest }))
  }

  /**
   * Cancels a waiting or running item; its process learns of it at the next heartbeat, and cannot write any more.
   * @returns undefined for an item that has ended
   */
  async cancel(id: string): Promise<WorkItem | undefined> {
    return await this.#change(id, { state: 'cancelled', claim_at: null, ended_at: this.#timeIn(0) }, ['waiting', 'running'])
  }

  /**
   * Runs an item once more that has failed or was cancelled.
   * @returns undefined for an item in another state
   * @throws SLW_CONFLICT while another one waits or runs under its key
   */
  async retry(id: string): Promise<WorkItem | undefined> {
    const again = { state: 'waiting', claim_at: this.#timeIn(0), ended_at: null, attempts: 0, deadline_at: null }
    try {
      return await this.#change(id, again, ['failed', 'cancelled'])
    } catch (error) {
      if (!isUniqueViolation(error)) throw error
      throw new SlipwayError('SLW_CONFLICT', 'another one of its kind and key waits or runs')
    }
  }

  async #change(id: string, set: object, from: readonly WorkState[]): Promise<WorkItem | undefined> {
    const row = await this.database.write((write) =>
      write.updateTable('work_items').set(set).where('id', '=', id).where('state', 'in', from).returningAll().executeTakeFirst(),
    )
    return row === undefined ? undefined : toWorkItem(row)
  }

  /** Changes the schedule of an item, from its next time on. */
  async reschedule(write: Write, id: string, schedule: Schedule): Promise<void> {
    await write
      .updateTable('work_items')
      .set({ schedule: JSON.stringify(schedule) })
      .where('id', '=', id)
      .execute()
  }

  /** Deletes items that ended at least `lifeMs` ago. @returns how many */
  async sweep(database: Database, lifeMs: number): Promise<number> {
    const { numDeletedRows } = await database.write((write) =>
      write.deleteFrom('work_items').where('ended_at', '<=', this.#timeIn(-lifeMs)).executeTakeFirst(),
    )
    return Number(numDeletedRows)
  }

  #timeIn(ms: number): RawBuilder<number> {
    return sql<number>`${databaseTime(this.database.dialect)} + ${Math.round(ms)}`
  }
}

/** A claimed item. Its `database` is the only way to write: each transaction fails once the item is no longer held. */
export class Claim {
  readonly item: WorkItem
  readonly database: Database
  readonly #queue: WorkQueue
  #ended = false

  constructor(queue: WorkQueue, item: WorkItem) {
    this.item = item
    this.#queue = queue
    this.database = fencedDatabase(queue.database, (write) => queue.fence(write, item))
  }

  /** Whether the item was ended by `complete`. */
  get ended(): boolean {
    return this.#ended
  }

  /** Records the progress of the item, for people who look. @throws SLW_LEASE_LOST */
  async progress(progress: unknown): Promise<void> {
    await this.#queue.progress(this.item, progress)
  }

  /** Runs a transaction that also ends the item: both, or neither. @throws SLW_LEASE_LOST */
  async complete<T>(work: (write: Write) => Promise<T>, result?: unknown): Promise<T> {
    const done = await this.database.write(async (write) => {
      const value = await work(write)
      await this.#queue.endWithin(write, this.item, { state: 'done', result })
      await faultPoint('work.completed')
      return value
    })
    this.#ended = true
    return done
  }
}

/** A database all of whose transactions begin with a fence. */
function fencedDatabase(database: Database, fence: (write: Write) => Promise<void>): Database {
  return {
    dialect: database.dialect,
    read: database.read,
    write: (work) =>
      database.write(async (write) => {
        await fence(write)
        return await work(write)
      }),
    snapshot: (work) => database.snapshot(work),
    now: () => database.now(),
    // The database is not closed here: the queue still uses it.
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}
