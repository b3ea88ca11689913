import type { Statement } from './sessions.ts'

/** Begins a transaction of the writer, on which nothing happens outside of one. */
export const BEGIN = 'begin immediate'

/** What the thread of a SQLite database is asked. */
export type SqliteRequest =
  | ({ readonly type: 'run'; readonly on: 'reader' | 'writer' } & Statement)
  /** Commits the transaction of the writer, after these statements. */
  | { readonly type: 'commit'; readonly last: readonly Statement[] }
  /** Whether or not a transaction has begun. */
  | { readonly type: 'rollback' }
  /** Copies the database as it was last committed into a file. */
  | { readonly type: 'backup'; readonly path: string }
  | { readonly type: 'close' }

export type SqliteQuestion = SqliteRequest & { readonly id: number }

/** One for each question, by its id. 0: the database is open, or why not. */
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
  /** The one of a commit that failed. */
  readonly statement?: string
}

/** What the thread is told when it starts. */
export interface SqliteThreadData {
  readonly file: string
  /** How long a connection waits for a lock of another process. */
  readonly busyTimeoutMs: number
}
