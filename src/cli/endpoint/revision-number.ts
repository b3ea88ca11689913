import { SlipwayError } from '../../core/errors.ts'

/** @param or what else the option takes. @throws SLW_USAGE for what is no number of a revision */
export function revisionNumber(option: string, text: string, or = ''): number {
  if (!/^[1-9]\d*$/.test(text)) throw new SlipwayError('SLW_USAGE', `${option} ${text}: expected the number of a revision${or}`)
  return Number(text)
}
