import { SlipwayError } from '../core/errors.ts'
import type { Kysely } from 'kysely'
import type { Ground, Scope, Write } from '../ledger/scope.ts'
import type { Schema } from '../storage/sql/schema.ts'

/** What every part of the registry stands on. */
export interface RegistryGround extends Ground {
  /** Whoever builds on what is registered; each adds itself. Default: nobody. */
  readonly dependents?: readonly Dependents[] | undefined
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
  { dependents }: RegistryGround,
  read: Kysely<Schema>,
  what: string,
  versionIds: readonly string[],
): Promise<void> {
  const users: string[] = []
  for (const each of dependents ?? []) users.push(...(await each.usersOf(read, versionIds)))
  if (users.length === 0) return
  throw new SlipwayError('SLW_CONFLICT', `${what} is kept for ${users.join(', ')}: these serve it, or may have to return to it`, {
    issues: users.map((message) => ({ path: 'endpoints', message })),
  })
}
