/** Access control: keys, people, their roles and sessions, and calls that were refused. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import type { Grant } from '../contract/roles.ts'
import type { Selectable } from 'kysely'
import type { ApiKeysRow } from './tables.ts'
import type { Ground, Scope } from '../ledger/scope.ts'

/** Metadata of a key; never the key itself. */
export interface KeyInfo {
  readonly id: string
  readonly name: string
  /** First part of the key, by which keys are told apart. */
  readonly prefix: string
  readonly scopes: readonly string[]
  /** Undefined: all. */
  readonly environments: readonly string[] | undefined
  /** Undefined: all. */
  readonly models: readonly string[] | undefined
  /** Owner of the key, whose rights it has; undefined for a key of a machine. */
  readonly personId: string | undefined
  readonly createdBy: string
  readonly createdAt: number
  readonly expiresAt: number | undefined
  readonly lastUsedAt: number | undefined
  readonly revokedAt: number | undefined
}

/** Lifetime of the key of a server, and how long the key stays valid beside its successor. */
const SERVER_KEY_MS = 24 * 3600 * 1000
const SERVER_OVERLAP_MS = 10 * 60_000

export interface NewKey {
  readonly name: string
  readonly scopes: readonly string[]
  readonly expiresAt?: number | undefined
  /** Default: all. */
  readonly environments?: readonly string[] | undefined
  /** Default: all. */
  readonly models?: readonly string[] | undefined
  /** Owner of the key, whose roles it has. */
  readonly personId?: string | undefined
}

const PREFIX_BYTES = 5
const SECRET_BYTES = 24
/** Shortest time between two updates of the last use of a key. */
const USE_NOTED_EVERY_MS = 60_000
/** Time for which "there is no key yet" is cached: another control plane of the same database may make the first one. */
const NONE_BELIEVED_MS = 1000

/** Keys of the control plane: `slw_PREFIX_SECRET`. The database has their SHA-256, which reveals nothing about 192 random bits. */
export class Keys {
  readonly #ground: Ground
  /** Whether the database had a key at the last look, or this process has made one. */
  #made = false
  #noneUntilMs = -Infinity

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** The key itself is returned here and never again. */
  async create(
    scope: Scope,
    { name, scopes, expiresAt, environments, models, personId }: NewKey,
  ): Promise<{ readonly key: string; readonly info: KeyInfo }> {
    const { database, clock, newId } = this.#ground
    const prefix = `slw_${randomBytes(PREFIX_BYTES).toString('hex')}`
    const key = `${prefix}_${randomBytes(SECRET_BYTES).toString('base64url')}`
    const row: ApiKeysRow = {
      id: newId(),
      name,
      prefix,
      hash: digestOf(key).toString('hex'),
      scopes: JSON.stringify(scopes),
      environments: environments === undefined ? null : JSON.stringify(environments),
      created_by: scope.actor,
      created_at: clock.epochMs(),
      expires_at: expiresAt ?? null,
      last_used_at: null,
      revoked_at: null,
      person_id: personId ?? null,
      models: models === undefined ? null : JSON.stringify(models),
    }
    await database.write(async (write) => {
      await write.insertInto('api_keys').values(row).execute()
    })
    this.#made = true
    return { key, info: infoOf(row) }
  }

