import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { messageOf } from '../core/errors.ts'
import { policyFailures } from '../registry/policies.ts'
import { putTogether } from '../registry/put-together.ts'
import { filesBelow } from '../registry/trees.ts'
import type { Logger } from '../core/log.ts'
import type { Contents } from '../storage/contents.ts'
import type { Database } from '../storage/sql/database.ts'

/** The alias whose version of a model the local server serves. */
export const SERVED_ALIAS = 'champion'

export interface ServedModelsOptions {
  readonly database: Database
  readonly contents: Contents
  readonly environment: string
  /** Belongs to this and to the server that reads it. */
  readonly folder: string
  readonly log: Logger
}

interface Wanted {
  readonly model: string
  readonly number: number
  readonly id: string
}

/** A version that the alias points to, and why it is not served, where it is not to be. */
interface Pointed extends Wanted {
  readonly refusal: string | undefined
}

/**
 * Keeps a folder of models as the aliases say: `MODEL/NUMBER/` with the files of the version that the alias points to, and nothing
 * else. A version is put together beside the folder and moved into it whole.
 */
export class ServedModels {
  readonly #options: ServedModelsOptions
  /** Versions that could not be put there, so that they are told once. */
  readonly #told = new Set<string>()
  #seen = -1

  constructor(options: ServedModelsOptions) {
    this.#options = options
  }

  /** Does what has changed since the last time. @returns whether there is a model in the folder */
  async follow(): Promise<boolean> {
    const { database, folder } = this.#options
    const { value: sequence } = await database.read
      .selectFrom('counters')
      .select('value')
      .where('name', '=', 'event')
      .executeTakeFirstOrThrow()
    if (sequence !== this.#seen) {
      await this.#reconcile()
      this.#seen = sequence
    }
    return (await namesIn(folder)).length > 0
  }

  async #reconcile(): Promise<void> {
    const { folder } = this.#options
    const wanted = await this.#wanted()
    for (const version of wanted) {
      try {
        await this.#materialise(version)
      } catch (error) {
        this.#tell(version, `cannot be put together: ${messageOf(error)}`)
        // What is there goes on being served.
        continue
      }
      for (const other of await namesIn(join(folder, version.model)))
        if (other !== String(version.number)) await rm(join(folder, version.model, other), { recursive: true, force: true })
    }
    for (const model of await namesIn(folder))
      if (wanted.every((version) => version.model !== model)) await rm(join(folder, model), { recursive: true, force: true })
  }

  /** What the alias points to, and whether it may be served. */
  async pointed(): Promise<Pointed[]> {
    const { read } = this.#options.database
    const rows = await read
      .selectFrom('aliases')
      .innerJoin('versions', 'versions.id', 'aliases.version_id')
      .innerJoin('models', 'models.id', 'aliases.model_id')
      .selectAll('models')
      .select(['versions.number', 'versions.id as version_id', 'approval', 'servable', 'servable_reason'])
      .where('alias', '=', SERVED_ALIAS)
      .where('environment', '=', this.#options.environment)
      .where('models.deleted_at', 'is', null)
      .execute()
    return await Promise.all(
      rows.map(async (row) => {
        const { name: model, number, version_id: id, approval } = row
        const failures =
          row.servable === 1 ? await policyFailures(read, row, { id, number, approval }, SERVED_ALIAS) : [row.servable_reason ?? '']
        if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(model)) failures.push('its name is none that an address can hold')
        return { model, number, id, refusal: failures.length === 0 ? undefined : failures.join('; ') }
      }),
    )
  }

  async #wanted(): Promise<Wanted[]> {
    const pointed = await this.pointed()
    for (const version of pointed) if (version.refusal !== undefined) this.#tell(version, `is not served: ${version.refusal}`)
    // A policy that was made stricter ends nothing that is served: the alias would have to move for that.
    const served = new Set(await this.#served())
    return pointed.filter(({ model, number, refusal }) => refusal === undefined || served.has(`${model}/${number}`))
  }

  async #served(): Promise<string[]> {
    const { folder } = this.#options
    const models = await namesIn(folder)
    return (
      await Promise.all(models.map(async (model) => (await namesIn(join(folder, model))).map((number) => `${model}/${number}`)))
    ).flat()
  }

  async #materialise({ model, number, id }: Wanted): Promise<void> {
    const { database, contents, folder, log } = this.#options
    const place = join(folder, model, String(number))
    if ((await namesIn(join(folder, model))).includes(String(number))) return
    const beside = join(`${folder}.tmp`, id)
    await rm(beside, { recursive: true, force: true })
    await putTogether(contents, await filesBelow(database.read, `version:${id}`), beside)
    await mkdir(dirname(place), { recursive: true })
    await rename(beside, place)
    log.info({ model, version: number }, 'version handed to the local server')
  }

  #tell({ model, number }: Pick<Wanted, 'model' | 'number'>, what: string): void {
    const name = `${model}/${number}`
    if (this.#told.has(`${name} ${what}`)) return
    this.#told.add(`${name} ${what}`)
    this.#options.log.warn({ model, version: number }, `version ${name} ${what}`)
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
}
