import type { Kysely } from 'kysely'
import type { Schema } from './schema.ts'

/** Two questions: at once, or in a transaction, which has one connection, in turn. What goes wrong with the first is told first. */
export async function both<A, B>(
  read: Kysely<Schema>,
  first: (read: Kysely<Schema>) => Promise<A>,
  second: (read: Kysely<Schema>) => Promise<B>,
): Promise<[A, B]> {
  if (read.isTransaction) return [await first(read), await second(read)]
  const [a, b] = await Promise.allSettled([first(read), second(read)])
  if (a.status === 'rejected') throw a.reason
  if (b.status === 'rejected') throw b.reason
  return [a.value, b.value]
}
