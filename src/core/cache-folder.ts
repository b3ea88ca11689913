import { homedir } from 'node:os'
import { join } from 'node:path'

/** A folder for files of this user that can be made again (XDG base directories, `XDG_CACHE_HOME`). */
export function cacheFolder(name: string, environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const cache = environment['XDG_CACHE_HOME']
  return join(cache !== undefined && cache !== '' ? cache : join(homedir(), '.cache'), 'slipway', name)
}
