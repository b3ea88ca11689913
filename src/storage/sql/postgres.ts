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

/** Half of them read and half of them write, so that a read within a transaction never waits for other transactions. */
const CONNECTIONS = 10
/** For a connection to be made, or to become free. */
const CONNECT_TIMEOUT_MS = 10_000
/** After this the server gives a statement up; 10 s later we do. */
const STATEMENT_TIMEOUT_MS = 60_000
const IDLE_IN_TRANSACTION_MS = 15_000
/** How often a transaction is run again that the server broke up. */
const REPEATS = 5
/** The server broke a transaction up for the sake of others: serialization_failure, deadlock_detected. */
const BROKEN_UP: ReadonlySet<string> = new Set(['40001', '40P01'])
/**
 * SQLSTATEs, whole or by class, that say something of the server and nothing of the statement: connection, credentials, no
 * such database, resources, cancelled or shut down, system error, lock not available, idle too long in a transaction.
 */
const UNAVAILABLE = /^(?:08|28|3D|53|57|58|55P03|25P03)/

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`, with the parameters that node-postgres knows (`?sslmode=verify-full`). */
  readonly url: string
  /** Over what the URL says; asked for each connection. */
  readonly password?: () => Promise<string>
  /** At most this many connections, at least 2. Default: 10. */
  readonly connections?: number
  /** A process that stands still within a transaction keeps its locks no longer than this. Default: 15 s. */
  readonly idleInTransactionMs?: number
}

/**
 * Opens a PostgreSQL database as it is, without a look at its schema: see `openDatabase` for that.
 * @throws SLW_DATABASE_UNAVAILABLE when nothing answers or it lets us not in; SLW_CONFIG_INVALID; SLW_DEPENDENCY_MISSING
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

/** bigint and numeric, which node-postgres leaves as text. */
const NUMBERS: ReadonlyMap<number, (text: string) => number> = new Map([
  [20, wholeNumber],
  [1700, Number],
])

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`the value is too large to be a JavaScript number: ${text}`)
  return value
}

/** What a URL says, without the password: node-postgres would prefer that of the URL to any other. */
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
    // Its error carries the URL.
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
    // What happens to a connection that nobody has concerns nobody: the pool makes another.
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
          // Others that were broken up at the same moment wait for another time: 20 ms doubling, each up to a half shorter.
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

/** How errors of one server are told. */
class Server {
  readonly place: string

  constructor(place: string) {
    this.place = place
  }

  errorOf(error: unknown, statement: string): Error {
    const { code } = error as { code?: unknown }
    // Only what the server itself says of a statement has a SQLSTATE; the rest are errors of the connection.
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

  /** Without a listener a connection that ends would end the process; the statement that waits hears of it by itself. */
  readonly #onError = (): void => {
    this.#broken = true
  }

  /** The client takes one statement at a time. */
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
    // A connection that cannot roll back is given up, and the server then does it.
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
