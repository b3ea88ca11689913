import { requireSource } from '../access.ts'
import { SlipwayError } from '../../core/errors.ts'
import { requireStage } from '../../models/versions.ts'
import { route } from './call.ts'
import { listed, modelJson, versionJson } from './entities.ts'
import { searchModels, searchVersions } from './search.ts'
import type { Call, MlflowRoute } from './call.ts'
import type { Fields } from './fields.ts'
import type { NewVersion } from '../../models/versions.ts'

export const MODEL_ROUTES: readonly MlflowRoute[] = [
  route(['POST'], 'registered-models/create', 'write', async ({ services, scope, fields }) => ({
    registered_model: modelJson(
      await services.models.create(scope, {
        name: fields.requiredText('name'),
        description: fields.text('description'),
        tags: fields.tags('tags'),
      }),
    ),
  })),
  route(['GET'], 'registered-models/get', 'read', async ({ services, scope, fields }) => ({
    registered_model: modelJson(await services.models.get(scope, fields.requiredText('name'))),
  })),
  route(['GET'], 'registered-models/search', 'read', searchModels),
  route(['PATCH'], 'registered-models/update', 'write', async ({ services, scope, fields }) => ({
    registered_model: modelJson(await services.models.describe(scope, fields.requiredText('name'), fields.text('description') ?? '')),
  })),
  route(['POST'], 'registered-models/rename', 'write', async ({ services, scope, fields }) => ({
    registered_model: modelJson(await services.models.rename(scope, fields.requiredText('name'), fields.requiredText('new_name'))),
  })),
  route(['DELETE'], 'registered-models/delete', 'write', async ({ services, scope, fields }) => {
    await services.models.delete(scope, fields.requiredText('name'))
    return {}
  }),
  route(['POST'], 'registered-models/set-tag', 'write', async ({ services, scope, fields }) => {
    await services.models.setTag(scope, fields.requiredText('name'), tagOf(fields))
    return {}
  }),
  route(['DELETE'], 'registered-models/delete-tag', 'write', async ({ services, scope, fields }) => {
    await services.models.deleteTag(scope, fields.requiredText('name'), fields.requiredText('key'))
    return {}
  }),
  route(['GET', 'POST'], 'registered-models/get-latest-versions', 'read', async ({ services, scope, fields }) => {
    const { latestVersions } = await services.models.get(scope, fields.requiredText('name'))
    const stages = fields.texts('stages').map(requireStage)
    const asked = stages.length === 0 ? latestVersions : latestVersions.filter(({ stage }) => stages.includes(stage))
    return listed('model_versions', asked.map(versionJson))
  }),
  route(['POST'], 'registered-models/alias', 'write', async ({ services, scope, caller, fields }) => {
    const wanted = { alias: fields.requiredText('alias'), version: versionNumber(fields) }
    await services.aliases.set(scope, fields.requiredText('name'), wanted, { protect: caller.may('protect') })
    return {}
  }),
  route(['DELETE'], 'registered-models/alias', 'write', async ({ services, scope, caller, fields }) => {
    const rights = { protect: caller.may('protect') }
    await services.aliases.remove(scope, fields.requiredText('name'), { alias: fields.requiredText('alias') }, rights)
    return {}
  }),
  route(['GET'], 'registered-models/alias', 'read', async ({ services, scope, fields }) => {
    const alias = fields.requiredText('alias')
    const version = await services.aliases.resolve(scope, fields.requiredText('name'), alias)
    // The reference server answers 400 here, and clients depend on it.
    if (version === undefined) throw new SlipwayError('SLW_INPUT_INVALID', `Registered model alias ${alias} not found.`)
    return { model_version: versionJson(version) }
  }),
  route(['POST'], 'model-versions/create', 'write', async ({ services, scope, fields, caller }) => {
    requireSource(caller, scope.environment, fields.requiredText('source'))
    const wanted: NewVersion = {
      source: fields.requiredText('source'),
      runId: fields.text('run_id'),
      runLink: fields.text('run_link'),
      loggedModelId: fields.text('model_id'),
      description: fields.text('description'),
      tags: fields.tags('tags'),
    }
    return { model_version: versionJson(await services.versions.create(scope, fields.requiredText('name'), wanted)) }
  }),
  route(['GET'], 'model-versions/get', 'read', async (call) => {
    const { services, scope, fields } = call
    return { model_version: versionJson(await services.versions.get(scope, fields.requiredText('name'), versionNumber(fields))) }
  }),
  route(['GET'], 'model-versions/get-download-uri', 'read', downloadUri),
  route(['GET'], 'model-versions/search', 'read', searchVersions),
  route(['PATCH'], 'model-versions/update', 'write', async ({ services, scope, fields }) => {
    const [name, number] = [fields.requiredText('name'), versionNumber(fields)]
    return { model_version: versionJson(await services.versions.describe(scope, name, number, fields.text('description') ?? '')) }
  }),
  route(['POST'], 'model-versions/transition-stage', 'write', async ({ services, scope, fields }) => {
    const move = { stage: fields.requiredText('stage'), archiveOthers: fields.flag('archive_existing_versions') }
    return {
      model_version: versionJson(await services.versions.moveToStage(scope, fields.requiredText('name'), versionNumber(fields), move)),
    }
  }),
  route(['DELETE'], 'model-versions/delete', 'write', async ({ services, scope, fields }) => {
    await services.versions.delete(scope, fields.requiredText('name'), versionNumber(fields))
    return {}
  }),
  route(['POST'], 'model-versions/set-tag', 'write', async ({ services, scope, fields }) => {
    await services.versions.setTag(scope, fields.requiredText('name'), versionNumber(fields), tagOf(fields))
    return {}
  }),
  route(['DELETE'], 'model-versions/delete-tag', 'write', async ({ services, scope, fields }) => {
    await services.versions.deleteTag(scope, fields.requiredText('name'), versionNumber(fields), fields.requiredText('key'))
    return {}
  }),
]

/** Address of the copy made when the version was registered; without a copy, the place that the source meant at that time. */
async function downloadUri({ services, scope, fields }: Call): Promise<object> {
  const version = await services.versions.get(scope, fields.requiredText('name'), versionNumber(fields))
  return { artifact_uri: version.digest === undefined ? (version.location ?? version.source) : `mlflow-artifacts:/versions/${version.id}` }
}

/** Clients send a text, people with curl a number. */
function versionNumber(fields: Fields): string {
  if (!fields.has('version')) return fields.missing('version')
  return String(fields.textOrInteger('version'))
}

function tagOf(fields: Fields): { key: string; value: string } {
  return { key: fields.requiredText('key'), value: fields.text('value') ?? '' }
}
