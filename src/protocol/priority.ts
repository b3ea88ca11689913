import { SlipwayError } from '../core/errors.ts'

/** Levels of priority: 1 is the most urgent. */
export const PRIORITY_LEVELS = 9
export const PRIORITY_DEFAULT = 5

/**
 * The priority for the scheduler, whose middle is 0, from a level of 1, the most urgent, to 9. Level 0 and no level mean
 * the default of the model, as in the Open Inference Protocol.
 */
export function priorityOf(value: unknown, where: string): number | undefined {
  if (value === undefined) return undefined
  const level = typeof value === 'string' && value !== '' ? Number(value) : value
  if (typeof level === 'number' && Number.isInteger(level) && level >= 0 && level <= PRIORITY_LEVELS)
    return level === 0 ? undefined : level - PRIORITY_DEFAULT
  throw new SlipwayError(
    'SLW_BAD_REQUEST',
    `${where}: expected a whole number from 1 (most urgent) to ${PRIORITY_LEVELS}, got ${JSON.stringify(value)}`,
  )
}
