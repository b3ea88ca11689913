import { Type } from 'typebox'
import { differences } from '../../core/differences.ts'
import { SlipwayError } from '../../core/errors.ts'
import {
  AppliedAnswer,
  BreakingQuery,
  DryRunQuery,
  EndpointAnswer,
  EndpointHistoryAnswer,
  RevisionAnswer,
  RollbackBody,
  RoutingBody,
} from '../../contract/delivery-api.ts'
import { EndpointDocument, modelsOf } from '../../contract/endpoint.ts'
import { findEndpoint, specOf } from '../../delivery/read-endpoints.ts'
import { planOf } from '../../delivery/targets.ts'
import { PageQuery, pageOfThings } from '../../contract/registry-api.ts'
import { oneOf } from '../../contract/schema.ts'
import { endpointAnswer, revisionAnswer } from './endpoint-answer.ts'
import { v1RoutesOf } from './route.ts'
import { PAGE_LIMIT, pageOfRead, placeOfToken } from './page-token.ts'
import { watched } from './watch.ts'
import { seen } from './seen.ts'
import type { AppliedEndpoint, Declaration } from '../../delivery/endpoints.ts'
import type { DeclaredEndpoint } from '../../delivery/read-endpoints.ts'
import type { Scope } from '../../ledger/scope.ts'
import type { V1Answer, V1Call, V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { Retold } from './v1-door.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { Ground } from '../../ledger/scope.ts'

/** Services that these routes use. */
export interface EndpointServices {
  readonly delivery: Delivery
  readonly ground: Ground
}

const v1Route = v1RoutesOf<EndpointServices>()

const tag = 'endpoints'
const ENDPOINT = '/endpoints/:endpoint'
const closed = { additionalProperties: false } as const

/** The parts of an endpoint that people compare: the declaration, and the versions it resolved to. */
function compared({ labels, spec, revision }: DeclaredEndpoint): object {
  return { labels, spec, versions: Object.fromEntries(revision.variants.map(({ name, model, version }) => [name, `${model}/${version}`])) }
}

async function applied(
  { services, scope }: Pick<V1Call<EndpointServices>, 'services' | 'scope'>,
  outcome: AppliedEndpoint,
  dryRun: boolean,
): Promise<V1Answer<AppliedAnswer>> {
  const { change, before, after } = outcome
  const [status] = await services.delivery.statusOf(scope, [after])
  const found = differences(before === undefined ? {} : compared(before), compared(after))
  return {
    body: { change, dryRun, differences: found, plan: planOf(before, after), endpoint: endpointAnswer(status!) },
    etag: String(after.resourceVersion),
    status: change === 'created' && !dryRun ? 201 : 200,
  }
}

async function endpointNow({
  services: { delivery },
  scope,
  params,
  caller,
}: Pick<V1Call<EndpointServices>, 'services' | 'scope' | 'params' | 'caller'>): Promise<V1Answer<EndpointAnswer>> {
  const endpoint = await delivery.endpoints.get(scope, params['endpoint']!)
  const [status] = await delivery.statusOf(scope, [endpoint])
  return { body: endpointAnswer(status!, caller), etag: String(endpoint.resourceVersion) }
}

/** Models of the endpoint of a call: an action on the endpoint needs the right for all of them. None where the endpoint does not exist. */
async function modelsServed({
  services,
  params,
  environment,
}: Pick<V1Call<EndpointServices>, 'services' | 'params'> & { readonly environment: string }): Promise<string[]> {
  const row = await findEndpoint(services.ground.database.read, { environment, actor: '' }, params['endpoint']!)
  return row === undefined ? [] : modelsOf(specOf(row))
}

/** Also the models of every revision that a rollback may return to. */
async function modelsEverServed(call: Parameters<typeof modelsServed>[0]): Promise<string[]> {
  const { services, params, environment } = call
  const earlier = await services.delivery.endpoints.modelsEverServed({ environment, actor: '' }, params['endpoint']!)
  return [...new Set([...(await modelsServed(call)), ...earlier])]
}

/** @throws SLW_INPUT_INVALID where address and document name different things */
function declaredBy({ params, scope, body }: V1Call<unknown, unknown, EndpointDocument>, manager: Declaration['managedBy']): Declaration {
  const { name, environment, labels = {}, managedBy: written } = body.metadata
  const named = params['endpoint']!
  if (name !== named) throw new SlipwayError('SLW_INPUT_INVALID', `metadata.name is "${name}", the address says "${named}"`)
  if (environment !== undefined && environment !== scope.environment)
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `metadata.environment is "${environment}", and "${scope.environment}" was asked; ask /env/${environment}/api/v1`,
    )
  if (manager === undefined && written?.kind === 'slipway')
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      'metadata.managedBy: "slipway" looks after endpoints of its own only; name yourself, or leave it out',
    )
  return { name, labels, spec: body.spec, managedBy: manager ?? written }
}

