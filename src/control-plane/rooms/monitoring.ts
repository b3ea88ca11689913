import { WINDOW_ROUTES } from '../../api/v1/window-routes.ts'
import { MONITORING_TABLES } from '../../monitoring/tables.ts'
import { Windows } from '../../monitoring/windows.ts'
import { openWindowsDatabase } from '../databases.ts'
import type { Foundation, Room } from '../room.ts'

/** What servers saw: windows at rest, in a database of their own where that is a file. */
export const MONITORING: Room<Foundation, { readonly windows: Windows }> = {
  tables: MONITORING_TABLES,
  routes: WINDOW_ROUTES,
  async open({ ground, settings: { database, databasePassword: password }, house, opened }) {
    return {
      windows: new Windows(opened.use(await openWindowsDatabase(database, { migrations: house.migrations, password })), ground.clock),
    }
  },
  async sweep({ ground, windows }, { database }) {
    // A file of their own is this process's alone.
    await (ground.database.dialect === 'sqlite' ? windows : new Windows(database, ground.clock)).sweep()
    return {}
  },
}
