import { Type } from 'typebox'
import { EnvironmentAnswer, NewEnvironmentBody } from '../../contract/access-api.ts'
import { pageOfThings, PageQuery } from '../../contract/registry-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { requireAdminOf } from '../access.ts'
import { v1RoutesOf } from './route.ts'
import { watched } from './watch.ts'
import { seenFields } from './seen.ts'
import { pageOfAll } from './page-token.ts'
import type { Principal } from '../access.ts'
import type { V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { Environment, Environments } from '../../ledger/environments.ts'

/** Services that these routes use. */
export interface EnvironmentServices {
  readonly environments: Environments
}

const v1Route = v1RoutesOf<EnvironmentServices>()

function environmentAnswer({ description, ...environment }: Environment): EnvironmentAnswer {
  return { ...environment, ...(description !== undefined && { description }) }
}

function mayLookInto(caller: Principal, environment: string): boolean {
  return caller.may('read', { environment, models: 'any' })
}

export const ENVIRONMENT_ROUTES: readonly V1Route<EnvironmentServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/environments',
    operation: 'listEnvironments',
    summary: 'The environments that the caller may look into, the first one first',
    tag: 'environments',
    action: 'read',
    models: () => 'any',
    query: Type.Object(PageQuery, { additionalProperties: false }),
    answer: pageOfThings(EnvironmentAnswer),
    handle: async ({ services, caller, query }) => {
      const all = (await services.environments.list()).filter(({ name }) => mayLookInto(caller, name)).map(environmentAnswer)
      const placeOf = ({ createdAt, name }: EnvironmentAnswer): string => `${String(createdAt).padStart(16, '0')} ${name}`
      return { body: pageOfAll('environments', all, { ...query, placeOf }) }
    },
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: '/environments/:environment',
      operation: 'getEnvironment',
      summary: 'An environment that the caller may look into',
      tag: 'environments',
      action: 'read',
      models: () => 'any',
      answer: EnvironmentAnswer,
      handle: async ({ services, caller, params }) => {
        const found = (await services.environments.list()).find(({ name }) => name === params['environment'] && mayLookInto(caller, name))
        if (found === undefined) throw new SlipwayError('SLW_NOT_FOUND', `there is no environment "${params['environment']}"`)
        return { body: environmentAnswer(found), etag: found.etag }
      },
    }),
  ),
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
      const made = await services.environments.create(scope, body.name, body.description)
      return { body: environmentAnswer(made), etag: made.etag, location: `/api/v1/environments/${made.name}` }
    },
  }),
  v1Route({
    method: 'DELETE',
    path: '/environments/:environment',
    operation: 'deleteEnvironment',
    conditional: true,
    summary: 'Take an environment away in which there is nothing any more',
    tag: 'environments',
    action: 'admin',
    handle: async (call) => {
      const name = call.params['environment']!
      requireAdminOf(call.caller, [name])
      await call.services.environments.delete(seenFields(call), name)
      return {}
    },
  }),
]
