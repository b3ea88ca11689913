import { join } from 'node:path'
import { BACKUP_ROUTES } from '../../api/v1/backup-routes.ts'
import { openScratchFolder } from '../../core/scratch-folder.ts'
import { backups } from '../make-backup.ts'
import type { Backup } from '../../api/v1/backup-routes.ts'
import type { Foundation, Room } from '../room.ts'

/** Backups: everything of a control plane in one file. */
export const BACKUP: Room<Foundation, { readonly backup: Backup }> = {
  routes: BACKUP_ROUTES,
  async open({ ground: { database }, objects, holder, house, settings, opened }) {
    const { path: folder } = opened.use(await openScratchFolder(join(settings.data, 'backups')))
    return { backup: backups({ database, objects, holder, folder, kept: house }) }
  },
}
