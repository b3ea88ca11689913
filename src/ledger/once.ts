import { SlipwayError } from '../core/errors.ts'
import type { Ground, Once, Scope, Write } from './scope.ts'

/** The answer of a request, as it was sent. */
export interface KeptAnswer {
  readonly status: number
  /** Encrypted where `sealed` is true. */
  readonly body: string
  readonly sealed: boolean
  readonly headers: Readonly<Record<string, string>>
}

/** The outcome of an earlier request with the same key: its answer, or, if that got lost, the object that it changed. */
export type Earlier =
  | { readonly answer: KeptAnswer; readonly object: undefined }
  | { readonly answer: undefined; readonly object: { readonly kind: string; readonly name: string } }

/** Lifetime of a key. */
export const ONCE_LIFE_MS: number = 24 * 3600 * 1000

/** An attempt that has changed nothing for so long may be taken over by a repetition; whatever it tries to commit later fails. */
const TAKEN_OVER_AFTER_MS = 30_000

/**
 * Notes that a request begins, before anything is changed.
 * @returns the outcome of an earlier request with the same key; undefined if this is the one to execute
 * @throws SLW_IDEMPOTENCY_CONFLICT where the key was used for another request; SLW_CONFLICT while an earlier attempt still runs
 */
export async function beginOnce({ database, clock }: Ground, once: Once): Promise<Earlier | undefined> {
  const { caller, key, digest, attempt } = once
  const now = clock.epochMs()
  return await database.write(async (write) => {
    const begun = {
      request_digest: digest,
      attempt,
      created_at: now,
      kind: null,
      name: null,
      status: null,
      answer: null,
      headers: null,
      sealed: 0,
    }
    await write
      .insertInto('idempotency_keys')
      .values({ caller, key, ...begun })
      .onConflict((conflict) => conflict.columns(['caller', 'key']).doNothing())
      .execute()
    const row = await rowOf(write, once).selectAll().executeTakeFirstOrThrow()
    if (row.attempt === attempt) return undefined
    if (row.created_at < now - ONCE_LIFE_MS) {
      await write.updateTable('idempotency_keys').set(begun).where('caller', '=', caller).where('key', '=', key).execute()
      return undefined
    }
    if (row.request_digest !== digest)
      throw new SlipwayError('SLW_IDEMPOTENCY_CONFLICT', `the Idempotency-Key "${key}" was used for another request before`)
    if (row.status !== null) {
      const headers = JSON.parse(row.headers ?? '{}') as Record<string, string>
      return { answer: { status: row.status, body: row.answer ?? '', sealed: row.sealed === 1, headers }, object: undefined }
    }
    if (row.kind !== null) return { answer: undefined, object: { kind: row.kind, name: row.name ?? '' } }
    if (row.created_at > now - TAKEN_OVER_AFTER_MS)
      throw new SlipwayError('SLW_CONFLICT', `another request with the Idempotency-Key "${key}" is being executed`, { retryAfterMs: 1000 })
    await write.updateTable('idempotency_keys').set(begun).where('caller', '=', caller).where('key', '=', key).execute()
    return undefined
  })
}

function rowOf(write: Write, { caller, key }: Once) {
  return write.selectFrom('idempotency_keys').where('caller', '=', caller).where('key', '=', key)
}

/**
 * Notes in the transaction that changes something which object the request has changed, so that both are there or neither.
 * @throws SLW_CONFLICT where a repetition has taken the request over
 */
export async function claimOnce(
  write: Write,
  { once }: Scope,
  { kind, name }: { readonly kind: string; readonly name: string },
): Promise<void> {
  if (once === undefined) return
  const { caller, key, attempt } = once
  const { numUpdatedRows } = await write
    .updateTable('idempotency_keys')
    .set((columns) => ({ kind: columns.fn.coalesce('kind', columns.val(kind)), name: columns.fn.coalesce('name', columns.val(name)) }))
    .where('caller', '=', caller)
    .where('key', '=', key)
    .where('attempt', '=', attempt)
    .executeTakeFirst()
  if (numUpdatedRows === 0n) throw new SlipwayError('SLW_CONFLICT', `another request with the Idempotency-Key "${key}" was faster`)
}

/** Keeps the answer for a repetition of the request. */
export async function keepAnswer({ database }: Ground, { caller, key, attempt }: Once, answer: KeptAnswer): Promise<void> {
  const { status, body, sealed, headers } = answer
  await database.write((write) =>
    write
      .updateTable('idempotency_keys')
      .set({ status, answer: body, sealed: sealed ? 1 : 0, headers: JSON.stringify(headers) })
      .where('caller', '=', caller)
      .where('key', '=', key)
      .where('attempt', '=', attempt)
      .execute(),
  )
}

/**
 * Frees the key of a request that was refused, so that it can be sent again.
 * @param unless keeps the key where the request has changed something, which a repetition must not change again
 */
export async function freeOnce({ database }: Ground, { caller, key, attempt }: Once, unless: 'changed' | 'never'): Promise<void> {
  await database.write((write) =>
    write
      .deleteFrom('idempotency_keys')
      .where('caller', '=', caller)
      .where('key', '=', key)
      .where('attempt', '=', attempt)
      .$if(unless === 'changed', (all) => all.where('kind', 'is', null))
      .execute(),
  )
}

/** Frees the keys of attempts that have changed nothing: called at the start of the only process of a database, when none can be running. */
export async function freeAbandoned({ database }: Ground): Promise<void> {
  await database.write((write) => write.deleteFrom('idempotency_keys').where('status', 'is', null).where('kind', 'is', null).execute())
}
