import { randomUUID } from 'node:crypto'
import { Leases } from '../../src/storage/sql/leases.ts'
import { WorkQueue } from '../../src/storage/work/work-queue.ts'
import { openPlace } from '../storage/open-place.ts'

/** Gives back what a process held that was killed: it would be its own for a minute, which tests do not wait for. */
export async function letGoAll(databaseUrl: string): Promise<void> {
  await using database = await openPlace(databaseUrl)
  await new Leases(database, 'test').releaseAll()
  await new WorkQueue({ database, holder: 'test', newId: randomUUID }).letGoAll()
}
