import { SlipwayError } from '../../core/errors.ts'
import type { Call } from './call.ts'
async function no(_: Call): Promise<object> {
  throw new SlipwayError('SLW_NOT_IMPLEMENTED', 'x')
}
export const searchExperiments = no
export const searchRuns = no
export const searchLoggedModels = no
export const searchModels = no
export const searchVersions = no
