import { createHash } from 'node:crypto'
import { readFile, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { Type } from 'typebox'
import { check } from '../contract/schema.ts'
import { FollowedEndpoint, FollowedState } from '../contract/followed-state.ts'
import { writeWhole } from '../core/write-whole.ts'
import type { Static } from 'typebox'

/** What a server remembers from start to start: the last document, and what of it has served. */
const KeptState = Type.Object({
  url: Type.String(),
  etag: Type.String(),
  state: FollowedState,
  served: Type.Record(Type.String(), FollowedEndpoint, { description: 'By endpoint: what was put into use last, and worked.' }),
})
export type KeptState = Static<typeof KeptState>

/**
 * Reads and writes it. A file that is cut off or none of ours counts as not there. Its time of change is when the control plane was heard
 * last.
 */
export class StateFile {
  readonly #path: string

  constructor(folder: string, name: string) {
    this.#path = join(folder, `follows-${createHash('sha256').update(name).digest('hex').slice(0, 32)}.json`)
  }

  /** @returns what was kept, and when the control plane was heard last, UTC epoch milliseconds */
  async read(url: string): Promise<{ readonly kept: KeptState; readonly heardAtMs: number } | undefined> {
    try {
      const { mtimeMs } = await stat(this.#path)
      const found = check(KeptState, JSON.parse(await readFile(this.#path, 'utf8')))
      return 'value' in found && found.value.url === url ? { kept: found.value, heardAtMs: mtimeMs } : undefined
    } catch {
      return undefined
    }
  }

  async write(kept: KeptState, heardAtMs: number): Promise<void> {
    await writeWhole(this.#path, JSON.stringify(kept))
    await this.heard(heardAtMs)
  }

  /** The control plane was heard, and had nothing new. */
  async heard(atMs: number): Promise<void> {
    await utimes(this.#path, atMs / 1000, atMs / 1000).catch(() => {})
  }
}
