import { Cron } from 'croner'
import { messageOf, SlipwayError } from '../../core/errors.ts'

/** Schedule of recurring work: so long after it has ended, or at the times of a cron line of five fields, with an IANA time zone. */
export type Schedule = { readonly everyMs: number } | { readonly cron: string; readonly timeZone?: string | undefined }

/** The next time after a moment. @throws SLW_INPUT_INVALID for an invalid line or zone, and for times that never come */
export function nextTime(schedule: Schedule, afterMs: number): number {
  if ('everyMs' in schedule) return afterMs + schedule.everyMs
  const { cron, timeZone = 'UTC' } = schedule
  try {
    const next = new Cron(cron, { timezone: timeZone, mode: '5-part', paused: true }).nextRun(new Date(afterMs))
    if (next !== null) return next.getTime()
  } catch (error) {
    throw invalid(cron, timeZone, messageOf(error))
  }
  throw invalid(cron, timeZone, 'there is no such time')
}

function invalid(cron: string, timeZone: string, why: string): SlipwayError {
  return new SlipwayError(
    'SLW_INPUT_INVALID',
    `${JSON.stringify(cron)} in time zone ${JSON.stringify(timeZone)}: ${why}; expected five fields, such as "0 3 * * *"`,
    { issues: [{ path: 'schedule', message: why }] },
  )
}
