import { followDue } from './follow-due.ts'
import { repeat } from './repeat.ts'
import { SEND_EVERY_MS, sendWebhooks } from './send-webhooks.ts'
import { keepUp, UPKEEP_EVERY_MS } from './upkeep.ts'
import type { AliasEndpoints } from '../delivery/alias-endpoints.ts'
import type { SendOptions } from './send-webhooks.ts'
import type { UpkeepOptions } from './upkeep.ts'

export interface BackgroundOptions extends UpkeepOptions, SendOptions {
  /** Undefined where no server is beside us. */
  readonly local: { readonly served: AliasEndpoints; readonly onEndpoints: () => Promise<void> } | undefined
}

/** How often aliases are looked at. */
const FOLLOW_EVERY_MS = 500
/** How often refused calls are written down. */
const FLUSH_EVERY_MS = 5000
/** How often it is looked what a clock has made due. */
const CLOCK_EVERY_MS = 1000

/** What a control plane does without being asked. Closing it waits for what goes on. */
export function beginBackground(options: BackgroundOptions): AsyncDisposableStack {
  const { delivery, ground, holder, log, refusals, local } = options
  const running = new AsyncDisposableStack()
  const again = (act: () => Promise<void>, everyMs: number): void => running.defer(repeat(act, everyMs, log))
  if (local !== undefined)
    again(async () => {
      if (await local.served.follow()) await local.onEndpoints()
    }, FOLLOW_EVERY_MS)
  again(() => sendWebhooks(options), SEND_EVERY_MS)
  running.defer(() => refusals.flush())
  again(() => refusals.flush(), FLUSH_EVERY_MS)
  again(() => followDue(delivery, { ground, holder, log }), CLOCK_EVERY_MS)
  again(() => keepUp(options), UPKEEP_EVERY_MS)
  return running
}
