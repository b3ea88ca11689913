import { Type } from 'typebox'
import { NewRoleBody, RefusalAnswer, RoleAnswer, WhoamiAnswer } from '../../contract/access-api.ts'
import { pageOfThings, PageQuery } from '../../contract/registry-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { isAdminEverywhere, requireAdminOf, requireEverywhere } from '../access.ts'
import { v1RoutesOf } from './route.ts'
import { watched } from './watch.ts'
import { seenFields } from './seen.ts'
import { byCreation, PAGE_LIMIT, pageOfAll, pageTokenOf, placeOfToken } from './page-token.ts'
import type { Principal } from '../access.ts'
import type { Scope } from '../../ledger/scope.ts'
import type { V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
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

/** Roles in the environment; for whoever is admin everywhere, all of them. */
async function rolesFor(caller: Principal, people: People, scope: Scope): Promise<RoleBinding[]> {
  const everywhere = isAdminEverywhere(caller)
  return (await people.bindings()).filter(({ environment }) => everywhere || environment === scope.environment)
}

export const ROLE_ROUTES: readonly V1Route<RoleServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/roles',
    operation: 'listRoles',
    summary: 'Who has which role, where',
    tag: 'roles',
    action: 'admin',
    query: Type.Object(PageQuery, { additionalProperties: false }),
    answer: pageOfThings(RoleAnswer),
    handle: async ({ services, scope, caller, query }) => ({
      body: pageOfAll('roles', (await rolesFor(caller, services.people, scope)).map(roleAnswer), { ...query, placeOf: byCreation }),
    }),
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: '/roles/:role',
      operation: 'getRole',
      summary: 'Who has a role, and where',
      tag: 'roles',
      action: 'admin',
      answer: RoleAnswer,
      handle: async ({ services, scope, caller, params }) => {
        const found = (await rolesFor(caller, services.people, scope)).find(({ id }) => id === params['role'])
        if (found === undefined) throw new SlipwayError('SLW_NOT_FOUND', `no role has the id ${params['role']}`)
        return { body: roleAnswer(found), etag: found.etag }
      },
    }),
  ),
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
      const made = await services.people.bind(scope, { kind, name }, role, { environment, model })
      return { body: roleAnswer(made), etag: made.etag, location: `/api/v1/roles/${made.id}` }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/roles/:role',
    operation: 'revokeRole',
    conditional: true,
    summary: 'Take a role away',
    tag: 'roles',
    action: 'admin',
    handle: async (call) => {
      const { services, params, caller } = call
      const binding = (await services.people.bindings()).find(({ id }) => id === params['role'])
      if (binding !== undefined) requireAdminOf(caller, binding.environment === undefined ? undefined : [binding.environment])
      await services.people.unbind(seenFields(call), params['role']!)
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
        actions: caller.actions({ environment, models: 'any' }),
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
    query: Type.Object(PageQuery, { additionalProperties: false }),
    answer: pageOfThings(RefusalAnswer),
    handle: async ({ services, query: { limit = PAGE_LIMIT, pageToken }, caller }) => {
      requireEverywhere(caller)
      const skipped = Number(placeOfToken('refusals', pageToken) ?? 0)
      const { refusals, total } = await services.refusals.list({ limit, skipped })
      const more = skipped + refusals.length < total
      return {
        body: { items: refusals, total, ...(more && { nextPageToken: pageTokenOf('refusals', String(skipped + refusals.length)) }) },
      }
    },
  }),
]
