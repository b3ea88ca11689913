import { isSlipwayError, messageOf } from '../../core/errors.ts'
import { faultPoint } from '../../core/fail-point.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { ControlPlaneClient } from '../control-plane-client.ts'
import type { WindowBuffer } from './buffer.ts'

export interface SendOptions {
  readonly buffer: WindowBuffer
  readonly client: Pick<ControlPlaneClient, 'sendWindows'>
  readonly server: string
  readonly clock: Clock
  readonly log: Logger
}

/**
 * Sends what a buffer holds. What does not arrive stays there.
 * @param requests how many at most
 * @returns `all` where nothing is left: it has arrived, or was given up; `some` after so many requests; `stuck` where they cannot be sent now
 */
export async function sendWindows(
  { buffer, client, server, clock, log }: SendOptions,
  signal: AbortSignal,
  requests = Infinity,
): Promise<'all' | 'some' | 'stuck'> {
  let most: number | undefined
  let sent = 0
  try {
    for (let unsent = await buffer.next(most); unsent !== undefined; unsent = await buffer.next(most)) {
      if (sent++ === requests) return 'some'
      try {
        await client.sendWindows(server, unsent.windows, clock.epochMs(), signal)
      } catch (error) {
        if (!isForGood(error)) throw error
        // One that will never be taken does not hold up the others: they go one by one.
        if (unsent.names.length > 1) most = 1
        else {
          log.error({}, `windows are given up, as the control plane refuses them: ${messageOf(error)}`)
          await buffer.giveUp(unsent)
        }
        continue
      }
      await faultPoint('windows.sent')
      await buffer.done(unsent.names)
    }
    return 'all'
  } catch (error) {
    // They are kept; the next time is soon.
    log.debug({}, `windows not sent: ${messageOf(error)}`)
    return 'stuck'
  }
}

/** It will be refused however often it is sent. */
function isForGood(error: unknown): boolean {
  return isSlipwayError(error) && [400, 409, 413, 422].includes(error.kind.http)
}
