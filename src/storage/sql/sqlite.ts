import { randomUUID } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely'
import { SlipwayError } from '../../core/errors.ts'
import { Turns } from '../../core/turns.ts'
import { Nesting } from './nesting.ts'
import { kyselyOver } from './sessions.ts'
import { SqliteThread } from './sqlite-thread.ts'
import { databaseTime } from './time.ts'
import type { Kysely, Transaction } from 'kysely'
import type { Database } from './database.ts'
import type { Schema } from './schema.ts'
import type { DialectParts, Session, Statement, StatementResult } from './sessions.ts'
import { BEGIN } from './sqlite-messages.ts'

/** Time that other processes that have the file open (a backup tool, a shell) are given to let go of it. */
const BUSY_TIMEOUT_MS = 5000

/** End of a snapshot's name, after that of its file: the process, and an ID. Copies that people make are called otherwise. */
const SNAPSHOT = /^\.snapshot-\d+-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:-wal|-shm|-journal)?$/

/** Removes snapshots that a killed process has left of a file. Only for a process that alone has the file. */
export async function removeSnapshots(file: string): Promise<void> {
  const begin = basename(file)
  for (const name of await readdir(dirname(file)))
    if (name.startsWith(begin) && SNAPSHOT.test(name.slice(begin.length))) await rm(join(dirname(file), name), { force: true })
}

export interface SqliteOptions {
  /** Path of the database file, which is created where there is none; its folder is not. */
  readonly file: string
}

/** A database in a file, with the operations that only such a one has. */
export interface SqliteDatabase extends Database {
  readonly dialect: 'sqlite'
  readonly file: string
  /** Copies the committed state into the file `path`, which is then a database of its own. Readers and writers go on meanwhile. */
  backup(path: string): Promise<void>
}

/**
 * Opens a SQLite file as it is, without a check of its schema and of other processes that have it open: see `openDatabase` for that.
 * @throws SLW_DATABASE_UNAVAILABLE when the file cannot be opened
 */
export async function openSqlite({ file }: SqliteOptions): Promise<SqliteDatabase> {
  return new Sqlite(file, await openThread(file))
}

function openThread(file: string): Promise<SqliteThread> {
  return SqliteThread.open({ file, busyTimeoutMs: BUSY_TIMEOUT_MS })
}

class Sqlite implements SqliteDatabase {
  readonly dialect = 'sqlite'
  readonly file: string
  readonly read: Kysely<Schema>
  readonly #writer: Kysely<Schema>
  readonly #nesting = new Nesting()
  readonly #turns = new Turns()
  #thread: Promise<SqliteThread>
  #closed = false

  constructor(file: string, thread: SqliteThread) {
    this.file = file
    this.#thread = Promise.resolve(thread)
    this.read = kyselyOver(PARTS, async () => new SqliteSession(await this.#live(), 'reader'))
    this.#writer = kyselyOver(PARTS, async () => new SqliteSession(await this.#live(), 'writer'))
  }

  /** The thread, or a new one where it has ended: requests under way have failed, later ones need not. */
  async #live(): Promise<SqliteThread> {
    const asked = this.#thread
    const thread = await asked.catch(() => undefined)
    if (thread?.broken === false) return thread
    if (this.#closed) throw new SlipwayError('SLW_CLOSED', `the database ${this.file} was used after it was closed`)
    // Not where another caller has just opened one.
    if (this.#thread === asked) {
      this.#thread = openThread(this.file)
      // A failure is thrown to the callers that wait for the thread.
      this.#thread.catch(() => {})
    }
    return await this.#thread
  }

  write<T>(work: (transaction: Transaction<Schema>) => Promise<T>): Promise<T> {
    return this.#nesting.refuse((within) =>
      this.#turns.take(() => this.#writer.transaction().execute((transaction) => within(() => work(transaction)))),
    )
  }

  async now(): Promise<number> {
    const { now } = await this.read.selectNoFrom(databaseTime('sqlite').as('now')).executeTakeFirstOrThrow()
    return now
  }

  /** Reads a copy: a long read of the file itself would keep its write-ahead log from being truncated. */
  async snapshot<T>(work: (read: Kysely<Schema>) => Promise<T>): Promise<T> {
    const copy = `${this.file}.snapshot-${process.pid}-${randomUUID()}`
    try {
      await this.backup(copy)
      await using opened = await openSqlite({ file: copy })
      return await work(opened.read)
    } finally {
      for (const ending of ['', '-wal', '-shm']) await rm(`${copy}${ending}`, { force: true })
    }
  }

  async backup(path: string): Promise<void> {
    await (await this.#live()).ask({ type: 'backup', path })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turns.idle()
    this.#closed = true
    const thread = await this.#thread.catch(() => undefined)
    await thread?.close()
  }
}

/** Statements of all sessions go to the same two connections of the thread; turns keep the writers apart. */
class SqliteSession implements Session {
  readonly #thread: SqliteThread
  readonly #on: 'reader' | 'writer'
  /** The answer to BEGIN, until the first statement has been answered. */
  #begun: Promise<unknown> | undefined

  constructor(thread: SqliteThread, on: 'reader' | 'writer') {
    this.#thread = thread
    this.#on = on
  }

  async run(statement: string, parameters: Statement['parameters']): Promise<StatementResult> {
    const asked = this.#thread.ask({ type: 'run', on: this.#on, statement, parameters })
    if (this.#begun !== undefined) {
      // Where BEGIN failed, so did the statement, for want of a transaction.
      asked.catch(() => {})
      await this.#begun
      this.#begun = undefined
    }
    const { columns, rows, affected } = await asked
    return { rows: rows.map((values) => rowOf(columns, values)), ...(affected !== undefined && { affected }) }
  }

  async begin(): Promise<void> {
    if (this.#on === 'reader') throw new Error('a transaction is made by Database.write')
    this.#begun = this.#thread.ask({ type: 'run', on: this.#on, statement: BEGIN, parameters: [] })
    this.#begun.catch(() => {})
  }

  async commit(last: readonly Statement[]): Promise<void> {
    await this.#begun
    await this.#thread.ask({ type: 'commit', last })
  }

  async rollback(): Promise<void> {
    // A rollback fails only where the thread has ended, and the transaction with it.
    await this.#thread.ask({ type: 'rollback' }).catch(() => {})
  }

  release(): void {}
}

function rowOf(columns: readonly string[], values: readonly unknown[]): object {
  const row: Record<string, unknown> = {}
  for (let index = 0; index < columns.length; index++) row[columns[index]!] = values[index]
  return row
}

/** Keeps Kysely from letting one statement wait for another; they wait in the thread. */
class Adapter extends SqliteAdapter {
  override get supportsMultipleConnections(): boolean {
    return true
  }
}

const PARTS: DialectParts = {
  createAdapter: () => new Adapter(),
  createQueryCompiler: () => new SqliteQueryCompiler(),
  createIntrospector: (database) => new SqliteIntrospector(database),
}
