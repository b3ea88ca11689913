import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { SlipwayError } from '../core/errors.ts'

/** Whose a data folder is. */
interface Owner {
  /** Identity of the database. */
  readonly database: string
  /** Where the database is, without credentials. */
  readonly at: string
}

const OWNER_FILE = 'owner.json'

/**
 * Notes in a data folder which database its files belong to. Control planes of one database may share it; those of two would take each
 * other's files for leftovers.
 * @param identities of the database, the present one first
 * @throws SLW_CONFIG_INVALID where it belongs to another database
 */
export async function claimDataFolder(data: string, url: string, identities: readonly string[]): Promise<void> {
  const path = join(data, OWNER_FILE)
  const own: Owner = { database: identities[0]!, at: placeOf(url) }
  const owner = await ownerIn(path)
  // At the same place there is one database: it was made anew, or restored from a backup of another.
  if (owner !== undefined && !identities.includes(owner.database) && owner.at !== own.at)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `the data folder ${data} belongs to the database at ${owner.at}, which would take the files of this one for leftovers; give this control plane a --data of its own, or remove ${path} where that database is gone`,
    )
  if (owner?.database === own.database && owner.at === own.at) return
  await mkdir(data, { recursive: true })
  const partial = `${path}.${process.pid}`
  await writeFile(partial, `${JSON.stringify(own)}\n`)
  await rename(partial, path)
}

async function ownerIn(path: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Owner
  } catch (error) {
    // A file that was cut off says nothing.
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function placeOf(url: string): string {
  const file = /^sqlite:(.*)$/s.exec(url)?.[1]
  if (file !== undefined) return `sqlite:${resolve(file)}`
  // Without a host it is no URL to Node: postgres://user@/name?host=/run/postgresql
  const [, authority = '', path = '', query] = /^[a-z]+:\/\/([^/?]*)([^?]*)(?:\?(.*))?$/is.exec(url) ?? []
  const parameters = new URLSearchParams(query)
  const host = [authority.replace(/^.*@/, ''), parameters.get('host'), parameters.get('port')].filter(Boolean).join(':')
  return `postgres://${host}${path}`
}
