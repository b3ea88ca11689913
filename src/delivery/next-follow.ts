import { Cron } from 'croner'
import { messageOf, SlipwayError } from '../core/errors.ts'
import type { Follow } from '../contract/endpoint.ts'

/**
 * Time at which aliases are followed next; undefined without a schedule.
 * @throws SLW_INPUT_INVALID for an invalid cron line or time zone
 */
export function nextFollow(follow: Follow, afterMs: number): number | undefined {
  if (typeof follow === 'string') return undefined
  const { cron, timeZone = 'UTC' } = follow
  try {
    const next = new Cron(cron, { timezone: timeZone, mode: '5-part', paused: true }).nextRun(new Date(afterMs))
    if (next !== null) return next.getTime()
  } catch (error) {
    throw invalid(follow, messageOf(error))
  }
  throw invalid(follow, 'there is no such time')
}

function invalid({ cron, timeZone }: Exclude<Follow, string>, why: string): SlipwayError {
  const zone = timeZone === undefined ? '' : ` in time zone ${JSON.stringify(timeZone)}`
  return new SlipwayError(
    'SLW_INPUT_INVALID',
    `spec.follow: ${JSON.stringify(cron)}${zone}: ${why}; expected five fields, such as "0 3 * * *"`,
    {
      issues: [{ path: 'spec.follow', message: why }],
    },
  )
}
