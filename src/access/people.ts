import { createHash, randomBytes } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import { etagOf, requireSeen } from '../ledger/etag.ts'
import { record } from '../ledger/events.ts'
import type { Selectable } from 'kysely'
import type { Grant, Role } from '../contract/roles.ts'
import type { Ground, Scope } from '../ledger/scope.ts'
import type { PeopleRow, RoleBindingsRow } from './tables.ts'

/** Somebody who has signed in. */
export interface Person {
  readonly id: string
  /** Address or name, for the record. */
  readonly name: string
  readonly email: string | undefined
  readonly groups: readonly string[]
}

/** The claims of an issuer about a person. */
export interface Claims {
  readonly issuer: string
  readonly subject: string
  readonly name: string
  readonly email: string | undefined
  readonly groups: readonly string[]
}

/** Holder of a role: `anna@example.org`, or a group of the issuer. */
export interface RoleSubject {
  readonly kind: 'user' | 'group'
  readonly name: string
}

export interface RoleBinding extends RoleSubject {
  readonly id: string
  readonly etag: string
  readonly role: Role
  readonly environment: string | undefined
  readonly model: string | undefined
  readonly createdBy: string
  readonly createdAt: number
}

/** A session of a browser. */
export interface Session {
  readonly person: Person
  /** CSRF token that requests that change something must send beside the cookie. */
  readonly csrf: string
  readonly expiresAt: number
}

export interface PeopleOptions {
  /** Role that everybody who can sign in has everywhere. Default: none. */
  readonly defaultRole?: Role | undefined
  /** People who are admin everywhere without a role binding: the first admins. */
  readonly admins?: readonly string[]
}

/** Longest lifetime of a browser session. */
export const SESSION_MS = 12 * 3600 * 1000
/** A session that was not used for this long has ended. */
const SESSION_IDLE_MS = 2 * 3600 * 1000
const SEEN_EVERY_MS = 60_000

/** People, what they may do, and their sessions. */
export class People {
  readonly #ground: Ground
  readonly #options: PeopleOptions

  constructor(ground: Ground, options: PeopleOptions = {}) {
    this.#ground = ground
    this.#options = options
  }

  /** Takes over the claims of the issuer about a person who has signed in. */
  async signedIn({ issuer, subject, name, email, groups }: Claims): Promise<Person> {
    const { database, clock, newId } = this.#ground
    const now = clock.epochMs()
    const set = { name, email: email ?? null, groups: JSON.stringify(groups), last_login_at: now }
    const row = await database.write((write) =>
      write
        .insertInto('people')
        .values({ id: newId(), issuer, subject, ...set, created_at: now })
        .onConflict((conflict) => conflict.columns(['issuer', 'subject']).doUpdateSet(set))
        .returningAll()
        .executeTakeFirstOrThrow(),
    )
    return toPerson(row)
  }

  /** Grants of a person now: those bound to them and their groups, and those of everybody. */
  async grantsOf(person: Person): Promise<Grant[]> {
    const { defaultRole, admins = [] } = this.#options
    const names = [person.name, ...(person.email === undefined ? [] : [person.email])]
    const rows = await this.#ground.database.read
      .selectFrom('role_bindings')
      .selectAll()
      .where((columns) =>
        columns.or([
          columns.and([columns('subject_kind', '=', 'user'), columns('subject', 'in', names)]),
          ...(person.groups.length === 0
            ? []
            : [columns.and([columns('subject_kind', '=', 'group'), columns('subject', 'in', [...person.groups])])]),
        ]),
      )
      .execute()
    return [
      ...(names.some((name) => admins.includes(name)) ? [{ role: 'admin' }] : []),
      ...(defaultRole === undefined ? [] : [{ role: defaultRole }]),
      ...rows.map(({ role, environment, model }) => ({
        role,
        ...(environment !== null && { environments: [environment] }),
        ...(model !== null && { models: [model] }),
      })),
    ]
  }

  async get(id: string): Promise<Person | undefined> {
    const row = await this.#ground.database.read.selectFrom('people').selectAll().where('id', '=', id).executeTakeFirst()
    return row === undefined ? undefined : toPerson(row)
  }

  // --- roles ---------------------------------------------------------------------------------------------------------------

  async bindings(): Promise<RoleBinding[]> {
    const rows = await this.#ground.database.read.selectFrom('role_bindings').selectAll().orderBy('created_at').orderBy('id').execute()
    return rows.map(toBinding)
  }

  async bind(
    scope: Scope,
    subject: RoleSubject,
    role: Role,
    within: { environment?: string | undefined; model?: string | undefined },
  ): Promise<RoleBinding> {
    const { database, clock, newId } = this.#ground
    const at = clock.epochMs()
    const row = {
      id: newId(),
      subject_kind: subject.kind,
      subject: subject.name,
      role,
      environment: within.environment ?? null,
      model: within.model ?? null,
      created_by: scope.actor,
      created_at: at,
    }
    await database.write(async (write) => {
      await write.insertInto('role_bindings').values(row).execute()
      await record(write, scope, at, {
        kind: 'role',
        name: `${subject.kind} ${subject.name}`,
        action: 'created',
        after: { role, ...within },
      })
    })
    return toBinding(row)
  }

