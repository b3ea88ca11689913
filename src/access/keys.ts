/** Access control: keys, people, their roles and sessions, and calls that were refused. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import { etagOf, requireSeen } from '../ledger/etag.ts'
import { record } from '../ledger/events.ts'
import type { Grant } from '../contract/roles.ts'
import type { Kysely, Selectable } from 'kysely'
import type { Change } from '../ledger/events.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { ApiKeysRow } from './tables.ts'
import type { Ground, Scope, Write } from '../ledger/scope.ts'

/** Metadata of a key; never the key itself. */
export interface KeyInfo {
  readonly id: string
  readonly etag: string
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

/** A new key, and its description. */
export interface MadeKey {
  readonly key: string
  readonly info: KeyInfo
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

  /** Makes a key, which is only in the answer. */
  async create(scope: Scope, wanted: NewKey): Promise<MadeKey> {
    const made = await this.#ground.database.write(async (write) => {
      const inserted = await this.#insert(write, scope, wanted)
      await this.#record(write, scope, { name: wanted.name, action: 'created', after: toldOf(inserted.info) })
      return inserted
    })
    this.#made = true
    return made
  }

  async #insert(write: Write, scope: Scope, { name, scopes, expiresAt, environments, models, personId }: NewKey): Promise<MadeKey> {
    const { clock, newId } = this.#ground
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
    await write.insertInto('api_keys').values(row).execute()
    return { key, info: infoOf(row) }
  }

  async #record(write: Write, scope: Scope, change: Omit<Change, 'kind'>): Promise<void> {
    await record(write, scope, this.#ground.clock.epochMs(), { kind: 'key', ...change })
  }

  /**
   * Makes a key with the same name and scopes; the old one ends after `overlapMs`, if not before.
   * @throws SLW_NOT_FOUND for a key that is not in force; SLW_PRECONDITION_FAILED
   */
  async rotate(scope: Scope, id: string, overlapMs: number): Promise<MadeKey> {
    const now = this.#ground.clock.epochMs()
    return await this.#ground.database.write(async (write) => {
      const old = await keyIn(write, id)
      if (old === undefined || old.revokedAt !== undefined || (old.expiresAt ?? Infinity) <= now)
        throw new SlipwayError('SLW_NOT_FOUND', `no key in force has the id ${id}`)
      requireSeen(scope, `key "${old.name}"`, old.etag)
      const { name, scopes, environments, models } = old
      if (old.personId !== undefined) throw new SlipwayError('SLW_CONFLICT', `the token "${name}" is of a person, who makes the next one`)
      // The successor of a key that expires lives as long as that one did.
      const life = old.expiresAt === undefined ? undefined : now + (old.expiresAt - old.createdAt)
      const made = await this.#insert(write, scope, { name, scopes, environments, models, expiresAt: life })
      const expiresAt = Math.min(old.expiresAt ?? Number.MAX_SAFE_INTEGER, now + overlapMs)
      await write.updateTable('api_keys').set({ expires_at: expiresAt }).where('id', '=', id).execute()
      await this.#record(write, scope, { name, action: 'rotated', before: { id, expiresAt }, after: toldOf(made.info) })
      return made
    })
  }

  /**
   * Makes a key for a server that follows, valid for a day.
   * @param options.instead the id of the key that it replaces, which ends soon after; `all`: earlier keys of the server end at once
   */
  async ofServer(
    scope: Scope,
    server: string,
    { instead }: { readonly instead: string },
  ): Promise<{ key: string; expiresAt: number; environment: string }> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    const expiresAt = now + SERVER_KEY_MS
    const { environment } = scope
    const made = await database.write(async (write) => {
      const inserted = await this.#insert(write, scope, {
        name: `server ${server}`,
        scopes: ['follow'],
        expiresAt,
        environments: [environment],
      })
      const replaced = await write
        .updateTable('api_keys')
        .set(instead === 'all' ? { revoked_at: now } : { expires_at: now + SERVER_OVERLAP_MS })
        .where('scopes', '=', JSON.stringify(['follow']))
        .where('revoked_at', 'is', null)
        .where('id', '!=', inserted.info.id)
        .$if(instead === 'all', (all) =>
          all
            .where('name', '=', inserted.info.name)
            .where('environments', '=', JSON.stringify([environment]))
            .where('expires_at', '>', now),
        )
        .$if(instead !== 'all', (all) => all.where('id', '=', instead))
        .returning('id')
        .execute()
      const action = instead === 'all' ? 'created' : 'rotated'
      const before = replaced.length === 0 ? {} : { before: { ids: replaced.map(({ id }) => id) } }
      await this.#record(write, scope, { name: inserted.info.name, action, ...before, after: toldOf(inserted.info) })
      return inserted
    })
    this.#made = true
    return { key: made.key, expiresAt, environment }
  }

  /** Undefined for an unknown id. */
  async get(id: string): Promise<KeyInfo | undefined> {
    return await keyIn(this.#ground.database.read, id)
  }

  /** Ids of the keys of a name that have ended, or have a day to end, as a rotated one has: a key of that name goes on for them. */
  async succeededBy(name: string): Promise<string[]> {
    const rows = await this.#ground.database.read
      .selectFrom('api_keys')
      .select('id')
      .where('name', '=', name)
      .where((columns) => columns.or([columns('revoked_at', 'is not', null), columns('expires_at', 'is not', null)]))
      .execute()
    return rows.map(({ id }) => id)
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

  /** @throws SLW_NOT_FOUND, SLW_PRECONDITION_FAILED */
  async revoke(scope: Scope, id: string): Promise<void> {
    const { database, clock } = this.#ground
    const revoked = { revoked_at: clock.epochMs() }
    await database.write(async (write) => {
      const key = await keyIn(write, id)
      if (key === undefined || key.revokedAt !== undefined) throw new SlipwayError('SLW_NOT_FOUND', `no key in force has the id ${id}`)
      requireSeen(scope, `key "${key.name}"`, key.etag)
      await write.updateTable('api_keys').set(revoked).where('id', '=', id).execute()
      // The keys that a server got in place of this one end with it.
      const scopes = JSON.stringify(key.scopes)
      if (scopes === JSON.stringify(['follow']))
        await write
          .updateTable('api_keys')
          .set(revoked)
          .where('name', '=', key.name)
          .where('scopes', '=', scopes)
          .where('revoked_at', 'is', null)
          .execute()
      await this.#record(write, scope, { name: key.name, action: 'revoked', before: toldOf(key) })
    })
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

async function keyIn(read: Kysely<Schema>, id: string): Promise<KeyInfo | undefined> {
  const row = await read.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirst()
  return row === undefined ? undefined : infoOf(row)
}

/** What events tell of a key. */
function toldOf({ id, scopes, environments, models, expiresAt, personId }: KeyInfo): object {
  return { id, scopes, environments, models, expiresAt, personId }
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

function infoOf(row: Selectable<ApiKeysRow>): KeyInfo {
  const { last_used_at: _lastUsedAt, ...changed } = row
  return {
    id: row.id,
    etag: etagOf(changed),
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
