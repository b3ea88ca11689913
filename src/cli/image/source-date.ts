import { SlipwayError } from '../../core/errors.ts'

/** SOURCE_DATE_EPOCH, in seconds since 1970 (https://reproducible-builds.org/specs/source-date-epoch/). @throws SLW_USAGE */
export function sourceDate(text: string | undefined = process.env['SOURCE_DATE_EPOCH']): number | undefined {
  if (text === undefined || text === '') return undefined
  if (/^\d{1,11}$/.test(text)) return Number(text)
  throw new SlipwayError('SLW_USAGE', `SOURCE_DATE_EPOCH is ${JSON.stringify(text)}; expected whole seconds since 1970`)
}
