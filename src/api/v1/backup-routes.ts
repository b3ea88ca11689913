import { Type } from 'typebox'
import { requireEverywhere } from '../access.ts'
import { v1Route } from './route.ts'
import type { V1Route } from './route.ts'

export const BACKUP_ROUTES: readonly V1Route[] = [
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
    handle: async ({ options, query, caller }, reply) => {
      requireEverywhere(caller)
      const { manifest, archive } = await options.backup(query.objects)
      await reply
        .header('slipway-backup', encodeURIComponent(JSON.stringify(manifest)))
        .type('application/x-tar')
        .send(archive)
      return {}
    },
  }),
]
