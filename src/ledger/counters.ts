import { sql } from 'kysely'
import type { Compilable, Kysely, RawBuilder } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { Write } from './scope.ts'

type Numbered = 'event' | 'experiment' | 'delivery'

/**
 * The next number of a sequence. Its row stays locked until the transaction ends, so numbers are in the order of commits
 * (docs/decisions/0008).
 */
export async function nextNumber(write: Write, counter: Numbered): Promise<number> {
  const { value } = await counted(write, counter).returning('value').executeTakeFirstOrThrow()
  return value
}

/** Like `nextNumber`, for a statement that is run with the commit (`atCommit`), straight after `counting`: `number` is its number. */
export function numberLate(write: Write, counter: Numbered): { readonly counting: Compilable; readonly number: RawBuilder<number> } {
  return { counting: counted(write, counter), number: sql`(select value from counters where name = ${counter})` }
}

function counted(write: Write, counter: Numbered) {
  return write
    .updateTable('counters')
    .set({ value: sql`value + 1` })
    .where('name', '=', counter)
}

/** The number that was given out last; for `webhook` the event up to which deliveries were made. */
export async function lastNumber(read: Kysely<Schema>, counter: Numbered | 'webhook'): Promise<number> {
  const { value } = await read.selectFrom('counters').select('value').where('name', '=', counter).executeTakeFirstOrThrow()
  return value
}
