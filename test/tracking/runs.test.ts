import assert from 'node:assert/strict'
import { ANNA, eachRegistry } from '../models/in-registry.ts'

const BOB = { environment: 'other', actor: 'bob' }

eachRegistry('an experiment has a name of its own, tags, and a life', async ({ experiments, runs }) => {
  const { id } = await experiments.create(ANNA, { name: 'a', tags: [{ key: 'k', value: '1' }] })
  assert.equal(id, '1')
  const found = await experiments.get(ANNA, id)
  assert.deepEqual([found.name, found.artifactLocation, found.tags], ['a', 'mlflow-artifacts:/1', [{ key: 'k', value: '1' }]])
  await assert.rejects(experiments.create(ANNA, { name: 'a' }), { code: 'SLW_ALREADY_EXISTS' })
  await experiments.rename(ANNA, id, 'b')
  await assert.rejects(experiments.rename(ANNA, id, 'Default'), { code: 'SLW_ALREADY_EXISTS' })
  await experiments.setTag(ANNA, id, { key: 'k', value: '2' })
  await experiments.deleteTag(ANNA, id, 'k')
  await assert.rejects(experiments.deleteTag(ANNA, id, 'k'), { code: 'SLW_NOT_FOUND' })
  const run = await runs.create(ANNA, { experimentId: id })
  await experiments.delete(ANNA, id)
  assert.equal((await runs.get(ANNA, run.id)).lifecycleStage, 'deleted')
  await assert.rejects(experiments.delete(ANNA, id), { code: 'SLW_NOT_FOUND' })
  await assert.rejects(experiments.create(ANNA, { name: 'b' }), /in the trash/)
  await assert.rejects(runs.create(ANNA, { experimentId: id }), { code: 'SLW_INPUT_INVALID' })
  await experiments.restore(ANNA, id)
  assert.equal((await runs.get(ANNA, run.id)).lifecycleStage, 'active')
})

eachRegistry('what is in one environment is not there from another', async ({ experiments, runs, models, loggedModels }) => {
  const run = await runs.create(ANNA, { experimentId: '0' })
  const made = await loggedModels.create(ANNA, { experimentId: '0' })
  await models.create(ANNA, { name: 'm' })
  await assert.rejects(runs.get(BOB, run.id), { code: 'SLW_NOT_FOUND' })
  await assert.rejects(runs.delete(BOB, run.id), { code: 'SLW_NOT_FOUND' })
  await assert.rejects(experiments.get(BOB, '0'), { code: 'SLW_NOT_FOUND' })
  await assert.rejects(loggedModels.get(BOB, made.id), { code: 'SLW_NOT_FOUND' })
  await assert.rejects(models.get(BOB, 'm'), { code: 'SLW_NOT_FOUND' })
  await models.create(BOB, { name: 'm' })
})

eachRegistry(
  'places on this machine, and on hosts that would be sent the token, are refused as artifact locations',
  async ({ experiments }) => {
    const onThisMachine = ['/etc', 'file:///etc', '../x', 's3://b/../c', 's3://b/%252e%252e/c', 'runs:/x', 's3://b?x']
    const onAnother = ['http://other/x', 'HTTPS://other/x', 'mlflow-artifacts://other/x']
    for (const artifactLocation of [...onThisMachine, ...onAnother])
      await assert.rejects(
        experiments.create(ANNA, { name: artifactLocation, artifactLocation }),
        { code: 'SLW_INPUT_INVALID' },
        artifactLocation,
      )
    const { artifactLocation } = await experiments.create(ANNA, { name: 's3', artifactLocation: 's3://bucket/path' })
    assert.equal(artifactLocation, 's3://bucket/path')
  },
)

eachRegistry(
  'metrics reach no logged model of another environment, and none that is deleted',
  async ({ experiments, runs, runData, loggedModels }) => {
    const theirs = await experiments.create(BOB, { name: 'theirs' })
    const other = await loggedModels.create(BOB, { experimentId: theirs.id })
    const deleted = await loggedModels.create(ANNA, { experimentId: '0' })
    await loggedModels.delete(ANNA, deleted.id)
    const run = await runs.create(ANNA, { experimentId: '0' })
    for (const modelId of [other.id, deleted.id])
      await assert.rejects(runData.log(ANNA, run.id, { metrics: [{ key: 'auc', value: 0.1, timestamp: 1, step: 0, modelId }] }), {
        code: 'SLW_NOT_FOUND',
      })
    assert.deepEqual((await loggedModels.get(BOB, other.id)).metrics, [])
  },
)

