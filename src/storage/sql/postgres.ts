import { setTimeout as sleep } from 'node:timers/promises'
import { PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler, sql } from 'kysely'
import { backoffMs } from '../../core/backoff.ts'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { Nesting } from './nesting.ts'
import { kyselyOver } from './sessions.ts'
import { StatementError } from './statement-error.ts'
import { databaseTime } from './time.ts'
import type { Kysely, Transaction } from 'kysely'
import type { Pool, PoolClient, PoolConfig } from 'pg'
import type { Database } from './database.ts'
import type { Parameter } from './parameters.ts'
import type { Schema } from './schema.ts'
import type { DialectParts, Session, Statement, StatementResult } from './sessions.ts'

/** Default limit of connections. Half of them read and half write, so that a read in a transaction never waits for other transactions. */
const CONNECTIONS = 10
/** Time limit for a connection to be made, or to become free. */
const CONNECT_TIMEOUT_MS = 10_000
/** Time after which the server gives a statement up; the client does so 10 s later. */
const STATEMENT_TIMEOUT_MS = 60_000
const IDLE_IN_TRANSACTION_MS = 15_000
/** Upper limit of repetitions of a transaction that the server aborted. */
const REPEATS = 5
/** SQLSTATEs of a transaction that the server aborted for the sake of others: serialization_failure, deadlock_detected. */
const BROKEN_UP: ReadonlySet<string> = new Set(['40001', '40P01'])
/**
 * SQLSTATEs, whole or by class, that concern the server and not the statement: connection, credentials, no such database,
 * resources, cancelled or shut down, system error, lock not available, idle too long in a transaction.
 */
const UNAVAILABLE = /^(?:08|28|3D|53|57|58|55P03|25P03)/

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`, with the parameters that node-postgres knows (`?sslmode=verify-full`). */
  readonly url: string
  /** Overrides the password of the URL; asked for each connection. */
  readonly password?: () => Promise<string>
  /** Upper limit of connections, at least 2. Default: 10. */
  readonly connections?: number
  /** A process that stands still within a transaction keeps its locks no longer than this. Default: 15 s. */
  readonly idleInTransactionMs?: number
}

/**
 * Opens a PostgreSQL database as it is, without a look at its schema: see `openDatabase` for that.
 * @throws SLW_DATABASE_UNAVAILABLE when no server answers or it refuses the login; SLW_CONFIG_INVALID; SLW_DEPENDENCY_MISSING
 */
export async function openPostgres({
  url,
  password,
  connections = CONNECTIONS,
  idleInTransactionMs = IDLE_IN_TRANSACTION_MS,
}: PostgresOptions): Promise<Database> {
  const { default: pg } = await import('pg').catch(() => {
    throw new SlipwayError('SLW_DEPENDENCY_MISSING', 'PostgreSQL needs the package pg, which is not installed: run npm install pg')
  })
  const config: PoolConfig = {
    ...(password === undefined ? { connectionString: url } : { ...placeIn(url), password }),
    application_name: 'slipway',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + 10_000,
    idle_in_transaction_session_timeout: idleInTransactionMs,
    keepAlive: true,
    types: {
      getTypeParser: ((oid: number, format?: 'text') =>
        NUMBERS.get(oid) ?? pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
    },
  }
  const half = Math.max(1, Math.floor(connections / 2))
  const server = new Server(placeOf(() => new pg.Client(config)))
  const readers = new pg.Pool({ ...config, max: half, onConnect: (client) => void client.query('set default_transaction_read_only = on') })
  const writers = new pg.Pool({ ...config, max: half })
  const database = new Postgres(server, readers, writers)
  try {
    await database.now()
  } catch (error) {
    await database[Symbol.asyncDispose]()
    throw error
  }
  return database
}

/** Parsers of bigint and numeric, which node-postgres leaves as text. */
const NUMBERS: ReadonlyMap<number, (text: string) => number> = new Map([
  [20, wholeNumber],
  [1700, Number],
])

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`the value is too large to be a JavaScript number: ${text}`)
  return value
}

/** Settings of a URL without its password, which node-postgres would prefer to any other. */
function placeIn(url: string): PoolConfig {
  const parsed = new URL(url)
  parsed.password = ''
  return {
    host: decodeURIComponent(parsed.hostname),
    ...(parsed.port !== '' && { port: Number(parsed.port) }),
    user: decodeURIComponent(parsed.username),
    database: decodeURIComponent(parsed.pathname.slice(1)),
    ...(parsed.searchParams.get('sslmode') !== null &&
      parsed.searchParams.get('sslmode') !== 'disable' && { ssl: { rejectUnauthorized: true } }),
  }
}

/** Host, port and database for messages: never the URL, in which the password is. */
function placeOf(client: () => { readonly host: string; readonly port: number; readonly database?: string | undefined }): string {
  try {
    const { host, port, database } = client()
    return `${host}:${port}/${database ?? ''}`
  } catch {
    // The error of node-postgres contains the URL.
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      'the URL of the database cannot be read: expected postgres://user:password@host:port/database',
    )
  }
}

class Postgres implements Database {
  readonly dialect = 'postgres'
  readonly read: Kysely<Schema>
  readonly #writer: Kysely<Schema>
  readonly #nesting = new Nesting()
  readonly #server: Server
  readonly #pools: readonly Pool[]
  #closing: Promise<void> | undefined

  constructor(server: Server, readers: Pool, writers: Pool) {
    this.#server = server
    this.#pools = [readers, writers]
    // Errors of connections that are not in use are ignored: the pool makes new ones.
    for (const pool of this.#pools) pool.on('error', () => {})
    this.read = kyselyOver(PARTS, () => this.#session(readers, false))
    this.#writer = kyselyOver(PARTS, () => this.#session(writers, true))
  }

  write<T>(work: (transaction: Transaction<Schema>) => Promise<T>): Promise<T> {
    return this.#nesting.refuse(async (within) => {
      for (let repeats = 0; ; repeats++) {
        try {
          return await this.#writer.transaction().execute((transaction) => within(() => work(transaction)))
        } catch (error) {
          if (repeats === REPEATS || !isBrokenUp(error)) throw error
          // Jitter keeps transactions apart that were aborted at the same moment: 20 ms doubling, each up to a half shorter.
          await sleep((backoffMs(repeats) / 50) * (1 - Math.random() / 2))
        }
      }
    })
  }

  async snapshot<T>(work: (read: Kysely<Schema>) => Promise<T>): Promise<T> {
    return await this.#writer.transaction().execute(async (transaction) => {
      await sql`set transaction isolation level repeatable read, read only`.execute(transaction)
      return await work(transaction)
    })
  }

  async now(): Promise<number> {
    const { now } = await this.read.selectNoFrom(databaseTime('postgres').as('now')).executeTakeFirstOrThrow()
    return now
  }

  async #session(pool: Pool, writes: boolean): Promise<Session> {
    if (this.#closing !== undefined) throw new SlipwayError('SLW_CLOSED', `the database ${this.#server.place} was used after it was closed`)
    try {
      return new PostgresSession(this.#server, await pool.connect(), writes)
    } catch (error) {
      throw this.#server.unavailable(error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= Promise.all(this.#pools.map((pool) => pool.end())).then(() => {})
    await this.#closing
  }
}

function isBrokenUp(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof StatementError && BROKEN_UP.has(at.code)) return true
  return false
}

