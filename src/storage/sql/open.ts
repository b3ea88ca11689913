import { SlipwayError } from '../../core/errors.ts'
import { openSqlite } from './sqlite.ts'
import type { Database } from './database.ts'

/** Opens `sqlite:PATH`. */
export async function openDatabase(url: string): Promise<Database> {
  const path = /^sqlite:(.+)$/s.exec(url)?.[1]
  if (path !== undefined) return await openSqlite({ file: path })
  throw new SlipwayError('SLW_CONFIG_INVALID', 'the database is neither sqlite:PATH nor postgres://...')
}
