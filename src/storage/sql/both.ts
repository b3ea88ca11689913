import type { Kysely } from 'kysely'
import type { Schema } from './schema.ts'

/** Runs two queries at once; the statements of the first are sent first, and its error is thrown first. */
export async function both<On extends Kysely<Schema>, A, B>(
  on: On,
  first: (on: On) => Promise<A>,
  second: (on: On) => Promise<B>,
): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first(on), second(on)])
  if (a.status === 'rejected') throw a.reason
  if (b.status === 'rejected') throw b.reason
  return [a.value, b.value]
}
