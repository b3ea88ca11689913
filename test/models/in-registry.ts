import { createHash, randomUUID } from 'node:crypto'
import { Registry } from './registry.ts'
import { systemClock } from '../../src/core/clock.ts'
import { eachDatabase } from '../storage/databases.ts'
import type { Clock } from '../../src/core/clock.ts'
import type { Scope } from '../../src/ledger/scope.ts'
import type { Database } from '../../src/storage/sql/database.ts'

export const ANNA: Scope = { environment: 'default', actor: 'anna' }
export const NOBODY = { protect: false }
export const OWNER = { protect: true }

/** A registry on each of the databases, with the experiment `0`. */
export function eachRegistry(name: string, run: (registry: Registry, database: Database, time: TestClock) => Promise<void>): void {
  eachDatabase(name, async (database) => {
    const clock = new TestClock()
    const registry = new Registry({ database, clock, newId: () => randomUUID().replaceAll('-', '') })
    await registry.experiments.ensureDefault('default')
    await run(registry, database, clock)
  })
}

/** Goes on by a millisecond whenever it is looked at. */
export class TestClock implements Clock {
  #now = 1_750_000_000_000

  monotonicMs(): number {
    return this.#now
  }

  epochMs(): number {
    return ++this.#now
  }

  pass(ms: number): void {
    this.#now += Math.ceil(ms)
  }

  after(delayMs: number, callback: () => void): () => void {
    return systemClock.after(delayMs, callback)
  }
}

/** A file of a tree, without an object behind it. */
export async function addFile(database: Database, root: string, path: string, text = path): Promise<void> {
  const id = createHash('sha256').update(text).digest('hex')
  await database.write(async (write) => {
    await write
      .insertInto('contents')
      .values({
        id,
        size: text.length,
        sha256: id,
        chunks: id,
        object_key: `object-${id}`,
        verified: 1,
        created_at: 0,
        unreferenced_since: null,
      })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
    const file = { content_id: id, size: text.length, modified_at: 0 }
    await write
      .insertInto('files')
      .values({ root, path, ...file })
      .onConflict((conflict) => conflict.columns(['root', 'path']).doUpdateSet(file))
      .execute()
  })
}
