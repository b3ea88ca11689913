import { SlipwayError } from '../core/errors.ts'
import type { Kysely } from 'kysely'
import type { Ground, Scope, Write } from '../ledger/scope.ts'
import type { Schema } from '../storage/sql/schema.ts'

/** The services that every part of the registry uses. */
export interface RegistryGround extends Ground {
  /** Users of registered versions; each adds itself. Default: none. */
  readonly dependents?: readonly Dependents[] | undefined
}

/** A user of versions and aliases, called within the transactions that change them. */
export interface Dependents {
  /** Names everything that serves one of these versions, or may have to serve it again, for people who want to delete them. */
  usersOf(read: Kysely<Schema>, versionIds: readonly string[]): Promise<readonly string[]>
  /** An alias was set, or points to another version now. */
  aliasMoved(write: Write, scope: Scope, moved: MovedAlias): Promise<void>
}

export interface MovedAlias {
  readonly model: string
  readonly alias: string
  readonly at: number
  /** Whether the caller has allowed the move to break clients of the version before. */
  readonly allowBreaking: boolean
}

/** @throws SLW_CONFLICT naming everything that depends on the versions */
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
