import { resolve } from 'node:path'
import { databaseUrl } from '../../control-plane/databases.ts'
import { ROOMS } from '../../control-plane/rooms.ts'
import { migrateDatabase } from '../../storage/sql/open.ts'
import { print } from '../output.ts'
import type { Command } from 'commander'

export function define(command: Command): void {
  command
    .option('--db <url>', 'sqlite:PATH or postgres://...; default: the file in the data folder')
    .option('--data <folder>', 'the data folder of `slipway up`', '.slipway')
    .addHelpText('after', '\nSQLite files are brought up to date by `slipway up` itself. Make a backup of a PostgreSQL database first.')
    .action(async ({ db, data }: { db?: string; data: string }) => {
      const applied = await migrateDatabase(databaseUrl(resolve(data), db), ROOMS)
      print(applied.length === 0 ? 'The database is up to date.' : `Applied: ${applied.join(', ')}`)
    })
}
