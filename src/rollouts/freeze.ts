import { Cron } from 'croner'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { parseDurationMs } from '../core/units.ts'
import type { Freeze } from '../contract/rollout.ts'

/**
 * The end of the freezes that a moment lies in; undefined where it lies in none.
 * @throws SLW_INPUT_INVALID for an invalid cron line or time zone
 */
export function frozenUntil(freezes: readonly Freeze[], nowMs: number): number | undefined {
  const ends = freezes.flatMap((freeze, index) => {
    const lastsMs = parseDurationMs(freeze.duration, 'freeze')
    const cron = cronOf(freeze, index)
    // The latest of the beginnings from which it would still last.
    let began: Date | undefined
    for (let next = cron.nextRun(new Date(nowMs - lastsMs)); next !== null && next.getTime() <= nowMs; next = cron.nextRun(next))
      began = next
    return began === undefined ? [] : [began.getTime() + lastsMs]
  })
  return ends.length === 0 ? undefined : Math.max(...ends)
}

function cronOf({ cron, timeZone = 'UTC' }: Freeze, index: number): Cron {
  try {
    return new Cron(cron, { timezone: timeZone, mode: '5-part', paused: true })
  } catch (error) {
    const path = `spec.rollout.freeze[${index}]`
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `${path}: ${JSON.stringify(cron)} in time zone ${JSON.stringify(timeZone)}: ${messageOf(error)}; expected five fields, such as "0 18 * * FRI"`,
      { issues: [{ path, message: messageOf(error) }] },
    )
  }
}
