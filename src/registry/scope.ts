import { SlipwayError } from '../core/errors.ts'
import type { Kysely, Transaction } from 'kysely'
import type { Clock } from '../core/clock.ts'
import type { Database } from '../storage/sql/database.ts'
import type { Schema } from '../storage/sql/schema.ts'

/** What every part of the registry stands on. */
export interface Ground {
  readonly database: Database
  readonly clock: Clock
  /** 32 hexadecimal digits, never twice. */
  readonly newId: () => string
  /** Default: nothing depends on what is registered. */
  readonly dependents?: Dependents | undefined
}

/** What is built on versions and aliases: asked and told within the transactions that change them. */
export interface Dependents {
  /** What serves some of these versions, or may have to serve them again: for people who want to delete them. */
  usersOf(read: Kysely<Schema>, versionIds: readonly string[]): Promise<readonly string[]>
  /** An alias was set, or points to another version now. */
  aliasMoved(write: Write, scope: Scope, moved: MovedAlias): Promise<void>
}

export interface MovedAlias {
  readonly model: string
  readonly alias: string
  readonly at: number
  /** Whoever moved it knows that clients of the version before may not be understood. */
  readonly allowBreaking: boolean
}

/** @throws SLW_CONFLICT naming what depends on them */
export async function requireUnused(
  { dependents }: Ground,
  read: Kysely<Schema>,
  what: string,
  versionIds: readonly string[],
): Promise<void> {
  const users = (await dependents?.usersOf(read, versionIds)) ?? []
  if (users.length === 0) return
  throw new SlipwayError('SLW_CONFLICT', `${what} is kept for ${users.join(', ')}: these serve it, or may have to return to it`, {
    issues: users.map((message) => ({ path: 'endpoints', message })),
  })
}

export type Write = Transaction<Schema>

/** On whose behalf something is done, and where. */
export interface Scope {
  /** Experiments, models and endpoints of one environment are not seen from another. */
  readonly environment: string
  /** Who: the name of a key or a person, for the record. */
  readonly actor: string
  readonly reason?: string | undefined
  /** The revision of the object that the caller has seen: where it is another one by now, nothing is changed. */
  readonly revision?: number | undefined
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
