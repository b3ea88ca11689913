import { PromoteBody, PromotedAnswer } from '../../contract/access-api.ts'
import { promote } from '../../models/promote.ts'
import { requirePermission } from '../access.ts'
import { v1RoutesOf } from './route.ts'
import type { V1Route } from './route.ts'
import type { Environments } from '../../ledger/environments.ts'
import type { Models } from '../../models/models.ts'
import type { RegistryGround } from '../../models/dependents.ts'

/** Services that these routes use. */
export interface PromoteServices {
  readonly environments: Environments
  readonly models: Models
  readonly ground: RegistryGround
}

const v1Route = v1RoutesOf<PromoteServices>()

export const PROMOTE_ROUTES: readonly V1Route<PromoteServices>[] = [
  v1Route({
    method: 'POST',
    path: '/models/:model/versions/:version/promote',
    operation: 'promoteVersion',
    summary: 'Bring a version into another environment, by its digest. An alias there moves with it, where its policy lets it',
    tag: 'versions',
    action: 'read',
    body: PromoteBody,
    answer: PromotedAnswer,
    handle: async ({ services, scope, params, body, caller }) => {
      const { model, version } = params as { model: string; version: string }
      const { to, alias, allowBreaking } = body
      const target = { environment: await services.environments.require(to), models: [model] }
      requirePermission(caller, 'deploy', target)
      const rights = { protect: caller.may('protect', target) }
      const { ground, models } = services
      const promoted = await promote(ground, models, scope, { model, version, to, alias, allowBreaking, rights })
      return { body: { environment: to, model, ...promoted, ...(alias !== undefined && { alias }) } }
    },
  }),
]
