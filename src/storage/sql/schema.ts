/**
 * Every table of a control plane's database. Each room adds its own tables with their columns (`tables.ts`, by `declare module`), and
 * names only those of rooms that it may import, as `npm run check` enforces.
 */
// eslint-disable-next-line typescript/no-empty-object-type
export interface Schema {}

/** A table, as backups see it. */
export interface Table {
  readonly name: keyof Schema
  /** Columns that identify a row. Undefined: the rows end with the processes that made them, and are in no backup. */
  readonly key?: readonly string[]
  /** Whether the table has rows in every database that a control plane was started with. */
  readonly madeAtStart?: boolean
}
