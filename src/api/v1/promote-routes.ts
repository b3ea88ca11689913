import { PromoteBody, PromotedAnswer } from '../../contract/access-api.ts'
import { promote } from '../../registry/promote.ts'
import { requirePermission } from '../access.ts'
import { v1Route } from './route.ts'
import type { V1Route } from './route.ts'

export const PROMOTE_ROUTES: readonly V1Route[] = [
  v1Route({
    method: 'POST',
    path: '/models/:model/versions/:version/promote',
    operation: 'promoteVersion',
    summary: 'Bring a version into another environment, by its digest. An alias there moves with it, where its policy lets it',
    tag: 'versions',
    action: 'read',
    body: PromoteBody,
    answer: PromotedAnswer,
    handle: async ({ options, scope, params, body, caller }) => {
      const { model, version } = params as { model: string; version: string }
      const { to, alias, allowBreaking } = body
      const target = { environment: await options.environments.require(to), models: [model] }
      requirePermission(caller, 'deploy', target)
      const rights = { protect: caller.may('protect', target) }
      const { ground, models } = options.registry
      const promoted = await promote(ground, models, { ...scope, once: undefined }, { model, version, to, alias, allowBreaking, rights })
      return { body: { environment: to, model, ...promoted, ...(alias !== undefined && { alias }) } }
    },
  }),
]
