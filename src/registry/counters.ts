import { sql } from 'kysely'
import type { Write } from './ground.ts'

/**
 * The next number of a sequence. Its row stays locked until the transaction ends, so numbers are in the order of commits
 * (docs/decisions/0008).
 */
export async function nextNumber(write: Write, counter: 'event' | 'experiment' | 'delivery'): Promise<number> {
  const { value } = await write
    .updateTable('counters')
    .set({ value: sql`value + 1` })
    .where('name', '=', counter)
    .returning('value')
    .executeTakeFirstOrThrow()
  return value
}
