import { Type } from 'typebox'
import type { Static } from 'typebox'

/** The first file of a backup: a summary of its contents. */
export const BackupManifest = Type.Object({
  format: Type.Literal('slipway-backup-v1'),
  /** Version of the release that made the backup. */
  version: Type.String(),
  /** ISO 8601. */
  createdAt: Type.String(),
  /** Migrations that made the schema of the rows. */
  migrations: Type.Array(Type.String()),
  /** Number of rows of each table. */
  tables: Type.Record(Type.String(), Type.Integer()),
  objects: Type.Object({
    /** Whether the bytes of files are inside; if not they are still in the object store. */
    included: Type.Boolean(),
    count: Type.Integer(),
    bytes: Type.Integer(),
  }),
})
export type BackupManifest = Static<typeof BackupManifest>

export const MANIFEST_FILE = 'manifest.json'
/** The last file: without it, the backup was cut off. */
export const END_FILE = 'end.json'
export const TABLES_FOLDER = 'tables/'
export const OBJECTS_FOLDER = 'objects/'
