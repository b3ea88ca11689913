import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import type { Kysely } from 'kysely'
import type { PredictionRecord } from '../contract/prediction-record.ts'
import type { Write } from '../ledger/scope.ts'
import type { Schema } from '../storage/sql/schema.ts'

/** The units that are forgotten, as of one moment. */
export interface Forgotten {
  /** Number of times that something was forgotten. */
  readonly generation: number
  /** Whether a record must not be kept. */
  has(environment: string, record: Pick<PredictionRecord, 'unit' | 'time'>): boolean
}

/** By which a unit is known once it is forgotten: SHA-256 of environment and unit. */
export function unitHash(environment: string, unit: string): string {
  return createHash('sha256').update(`${environment}\n${unit}`).digest('hex')
}

/** @param environment undefined: all */
export async function readForgotten(read: Kysely<Schema>, environment?: string): Promise<Forgotten> {
  // The generation first: what is forgotten between the two reads makes the reader try again.
  const { value } = await read.selectFrom('counters').select('value').where('name', '=', 'forgotten').executeTakeFirstOrThrow()
  const rows = await read
    .selectFrom('record_forgotten')
    .select(['environment', 'unit_hash', 'until_ms'])
    .$if(environment !== undefined, (all) => all.where('environment', '=', environment!))
    .execute()
  const untilMs = new Map(rows.map((row) => [`${row.environment}\n${row.unit_hash}`, row.until_ms]))
  return {
    generation: value,
    has: (where, { unit, time }) =>
      untilMs.size > 0 && unit !== undefined && time <= (untilMs.get(`${where}\n${unitHash(where, unit)}`) ?? -1),
  }
}

/**
 * Whether nothing was forgotten since. Whoever forgets then waits until the transaction ends, so that what it stores is found.
 */
export async function isCurrent(write: Write, { generation }: Forgotten): Promise<boolean> {
  const { value } = await write
    .updateTable('counters')
    .set((columns) => ({ value: columns.ref('value') }))
    .where('name', '=', 'forgotten')
    .returning('value')
    .executeTakeFirstOrThrow()
  return value === generation
}

/** Adds a unit to those that are forgotten. */
export async function addForgotten(
  write: Write,
  row: { readonly environment: string; readonly unit_hash: string; readonly until_ms: number; readonly asked_at: number },
): Promise<void> {
  await write
    .updateTable('counters')
    .set({ value: sql`value + 1` })
    .where('name', '=', 'forgotten')
    .execute()
  const { until_ms, asked_at } = row
  await write
    .insertInto('record_forgotten')
    .values(row)
    .onConflict((conflict) => conflict.columns(['environment', 'unit_hash']).doUpdateSet({ until_ms, asked_at }))
    .execute()
}
