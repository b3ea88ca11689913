import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
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

/** Reads and writes it. A file that is cut off or none of ours counts as not there. */
export class StateFile {
  readonly #path: string

  constructor(folder: string, name: string) {
    this.#path = join(folder, `follows-${createHash('sha256').update(name).digest('hex').slice(0, 32)}.json`)
  }

  async read(url: string): Promise<KeptState | undefined> {
    try {
      const found = check(KeptState, JSON.parse(await readFile(this.#path, 'utf8')))
      return 'value' in found && found.value.url === url ? found.value : undefined
    } catch {
      return undefined
    }
  }

  async write(kept: KeptState): Promise<void> {
    await writeWhole(this.#path, JSON.stringify(kept))
  }
}
