import { sql } from 'kysely'
import type { Kysely } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { Write } from './ground.ts'

type Numbered = 'event' | 'experiment' | 'delivery'

/**
 * The next number of a sequence. Its row stays locked until the transaction ends, so numbers are in the order of commits
 * (docs/decisions/0008).
 */
export async function nextNumber(write: Write, counter: Numbered): Promise<number> {
  const { value } = await write
    .updateTable('counters')
    .set({ value: sql`value + 1` })
    .where('name', '=', counter)
    .returning('value')
    .executeTakeFirstOrThrow()
  return value
}

/** The number that was given out last; of `webhook` the event up to which deliveries were made. */
export async function lastNumber(read: Kysely<Schema>, counter: Numbered | 'webhook'): Promise<number> {
  const { value } = await read.selectFrom('counters').select('value').where('name', '=', counter).executeTakeFirstOrThrow()
  return value
}
