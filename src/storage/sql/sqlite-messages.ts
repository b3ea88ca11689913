import type { Statement } from './sessions.ts'

/** Begins a transaction of the writer, which runs no statement outside of one. */
export const BEGIN = 'begin immediate'

/** Requests to the thread of a SQLite database. */
export type SqliteRequest =
  | ({ readonly type: 'run'; readonly on: 'reader' | 'writer' } & Statement)
  /** Commits the transaction of the writer, after these statements. */
  | { readonly type: 'commit'; readonly last: readonly Statement[] }
  /** Rolls back the transaction of the writer, if one has begun. */
  | { readonly type: 'rollback' }
  /** Copies the database as it was last committed into a file. */
  | { readonly type: 'backup'; readonly path: string }
  | { readonly type: 'close' }

export type SqliteQuestion = SqliteRequest & { readonly id: number }

/** The answer to the question of that ID. 0: the database is open, or the reason why not. */
export type SqliteAnswer = { readonly id: number } & (SqliteRows | SqliteFailure)

/** Values in the order of the columns: names that came with every row would be most of what is copied between the threads. */
export interface SqliteRows {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly unknown[])[]
  readonly affected?: number
}

export interface SqliteFailure {
  /** The name of the result code. */
  readonly code: string
  readonly message: string
  /** The statement at which a commit failed. */
  readonly statement?: string
}

/** Data that the thread is started with. */
export interface SqliteThreadData {
  readonly file: string
  /** Time that a connection waits for a lock of another process. */
  readonly busyTimeoutMs: number
}