/** The scope of an application, with the version of the endpoint that If-Match or the document says. */
function appliedTo(call: V1Call<unknown, unknown, EndpointDocument>): Scope {
  const scope = seen(call)
  const { resourceVersion } = call.body.metadata
  if (resourceVersion === undefined || scope.resourceVersion !== undefined) return scope
  return { ...scope, resourceVersion: Number(resourceVersion) }
}

/** A route that resolves the aliases anew. */
function renewalRoute(action: 'resume' | 'sync', summary: string): V1Route<EndpointServices> {
  return v1Route({
    method: 'POST',
    path: `${ENDPOINT}/${action}`,
    operation: `${action}Endpoint`,
    conditional: true,
    summary,
    tag,
    action: 'deploy',
    models: modelsServed,
    query: Type.Object({ ...DryRunQuery, ...BreakingQuery }, closed),
    body: Type.Object({}, closed),
    answer: AppliedAnswer,
    handle: async (call) => {
      const { dryRun = false } = call.query
      return await applied(call, await call.services.delivery.endpoints[action](seen(call), call.params['endpoint']!, call.query), dryRun)
    },
  })
}

export const retoldEndpoint: Retold<EndpointServices> = async ({ delivery }, scope, name) => {
  const [status] = await delivery.statusOf(scope, [await delivery.endpoints.get(scope, name)])
  return { status: 200, body: { change: 'configured', dryRun: false, differences: [], endpoint: endpointAnswer(status!) } }
}

