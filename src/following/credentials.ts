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
  /** UTC epoch milliseconds by the clock of this machine, counted from the arrival of the key. */
  readonly replaceAt: number
}

/** A server's own key. */
export interface OwnKey {
  readonly key: string
  /** UTC epoch milliseconds, by the clock of the control plane. */
  readonly expiresAt: number
}

/** The process that joins. */
export interface Joining {
  /** Of this process: another one after each start. */
  readonly bootId: string
  /** Whether it had joined before, and its key was refused since. */
  readonly again: boolean
}

/** Exchanges a join token, or a key that is to be replaced, for a new key. */
export interface Joins {
  join(server: string, token: string, joining: Joining): Promise<OwnKey>
  rotate(server: string, key: string): Promise<OwnKey>
}

export interface CredentialsOptions {
  readonly address: ControlPlaneAddress
  readonly client: Joins
  readonly server: string
  readonly bootId: string
  /** Whether joining may take the place of another process of the same name. Default: yes, the one that was started last is meant. */
  readonly takesPlace?: boolean
  /** Folder of the local store, where the key is kept, readable by its owner alone. */
  readonly folder: string
  readonly clock: Clock
}

/** Part of its lifetime after which a key is replaced, so that it does not expire in an outage of some hours. */
const REPLACE_AFTER = 0.5

/** The key of a server: a configured one, or its own, obtained with a join token and replaced before it expires. */
export class Credentials {
  readonly #options: CredentialsOptions
  readonly #path: string
  readonly #turns = new Turns()
  #kept: Kept | undefined
  #read = false
  /** Whether this process has obtained a key by joining. */
  #joined = false

  constructor(options: CredentialsOptions) {
    this.#options = options
    this.#path = join(options.folder, `key-${encodeURIComponent(options.server)}.json`)
  }

  /** @returns undefined where neither a key nor a join token is configured. @throws what joining throws */
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
        return await this.#keep(await client.rotate(server, kept.key))
      } catch (error) {
        // The old key is still valid for a while, unless it was revoked.
        if (!(error instanceof SlipwayError) || error.code !== 'SLW_UNAUTHENTICATED') return kept.key
      }
    }
    const token = await this.#options.address.joinToken?.()
    if (token === undefined) return undefined
    const key = await this.#keep(
      await client.join(server, token, { bootId: this.#options.bootId, again: this.#joined || this.#options.takesPlace === false }),
    )
    this.#joined = true
    return key
  }

  /** Drops a key that the control plane refused: the next one is obtained with the join token. */
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
      // The file is missing or cut off: the server joins anew.
    }
  }

  async #keep({ key, expiresAt }: { key: string; expiresAt: number }): Promise<string> {
    const { address, clock } = this.#options
    const now = clock.epochMs()
    // Bounded, so that with a wrong clock a key is replaced neither at every request nor never.
    const life = Math.min(Math.max(expiresAt - now, 60_000), 7 * 24 * 3600 * 1000)
    this.#kept = { url: address.url, environment: address.environment ?? '', key, replaceAt: now + life * REPLACE_AFTER }
    await writeWhole(this.#path, `${JSON.stringify(this.#kept)}\n`)
    return key
  }
}
