import { Type } from 'typebox'
import type { Static } from 'typebox'

/** How many of each kind. */
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

/** How an import is getting on. */
export const ImportStatus = Type.Object({
  id: Type.String(),
  from: Type.String(),
  state: Type.Union([Type.Literal('running'), Type.Literal('done'), Type.Literal('failed')]),
  /** What went wrong; asked for again, it goes on where it was. */
  error: Type.Optional(Type.String()),
  /** Seen on the other side so far. */
  there: ImportCounts,
  /** Of those, what is here: counted at the end. */
  here: Type.Optional(ImportCounts),
})
export type ImportStatus = Static<typeof ImportStatus>
