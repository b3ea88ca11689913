import { randomUUID } from 'node:crypto'
import { nextNumber } from '../ledger/counters.ts'
import { record } from '../ledger/events.ts'
import type { Kysely } from 'kysely'
import type { FollowedState } from '../contract/followed-state.ts'
import type { Ground, Scope, Write } from '../ledger/scope.ts'
import type { Schema } from '../storage/sql/schema.ts'

/** The identity of this database, and those of databases whose servers may follow it. */
export async function sourceOf(read: Kysely<Schema>): Promise<NonNullable<FollowedState['source']>> {
  const rows = await read.selectFrom('identities').selectAll().orderBy('id').execute()
  const current = rows.find((row) => row.is_current === 1)
  return { id: current?.id ?? '', succeeds: rows.filter((row) => row.is_current !== 1 && row.adopted_at !== null).map(({ id }) => id) }
}

/** Every identity that the database has had, or has taken over; the present one first. */
export async function identitiesOf(read: Kysely<Schema>): Promise<readonly string[]> {
  const rows = await read.selectFrom('identities').select('id').orderBy('is_current', 'desc').orderBy('id').execute()
  return rows.map(({ id }) => id)
}

/** Gives the database an identity of its own: servers that followed the earlier ones do not follow it until it is adopted. */
export async function becomeAnother(write: Write, atMs: number): Promise<string> {
  const id = randomUUID()
  await write.updateTable('identities').set({ is_current: 0 }).execute()
  await write.insertInto('identities').values({ id, is_current: 1, created_at: atMs, adopted_at: null }).execute()
  return id
}

/**
 * Says that this database is the one to follow from now on: for servers that followed it before it was restored, or put back, and for those
 * that follow another one and have reported so.
 * @returns the identity, and those that it succeeds
 */
export async function adoptServers({ database, clock }: Ground, scope: Scope): Promise<NonNullable<FollowedState['source']>> {
  const at = clock.epochMs()
  return await database.write(async (write) => {
    const before = await sourceOf(write)
    const id = await becomeAnother(write, at)
    const reported = await write.selectFrom('servers').select('follows').where('follows', 'is not', null).distinct().execute()
    for (const { follows } of reported)
      await write
        .insertInto('identities')
        .values({ id: follows!, is_current: 0, created_at: at, adopted_at: at })
        .onConflict((conflict) => conflict.doNothing())
        .execute()
    await write.updateTable('identities').set({ adopted_at: at }).where('is_current', '=', 0).execute()
    // Documents of a new generation are asked for at once.
    await nextNumber(write, 'delivery')
    await record(write, scope, at, {
      kind: 'server',
      name: '*',
      action: 'adopted',
      before: { identity: before.id },
      after: { identity: id },
    })
    return await sourceOf(write)
  })
}
