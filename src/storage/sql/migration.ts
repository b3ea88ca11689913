import type { Kysely } from 'kysely'

/** One step of the schema. Once released it never changes: databases remember its checksum. */
export interface Migration {
  /** Sorts in the order of application. */
  readonly name: string
  /** SQL that SQLite and PostgreSQL both read, run in one transaction. */
  readonly statements: readonly string[]
  /** Changes rows in a way that SQL alone cannot; in the same transaction, after the statements. */
  readonly data?: DataStep
}

export interface DataStep {
  /** Identifies the change: part of the checksum, as code has none that outlives a formatter. Another change of rows is another step. */
  readonly name: string
  /**
   * @param write transaction on the tables as they are after the statements. Later releases may not know these tables, so the step names
   *   them itself. There may be as many rows as a database can have: they are read in parts
   */
  run(write: Kysely<any>): Promise<void>
}