export const ENDPOINT_ROUTES: readonly V1Route<EndpointServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/endpoints',
    operation: 'listEndpoints',
    summary: 'The endpoints, and how each of them is',
    tag,
    action: 'read',
    query: Type.Object(PageQuery, closed),
    answer: pageOfThings(EndpointAnswer),
    handle: async ({ services: { delivery }, scope, caller, query: { limit = PAGE_LIMIT, pageToken } }) => {
      const { endpoints, total } = await delivery.endpoints.page(scope, limit + 1, placeOfToken('endpoints', pageToken))
      const { items, ...next } = pageOfRead('endpoints', endpoints, { limit, placeOf: ({ name }) => name })
      const answers = (await delivery.statusOf(scope, items)).map((status) => endpointAnswer(status, caller))
      return { body: { items: answers, total, ...next } }
    },
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: ENDPOINT,
      operation: 'getEndpoint',
      summary: 'An endpoint as declared, its revision in force, and what servers say of it',
      tag,
      action: 'read',
      models: modelsServed,
      answer: EndpointAnswer,
      // The reports of servers change without the endpoint: its ETag is for changes of it, not for caches.
      handle: async (call) => ({ ...(await endpointNow(call)), volatile: true }),
    }),
    { polled: true },
  ),
  v1Route({
    method: 'PUT',
    path: ENDPOINT,
    operation: 'applyEndpoint',
    conditional: true,
    summary:
      'Make an endpoint what a document declares. Refused where a policy, an approval, a signature or the contract stands in the way',
    tag,
    action: 'deploy',
    models: async (call) => [...new Set([...(await modelsServed(call)), ...modelsOf(call.body.spec)])],
    query: Type.Object(
      {
        ...DryRunQuery,
        ...BreakingQuery,
        managedBy: Type.Optional(oneOf(['file', 'ci', 'person'], { description: 'What looks after the endpoint.' })),
        managedByName: Type.Optional(
          Type.String({ maxLength: 1000, description: 'Path of the file, address of the pipeline, name of the person.' }),
        ),
      },
      closed,
    ),
    body: EndpointDocument,
    answer: AppliedAnswer,
    alsoStatus: 201,
    handle: async (call) => {
      const { dryRun = false, allowBreaking = false, managedBy, managedByName } = call.query
      const declared = declaredBy(call, managedBy === undefined ? undefined : { kind: managedBy, name: managedByName ?? call.caller.name })
      return await applied(call, await call.services.delivery.endpoints.apply(appliedTo(call), declared, { dryRun, allowBreaking }), dryRun)
    },
  }),
  v1Route({
    method: 'DELETE',
    path: ENDPOINT,
    operation: 'deleteEndpoint',
    conditional: true,
    summary: 'Take an endpoint away: servers that follow stop answering for it',
    tag,
    action: 'deploy',
    models: modelsServed,
    handle: async (call) => {
      await call.services.delivery.endpoints.delete(seen(call), call.params['endpoint']!)
      return {}
    },
  }),
  v1Route({
    method: 'GET',
    path: `${ENDPOINT}/revisions`,
    operation: 'listRevisions',
    summary: 'The revisions of an endpoint, the newest first',
    tag,
    action: 'read',
    query: Type.Object(PageQuery, closed),
    answer: pageOfThings(RevisionAnswer),
    handle: async ({ services, scope, params, query: { limit = PAGE_LIMIT, pageToken } }) => {
      const list = `revisions of ${params['endpoint']}`
      const before = placeOfToken(list, pageToken)
      const found = await services.delivery.endpoints.revisions(scope, params['endpoint']!, {
        limit: limit + 1,
        before: before === undefined ? undefined : Number(before),
      })
      const { items, nextPageToken } = pageOfRead(list, found.revisions, { limit, placeOf: ({ number }) => String(number) })
      return { body: { items: items.map(revisionAnswer), total: found.total, ...(nextPageToken !== undefined && { nextPageToken }) } }
    },
  }),
  v1Route({
    method: 'POST',
    path: `${ENDPOINT}/rollback`,
    operation: 'rollbackEndpoint',
    conditional: true,
    summary:
      'Return to what an earlier revision served, as a new revision. Aliases are then not followed until `resume`, or until one moves',
    tag,
    action: 'deploy',
    models: modelsEverServed,
    query: Type.Object(DryRunQuery, closed),
    body: RollbackBody,
    answer: AppliedAnswer,
    handle: async (call) => {
      const { services, params, query, body, caller } = call
      const { dryRun = false } = query
      const moveAlias = body.moveAlias === true ? { protect: caller.may('protect') } : undefined
      return await applied(
        call,
        await services.delivery.endpoints.rollback(seen(call), params['endpoint']!, { to: body.to, moveAlias, dryRun }),
        dryRun,
      )
    },
  }),
  v1Route({
    method: 'POST',
    path: `${ENDPOINT}/routing`,
    operation: 'setRouting',
    conditional: true,
    summary:
      'Share the requests of an endpoint out between its variants, and the revision that is served beside the one in force. Loads and drains nothing that stays',
    tag,
    action: 'deploy',
    models: modelsEverServed,
    body: RoutingBody,
    answer: EndpointAnswer,
    handle: async (call) => {
      await call.services.delivery.routing.set(seen(call), call.params['endpoint']!, call.body)
      return await endpointNow(call)
    },
  }),
  v1Route({
    method: 'POST',
    path: `${ENDPOINT}/receipt-key`,
    operation: 'renewReceiptKey',
    conditional: true,
    summary:
      'Give the servers of an endpoint another key to sign receipts of predictions with, which happens once a month by itself. Receipts of the keys before stay valid, unless these are forgotten',
    tag,
    action: 'deploy',
    models: modelsServed,
    body: Type.Object(
      {
        forgetOthers: Type.Optional(
          Type.Boolean({ description: 'Believe no receipt of an earlier key any more, as after a key got out. Default: false.' }),
        ),
      },
      closed,
    ),
    answer: EndpointAnswer,
    handle: async (call) => {
      await call.services.delivery.renewReceiptKey(seen(call), call.params['endpoint']!, call.body.forgetOthers ?? false)
      return await endpointNow(call)
    },
  }),
  renewalRoute('resume', 'Follow the aliases again after a rollback, from what they point to now'),
  renewalRoute('sync', 'Take over what the aliases point to now, whenever they would be followed otherwise'),
  v1Route({
    method: 'GET',
    path: `${ENDPOINT}/history`,
    operation: 'endpointAt',
    summary: 'Which versions were declared at a moment, who put them there, and what each server had said by then',
    tag,
    action: 'read',
    query: Type.Object({ at: Type.Optional(Type.Integer({ minimum: 0, description: 'UTC epoch milliseconds. Default: now.' })) }, closed),
    answer: EndpointHistoryAnswer,
    handle: async ({ services, scope, params, query }) => {
      const at = query.at ?? services.ground.clock.epochMs()
      const { name, revision, servers } = await services.delivery.at(scope, params['endpoint']!, at)
      return { body: { name, at, ...(revision !== undefined && { revision: revisionAnswer(revision) }), servers } }
    },
  }),
]
