import { ONCE_LIFE_MS } from './once.ts'
import type { Ground } from './scope.ts'

/** Time for which the result of a delivery is kept. */
const DELIVERY_LIFE_MS = 30 * 24 * 3600 * 1000

/** Deletes old idempotency keys and deliveries. @returns how many */
export async function sweepNotes({ database, clock }: Ground): Promise<number> {
  const before = clock.epochMs() - DELIVERY_LIFE_MS
  return await database.write(async (write) => {
    const keys = await write
      .deleteFrom('idempotency_keys')
      .where('created_at', '<', clock.epochMs() - ONCE_LIFE_MS)
      .executeTakeFirst()
    const deliveries = await write
      .deleteFrom('deliveries')
      .where('created_at', '<', before)
      .where('state', '!=', 'pending')
      .executeTakeFirst()
    return Number(keys.numDeletedRows + deliveries.numDeletedRows)
  })
}