  /** @throws SLW_NOT_FOUND */
  async unbind(scope: Scope, id: string): Promise<void> {
    const { database, clock } = this.#ground
    await database.write(async (write) => {
      const row = await write.deleteFrom('role_bindings').where('id', '=', id).returningAll().executeTakeFirst()
      if (row === undefined) throw new SlipwayError('SLW_NOT_FOUND', `no role has the id ${id}`)
      requireSeen(scope, `role ${id}`, etagOf(row))
      const { subject_kind: kind, subject, role, environment, model } = row
      await record(write, scope, clock.epochMs(), {
        kind: 'role',
        name: `${kind} ${subject}`,
        action: 'deleted',
        before: { role, environment, model },
      })
    })
  }

  // --- sessions ------------------------------------------------------------------------------------------------------------

  /** @returns the value for the cookie, new for each sign-in, so that a value known before never becomes a session */
  async beginSession(person: Person): Promise<{ readonly cookie: string; readonly session: Session }> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    const cookie = randomBytes(32).toString('base64url')
    const csrf = randomBytes(24).toString('base64url')
    const expiresAt = now + SESSION_MS
    const row = { hash: hashOf(cookie), person_id: person.id, csrf, created_at: now, last_seen_at: now, expires_at: expiresAt }
    await database.write(async (write) => {
      await write.insertInto('sessions').values(row).execute()
    })
    return { cookie, session: { person, csrf, expiresAt } }
  }

  /** Undefined for a session that has ended or never existed. */
  async session(cookie: string): Promise<Session | undefined> {
    const { database, clock } = this.#ground
    const row = await database.read
      .selectFrom('sessions')
      .innerJoin('people', 'people.id', 'sessions.person_id')
      .selectAll('people')
      .select(['csrf', 'last_seen_at', 'expires_at'])
      .where('hash', '=', hashOf(cookie))
      .executeTakeFirst()
    const now = clock.epochMs()
    if (row === undefined || row.expires_at <= now || row.last_seen_at < now - SESSION_IDLE_MS) return undefined
    if (row.last_seen_at < now - SEEN_EVERY_MS)
      await database.write((write) => write.updateTable('sessions').set({ last_seen_at: now }).where('hash', '=', hashOf(cookie)).execute())
    return { person: toPerson(row), csrf: row.csrf, expiresAt: row.expires_at }
  }

  async endSession(cookie: string): Promise<void> {
    await this.#ground.database.write((write) => write.deleteFrom('sessions').where('hash', '=', hashOf(cookie)).execute())
  }

  // --- pending sign-ins ------------------------------------------------------------------------------------------------------

  /** Stores the secret of a pending sign-in under a name that is known only to those who were given it. */
  async rememberLogin(name: string, secret: object, lifeMs: number): Promise<void> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    const row = { hash: hashOf(name), secret: JSON.stringify(secret), created_at: now, expires_at: now + lifeMs }
    await database.write((write) => write.insertInto('logins').values(row).execute())
  }

  async findLogin<T>(name: string): Promise<T | undefined> {
    const { database, clock } = this.#ground
    const row = await database.read.selectFrom('logins').selectAll().where('hash', '=', hashOf(name)).executeTakeFirst()
    return secretOf<T>(row, clock.epochMs())
  }

  /** Returns the secret of a pending sign-in once: the row is deleted. */
  async takeLogin<T>(name: string): Promise<T | undefined> {
    const { database, clock } = this.#ground
    return await database.write(async (write) => {
      const row = await write.deleteFrom('logins').where('hash', '=', hashOf(name)).returningAll().executeTakeFirst()
      return secretOf<T>(row, clock.epochMs())
    })
  }

  /** Deletes expired sessions and sign-ins. */
  async sweep(): Promise<void> {
    const { database, clock } = this.#ground
    const now = clock.epochMs()
    await database.write(async (write) => {
      await write.deleteFrom('sessions').where('expires_at', '<', now).execute()
      await write.deleteFrom('logins').where('expires_at', '<', now).execute()
    })
  }
}

/** The stored secret of a pending sign-in; undefined once it has expired. */
function secretOf<T>(row: { readonly secret: string; readonly expires_at: number } | undefined, now: number): T | undefined {
  return row === undefined || row.expires_at <= now ? undefined : (JSON.parse(row.secret) as T)
}

/** For secrets of 192 random bits and more, which cannot be guessed from their digest. */
function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

function toPerson(row: Selectable<PeopleRow>): Person {
  return { id: row.id, name: row.name, email: row.email ?? undefined, groups: JSON.parse(row.groups) as string[] }
}

function toBinding(row: Selectable<RoleBindingsRow>): RoleBinding {
  return {
    etag: etagOf(row),
    id: row.id,
    kind: row.subject_kind as RoleBinding['kind'],
    name: row.subject,
    role: row.role as Role,
    environment: row.environment ?? undefined,
    model: row.model ?? undefined,
    createdBy: row.created_by,
    createdAt: row.created_at,
  }
}
