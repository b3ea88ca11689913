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
 * Sends the windows of a buffer. Those that do not arrive stay there.
 * @param requests upper limit of requests
 * @returns `all` where no window is left: all have arrived, or were given up; `some` after so many requests; `stuck` where sending fails
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
        // A window that will never be accepted does not hold up the others: files are sent one by one.
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
    // The windows are kept for the next attempt.
    log.debug({}, `windows not sent: ${messageOf(error)}`)
    return 'stuck'
  }
}

/** Whether a refusal is permanent. */
function isForGood(error: unknown): boolean {
  return isSlipwayError(error) && [400, 409, 413, 422].includes(error.kind.http)
}
