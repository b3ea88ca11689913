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
  /** Which change it is: part of the checksum, as code has none that outlives a formatter. Another change of rows is another step. */
  readonly name: string
  /**
   * @param write of tables as they are after the statements, which later releases may know no more: so they are named by the step itself.
   *   As many rows as a database may have: they are read in parts
   */
  run(write: Kysely<any>): Promise<void>
}
