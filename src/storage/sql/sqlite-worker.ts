/** Entry of the thread of a SQLite database: two connections, one that only reads and one that writes. */
import { parentPort, workerData } from 'node:worker_threads'
import { backup, DatabaseSync } from 'node:sqlite'
import { failPoint } from '../../core/fail-point.ts'
import { sqliteCodeName } from './sqlite-codes.ts'
import { BEGIN } from './sqlite-messages.ts'
import type { SQLInputValue, StatementSync } from 'node:sqlite'
import type { Parameter } from './parameters.ts'
import type { MessagePort } from 'node:worker_threads'
import type { Statement } from './sessions.ts'
import type { SqliteAnswer, SqliteFailure, SqliteQuestion, SqliteRequest, SqliteRows, SqliteThreadData } from './sqlite-messages.ts'

/** Upper limit of prepared statements that are kept, for each connection. */
const STATEMENTS_MAX = 256
/** Length up to which statements are kept, in characters. Longer ones insert many rows, and seldom the same number twice. */
const STATEMENT_KEPT_MAX = 4096

const COMMIT: Statement = { statement: 'commit', parameters: [] }

const NOTHING: SqliteRows = { columns: [], rows: [] }

class Connection {
  readonly database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor({ file, busyTimeoutMs }: SqliteThreadData, readOnly: boolean) {
    this.database = new DatabaseSync(file, { readOnly, timeout: busyTimeoutMs, enableForeignKeyConstraints: true, readBigInts: false })
    // As on PostgreSQL, where only ILIKE ignores case; `lower(a) like lower(b)` ignores it on both.
    this.database.exec('pragma case_sensitive_like = on')
  }

  run(statement: string, parameters: readonly Parameter[]): SqliteRows {
    const prepared = this.#prepare(statement)
    const values = parameters.map(toSqlite)
    const columns = prepared.columns().map(({ name }) => name)
    if (columns.length > 0) return { columns, rows: prepared.all(...values) as unknown as SqliteRows['rows'] }
    return { ...NOTHING, affected: Number(prepared.run(...values).changes) }
  }

  #new(statement: string): StatementSync {
    const prepared = this.database.prepare(statement)
    prepared.setReturnArrays(true)
    return prepared
  }

  /** A kept statement, or a new one, for which the least recently used one is dropped. */
  #prepare(statement: string): StatementSync {
    const known = this.#statements.get(statement)
    const prepared = known ?? this.#new(statement)
    if (known !== undefined) this.#statements.delete(statement)
    if (statement.length > STATEMENT_KEPT_MAX) return prepared
    this.#statements.set(statement, prepared)
    if (this.#statements.size > STATEMENTS_MAX) {
      const [oldest] = this.#statements.keys()
      if (oldest !== undefined) this.#statements.delete(oldest)
    }
    return prepared
  }
}

/** Whole numbers as integers: node:sqlite binds every number as a double, and `'v' || 1.0` is not `'v1'`. */
function toSqlite(value: Parameter): SQLInputValue {
  return typeof value === 'number' && Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value
}

function openConnections(data: SqliteThreadData): { reader: Connection; writer: Connection } {
  const writer = new Connection(data, false)
  becomeWal(writer.database, data.busyTimeoutMs)
  // Every commit waits for the disk. NORMAL would survive the death of the process just as well, but not a loss of power, which
  // could bring a row back whose object was deleted after the commit that removed the row (docs/decisions/0008).
  writer.database.exec('pragma synchronous = full')
  // Opened after the writer, which creates the file where there is none.
  return { writer, reader: new Connection(data, true) }
}

/**
 * Switches to a write-ahead log, a setting that the file keeps. The switch does not wait for its lock as statements do, so of two
 * processes that open a new file at once one would fail without a retry.
 */
function becomeWal(database: DatabaseSync, patienceMs: number): void {
  const until = performance.now() + patienceMs
  for (;;) {
    try {
      return database.exec('pragma journal_mode = wal')
    } catch (error) {
      if (failure(error).code !== 'SQLITE_BUSY' || performance.now() > until) throw error
      // Blocks the thread, which has nothing else to do.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }
}

function failure(error: unknown): SqliteFailure {
  const { errcode, code, message } = error as Error & { errcode?: number; code?: string }
  return { code: errcode === undefined ? (code ?? 'SQLITE_ERROR') : sqliteCodeName(errcode), message }
}

/** Opens the database and answers until it is told to close. */
function serve(port: MessagePort): void {
  const { reader, writer } = openConnections(workerData as SqliteThreadData)
  const requireTransaction = (): void => {
    if (!writer.database.isTransaction) throw new Error('there is no transaction')
  }
  const act = (request: SqliteRequest): SqliteRows | SqliteFailure | Promise<SqliteRows> => {
    switch (request.type) {
      case 'run':
        if (request.on === 'reader') return reader.run(request.statement, request.parameters)
        // The first statement is sent without a wait for BEGIN, and must not be run where that failed.
        if (request.statement !== BEGIN) requireTransaction()
        return writer.run(request.statement, request.parameters)
      case 'commit':
        requireTransaction()
        for (const { statement, parameters } of [...request.last, COMMIT]) {
          try {
            writer.run(statement, parameters)
          } catch (error) {
            return { ...failure(error), statement }
          }
        }
        return NOTHING
      case 'rollback':
        // After some errors SQLite has rolled back itself.
        if (writer.database.isTransaction) writer.database.exec('rollback')
        return NOTHING
      case 'backup':
        return backup(reader.database, request.path).then(() => NOTHING)
      case 'close':
        // The writer last: closing it merges the write-ahead log into the file.
        reader.database.close()
        writer.database.close()
        return NOTHING
    }
  }
  const answer = (id: number, what: SqliteRows | SqliteFailure): void => port.postMessage({ id, ...what } satisfies SqliteAnswer)
  port.on('message', (question: SqliteQuestion) => {
    if (failPoint('database.thread') === 'end') process.exit(1)
    try {
      const result = act(question)
      if (result instanceof Promise) {
        result.then(
          (rows) => answer(question.id, rows),
          (error: unknown) => answer(question.id, failure(error)),
        )
      } else answer(question.id, result)
    } catch (error) {
      answer(question.id, failure(error))
    }
    if (question.type === 'close') port.close()
  })
}

const port = parentPort!
let opened: SqliteRows | SqliteFailure = NOTHING
try {
  serve(port)
} catch (error) {
  opened = failure(error)
}
port.postMessage({ id: 0, ...opened } satisfies SqliteAnswer)
