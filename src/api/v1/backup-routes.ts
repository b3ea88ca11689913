import { Type } from 'typebox'
import { requireEverywhere } from '../access.ts'
import { v1RoutesOf } from './route.ts'
import type { Readable } from 'node:stream'
import type { BackupManifest } from '../../storage/backup/manifest.ts'
import type { V1Route } from './route.ts'

/** Makes a backup of the control plane, as a stream. @param withObjects default: true where the bytes are in a folder */
export type Backup = (withObjects?: boolean) => Promise<{ readonly manifest: BackupManifest; readonly archive: Readable }>

/** Services that these routes use. */
export interface BackupServices {
  readonly backup: Backup
}

const v1Route = v1RoutesOf<BackupServices>()

export const BACKUP_ROUTES: readonly V1Route<BackupServices>[] = [
  v1Route({
    method: 'GET',
    path: '/backup',
    operation: 'makeBackup',
    summary:
      'Everything as a tar archive, while the control plane goes on; what is inside stands in `slipway-backup` (JSON, percent-encoded)',
    tag: 'backup',
    action: 'admin',
    query: Type.Object(
      {
        objects: Type.Optional(
          Type.Boolean({ description: 'Whether the bytes of files go into it. Default: where they lie in a folder.' }),
        ),
      },
      { additionalProperties: false },
    ),
    handle: async ({ services, query, caller }, reply) => {
      requireEverywhere(caller)
      const { manifest, archive } = await services.backup(query.objects)
      await reply
        .header('slipway-backup', encodeURIComponent(JSON.stringify(manifest)))
        .type('application/x-tar')
        .send(archive)
      return {}
    },
  }),
]
