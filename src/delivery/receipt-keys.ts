/** Keys by which servers sign receipts of predictions. Each endpoint has its own; the newest signs, those before stay valid for reading. */
import { nextNumber } from '../ledger/counters.ts'
import { newReceiptKey } from '../security/receipts.ts'
import type { Kysely } from 'kysely'
import type { ReceiptKey } from '../contract/receipt.ts'
import type { Write } from '../ledger/scope.ts'
import type { Schema } from '../storage/sql/schema.ts'

/** A key signs for so long. */
const SIGNS_MS = 30 * 24 * 3_600_000
/** Labels come late: receipts of the last two years are believed. */
const KEPT = 25

type Keys = [ReceiptKey, ...ReceiptKey[]]

/** The keys of an environment's endpoints, by the id of each, the newest first. */
export async function receiptKeysIn(read: Kysely<Schema>, environment: string): Promise<Map<string, Keys>> {
  return grouped(await rowsOf(read, environment), ({ endpoint }) => endpoint)
}

/** Those of some endpoints by name, also of ones that are gone: labels come late. */
export async function receiptKeysByName(read: Kysely<Schema>, environment: string, names: readonly string[]): Promise<Map<string, Keys>> {
  return names.length === 0 ? new Map() : grouped(await rowsOf(read, environment, names), ({ name }) => name)
}

interface Row {
  readonly endpoint: string
  readonly name: string
  readonly id: string
  readonly secret: string
}

async function rowsOf(read: Kysely<Schema>, environment: string, names?: readonly string[]): Promise<Row[]> {
  return await read
    .selectFrom('receipt_keys')
    .innerJoin('endpoints', 'endpoints.id', 'receipt_keys.endpoint_id')
    .select(['endpoint_id as endpoint', 'name', 'receipt_keys.id', 'secret'])
    .where('environment', '=', environment)
    .$if(names !== undefined, (some) => some.where('name', 'in', names!))
    .orderBy('receipt_keys.created_at', 'desc')
    .orderBy('receipt_keys.id')
    .execute()
}

function grouped(rows: readonly Row[], by: (row: Row) => string): Map<string, Keys> {
  const keys = new Map<string, Keys>()
  for (const row of rows) {
    const key: ReceiptKey = { id: row.id, secret: row.secret }
    const known = keys.get(by(row))
    if (known === undefined) keys.set(by(row), [key])
    else known.push(key)
  }
  return keys
}

/** Gives an endpoint another key, and forgets the oldest ones. Servers have it with their next document. */
export async function renewReceiptKey(write: Write, endpointId: string, at: number): Promise<void> {
  const { id, secret } = newReceiptKey()
  await write.insertInto('receipt_keys').values({ endpoint_id: endpointId, id, secret, created_at: at }).execute()
  const old = await write
    .selectFrom('receipt_keys')
    .select('id')
    .where('endpoint_id', '=', endpointId)
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .offset(KEPT)
    // SQLite takes an offset with a limit alone.
    .limit(1000)
    .execute()
  if (old.length > 0)
    await write
      .deleteFrom('receipt_keys')
      .where('endpoint_id', '=', endpointId)
      .where(
        'id',
        'in',
        old.map((key) => key.id),
      )
      .execute()
}

/** Renews the keys that have signed for long enough. @returns how many */
export async function renewReceiptKeys(write: Write, at: number): Promise<number> {
  const due = await write
    .selectFrom('endpoints')
    .leftJoin('receipt_keys', (join) =>
      join.onRef('receipt_keys.endpoint_id', '=', 'endpoints.id').on('receipt_keys.created_at', '>', at - SIGNS_MS),
    )
    .select('endpoints.id')
    .where('endpoints.deleted_at', 'is', null)
    .where('receipt_keys.id', 'is', null)
    .execute()
  for (const { id } of due) await renewReceiptKey(write, id, at)
  if (due.length > 0) await nextNumber(write, 'delivery')
  return due.length
}
