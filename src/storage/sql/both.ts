import type { Kysely } from 'kysely'
import type { Schema } from './schema.ts'

/** Two questions at once; the statements of the first are asked first. What goes wrong with the first is told first. */
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
