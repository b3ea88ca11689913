/**
 * Storage keeps rows (sql/), work in the background (work/), files by content (objects/), and all of it in one file (backup/). This file
 * is the port of both databases.
 */
import type { Kysely, Transaction } from 'kysely'
import type { Schema } from './schema.ts'

/** Common interface of both databases. @typeParam S the tables */
export interface Database<S = Schema> extends AsyncDisposable {
  readonly dialect: 'sqlite' | 'postgres'
  /** For statements that only read. Sees what was committed before each statement. */
  readonly read: Kysely<S>
  /**
   * Runs a transaction: all of it or nothing. The only way to write. On SQLite one runs at a time; on PostgreSQL (read
   * committed) it is run again, up to a limit, when the database aborted it for the sake of others (40001, 40P01).
   * @throws what `work` throws, after a rollback; SLW_DATABASE_UNAVAILABLE when the database does not answer
   */
  write<T>(work: (transaction: Transaction<S>) => Promise<T>): Promise<T>
  /** Reads everything as of one moment, while others write. The work must not wait for others: on PostgreSQL it is a transaction. */
  snapshot<T>(work: (read: Kysely<S>) => Promise<T>): Promise<T>
  /** UTC epoch milliseconds by the clock of the database, which all its users share. */
  now(): Promise<number>
}
