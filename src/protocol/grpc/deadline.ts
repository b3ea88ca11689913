import { SlipwayError } from '../../core/errors.ts'

/** Milliseconds of the units of `grpc-timeout`. */
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001 }

/** @returns milliseconds; undefined where a call has no limit. @throws SLW_BAD_REQUEST */
export function timeoutOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const unit = UNITS[header.at(-1) ?? '']
  const digits = header.slice(0, -1)
  if (unit === undefined || !/^\d{1,8}$/.test(digits))
    throw new SlipwayError(
      'SLW_BAD_REQUEST',
      `grpc-timeout "${header}": expected up to 8 digits and one of ${Object.keys(UNITS).join(', ')}`,
    )
  return Number(digits) * unit
}
