import { Type } from 'typebox'
import {
  ModelAnswer,
  ModelUpdateBody,
  NewModelBody,
  pageOfThings,
  PageQuery,
  SearchQuery,
  TrashAnswer,
} from '../../contract/registry-api.ts'
import { readModels } from '../../models/models.ts'
import { modelsIn } from '../../search/queries.ts'
import { listTrash } from '../../models/trash.ts'
import { requirePermission } from '../access.ts'
import { modelAnswer, tagsOf } from './answers.ts'
import { pageAnswer, searched } from './paging.ts'
import { seen } from './seen.ts'
import { v1RoutesOf } from './route.ts'
import { pageOfAll } from './page-token.ts'
import { watched } from './watch.ts'
import type { Model } from '../../models/models.ts'
import type { Principal } from '../access.ts'
import type { V1Answer, V1Call, V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { Retold } from './v1-door.ts'
import type { Models } from '../../models/models.ts'
import type { Ground } from '../../ledger/scope.ts'

/** Services that these routes use. */
export interface ModelServices {
  readonly models: Models
  readonly ground: Ground
}

const v1Route = v1RoutesOf<ModelServices>()

const tag = 'models'

function answered(model: Model, caller: Principal, status?: number): V1Answer<ModelAnswer> {
  return {
    body: modelAnswer(model, caller),
    etag: String(model.resourceVersion),
    ...(status !== undefined && { status, location: `/api/v1/models/${encodeURIComponent(model.name)}` }),
  }
}

export const retoldModel: Retold<ModelServices> = async ({ models }, scope, name) => ({
  status: 200,
  body: modelAnswer(await models.get(scope, name)),
})

export const MODEL_ROUTES: readonly V1Route<ModelServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/models',
    operation: 'listModels',
    summary: 'Find models',
    tag,
    action: 'read',
    models: () => 'any',
    query: SearchQuery,
    answer: pageOfThings(ModelAnswer),
    handle: async (call) =>
      await pageAnswer(call, 'models', modelsIn(searched(call)), async (rows) =>
        (await readModels(call.services.ground.database.read, rows)).map((model) => modelAnswer(model, call.caller)),
      ),
  }),
  v1Route({
    method: 'POST',
    path: '/models',
    operation: 'createModel',
    summary: 'Make a model, which has no versions yet',
    tag,
    action: 'write',
    body: NewModelBody,
    models: ({ body }) => [body.name],
    answer: ModelAnswer,
    status: 201,
    handle: async ({ services, scope, body, caller }) =>
      answered(await services.models.create(scope, { ...body, tags: tagsOf(body.tags) }), caller, 201),
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: '/models/:model',
      operation: 'getModel',
      summary: 'A model, its aliases and what it asks of its versions',
      tag,
      action: 'read',
      answer: ModelAnswer,
      handle: async ({ services, scope, params, caller }) => answered(await services.models.get(scope, params['model']!), caller),
    }),
  ),
  v1Route({
    method: 'PATCH',
    path: '/models/:model',
    operation: 'updateModel',
    conditional: true,
    summary: 'Change what is said of a model. Protected aliases and the policy need the scope `protect`',
    tag,
    action: 'write',
    body: ModelUpdateBody,
    answer: ModelAnswer,
    handle: updateModel,
  }),
  v1Route({
    method: 'DELETE',
    path: '/models/:model',
    operation: 'deleteModel',
    conditional: true,
    summary: 'Put a model and its versions into the trash, for 30 days',
    tag,
    action: 'write',
    handle: async (call) => {
      await call.services.models.delete(seen(call), call.params['model']!)
      return {}
    },
  }),
  v1Route({
    method: 'GET',
    path: '/trash',
    operation: 'listTrash',
    summary: 'What was deleted and can be had back',
    tag,
    action: 'read',
    query: Type.Object(PageQuery, { additionalProperties: false }),
    answer: pageOfThings(TrashAnswer),
    handle: async ({ services, scope, query }) => {
      const all = await listTrash(services.ground, scope)
      // The newest first.
      const placeOf = ({ deletedAt, id }: { readonly deletedAt: number; readonly id: string }): string =>
        `${String(Number.MAX_SAFE_INTEGER - deletedAt).padStart(16, '0')} ${id}`
      return { body: pageOfAll('trash', all, { ...query, placeOf }) }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/trash/models/:id/restore',
    operation: 'restoreModel',
    summary: 'Take a model out of the trash, with its versions; aliases are not set again',
    tag,
    action: 'write',
    answer: ModelAnswer,
    handle: async ({ services, scope, params, caller }) => answered(await services.models.restore(scope, params['id']!), caller),
  }),
]

async function updateModel(call: V1Call<ModelServices, unknown, ModelUpdateBody>): Promise<V1Answer<ModelAnswer>> {
  const { services, scope, caller, params } = call
  const { name, ...update } = call.body
  const { models } = services
  if (update.protectedAliases !== undefined || update.policy !== undefined)
    requirePermission(caller, 'protect', { environment: scope.environment, models: [params['model']!] })
  if (name !== undefined) requirePermission(caller, 'write', { environment: scope.environment, models: [name] })
  if (name === undefined) return answered(await models.update(seen(call), params['model']!, update), caller)
  if (Object.keys(update).length === 0) return answered(await models.rename(seen(call), params['model']!, name), caller)
  // Two changes: the first checks that nobody was faster.
  await models.update(seen(call), params['model']!, update)
  return answered(await models.rename({ ...scope, once: undefined }, params['model']!, name), caller)
}
