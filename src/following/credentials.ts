import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '../core/errors.ts'
import { Turns } from '../core/turns.ts'
import { writeWhole } from '../core/write-whole.ts'
import type { Clock } from '../core/clock.ts'
import type { ControlPlaneAddress } from './types.ts'

interface Kept {
  readonly url: string
  readonly environment: string
  readonly key: string
  /** UTC epoch milliseconds, by our clock from when the key came. */
  readonly replaceAt: number
}

/** Has a key for a token, or a new one for the one that is to be replaced. */
export interface Joins {
  join(server: string, key: string, replaces: boolean): Promise<{ readonly key: string; readonly expiresAt: number }>
}

export interface CredentialsOptions {
  readonly address: ControlPlaneAddress
  readonly client: Joins
  readonly server: string
  /** Of the local store: the key is kept there, for its owner alone. */
  readonly folder: string
  readonly clock: Clock
}

/** A key is replaced when this part of its life is over, so that some hours of trouble do not end it. */
const REPLACE_AFTER = 0.5

/** The key that a server shows: its own, had for a join token, and replaced before it ends. */
export class Credentials {
  readonly #options: CredentialsOptions
  readonly #path: string
  readonly #turns = new Turns()
  #kept: Kept | undefined
  #read = false

  constructor(options: CredentialsOptions) {
    this.#options = options
    this.#path = join(options.folder, `key-${encodeURIComponent(options.server)}.json`)
  }

  /** @returns undefined where none is asked for. @throws what joining throws */
  async key(): Promise<string | undefined> {
    const { address, clock } = this.#options
    if (address.apiKey !== undefined) return typeof address.apiKey === 'string' ? address.apiKey : await address.apiKey()
    if (address.joinToken === undefined) return undefined
    if (this.#kept !== undefined && clock.epochMs() < this.#kept.replaceAt) return this.#kept.key
    return await this.#turns.take(() => this.#current())
  }

  async #current(): Promise<string | undefined> {
    const { client, server, clock } = this.#options
    await this.#readKept()
    const kept = this.#kept
    if (kept !== undefined && clock.epochMs() < kept.replaceAt) return kept.key
    if (kept !== undefined) {
      try {
        return await this.#keep(await client.join(server, kept.key, true))
      } catch (error) {
        // It still holds for a while, unless it was taken away.
        if (!(error instanceof SlipwayError) || error.code !== 'SLW_UNAUTHENTICATED') return kept.key
      }
    }
    const token = await this.#options.address.joinToken?.()
    if (token === undefined) return undefined
    return await this.#keep(await client.join(server, token, false))
  }

  /** The control plane does not know the key any more: the next one is had for the join token. */
  async refused(key: string): Promise<void> {
    await this.#turns.take(async () => {
      if (this.#kept?.key === key) this.#kept = undefined
    })
  }

  async #readKept(): Promise<void> {
    if (this.#read) return
    this.#read = true
    try {
      const kept = JSON.parse(await readFile(this.#path, 'utf8')) as Kept
      const { url, environment = '' } = this.#options.address
      if (kept.url === url && kept.environment === environment) this.#kept = kept
    } catch {
      // There is none, or it was cut off: then we join anew.
    }
  }

  async #keep({ key, expiresAt }: { key: string; expiresAt: number }): Promise<string> {
    const { address, clock } = this.#options
    const now = clock.epochMs()
    // A clock that is wrong must not have us ask for a key with every request, nor never.
    const life = Math.min(Math.max(expiresAt - now, 60_000), 7 * 24 * 3600 * 1000)
    this.#kept = { url: address.url, environment: address.environment ?? '', key, replaceAt: now + life * REPLACE_AFTER }
    await writeWhole(this.#path, `${JSON.stringify(this.#kept)}\n`)
    return key
  }
}
