import { isSlipwayError } from '../../core/errors.ts'
import { modelAnswer } from './answers.ts'
import { v1RoutesOf } from './route.ts'
import { sendEvents } from './sse.ts'
import type { ModelAnswer } from '../../contract/registry-api.ts'
import type { History } from '../../ledger/history.ts'
import type { Scope } from '../../ledger/scope.ts'
import type { Models } from '../../models/models.ts'
import type { News } from '../news.ts'
import type { V1Route } from './route.ts'

/** Services that these routes use. */
export interface ModelWatchServices {
  readonly history: History
  readonly models: Models
  readonly news: News
}

const v1Route = v1RoutesOf<ModelWatchServices>()
const tag = 'events'

export const MODEL_WATCH_ROUTES: readonly V1Route<ModelWatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/models/:model/watch',
    operation: 'watchModel',
    summary: 'A model as it is now, and again whenever it or its versions or aliases change, as server-sent events',
    tag,
    action: 'read',
    handle: async (call, reply) => {
      const { services, scope, params } = call
      const { history, models } = services
      const name = params['model']!
      const upTo = await history.last()
      let now: ModelAnswer | undefined = modelAnswer(await models.get(scope, name))
      await sendEvents({ call, reply, from: upTo, ended: services.news.ended }, async (seen, signal) => {
        if (now !== undefined) {
          const first = now
          now = undefined
          return { messages: [{ id: upTo, event: 'model', data: first }], upTo }
        }
        const known = await services.news.after(seen, signal)
        if (known <= seen || !(await concerns(history, scope, name, { after: seen, upTo: known }))) return { messages: [], upTo: known }
        const model = await models.get(scope, name).catch((error: unknown) => {
          if (isSlipwayError(error) && error.code === 'SLW_NOT_FOUND') return undefined
          throw error
        })
        return {
          messages: [
            { id: known, event: model === undefined ? 'gone' : 'model', data: model === undefined ? { name } : modelAnswer(model) },
          ],
          upTo: known,
        }
      })
      return {}
    },
  }),
]

/** Whether something about a model happened in the range. */
async function concerns(history: History, scope: Scope, model: string, range: { after: number; upTo: number }): Promise<boolean> {
  for (const name of [model, `${model}/*`, `${model}@*`])
    if ((await history.after(scope, range.after, { name }, { limit: 1, upTo: range.upTo })).length > 0) return true
  return false
}