eachRegistry('a run has one name, whoever gives it', async ({ runs }) => {
  const named = await runs.create(ANNA, { experimentId: '0', name: 'n', startTime: 5 })
  assert.deepEqual([named.name, named.startTime, named.tags], ['n', 5, [{ key: 'mlflow.runName', value: 'n' }]])
  const tagged = await runs.create(ANNA, { experimentId: '0', tags: [{ key: 'mlflow.runName', value: 't' }] })
  assert.equal(tagged.name, 't')
  assert.match((await runs.create(ANNA, { experimentId: '0' })).name, /^\w+-\w+-\d+$/)
  await assert.rejects(runs.create(ANNA, { experimentId: '0', name: 'a', tags: [{ key: 'mlflow.runName', value: 'b' }] }))
  await runs.setTags(ANNA, named.id, [{ key: 'mlflow.runName', value: 'renamed' }])
  assert.equal((await runs.get(ANNA, named.id)).name, 'renamed')
  const updated = await runs.update(ANNA, named.id, { name: 'again', status: 'FINISHED', endTime: 9 })
  assert.deepEqual([updated.name, updated.status, updated.endTime], ['again', 'FINISHED', 9])
  assert.deepEqual(updated.tags, [{ key: 'mlflow.runName', value: 'again' }])
})

eachRegistry('a batch is logged wholly or not at all', async ({ runs, runData }) => {
  const { id } = await runs.create(ANNA, { experimentId: '0' })
  await runData.log(ANNA, id, { params: [{ key: 'p', value: '1' }] })
  await runData.log(ANNA, id, { params: [{ key: 'p', value: '1' }] })
  const mixed = {
    metrics: [{ key: 'm', value: 1, timestamp: 1, step: 0 }],
    params: [
      { key: 'q', value: '2' },
      { key: 'p', value: 'other' },
    ],
    tags: [{ key: 't', value: '1' }],
  }
  await assert.rejects(runData.log(ANNA, id, mixed), /Changing param values is not allowed/)
  const run = await runs.get(ANNA, id)
  assert.deepEqual([run.metrics, run.params], [[], [{ key: 'p', value: '1' }]])
  assert.ok(run.tags.every(({ key }) => key !== 't'))
  await assert.rejects(runData.log(ANNA, id, { params: Array.from({ length: 101 }, (_, index) => ({ key: `p${index}`, value: '' })) }))
  await runs.delete(ANNA, id)
  await assert.rejects(runData.log(ANNA, id, { tags: [{ key: 't', value: '1' }] }), /must be in the 'active' state/)
})

eachRegistry(
  'of a metric every point is kept once, and the one of the largest step, time and value is its latest',
  async ({ runs, runData }) => {
    const { id } = await runs.create(ANNA, { experimentId: '0' })
    const point = (value: number, step: number, timestamp: number) => ({ key: 'm', value, step, timestamp })
    await runData.log(ANNA, id, { metrics: [point(3, 2, 10), point(1, 1, 30), point(3, 2, 10)] })
    await runData.log(ANNA, id, { metrics: [point(3, 2, 10), point(2, 2, 10), point(Number.NaN, 0, 1), point(-Infinity, 0, 2)] })
    const [latest] = (await runs.get(ANNA, id)).metrics
    assert.deepEqual(latest, point(3, 2, 10))
    const { points, next } = await runData.history(ANNA, id, 'm', { limit: 10 })
    assert.equal(next, undefined)
    assert.deepEqual(points, [point(Number.NaN, 0, 1), point(-Number.MAX_VALUE, 0, 2), point(2, 2, 10), point(3, 2, 10), point(1, 1, 30)])
    const first = await runData.history(ANNA, id, 'm', { limit: 2 })
    assert.deepEqual([first.points.length, first.next], [2, 2])
    assert.deepEqual((await runData.history(ANNA, id, 'm', { limit: 2, offset: 4 })).points, [point(1, 1, 30)])
    assert.deepEqual((await runData.history(ANNA, id, 'none', { limit: 2 })).points, [])
  },
)

