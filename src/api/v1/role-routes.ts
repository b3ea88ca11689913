import { Type } from 'typebox'
import { NewRoleBody, RefusalAnswer, RoleAnswer, WhoamiAnswer } from '../../contract/access-api.ts'
import { isAdminEverywhere, requireAdminOf, requireEverywhere } from '../access.ts'
import { v1RoutesOf } from './route.ts'
import type { V1Route } from './route.ts'
import type { Environments } from '../../ledger/environments.ts'
import type { People, RoleBinding } from '../../access/people.ts'
import type { Refusals } from '../../access/refusals.ts'

/** Services that these routes use. */
export interface RoleServices {
  readonly environments: Environments
  readonly people: People
  readonly refusals: Refusals
}

const v1Route = v1RoutesOf<RoleServices>()

function roleAnswer({ environment, model, ...binding }: RoleBinding): RoleAnswer {
  return { ...binding, ...(environment !== undefined && { environment }), ...(model !== undefined && { model }) }
}

export const ROLE_ROUTES: readonly V1Route<RoleServices>[] = [
  v1Route({
    method: 'GET',
    path: '/roles',
    operation: 'listRoles',
    summary: 'Who has which role, where',
    tag: 'roles',
    action: 'admin',
    answer: Type.Object({ items: Type.Array(RoleAnswer), total: Type.Integer() }),
    handle: async ({ services, scope, caller }) => {
      const everywhere = isAdminEverywhere(caller)
      const items = (await services.people.bindings())
        .filter(({ environment }) => everywhere || environment === scope.environment)
        .map(roleAnswer)
      return { body: { items, total: items.length } }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/roles',
    operation: 'grantRole',
    summary: 'Give a person or a group a role, in this environment or everywhere, for one model or all',
    tag: 'roles',
    action: 'admin',
    body: NewRoleBody,
    answer: RoleAnswer,
    status: 201,
    handle: async ({ services, scope, body, caller }) => {
      const environment = body.everywhere === true ? undefined : scope.environment
      requireAdminOf(caller, environment === undefined ? undefined : [environment])
      const { kind, name, role, model } = body
      return { body: roleAnswer(await services.people.bind({ ...scope, once: undefined }, { kind, name }, role, { environment, model })) }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/roles/:role',
    operation: 'revokeRole',
    summary: 'Take a role away',
    tag: 'roles',
    action: 'admin',
    handle: async ({ services, scope, params, caller }) => {
      const binding = (await services.people.bindings()).find(({ id }) => id === params['role'])
      if (binding !== undefined) requireAdminOf(caller, binding.environment === undefined ? undefined : [binding.environment])
      await services.people.unbind({ ...scope, once: undefined }, params['role']!)
      return {}
    },
  }),
  v1Route({
    method: 'GET',
    path: '/whoami',
    operation: 'whoami',
    summary: 'Who is calling, and what they may do',
    tag: 'roles',
    action: 'identify',
    answer: WhoamiAnswer,
    handle: async ({ services, caller }) => {
      const { name, kind, grants } = caller
      const environments = (await services.environments.list()).map(({ name: environment }) => ({
        environment,
        actions: caller.actions({ environment, models: [] }),
      }))
      return { body: { name, kind, grants: [...grants], environments } }
    },
  }),
  v1Route({
    method: 'GET',
    path: '/refusals',
    operation: 'listRefusals',
    summary: 'Calls that were refused, counted by minute, the newest first',
    tag: 'roles',
    action: 'admin',
    query: Type.Object(
      { limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: 'Default: 100.' })) },
      { additionalProperties: false },
    ),
    answer: Type.Object({ items: Type.Array(RefusalAnswer), total: Type.Integer() }),
    handle: async ({ services, query, caller }) => {
      requireEverywhere(caller)
      const items = await services.refusals.list(query.limit ?? 100)
      return { body: { items, total: items.length } }
    },
  }),
]
