import { sql } from 'kysely'
import { SlipwayError } from '../../core/errors.ts'
import { databaseTime } from './time.ts'
import type { RawBuilder, Transaction } from 'kysely'
import type { Database } from './database.ts'
import type { Schema } from './schema.ts'

/**
 * Leases on work that one process does at a time. Time is that of the database, which all share; a token that grows with every
 * holder distinguishes a late one from the present one (M. Kleppmann, "How to do distributed locking", 2016: fencing).
 */
export class Leases {
  readonly #database: Database
  readonly #holder: string

  /** @param holder name of this process, for people who look into the table */
  constructor(database: Database, holder: string) {
    this.#database = database
    this.#holder = holder
  }

  /** Releases all leases: for a database that no other process can have open, where they are those of a process that was killed. */
  async releaseAll(): Promise<void> {
    await this.#database.write((transaction) => transaction.updateTable('leases').set({ holder: null, expires_at: 0 }).execute())
  }

  /** Takes the lease when it is free or has expired. @returns undefined while another holder has it */
  async acquire(name: string, ttlMs: number): Promise<Lease | undefined> {
    const expiresAt = timeIn(this.#database, ttlMs)
    const row = await this.#database.write((transaction) =>
      transaction
        .insertInto('leases')
        .values({ name, holder: this.#holder, token: 1, expires_at: expiresAt })
        .onConflict((conflict) =>
          conflict
            .column('name')
            .doUpdateSet({ holder: this.#holder, token: sql<number>`leases.token + 1`, expires_at: expiresAt })
            .where('leases.expires_at', '<=', databaseTime(this.#database.dialect)),
        )
        .returning('token')
        .executeTakeFirst(),
    )
    return row === undefined ? undefined : new Lease(this.#database, { name, holder: this.#holder, token: row.token, ttlMs })
  }
}

interface LeaseState {
  readonly name: string
  readonly holder: string
  readonly token: number
  readonly ttlMs: number
}

/** A lease that was acquired. It is held until another process has taken it, which is possible once it has expired. */
export class Lease {
  readonly name: string
  readonly holder: string
  /** Larger than that of every earlier holder. */
  readonly token: number
  readonly ttlMs: number
  readonly #database: Database

  constructor(database: Database, { name, holder, token, ttlMs }: LeaseState) {
    this.#database = database
    this.name = name
    this.holder = holder
    this.token = token
    this.ttlMs = ttlMs
  }

  /** Extends the lease to `ttlMs` from now. @throws SLW_LEASE_LOST */
  async renew(): Promise<void> {
    if (!(await this.#set({ expires_at: timeIn(this.#database, this.ttlMs) }))) throw this.#lost()
  }

  /** Releases the lease at once. A lease that was lost already is no error. */
  async release(): Promise<void> {
    await this.#set({ holder: null, expires_at: 0 })
  }

  /**
   * Makes a transaction fail unless the lease is still held, and keeps it held until the transaction has ended: a process that
   * wants to take it over waits for that. To be called first, so that no work is done in vain.
   * @throws SLW_LEASE_LOST
   */
  async fenced(transaction: Transaction<Schema>): Promise<void> {
    const mine = transaction.selectFrom('leases').select('token').where('name', '=', this.name).where('token', '=', this.token)
    // SQLite has one transaction that writes at a time.
    const locked = this.#database.dialect === 'postgres' ? mine.forShare() : mine
    const row = await locked.where('holder', 'is not', null).executeTakeFirst()
    if (row === undefined) throw this.#lost()
  }

  /** @returns whether the lease was still held */
  async #set(values: { readonly holder?: null; readonly expires_at: number | RawBuilder<number> }): Promise<boolean> {
    const row = await this.#database.write((transaction) =>
      transaction
        .updateTable('leases')
        .set(values)
        .where('name', '=', this.name)
        .where('token', '=', this.token)
        .where('holder', 'is not', null)
        .returning('token')
        .executeTakeFirst(),
    )
    return row !== undefined
  }

  #lost(): SlipwayError {
    return new SlipwayError(
      'SLW_LEASE_LOST',
      `${this.holder} has lost the lease "${this.name}" (token ${this.token}): another has taken over`,
    )
  }
}

function timeIn({ dialect }: Database, ms: number): RawBuilder<number> {
  return sql<number>`${databaseTime(dialect)} + ${ms}`
}
