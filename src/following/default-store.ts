import { homedir } from 'node:os'
import { join } from 'node:path'

/** Default folder of versions on a machine, shared by all servers and applications of a user. */
export function defaultStore(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const cache = environment['XDG_CACHE_HOME']
  return join(cache !== undefined && cache !== '' ? cache : join(homedir(), '.cache'), 'slipway', 'store')
}
