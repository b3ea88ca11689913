/** One step of the schema. Once released it never changes: databases remember its checksum. */
export interface Migration {
  /** Sorts in the order of application. */
  readonly name: string
  /** SQL that SQLite and PostgreSQL both read, run in one transaction. */
  readonly statements: readonly string[]
}
