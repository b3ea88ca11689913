import type { ServedAnswer } from '../contract/registry-api.ts'
import type { ServingStatus } from '../api/doors.ts'
import type { ServedModels } from './served-models.ts'

const ASK_TIMEOUT_MS = 2000

/** What the local server answers with, asked of itself. */
export function servingStatus(models: ServedModels, url: string): ServingStatus {
  const isReady = async (model: string, version: number): Promise<boolean> => {
    try {
      const signal = AbortSignal.timeout(ASK_TIMEOUT_MS)
      return (await fetch(`${url}/v2/models/${encodeURIComponent(model)}/versions/${version}/ready`, { signal })).ok
    } catch {
      return false
    }
  }
  return {
    url,
    models: async () =>
      await Promise.all(
        (await models.pointed()).map(async ({ model, number: version, refusal }): Promise<ServedAnswer> => {
          if (await isReady(model, version)) return { model, version, state: 'ready' }
          return refusal === undefined ? { model, version, state: 'waiting' } : { model, version, state: 'refused', reason: refusal }
        }),
      ),
  }
}
