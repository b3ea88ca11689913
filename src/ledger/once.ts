import { SlipwayError } from '../core/errors.ts'
import type { Kysely } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { Scope, Write } from './scope.ts'

/** Result of an earlier request with the same key: its answer, or, if the answer was not kept, the object that it was about. */
export type Earlier =
  | { readonly answer: { readonly status: number; readonly body: string } }
  | { readonly answer: undefined; readonly kind: string; readonly name: string }

/** Time for which a key is remembered. */
export const ONCE_LIFE_MS: number = 24 * 3600 * 1000

/**
 * Notes the key in the transaction that does the work, so that both are committed or neither.
 * @throws SLW_CONFLICT where another request with the key was faster: read its result
 */
export async function claimOnce(write: Write, { once, actor }: Scope, about: { kind: string; name: string }, atMs: number): Promise<void> {
  if (once === undefined) return
  const { key, digest, attempt } = once
  const row = {
    caller: actor,
    key,
    request_digest: digest,
    status: null,
    answer: `${attempt} ${about.kind} ${about.name}`,
    created_at: atMs,
  }
  await write
    .insertInto('idempotency_keys')
    .values(row)
    .onConflict((conflict) => conflict.columns(['caller', 'key']).doNothing())
    .execute()
  const { answer } = await write
    .selectFrom('idempotency_keys')
    .select('answer')
    .where('caller', '=', actor)
    .where('key', '=', key)
    .executeTakeFirstOrThrow()
  if (answer?.startsWith(`${attempt} `) !== true)
    throw new SlipwayError('SLW_CONFLICT', `another request with the Idempotency-Key "${key}" was faster`)
}

/** @throws SLW_IDEMPOTENCY_CONFLICT where the key was used for something else */
export async function findOnce(
  read: Kysely<Schema>,
  actor: string,
  { key, digest }: { key: string; digest: string },
): Promise<Earlier | undefined> {
  const row = await read.selectFrom('idempotency_keys').selectAll().where('caller', '=', actor).where('key', '=', key).executeTakeFirst()
  if (row === undefined) return undefined
  if (row.request_digest !== digest)
    throw new SlipwayError('SLW_IDEMPOTENCY_CONFLICT', `the Idempotency-Key "${key}" was used for another request before`)
  if (row.status !== null) return { answer: { status: row.status, body: row.answer ?? '' } }
  const [, kind = '', name = ''] = /^\S+ (\S+) (.*)$/s.exec(row.answer ?? '') ?? []
  return { answer: undefined, kind, name }
}

/** Keeps the answer for repeated requests. */
export async function keepAnswer(write: Write, actor: string, key: string, answer: { status: number; body: string }): Promise<void> {
  await write
    .updateTable('idempotency_keys')
    .set({ status: answer.status, answer: answer.body })
    .where('caller', '=', actor)
    .where('key', '=', key)
    .execute()
}
