import assert from 'node:assert/strict'
import { it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { planeInProcess, push } from '../api/in-plane.ts'
import { added, deploy, follows } from '../following/following.ts'
import { slipway } from '../cli/slipway.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Plane } from '../api/in-plane.ts'

async function inEnvironment(
  plane: Plane,
  environment: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const response = await fetch(`${plane.url}/env/${environment}/api/v1${path}`, {
    method,
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as any }
}

it('a version is promoted by its digest, keeps where it came from, and each environment has its own aliases and endpoints', async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await plane.ask('POST', '/environments', { name: 'production' })
  await plane.ask('POST', '/models', { name: 'adder' })
  for (const number of [1, 2])
    await push(plane, 'adder', { 'model.onnx': Buffer.from(addingModel(number)) }, { tags: { n: String(number) } })
  await plane.ask('PUT', '/models/adder/aliases/champion', { version: 2 })
  assert.equal((await inEnvironment(plane, 'production', 'GET', '/models/adder')).status, 404)
  const run = await slipway(['promote', 'adder@champion', '--to', 'production', '--reason', 'good enough', '--url', plane.url])
  assert.equal(run.code, 0, run.stderr)
  const { body: version } = await inEnvironment(plane, 'production', 'GET', '/models/adder/versions/1')
  assert.deepEqual(
    [version.provenance.promotedFrom, version.tags, version.aliases],
    [{ environment: 'default', version: 2 }, { n: '2' }, ['champion']],
  )
  const source = (await plane.ask('GET', '/models/adder/versions/2')).body
  assert.deepEqual([version.digest, version.signature, version.scan], [source.digest, source.signature, source.scan])
  const again = await slipway(['promote', 'adder/2', '--to', 'production', '--no-alias', '--url', plane.url, '-o', 'json'])
  assert.deepEqual([JSON.parse(again.stdout).version, JSON.parse(again.stdout).created], [1, false])
  const { body: events } = await inEnvironment(plane, 'production', 'GET', '/events?kind=version')
  assert.deepEqual(
    events.items.map(({ name, reason, after }: Record<string, any>) => [name, reason, after.promotedFrom.environment]),
    [['adder/1', 'good enough', 'default']],
  )
  // MLflow's clients see it below their address.
  const found = await fetch(`${plane.url}/env/production/api/2.0/mlflow/registered-models/alias?name=adder&alias=champion`)
  assert.equal(((await found.json()) as any).model_version.version, '1')
  const experiment = await fetch(`${plane.url}/env/production/api/2.0/mlflow/runs/create`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"experiment_id":"0","start_time":1}',
  })
  assert.equal(experiment.status, 200, 'who has chosen no experiment means the one of the environment')
  const { experiment_id: own } = ((await experiment.json()) as any).run.info
  assert.notEqual(own, '0')
  const searched = await fetch(`${plane.url}/env/production/api/2.0/mlflow/runs/search`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"experiment_ids":["0"]}',
  })
  assert.equal(((await searched.json()) as any).runs.length, 1)
  // A server of production serves what production has declared, and nothing else.
  await deploy(plane)
  const document = {
    apiVersion: 'slipway/v1',
    kind: 'Endpoint',
    metadata: { name: 'adder' },
    spec: { variants: [{ model: 'adder@champion' }] },
  }
  await plane.ask('PUT', '/models/adder/aliases/champion', { version: 1 })
  assert.equal((await inEnvironment(plane, 'production', 'PUT', '/endpoints/adder', document)).status, 201)
  await using there = await follows(plane.url, folder.path, { controlPlane: { environment: 'production' } as never })
  assert.equal(await added(there), 2)
  await using here = await follows(plane.url, folder.path, { name: 'two' })
  await until(async () => (await added(here)) === 1, 'the first environment has its own')
  assert.equal((await plane.ask('DELETE', '/environments/production')).status, 409, 'there is something in it')
})

it('where a second person is asked for, who has promoted does not approve', async () => {
  await using plane = await planeInProcess()
  const { key: root } = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body as { key: string }
  const as = { authorization: `Bearer ${root}` }
  const keyOf = async (name: string) => ({
    authorization: `Bearer ${((await plane.ask('POST', '/keys', { name, scopes: ['operator'] }, as)).body as { key: string }).key}`,
  })
  const [anna, otto] = [await keyOf('anna'), await keyOf('otto')]
  await plane.ask('POST', '/environments', { name: 'production' }, as)
  await plane.ask('POST', '/models', { name: 'm' }, anna)
  const bytes = Buffer.from(addingModel(1))
  const { contentIdOf } = await import('../api/in-plane.ts')
  await plane.ask('PUT', `/contents/${contentIdOf(bytes)}`, bytes, anna)
  assert.equal(
    (await plane.ask('POST', '/models/m/versions', { files: [{ path: 'model.onnx', contentId: contentIdOf(bytes) }] }, anna)).status,
    201,
  )
  await inEnvironment(plane, 'production', 'POST', '/models', { name: 'm' }, as)
  const policy = { gatedAliases: ['champion'], approval: true, secondPerson: true }
  assert.equal((await inEnvironment(plane, 'production', 'PATCH', '/models/m', { policy }, as)).status, 200)
  const promote = (who: Record<string, string>) =>
    plane.ask('POST', '/models/m/versions/1/promote', { to: 'production', alias: 'champion' }, who)
  const waiting = await promote(anna)
  assert.deepEqual([waiting.status, waiting.body.code], [403, 'SLW_POLICY_REFUSED'])
  const { body: version } = await inEnvironment(plane, 'production', 'GET', '/models/m/versions/1', undefined, as)
  assert.equal(version.approval.state, 'pending', 'it is there, and waits')
  const approve = (who: Record<string, string>) =>
    inEnvironment(plane, 'production', 'PUT', '/models/m/versions/1/approval', { state: 'approved' }, who)
  const path = await approve(anna)
  assert.deepEqual([path.status, path.body.code], [403, 'SLW_POLICY_REFUSED'], JSON.stringify(path.body))
  assert.equal((await approve(otto)).status, 200)
  assert.equal((await promote(anna)).status, 200)
})
