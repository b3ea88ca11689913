import type { Transaction } from 'kysely'
import type { Clock } from '../core/clock.ts'
import type { Database } from '../storage/sql/database.ts'
import type { Schema } from '../storage/sql/schema.ts'

/** Dependencies of services that store data in the database. */
export interface Ground {
  readonly database: Database
  readonly clock: Clock
  /** 32 hexadecimal digits, never twice. */
  readonly newId: () => string
}

export type Write = Transaction<Schema>

/** The actor on whose behalf something is done, and the environment. */
export interface Scope {
  /** Experiments, models and endpoints of one environment are not seen from another. */
  readonly environment: string
  /** Name of a key or a person, for the record. */
  readonly actor: string
  readonly reason?: string | undefined
  /** The version of the object's row that the caller has seen: if the row has another version by now, nothing is changed. */
  readonly resourceVersion?: number | undefined
  /** The same of an object that has an ETag of its fields instead of a resource version. */
  readonly seen?: string | undefined
  /** Aborted when nobody waits for the result any more: long work that changes nothing is then given up. */
  readonly signal?: AbortSignal | undefined
  /** Idempotency key: a request that is sent twice is executed once. */
  readonly once?: Once | undefined
}

/** An idempotent request, which its caller may repeat when the answer got lost. */
export interface Once {
  /** Id of the key or person, not the name: two keys may have one name. */
  readonly caller: string
  /** Chosen by the caller; the same key of another caller is a different key. */
  readonly key: string
  /** Digest of the request. */
  readonly digest: string
  /** Id of this attempt, to tell it from another attempt with the same key. */
  readonly attempt: string
}

export type LifecycleStage = 'active' | 'deleted'