/** Converts the errors of one server. */
class Server {
  readonly place: string

  constructor(place: string) {
    this.place = place
  }

  errorOf(error: unknown, statement: string): Error {
    const { code } = error as { code?: unknown }
    // Only errors that the server itself reports for a statement have a SQLSTATE; the rest are errors of the connection.
    if (error instanceof RangeError) return new StatementError('22003', error.message, statement)
    if (typeof code !== 'string' || !('severity' in (error as object)) || UNAVAILABLE.test(code)) return this.unavailable(error)
    return new StatementError(code, messageOf(error), statement)
  }

  unavailable(error: unknown): SlipwayError {
    const { code } = error as { code?: unknown }
    const reason = [messageOf(error), typeof code === 'string' ? `(${code})` : ''].filter((part) => part !== '').join(' ')
    return new SlipwayError('SLW_DATABASE_UNAVAILABLE', `the database ${this.place} does not answer: ${reason}`)
  }
}

class PostgresSession implements Session {
  readonly #server: Server
  readonly #client: PoolClient
  readonly #writes: boolean
  #last: Promise<unknown> = Promise.resolve()
  #broken = false

  constructor(server: Server, client: PoolClient, writes: boolean) {
    this.#server = server
    this.#client = client
    this.#writes = writes
    client.on('error', this.#onError)
  }

  /** Without a listener a connection that ends would end the process; a waiting statement fails by itself. */
  readonly #onError = (): void => {
    this.#broken = true
  }

  /** Queues statements, as the client takes one at a time. */
  run(statement: string, parameters: readonly Parameter[]): Promise<StatementResult> {
    const result = this.#last.then(() => this.#run(statement, parameters))
    this.#last = result.catch(() => {})
    return result
  }

  async #run(statement: string, parameters: readonly Parameter[]): Promise<StatementResult> {
    try {
      const { rows, rowCount, command } = await this.#client.query<object>(statement, [...parameters])
      return CHANGES.has(command) && rowCount !== null ? { rows, affected: rowCount } : { rows }
    } catch (error) {
      const told = this.#server.errorOf(error, statement)
      if (!(told instanceof StatementError)) this.#broken = true
      throw told
    }
  }

  async begin(): Promise<void> {
    if (!this.#writes) throw new Error('a transaction is made by Database.write')
    await this.run('begin isolation level read committed', [])
  }

  async commit(last: readonly Statement[]): Promise<void> {
    for (const { statement, parameters } of last) await this.run(statement, parameters)
    await this.run('commit', [])
  }

  async rollback(): Promise<void> {
    if (this.#broken) return
    // A connection that cannot roll back is given up, and the server then rolls back.
    await this.run('rollback', []).catch(() => (this.#broken = true))
  }

  release(): void {
    this.#client.off('error', this.#onError)
    this.#client.release(this.#broken)
  }
}

const CHANGES: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE'])

const PARTS: DialectParts = {
  createAdapter: () => new PostgresAdapter(),
  createQueryCompiler: () => new PostgresQueryCompiler(),
  createIntrospector: (database) => new PostgresIntrospector(database),
}
