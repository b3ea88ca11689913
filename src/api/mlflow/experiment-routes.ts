import { SlipwayError } from '../../core/errors.ts'
import { route } from './call.ts'
import { experimentJson } from './entities.ts'
import { searchExperiments } from './search.ts'
import type { MlflowRoute } from './call.ts'

export const EXPERIMENT_ROUTES: readonly MlflowRoute[] = [
  route(['GET'], 'experiments/get-by-name', 'read', async ({ services, scope, fields }) => {
    const name = fields.requiredText('experiment_name')
    const experiment = await services.experiments.findByName(scope, name)
    if (experiment === undefined) throw new SlipwayError('SLW_NOT_FOUND', `Could not find experiment with name '${name}'`)
    return { experiment: experimentJson(experiment) }
  }),
  route(['GET'], 'experiments/get', 'read', async ({ services, scope, fields }) => ({
    experiment: experimentJson(await services.experiments.get(scope, fields.requiredText('experiment_id'))),
  })),
  route(['GET', 'POST'], 'experiments/search', 'read', searchExperiments),
  route(['POST'], 'experiments/create', 'write', async ({ services, scope, fields }) => {
    const artifactLocation = fields.text('artifact_location')
    const { id } = await services.experiments.create(scope, {
      name: fields.requiredText('name'),
      artifactLocation: artifactLocation === '' ? undefined : artifactLocation,
      tags: fields.tags('tags'),
    })
    return { experiment_id: id }
  }),
  route(['POST'], 'experiments/delete', 'write', async ({ services, scope, fields }) => {
    await services.experiments.delete(scope, fields.requiredText('experiment_id'))
    return {}
  }),
  route(['POST'], 'experiments/restore', 'write', async ({ services, scope, fields }) => {
    await services.experiments.restore(scope, fields.requiredText('experiment_id'))
    return {}
  }),
  route(['POST'], 'experiments/update', 'write', async ({ services, scope, fields }) => {
    await services.experiments.rename(scope, fields.requiredText('experiment_id'), fields.requiredText('new_name'))
    return {}
  }),
  route(['POST'], 'experiments/set-experiment-tag', 'write', async ({ services, scope, fields }) => {
    const tag = { key: fields.requiredText('key'), value: fields.text('value') ?? '' }
    await services.experiments.setTag(scope, fields.requiredText('experiment_id'), tag)
    return {}
  }),
  route(['POST'], 'experiments/delete-experiment-tag', 'write', async ({ services, scope, fields }) => {
    await services.experiments.deleteTag(scope, fields.requiredText('experiment_id'), fields.requiredText('key'))
    return {}
  }),
]
