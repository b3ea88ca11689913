import { LOGGED_MODEL_STATUSES } from '../../tracking/logged-model-statuses.ts'
import { listFolder } from '../../files/file-trees.ts'
import { route } from './call.ts'
import { listed, loggedModelJson, sizeJson } from './entities.ts'
import { listingPath } from './paging.ts'
import { searchLoggedModels } from './search.ts'
import type { MlflowRoute } from './call.ts'

export const LOGGED_MODEL_ROUTES: readonly MlflowRoute[] = [
  route(['POST'], 'logged-models', 'write', async ({ services, scope, fields }) =>
    loggedModelJson(
      await services.loggedModels.create(scope, {
        experimentId: fields.requiredText('experiment_id'),
        name: fields.text('name'),
        modelType: fields.text('model_type'),
        sourceRunId: fields.text('source_run_id'),
        tags: fields.tags('tags'),
        params: fields.tags('params'),
      }),
    ),
  ),
  route(['POST'], 'logged-models/search', 'read', searchLoggedModels),
  route(['GET'], 'logged-models/:model_id', 'read', async ({ services, scope, params }) =>
    loggedModelJson(await services.loggedModels.get(scope, params['model_id']!)),
  ),
  route(['DELETE'], 'logged-models/:model_id', 'write', async ({ services, scope, params }) => {
    await services.loggedModels.delete(scope, params['model_id']!)
    return {}
  }),
  route(['PATCH'], 'logged-models/:model_id', 'write', async ({ services, scope, fields, params }) => {
    const status = fields.oneOf('status', LOGGED_MODEL_STATUSES) ?? fields.missing('status')
    return loggedModelJson(await services.loggedModels.finish(scope, params['model_id']!, status))
  }),
  route(['PATCH'], 'logged-models/:model_id/tags', 'write', async ({ services, scope, fields, params }) =>
    loggedModelJson(await services.loggedModels.setTags(scope, params['model_id']!, fields.tags('tags'))),
  ),
  route(['DELETE'], 'logged-models/:model_id/tags/:key', 'write', async ({ services, scope, params }) => {
    await services.loggedModels.deleteTag(scope, params['model_id']!, params['key']!)
    return {}
  }),
  route(['POST'], 'logged-models/:model_id/params', 'write', async ({ services, scope, fields, params }) =>
    loggedModelJson(await services.loggedModels.logParams(scope, params['model_id']!, fields.tags('params'))),
  ),
  route(['GET'], 'logged-models/:model_id/artifacts/directories', 'read', async ({ services, scope, fields, params }) => {
    const model = await services.loggedModels.get(scope, params['model_id']!)
    const path = listingPath(fields.text('artifact_directory_path'))
    const entries = await listFolder(services.ground.database.read, `model:${model.id}`, path)
    return {
      root_uri: model.artifactUri,
      ...listed(
        'files',
        entries.map(({ name, directory, size }) => ({
          path: path === '' ? name : `${path}/${name}`,
          is_dir: directory,
          ...sizeJson(size),
        })),
      ),
    }
  }),
]