eachRegistry('runs that log at once lose nothing', async ({ runs, runData }) => {
  const { id } = await runs.create(ANNA, { experimentId: '0' })
  await Promise.all(
    Array.from({ length: 20 }, (_, step) => runData.log(ANNA, id, { metrics: [{ key: 'm', value: step, timestamp: step, step }] })),
  )
  assert.equal((await runData.history(ANNA, id, 'm', { limit: 100 })).points.length, 20)
  assert.equal((await runs.get(ANNA, id)).metrics[0]?.step, 19)
})

eachRegistry('datasets and models of a run are listed once, in the order in which they came', async ({ runs, runData, loggedModels }) => {
  const { id } = await runs.create(ANNA, { experimentId: '0' })
  const model = await loggedModels.create(ANNA, { experimentId: '0', sourceRunId: id, name: 'made' })
  const dataset = (name: string) => ({
    dataset: { name, digest: 'd', sourceType: 'local', source: '{}', schema: undefined, profile: undefined },
    tags: [{ key: 'mlflow.data.context', value: 'train' }],
  })
  await runData.logInputs(ANNA, id, { datasets: [dataset('b'), dataset('a')], models: [model.id] })
  await runData.logInputs(ANNA, id, { datasets: [dataset('b')], models: [model.id] })
  await runData.logOutputs(ANNA, id, [{ modelId: model.id, step: 3 }])
  const run = await runs.get(ANNA, id)
  assert.deepEqual(
    run.datasets.map((use) => [use.dataset.name, use.tags]),
    [
      ['b', [{ key: 'mlflow.data.context', value: 'train' }]],
      ['a', [{ key: 'mlflow.data.context', value: 'train' }]],
    ],
  )
  assert.deepEqual([run.inputModels, run.outputModels], [[{ modelId: model.id, step: 0 }], [{ modelId: model.id, step: 3 }]])
  await runData.log(ANNA, id, { metrics: [{ key: 'acc', value: 0.5, timestamp: 1, step: 0, modelId: model.id }] })
  assert.equal((await loggedModels.get(ANNA, model.id)).metrics[0]?.value, 0.5)
  const missing = { key: 'acc', value: 0.5, timestamp: 1, step: 0, modelId: 'm-none' }
  await assert.rejects(runData.log(ANNA, id, { metrics: [missing] }), { code: 'SLW_NOT_FOUND' })
})

eachRegistry('a logged model is pending until it is finished', async ({ loggedModels }) => {
  const model = await loggedModels.create(ANNA, { experimentId: '0', name: 'm', tags: [{ key: 'a', value: '1' }] })
  assert.deepEqual([model.status, model.artifactUri], ['LOGGED_MODEL_PENDING', `mlflow-artifacts:/0/models/${model.id}/artifacts`])
  assert.equal((await loggedModels.finish(ANNA, model.id, 'LOGGED_MODEL_READY')).status, 'LOGGED_MODEL_READY')
  await loggedModels.setTags(ANNA, model.id, [{ key: 'a', value: '2' }])
  await loggedModels.logParams(ANNA, model.id, [{ key: 'p', value: '1' }])
  const read = await loggedModels.get(ANNA, model.id)
  assert.deepEqual([read.tags, read.params], [[{ key: 'a', value: '2' }], [{ key: 'p', value: '1' }]])
  await loggedModels.deleteTag(ANNA, model.id, 'a')
  await assert.rejects(loggedModels.deleteTag(ANNA, model.id, 'a'), { code: 'SLW_NOT_FOUND' })
  await loggedModels.delete(ANNA, model.id)
  await assert.rejects(loggedModels.get(ANNA, model.id), { code: 'SLW_NOT_FOUND' })
  for (const name of ['a/b', 'a:b', 'a.b', "a'b"]) await assert.rejects(loggedModels.create(ANNA, { experimentId: '0', name }))
})
