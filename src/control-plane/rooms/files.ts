import { CONTENT_ROUTES } from '../../api/v1/content-routes.ts'
import { collect } from '../../files/collect.ts'
import { Contents, damagedContents, storedObjects } from '../../files/contents.ts'
import { PartUploads } from '../../files/part-uploads.ts'
import { FILES_MIGRATIONS } from '../../files/migrations.ts'
import { FILES_TABLES } from '../../files/tables.ts'
import { isRecordObject } from '../../records/record-objects.ts'
import type { Transfers } from '../../api/mlflow/part-routes.ts'
import type { Foundation, Room } from '../room.ts'

/** Time that an unreferenced content is kept. */
const GRACE_MS = 3600_000

export interface FileServices {
  readonly contents: Contents
  readonly partUploads: PartUploads
  readonly transfers: Transfers
}

/** Files, addressed by their content. */
export const FILES: Room<Foundation, FileServices> = {
  tables: FILES_TABLES,
  migrations: FILES_MIGRATIONS,
  routes: CONTENT_ROUTES,
  open({ ground, objects, settings: { directTransfers, publicUrl } }) {
    const stored = { ...ground, objects }
    return {
      contents: new Contents(stored),
      partUploads: new PartUploads(stored),
      transfers: { direct: directTransfers && objects.presignPart !== undefined, publicUrl },
    }
  },
  sweep: async ({ ground: { clock }, objects }, { database, signal }) => ({
    ...(await collect({ database, objects, clock, graceMs: GRACE_MS, isOthers: isRecordObject, signal })),
  }),
  stored: storedObjects,
  damaged: damagedContents,
}
