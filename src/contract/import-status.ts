import { Type } from 'typebox'
import type { Static } from 'typebox'

/** Number of objects of each kind. */
export const ImportCounts = Type.Object({
  experiments: Type.Integer(),
  runs: Type.Integer(),
  metrics: Type.Integer({ description: 'Points.' }),
  loggedModels: Type.Integer(),
  models: Type.Integer(),
  versions: Type.Integer(),
  aliases: Type.Integer(),
  files: Type.Integer({ description: 'Of runs and logged models.' }),
})
export type ImportCounts = Static<typeof ImportCounts>

export const NOTHING_YET: ImportCounts = {
  experiments: 0,
  runs: 0,
  metrics: 0,
  loggedModels: 0,
  models: 0,
  versions: 0,
  aliases: 0,
  files: 0,
}

/** Progress of an import. */
export const ImportStatus = Type.Object({
  id: Type.String(),
  from: Type.String(),
  state: Type.Union([Type.Literal('running'), Type.Literal('done'), Type.Literal('failed')]),
  /** Reason of a failure; when requested again, the import goes on where it was. */
  error: Type.Optional(Type.String()),
  /** Objects seen on the other side so far. */
  there: ImportCounts,
  /** Number of those objects that are here: counted at the end. */
  here: Type.Optional(ImportCounts),
})
export type ImportStatus = Static<typeof ImportStatus>
