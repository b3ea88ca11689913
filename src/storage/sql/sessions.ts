import { Kysely } from 'kysely'
import { checkParameters } from './parameters.ts'
import type { Compilable, CompiledQuery, DatabaseConnection, Dialect, Driver, QueryResult, Transaction } from 'kysely'
import type { Parameter } from './parameters.ts'
import type { Schema } from './schema.ts'

export interface StatementResult {
  readonly rows: readonly object[]
  /** Rows that the statement inserted, updated or deleted. */
  readonly affected?: number
}

export interface Statement {
  readonly statement: string
  readonly parameters: readonly Parameter[]
}

/** A connection to the database that runs statements in the order in which they were asked, also without a wait in between. */
export interface Session {
  run(statement: string, parameters: readonly Parameter[]): Promise<StatementResult>
  begin(): Promise<void>
  /** Runs the last statements in this order, and commits unless one of them fails. */
  commit(last: readonly Statement[]): Promise<void>
  /** Never throws: a session that cannot roll back is not used again, as `release` ensures. */
  rollback(): Promise<void>
  release(): void
}

/** The parts of a Kysely dialect that are used as they are. */
export type DialectParts = Pick<Dialect, 'createAdapter' | 'createQueryCompiler' | 'createIntrospector'>

/** Kysely over sessions that `open` gives out. */
export function kyselyOver(parts: DialectParts, open: () => Promise<Session>): Kysely<Schema> {
  return new Kysely<Schema>({ dialect: { ...parts, createDriver: () => new SessionDriver(open) } })
}

const LATE = Symbol('run with the commit')

/**
 * Runs statements whose results nobody needs: with the commit, which fails where one of them does, or before the next statement
 * that is waited for. Nothing comes between them. Where statements travel (to another thread), that saves a round trip.
 */
export async function atCommit(write: Transaction<Schema>, ...queries: readonly Compilable[]): Promise<void> {
  const late = queries.map((query): CompiledQuery & { [LATE]: true } => ({ ...query.compile(), [LATE]: true }))
  await Promise.all(late.map((query) => write.executeQuery(query)))
}

class SessionDriver implements Driver {
  readonly #open: () => Promise<Session>

  constructor(open: () => Promise<Session>) {
    this.#open = open
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<SessionConnection> {
    return new SessionConnection(await this.#open())
  }

  async beginTransaction(connection: SessionConnection): Promise<void> {
    await connection.begin()
  }

  async commitTransaction(connection: SessionConnection): Promise<void> {
    await connection.commit()
  }

  async rollbackTransaction(connection: SessionConnection): Promise<void> {
    await connection.rollback()
  }

  async releaseConnection(connection: SessionConnection): Promise<void> {
    connection.release()
  }

  async destroy(): Promise<void> {}
}

/**
 * A session that is in use. A transaction in which a statement failed can only be rolled back: PostgreSQL requires it,
 * and work that goes on after a caught error on SQLite would fail on PostgreSQL.
 */
class SessionConnection implements DatabaseConnection {
  readonly #session: Session
  #inTransaction = false
  /** No statement may be run any more. */
  #ended = false
  #failure: { readonly error: unknown } | undefined
  #late: Statement[] = []

  constructor(session: Session) {
    this.#session = session
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const { sql, parameters } = query
    if (this.#ended) throw new Error('a statement was run after its transaction had ended: wait for each before the work returns')
    if (this.#failure !== undefined) throw this.#failure.error
    try {
      const checked = checkParameters(sql, parameters)
      if (LATE in query && this.#inTransaction) {
        this.#late.push({ statement: sql, parameters: checked })
        return { rows: [] }
      }
      const before = this.#takeLate().map((late) => this.#session.run(late.statement, late.parameters))
      const [{ rows, affected }] = await Promise.all([this.#session.run(sql, checked), ...before])
      return { rows: rows as R[], ...(affected === undefined ? {} : { numAffectedRows: BigInt(affected) }) }
    } catch (error) {
      if (this.#inTransaction) this.#failure ??= { error }
      throw error
    }
  }

  // oxlint-disable-next-line require-yield -- there is nothing to yield
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('rows are not streamed: ask for pages')
  }

  async begin(): Promise<void> {
    await this.#session.begin()
    this.#inTransaction = true
  }

  /** @throws the error of the first statement that failed, although the work went on */
  async commit(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error
    this.#ended = true
    await this.#session.commit(this.#takeLate())
    this.#inTransaction = false
  }

  #takeLate(): readonly Statement[] {
    const late = this.#late
    if (late.length > 0) this.#late = []
    return late
  }

  async rollback(): Promise<void> {
    // Of statements that were run at once, one may fail before another was even sent.
    this.#failure ??= { error: new Error('a statement was run after its transaction was rolled back') }
    this.#inTransaction = false
    await this.#session.rollback()
  }

  release(): void {
    this.#ended = true
    this.#session.release()
  }
}
