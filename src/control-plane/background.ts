import { Worker } from '../storage/work/worker.ts'
import { followWork } from './follow-due.ts'
import { repeat } from './repeat.ts'
import { webhookWork } from './send-webhooks.ts'
import { upkeepWork } from './upkeep.ts'
import type { AliasEndpoints } from '../delivery/alias-endpoints.ts'
import type { Refusals } from '../access/refusals.ts'
import type { WorkKind } from '../storage/work/worker.ts'
import type { SendOptions } from './send-webhooks.ts'
import type { UpkeepOptions } from './upkeep.ts'

export interface BackgroundOptions extends UpkeepOptions, SendOptions {
  readonly refusals: Refusals
  /** Work of others. */
  readonly kinds: readonly WorkKind[]
  /** Undefined where no server is beside us. */
  readonly local: { readonly served: AliasEndpoints; readonly onEndpoints: () => Promise<void> } | undefined
}

/** How often aliases are looked at. */
const FOLLOW_EVERY_MS = 500
/** How often refused calls are written down. */
const FLUSH_EVERY_MS = 5000

/** What a control plane does without being asked. Closing it waits for what goes on. */
export async function beginBackground(options: BackgroundOptions): Promise<AsyncDisposableStack> {
  const { ground, queue, kinds, log, refusals, local } = options
  await using begun = new AsyncDisposableStack()
  // What is of this process alone: who is refused here, and the server beside us.
  const again = (act: () => Promise<void>, everyMs: number): void => begun.defer(repeat(act, everyMs, log))
  if (local !== undefined)
    again(async () => {
      if (await local.served.follow()) await local.onEndpoints()
    }, FOLLOW_EVERY_MS)
  begun.defer(() => refusals.flush())
  again(() => refusals.flush(), FLUSH_EVERY_MS)
  // On SQLite we are alone: what one that was killed had goes on at once.
  if (ground.database.dialect === 'sqlite') await queue.letGoAll()
  const own = [webhookWork(options), followWork(ground), upkeepWork(options)]
  const worker = begun.use(new Worker({ queue, kinds: [...own, ...kinds], clock: ground.clock, log }))
  await worker.start()
  return begun.move()
}
