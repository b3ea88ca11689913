import { Type } from 'typebox'
import { EnvironmentAnswer, NewEnvironmentBody, NewRoleBody, RefusalAnswer, RoleAnswer, WhoamiAnswer } from '../../contract/access-api.ts'
import { isAdminEverywhere, requireAdminOf, requireEverywhere } from '../access.ts'
import { v1Route } from './route.ts'
import type { RoleBinding } from '../../access/people.ts'
import type { Environment } from '../../ledger/environments.ts'
import type { V1Route } from './route.ts'

function environmentAnswer({ description, ...environment }: Environment): EnvironmentAnswer {
  return { ...environment, ...(description !== undefined && { description }) }
}

function roleAnswer({ environment, model, ...binding }: RoleBinding): RoleAnswer {
  return { ...binding, ...(environment !== undefined && { environment }), ...(model !== undefined && { model }) }
}

export const ENVIRONMENT_ROUTES: readonly V1Route[] = [
  v1Route({
    method: 'GET',
    path: '/environments',
    operation: 'listEnvironments',
    summary: 'The environments that the caller may look into, the first one first',
    tag: 'environments',
    action: 'read',
    models: () => 'any',
    answer: Type.Object({ items: Type.Array(EnvironmentAnswer), total: Type.Integer() }),
    handle: async ({ options, caller }) => {
      const all = await options.environments.list()
      const items = all.filter(({ name }) => caller.may('read', { environment: name, models: 'any' })).map(environmentAnswer)
      return { body: { items, total: items.length } }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/environments',
    operation: 'createEnvironment',
    summary: 'Make an environment: models, aliases, endpoints, policies and roles of its own below /env/NAME',
    tag: 'environments',
    action: 'admin',
    body: NewEnvironmentBody,
    answer: EnvironmentAnswer,
    status: 201,
    handle: async ({ options, scope, body, caller }) => {
      requireAdminOf(caller, [body.name])
      return { body: environmentAnswer(await options.environments.create({ ...scope, once: undefined }, body.name, body.description)) }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/environments/:environment',
    operation: 'deleteEnvironment',
    summary: 'Take an environment away in which there is nothing any more',
    tag: 'environments',
    action: 'admin',
    handle: async ({ options, scope, params, caller }) => {
      requireAdminOf(caller, [params['environment']!])
      await options.environments.delete({ ...scope, once: undefined }, params['environment']!)
      return {}
    },
  }),
  v1Route({
    method: 'GET',
    path: '/roles',
    operation: 'listRoles',
    summary: 'Who has which role, where',
    tag: 'roles',
    action: 'admin',
    answer: Type.Object({ items: Type.Array(RoleAnswer), total: Type.Integer() }),
    handle: async ({ options, scope, caller }) => {
      const everywhere = isAdminEverywhere(caller)
      const items = (await options.people.bindings())
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
    handle: async ({ options, scope, body, caller }) => {
      const environment = body.everywhere === true ? undefined : scope.environment
      requireAdminOf(caller, environment === undefined ? undefined : [environment])
      const { kind, name, role, model } = body
      return { body: roleAnswer(await options.people.bind({ ...scope, once: undefined }, { kind, name }, role, { environment, model })) }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/roles/:role',
    operation: 'revokeRole',
    summary: 'Take a role away',
    tag: 'roles',
    action: 'admin',
    handle: async ({ options, scope, params, caller }) => {
      const binding = (await options.people.bindings()).find(({ id }) => id === params['role'])
      if (binding !== undefined) requireAdminOf(caller, binding.environment === undefined ? undefined : [binding.environment])
      await options.people.unbind({ ...scope, once: undefined }, params['role']!)
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
    handle: async ({ options, caller }) => {
      const { name, kind, grants } = caller
      const environments = (await options.environments.list()).map(({ name: environment }) => ({
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
    handle: async ({ options, query, caller }) => {
      requireEverywhere(caller)
      const items = await options.refusals.list(query.limit ?? 100)
      return { body: { items, total: items.length } }
    },
  }),
]