  /**
   * A key with the same name and scopes; the old one ends after `overlapMs`, if not before.
   * @throws SLW_NOT_FOUND for a key that is not in force
   */
  async rotate(scope: Scope, id: string, overlapMs: number): Promise<{ readonly key: string; readonly info: KeyInfo }> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    const old = await this.get(id)
    if (old === undefined || old.revokedAt !== undefined || (old.expiresAt ?? Infinity) <= now)
      throw new SlipwayError('SLW_NOT_FOUND', `no key in force has the id ${id}`)
    const { name, scopes, environments, models } = old
    if (old.personId !== undefined) throw new SlipwayError('SLW_CONFLICT', `the token "${name}" is of a person, who makes the next one`)
    // The successor of a key that expires has the same lifetime.
    const life = old.expiresAt === undefined ? undefined : now + (old.expiresAt - old.createdAt)
    const made = await this.create(scope, { name, scopes, environments, models, expiresAt: life })
    const expiresAt = Math.min(old.expiresAt ?? Number.MAX_SAFE_INTEGER, now + overlapMs)
    await database.write((write) => write.updateTable('api_keys').set({ expires_at: expiresAt }).where('id', '=', id).execute())
    return made
  }

  /** A key for a server that follows, which expires after a day. @param instead the key that it replaces, which expires soon after */
  async ofServer(scope: Scope, server: string, instead?: string): Promise<{ key: string; expiresAt: number; environment: string }> {
    const { database, clock } = this.#ground
    const expiresAt = clock.epochMs() + SERVER_KEY_MS
    const { key } = await this.create(scope, { name: `server ${server}`, scopes: ['follow'], expiresAt, environments: [scope.environment] })
    if (instead !== undefined)
      await database.write((write) =>
        write
          .updateTable('api_keys')
          .set({ expires_at: clock.epochMs() + SERVER_OVERLAP_MS })
          .where('id', '=', instead)
          .where('scopes', '=', JSON.stringify(['follow']))
          .execute(),
      )
    return { key, expiresAt, environment: scope.environment }
  }

  /** Undefined for an unknown id. */
  async get(id: string): Promise<KeyInfo | undefined> {
    const row = await this.#ground.database.read.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirst()
    return row === undefined ? undefined : infoOf(row)
  }

  async list(): Promise<KeyInfo[]> {
    const rows = await this.#ground.database.read.selectFrom('api_keys').selectAll().orderBy('created_at').execute()
    return rows.map(infoOf)
  }

  /**
   * Whether there ever was a key: once keys are required, access does not become open again when all of them have ended. Every request
   * asks this, so the answer "no" is cached for a second, unless this process makes a key.
   */
  async any(): Promise<boolean> {
    const { database, clock } = this.#ground
    if (this.#made || clock.monotonicMs() < this.#noneUntilMs) return this.#made
    const row = await database.read.selectFrom('api_keys').select('id').limit(1).executeTakeFirst()
    if (row !== undefined) this.#made = true
    else if (!this.#made) this.#noneUntilMs = clock.monotonicMs() + NONE_BELIEVED_MS
    return this.#made
  }

  /** @throws SLW_NOT_FOUND */
  async revoke(id: string): Promise<void> {
    const { database, clock } = this.#ground
    const ended = await database.write(async (write) => {
      const row = await write
        .updateTable('api_keys')
        .set({ revoked_at: clock.epochMs() })
        .where('id', '=', id)
        .where('revoked_at', 'is', null)
        .returning(['name', 'scopes'])
        .executeTakeFirst()
      // Other keys of the same server are revoked with it.
      if (row?.scopes === JSON.stringify(['follow']))
        await write
          .updateTable('api_keys')
          .set({ revoked_at: clock.epochMs() })
          .where('name', '=', row.name)
          .where('scopes', '=', row.scopes)
          .where('revoked_at', 'is', null)
          .execute()
      return row
    })
    if (ended === undefined) throw new SlipwayError('SLW_NOT_FOUND', `no key in force has the id ${id}`)
  }

  /** Metadata of a key; undefined for one that is unknown, expired or revoked. */
  async verify(key: string): Promise<KeyInfo | undefined> {
    const { database, clock } = this.#ground
    const prefix = /^(slw_[0-9a-f]+)_/.exec(key)?.[1]
    if (prefix === undefined) return undefined
    const row = await database.read.selectFrom('api_keys').selectAll().where('prefix', '=', prefix).executeTakeFirst()
    if (row === undefined || !timingSafeEqual(digestOf(key), Buffer.from(row.hash, 'hex'))) return undefined
    const now = clock.epochMs()
    if (row.revoked_at !== null || (row.expires_at !== null && row.expires_at <= now)) return undefined
    if ((row.last_used_at ?? 0) < now - USE_NOTED_EVERY_MS) await this.#noteUse(row.id, now)
    return infoOf(row)
  }

  async #noteUse(id: string, now: number): Promise<void> {
    await this.#ground.database.write(async (write) => {
      await write.updateTable('api_keys').set({ last_used_at: now }).where('id', '=', id).execute()
    })
  }
}

/** Grants of a key of a machine. */
export function grantsOf({ scopes, environments, models }: Pick<KeyInfo, 'scopes' | 'environments' | 'models'>): Grant[] {
  return scopes.map((role) => ({
    role,
    ...(environments !== undefined && { environments: [...environments] }),
    ...(models !== undefined && { models: [...models] }),
  }))
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

function infoOf(row: Selectable<ApiKeysRow>): KeyInfo {
  return {
    id: row.id,
    name: row.name,
    prefix: row.prefix,
    scopes: JSON.parse(row.scopes) as string[],
    models: row.models === null ? undefined : (JSON.parse(row.models) as string[]),
    personId: row.person_id ?? undefined,
    environments: row.environments === null ? undefined : (JSON.parse(row.environments) as string[]),
    createdBy: row.created_by,
    createdAt: row.created_at,
    expiresAt: row.expires_at ?? undefined,
    lastUsedAt: row.last_used_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
  }
}
