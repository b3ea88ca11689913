import { SlipwayError } from '../../core/errors.ts'
import { shortened } from './statement-error.ts'

/** Parameters of statements: the types that both databases keep alike. */
export type Parameter = string | number | bigint | null | Uint8Array

/**
 * Checks the parameters of a statement before they are sent, so that both databases refuse the same.
 * @throws TypeError for values that the program must not pass (undefined, booleans, dates, NaN); SLW_INPUT_INVALID for text that
 *   PostgreSQL cannot keep
 */
export function checkParameters(statement: string, parameters: readonly unknown[]): readonly Parameter[] {
  for (const [index, value] of parameters.entries()) {
    if (value === null || typeof value === 'bigint' || value instanceof Uint8Array) continue
    // SQLite would make NULL of NaN.
    if (typeof value === 'number' && !Number.isNaN(value)) continue
    if (typeof value === 'string') {
      if (!value.includes('\0')) continue
      throw new SlipwayError('SLW_INPUT_INVALID', 'text with a NUL character (U+0000) cannot be stored; leave the character out')
    }
    throw new TypeError(
      `parameter ${index + 1} is ${kindOf(value)}, and databases take text, numbers, null and bytes (flags as 0 or 1), ` +
        `in the statement: ${shortened(statement)}`,
    )
  }
  return parameters as readonly Parameter[]
}

function kindOf(value: unknown): string {
  if (typeof value === 'number') return 'NaN'
  if (typeof value === 'object') return `an object (${value?.constructor.name ?? 'without a class'})`
  return typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`
}
