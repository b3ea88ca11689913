import { Type } from 'typebox'
import { EnvironmentAnswer, NewEnvironmentBody } from '../../contract/access-api.ts'
import { requireAdminOf } from '../access.ts'
import { v1RoutesOf } from './route.ts'
import type { V1Route } from './route.ts'
import type { Environment, Environments } from '../../ledger/environments.ts'

/** Services that these routes use. */
export interface EnvironmentServices {
  readonly environments: Environments
}

const v1Route = v1RoutesOf<EnvironmentServices>()

function environmentAnswer({ description, ...environment }: Environment): EnvironmentAnswer {
  return { ...environment, ...(description !== undefined && { description }) }
}

export const ENVIRONMENT_ROUTES: readonly V1Route<EnvironmentServices>[] = [
  v1Route({
    method: 'GET',
    path: '/environments',
    operation: 'listEnvironments',
    summary: 'The environments that the caller may look into, the first one first',
    tag: 'environments',
    action: 'read',
    models: () => 'any',
    answer: Type.Object({ items: Type.Array(EnvironmentAnswer), total: Type.Integer() }),
    handle: async ({ services, caller }) => {
      const all = await services.environments.list()
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
    handle: async ({ services, scope, body, caller }) => {
      requireAdminOf(caller, [body.name])
      return { body: environmentAnswer(await services.environments.create({ ...scope, once: undefined }, body.name, body.description)) }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/environments/:environment',
    operation: 'deleteEnvironment',
    summary: 'Take an environment away in which there is nothing any more',
    tag: 'environments',
    action: 'admin',
    handle: async ({ services, scope, params, caller }) => {
      requireAdminOf(caller, [params['environment']!])
      await services.environments.delete({ ...scope, once: undefined }, params['environment']!)
      return {}
    },
  }),
]
