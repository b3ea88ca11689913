import type { Transaction } from 'kysely'
import type { Clock } from '../core/clock.ts'
import type { Database } from '../storage/sql/database.ts'
import type { Schema } from '../storage/sql/schema.ts'

/** What whoever keeps things in the database stands on. */
export interface Ground {
  readonly database: Database
  readonly clock: Clock
  /** 32 hexadecimal digits, never twice. */
  readonly newId: () => string
}

export type Write = Transaction<Schema>

/** On whose behalf something is done, and where. */
export interface Scope {
  /** Experiments, models and endpoints of one environment are not seen from another. */
  readonly environment: string
  /** Who: the name of a key or a person, for the record. */
  readonly actor: string
  readonly reason?: string | undefined
  /** The version of the object's row that the caller has seen: where it is another one by now, nothing is changed. */
  readonly resourceVersion?: number | undefined
  /** A key that makes sure that what is asked for twice is done once. */
  readonly once?: Once | undefined
}

/** A request that its caller may repeat when the answer got lost. */
export interface Once {
  /** Chosen by the caller, who is part of it: keys of others are other keys. */
  readonly key: string
  /** Of what was asked for. */
  readonly digest: string
  /** Of this attempt: tells it from another with the same key. */
  readonly attempt: string
}

export type LifecycleStage = 'active' | 'deleted'
