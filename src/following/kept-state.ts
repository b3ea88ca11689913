import { readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Type } from 'typebox'
import { check } from '../contract/schema.ts'
import { FollowedEndpoint, FollowedState } from '../contract/followed-state.ts'
import { shortDigest } from '../core/short-digest.ts'
import { writeWhole } from '../core/write-whole.ts'
import type { Static } from 'typebox'

/** The state that a server keeps across restarts: the last document, and the endpoints of it that have served. */
const KeptState = Type.Object({
  url: Type.String(),
  etag: Type.String(),
  state: FollowedState,
  served: Type.Record(Type.String(), FollowedEndpoint, { description: 'By endpoint: what was put into use last, and worked.' }),
})
export type KeptState = Static<typeof KeptState>

/**
 * Reads and writes the kept state. A file that is cut off or invalid counts as missing. The modification time of a file beside it is the
 * time of the last answer of the control plane.
 */
export class StateFile {
  readonly #path: string
  readonly #heardPath: string

  constructor(folder: string, name: string) {
    this.#path = join(folder, `follows-${shortDigest(name)}.json`)
    this.#heardPath = `${this.#path}.heard`
  }

  /** @returns the kept state, and when the control plane answered last, UTC epoch milliseconds */
  async read(url: string): Promise<{ readonly kept: KeptState; readonly heardAtMs: number } | undefined> {
    try {
      const { mtimeMs } = await stat(this.#heardPath).catch(() => stat(this.#path))
      const found = check(KeptState, JSON.parse(await readFile(this.#path, 'utf8')))
      return 'value' in found && found.value.url === url ? { kept: found.value, heardAtMs: mtimeMs } : undefined
    } catch {
      return undefined
    }
  }

  async write(kept: KeptState): Promise<void> {
    await writeWhole(this.#path, JSON.stringify(kept))
  }

  /** Records that the control plane answered. Errors of the disk are not reported here: writing the state will report them. */
  async heard(atMs: number): Promise<void> {
    const at = atMs / 1000
    await utimes(this.#heardPath, at, at).catch(() => writeFile(this.#heardPath, '', { mode: 0o600 }).catch(() => {}))
  }
}
