import { SlipwayError } from '../../core/errors.ts'
import { RUN_STATUSES } from '../../tracking/read-runs.ts'
import { listFolder } from '../../files/file-trees.ts'
import { route } from './call.ts'
import { listed, metricJson, runInfoJson, runJson, sizeJson } from './entities.ts'
import { searchRuns } from './search.ts'
import { listingPath, offsetOf, tokenOf } from './paging.ts'
import type { Call, MlflowRoute } from './call.ts'
import type { Fields } from './fields.ts'
import type { LoggedPoint, NewDatasetUse } from '../../tracking/run-data.ts'

/** Default and upper limit of the points in one answer: as many as a client would wait for. */
const HISTORY_MAX = 25_000
const APPENDED_TAG = 'mlflow.log-model.history'

export const RUN_ROUTES: readonly MlflowRoute[] = [
  route(['POST'], 'runs/create', 'write', async ({ services, scope, fields }) => {
    const run = await services.runs.create(scope, {
      experimentId: fields.text('experiment_id') ?? refuseWithoutExperiment(),
      name: fields.text('run_name'),
      userId: fields.text('user_id'),
      startTime: fields.integer('start_time'),
      tags: fields.tags('tags'),
    })
    return { run: runJson(run) }
  }),
  route(['GET'], 'runs/get', 'read', async ({ services, scope, fields }) => ({
    run: runJson(await services.runs.get(scope, runId(fields))),
  })),
  route(['POST'], 'runs/update', 'write', async ({ services, scope, fields }) => {
    const run = await services.runs.update(scope, runId(fields), {
      status: fields.oneOf('status', RUN_STATUSES),
      endTime: fields.integer('end_time'),
      name: fields.text('run_name'),
    })
    return { run_info: runInfoJson(run) }
  }),
  route(['POST'], 'runs/delete', 'write', async ({ services, scope, fields }) => {
    await services.runs.delete(scope, runId(fields))
    return {}
  }),
  route(['POST'], 'runs/restore', 'write', async ({ services, scope, fields }) => {
    await services.runs.restore(scope, runId(fields))
    return {}
  }),
  route(['POST'], 'runs/log-batch', 'write', async ({ services, scope, fields }) => {
    const metrics = fields.objects('metrics').map(pointOf)
    await services.runData.log(scope, runId(fields), { metrics, params: fields.tags('params'), tags: fields.tags('tags') })
    return {}
  }),
  route(['POST'], 'runs/log-metric', 'write', async ({ services, scope, fields }) => {
    await services.runData.log(scope, runId(fields), { metrics: [pointOf(fields)] })
    return {}
  }),
  route(['POST'], 'runs/log-parameter', 'write', async ({ services, scope, fields }) => {
    const param = { key: fields.requiredText('key'), value: fields.text('value') ?? '' }
    await services.runData.log(scope, runId(fields), { params: [param] })
    return {}
  }),
  route(['POST'], 'runs/set-tag', 'write', async ({ services, scope, fields }) => {
    await services.runs.setTags(scope, runId(fields), [{ key: fields.requiredText('key'), value: fields.text('value') ?? '' }])
    return {}
  }),
  route(['POST'], 'runs/delete-tag', 'write', async ({ services, scope, fields }) => {
    await services.runs.deleteTag(scope, runId(fields), fields.requiredText('key'))
    return {}
  }),
  route(['POST'], 'runs/log-inputs', 'write', async ({ services, scope, fields }) => {
    const models = fields.objects('models').map((model) => model.requiredText('model_id'))
    await services.runData.logInputs(scope, runId(fields), { datasets: fields.objects('datasets').map(datasetOf), models })
    return {}
  }),
  route(['POST'], 'runs/outputs', 'write', async ({ services, scope, fields }) => {
    const models = fields.objects('models').map((model) => ({ modelId: model.requiredText('model_id'), step: model.integer('step') ?? 0 }))
    await services.runData.logOutputs(scope, runId(fields), models)
    return {}
  }),
  route(['POST'], 'runs/log-model', 'write', logModel),
  route(['POST'], 'runs/search', 'read', searchRuns),
  route(['GET'], 'metrics/get-history', 'read', async ({ services, scope, fields }) => {
    const asked = fields.integer('max_results') ?? HISTORY_MAX
    if (asked < 1)
      throw new SlipwayError(
        'SLW_INPUT_INVALID',
        `Invalid value ${asked} for parameter 'max_results' supplied. It must be a positive integer.`,
      )
    const page = { offset: offsetOf(fields.text('page_token')), limit: Math.min(asked, HISTORY_MAX) }
    const { points, next } = await services.runData.history(scope, runId(fields), fields.requiredText('metric_key'), page)
    return { ...listed('metrics', points.map(metricJson)), ...(next !== undefined && { next_page_token: tokenOf(next) }) }
  }),
  route(['GET'], 'artifacts/list', 'read', async ({ services, scope, fields }) => {
    const run = await services.runs.get(scope, runId(fields))
    const path = listingPath(fields.text('path'))
    const entries = await listFolder(services.ground.database.read, `run:${run.id}`, path)
    return {
      root_uri: run.artifactUri,
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

function refuseWithoutExperiment(): never {
  throw new SlipwayError('SLW_BAD_REQUEST', 'a run belongs to an experiment: experiment_id is missing')
}

/** Clients send the id of a run under two names. */
function runId(fields: Fields): string {
  return fields.text('run_id') ?? fields.text('run_uuid') ?? fields.missing('run_id')
}

function pointOf(fields: Fields): LoggedPoint {
  return {
    key: fields.requiredText('key'),
    value: fields.requiredNumber('value'),
    timestamp: fields.requiredInteger('timestamp'),
    step: fields.integer('step') ?? 0,
    modelId: fields.text('model_id'),
    datasetName: fields.text('dataset_name'),
    datasetDigest: fields.text('dataset_digest'),
  }
}

function datasetOf(fields: Fields): NewDatasetUse {
  const dataset = fields.object('dataset')
  return {
    tags: fields.tags('tags'),
    dataset: {
      name: dataset.requiredText('name'),
      digest: dataset.requiredText('digest'),
      sourceType: dataset.requiredText('source_type'),
      source: dataset.requiredText('source'),
      schema: dataset.text('schema'),
      profile: dataset.text('profile'),
    },
  }
}

function requireModelInfo(text: string): void {
  try {
    JSON.parse(text)
  } catch {
    throw new SlipwayError('SLW_INPUT_INVALID', `Malformed model info. ${text.slice(0, 200)} is not a valid JSON.`)
  }
}

/** Clients of the second major version report the models they logged, and the server keeps a list of them in a tag. */
async function logModel({ services, scope, fields }: Call): Promise<object> {
  const id = runId(fields)
  const text = fields.requiredText('model_json')
  const { tags } = await services.runs.get(scope, id)
  const before = tags.find(({ key }) => key === APPENDED_TAG)?.value
  requireModelInfo(text)
  const value = before === undefined || before === '[]' ? `[${text}]` : `${before.slice(0, -1)}, ${text}]`
  await services.runs.setTags(scope, id, [{ key: APPENDED_TAG, value }])
  return {}
}
