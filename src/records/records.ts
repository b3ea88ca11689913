/**
 * Records are predictions as they were asked and answered, at rest: as files that servers sent, and as hours in Parquet. This file is the
 * door: what arrives, is read, is forgotten, and goes with time.
 */
import { record as recordEvent } from '../ledger/events.ts'
import { ARRIVES_MS, SKEW_MS, storeArrival } from './arrivals.ts'
import { compact, isCompactionDue } from './compaction.ts'
import { addForgotten, unitHash } from './forgotten.ts'
import { unitHash as countedUnit } from '../contract/statistics/units.ts'
import { removeForgotten } from './forgetting.ts'
import { dropOrphans, letGo } from './leftovers.ts'
import { leave } from './partitions.ts'
import { exportRecords, newestRecords } from './reading.ts'
import type { PredictionRecord } from '../contract/prediction-record.ts'
import type { Ground, Scope } from '../ledger/scope.ts'
import type { ObjectStore } from '../storage/objects/object-store.ts'
import type { Database } from '../storage/sql/database.ts'
import type { WorkQueue } from '../storage/work/work-queue.ts'
import type { WorkKind } from '../storage/work/worker.ts'
import type { Arrival, Arrived } from './arrivals.ts'
import type { RecordPlace, RecordQuery } from './reading.ts'

export interface RecordsOptions extends Ground {
  readonly objects: ObjectStore
  readonly work: WorkQueue
  /** Time that records are kept. */
  readonly lifeMs: number
  /** Forgets what others keep of a unit, by its hash there (`contract/statistics/units`). */
  readonly alsoForget: (environment: string, unit: number, signal: AbortSignal) => Promise<void>
}

/** Time for which the keys of files and the digests of forgotten units are kept: longer than files may take to arrive. */
const KEYS_LIFE_MS = ARRIVES_MS + 24 * 3_600_000
/** Time for which objects are kept that nothing refers to any more: somebody may be reading them, or about to refer to them. */
const GRACE_MS = 3_600_000
const LOOK_EVERY_MS = 60_000
const FORGET_ATTEMPTS = 100
/** Characters of the digest of a unit in the event that says that it was forgotten: enough to check a name against, too few to find it. */
const EVENT_DIGEST_CHARACTERS = 8

interface ForgetPayload {
  readonly environment: string
  /** Its hash in sets of units and labels. */
  readonly unit: number
}

export class Records {
  readonly #options: RecordsOptions

  constructor(options: RecordsOptions) {
    this.#options = options
  }

  /** @throws SLW_CONFLICT, see `storeArrival` */
  async add(arrival: Arrival): Promise<Arrived> {
    return await storeArrival(this.#options, arrival)
  }

  /** See `newestRecords`. */
  async newest(query: RecordQuery, page: { readonly limit: number; readonly after?: RecordPlace | undefined }) {
    return await newestRecords(this.#options, query, page)
  }

  /** See `exportRecords`. */
  export(query: RecordQuery): AsyncGenerator<PredictionRecord> {
    return exportRecords(this.#options, query)
  }

  /**
   * Forgets a unit: its records so far are removed in the background, and those that are still on their way are not taken.
   * @returns id of the work
   */
  async forget(scope: Scope, unit: string): Promise<string> {
    const { database, clock, work } = this.#options
    const { environment } = scope
    const now = clock.epochMs()
    const hash = unitHash(environment, unit)
    return await database.write(async (write) => {
      await addForgotten(write, { environment, unit_hash: hash, until_ms: now + SKEW_MS, asked_at: now })
      const payload: ForgetPayload = { environment, unit: countedUnit(unit) }
      const { id } = await work.enqueue(write, { kind: 'records-forget', payload, attemptsMax: FORGET_ATTEMPTS })
      await recordEvent(write, scope, now, { kind: 'records', name: hash.slice(0, EVENT_DIGEST_CHARACTERS), action: 'deleted' })
      return id
    })
  }

  work(): WorkKind[] {
    return [
      {
        kind: 'records',
        standing: { key: 'records', schedule: { everyMs: LOOK_EVERY_MS }, dueInMs: 0 },
        isFinal: () => false,
        isWanted: () => isCompactionDue(this.#options.database, this.#options.clock.epochMs()),
        run: ({ database }, signal) => compact({ ...this.#options, database, signal }, this.#options.clock.epochMs()),
      },
      {
        kind: 'records-forget',
        isFinal: () => false,
        run: async (claim, signal) => {
          const { environment, unit } = claim.item.payload as ForgetPayload
          const options = { ...this.#options, database: claim.database, signal }
          const removed = await removeForgotten(options, environment, (some) => claim.progress(some))
          await this.#options.alsoForget(environment, unit, signal)
          return removed
        },
      },
    ]
  }

  /** Deletes what is past its time. @returns the number of partitions */
  async sweep(database: Database, signal: AbortSignal): Promise<number> {
    const { clock, objects, lifeMs } = this.#options
    const now = clock.epochMs()
    const count = await dropOld(database, now - lifeMs, now)
    await letGo({ database, objects, signal }, now - GRACE_MS)
    await dropOrphans({ database, objects, signal }, now - GRACE_MS)
    await database.write(async (write) => {
      await write
        .deleteFrom('record_keys')
        .where('received_at', '<', now - KEYS_LIFE_MS)
        .execute()
      await write
        .deleteFrom('record_forgotten')
        .where('asked_at', '<', now - KEYS_LIFE_MS)
        .execute()
    })
    return count
  }
}

/** Drops partitions whose last record is older. */
async function dropOld(database: Database, beforeMs: number, now: number): Promise<number> {
  return await database.write(async (write) => {
    const gone = await write.deleteFrom('record_partitions').where('until_ms', '<', beforeMs).returning('object_key').execute()
    await leave(
      write,
      gone.map(({ object_key }) => object_key),
      now,
    )
    return gone.length
  })
}
