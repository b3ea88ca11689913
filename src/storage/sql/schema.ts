/**
 * Every table of a control plane's database. Each room adds its own, beside what is in them (`tables.ts`, by `declare module`), and names
 * only those of rooms that it may import, which `npm run check` holds it to.
 */
// eslint-disable-next-line typescript/no-empty-object-type
export interface Schema {}

/** A table, as backups see it. */
export interface Table {
  readonly name: keyof Schema
  /** The columns by which its rows are told apart. Without: they end with the processes that made them, and are in no backup. */
  readonly key?: readonly string[]
  /** Has rows in every database that a control plane was started with. */
  readonly madeAtStart?: boolean
}
