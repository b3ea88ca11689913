import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import { addingModel } from '../adding-models.ts'
import { contentIdOf, planeInProcess } from '../api/in-plane.ts'
import type { Plane } from '../api/in-plane.ts'

/** What there is of each kind that an id can name, in one environment. */
interface Things {
  readonly experiment: string
  readonly run: string
  readonly logged: string
  readonly content: string
  readonly model: string
  readonly version: string
}

interface Told {
  readonly status: number
  readonly text: string
}

/** An environment of the attacker, with a key for models of theirs alone. */
const OWN = 'own'
/** An environment that they have no right in. */
const FOREIGN = 'foreign'

let plane: Plane
let root: string
let attacker: string
let own: Things
let foreign: Things
/** Of the attacker's environment, but of a model that they may not read. */
let hidden: Things
let unknown: Things

async function call(key: string, environment: string, method: string, path: string, body?: unknown): Promise<Told> {
  const bytes = body instanceof Uint8Array
  const response = await fetch(`${plane.url}/env/${environment}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body !== undefined && !bytes && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: bytes ? (body as never) : JSON.stringify(body) }),
  })
  return { status: response.status, text: await response.text() }
}

async function made(environment: string, method: string, path: string, body: unknown): Promise<any> {
  const { status, text } = await call(root, environment, method, path, body)
  assert.ok(status < 300, `${method} ${path}: ${status} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}

const V1 = '/api/v1'
const MLFLOW = '/api/2.0/mlflow'

async function thingsIn(environment: string, model: string, number: number, inRuns = true): Promise<Things> {
  const { experiment_id: experiment } = await made(environment, 'POST', `${MLFLOW}/experiments/create`, { name: `e-${number}` })
  const { run } = await made(environment, 'POST', `${MLFLOW}/runs/create`, { experiment_id: experiment, start_time: 1 })
  const id = run.info.run_id as string
  await made(environment, 'POST', `${MLFLOW}/runs/log-metric`, { run_id: id, key: 'secret-metric', value: number, timestamp: 1 })
  const logged = (await made(environment, 'POST', `${MLFLOW}/logged-models`, { experiment_id: experiment, source_run_id: id })).model.info
    .model_id as string
  const bytes = addingModel(number)
  const content = contentIdOf(bytes)
  await call(root, environment, 'PUT', `${V1}/contents/${content}`, bytes)
  await made(environment, 'POST', `${V1}/models`, { name: model })
  const path = `${V1}/models/${model}/versions`
  const version = await made(environment, 'POST', path, { files: [{ path: 'model.onnx', contentId: content }] })
  const artifacts = `/api/2.0/mlflow-artifacts/artifacts/${experiment}`
  if (inRuns) {
    await made(environment, 'PUT', `${artifacts}/${id}/artifacts/model/model.onnx`, bytes)
    await made(environment, 'PUT', `${artifacts}/models/${logged}/artifacts/model.onnx`, bytes)
  }
  const { database } = plane.plane.services.ground
  const row = await database.read
    .selectFrom('versions')
    .innerJoin('models', 'models.id', 'versions.model_id')
    .select('versions.id')
    .where('models.name', '=', model)
    .where('environment', '=', environment)
    .executeTakeFirstOrThrow()
  assert.equal(version.version, 1)
  return { experiment, run: id, logged, content, model, version: row.id }
}

before(async () => {
  plane = await planeInProcess()
  for (const name of [OWN, FOREIGN]) await plane.ask('POST', '/environments', { name })
  root = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body.key as string
  own = await thingsIn(OWN, 'mine', 1)
  foreign = await thingsIn(FOREIGN, 'theirs', 2)
  const { content, model, version } = await thingsIn(OWN, 'secret', 3, false)
  const hex = (): string => randomUUID().replaceAll('-', '')
  unknown = {
    experiment: '999999999999999999',
    run: hex(),
    logged: `m-${hex()}`,
    content: hex() + hex(),
    model: 'nothing',
    version: hex(),
  }
  // Runs of the environment are open to everybody with a role there; the content of a version is not, where no run has it.
  hidden = { ...unknown, content, model, version }
  attacker = (
    await plane.ask(
      'POST',
      '/keys',
      { name: 'attacker', scopes: ['developer'], environments: [OWN], models: ['mine*'] },
      { authorization: `Bearer ${root}` },
    )
  ).body.key as string
})

after(async () => {
  await plane[Symbol.asyncDispose]()
})

let fresh = 0

/** Each field of a body or query that is an id: a call that uses it, of things that are there or not. */
const FIELDS: Readonly<Record<string, (things: Things) => readonly [method: string, path: string, body?: unknown]>> = {
  'createVersion files.contentId': ({ content }) => [
    'POST',
    `${V1}/models/mine/versions`,
    { files: [{ path: `${++fresh}/model.onnx`, contentId: content }] },
  ],
  'createVersion source runs:': ({ run }) => ['POST', `${V1}/models/mine/versions`, { source: `runs:/${run}/model` }],
  'createVersion source models: of a logged model': ({ logged }) => ['POST', `${V1}/models/mine/versions`, { source: `models:/${logged}` }],
  'createVersion source models:': ({ model }) => ['POST', `${V1}/models/mine/versions`, { source: `models:/${model}/1` }],
  'createVersion source mlflow-artifacts: of a run': ({ run }) => [
    'POST',
    `${V1}/models/mine/versions`,
    { source: `mlflow-artifacts:/0/${run}/artifacts/model` },
  ],
  'createVersion source mlflow-artifacts: of a logged model': ({ logged }) => [
    'POST',
    `${V1}/models/mine/versions`,
    { source: `mlflow-artifacts:/0/models/${logged}/artifacts` },
  ],
  'createVersion provenance.runId': ({ run }) => [
    'POST',
    `${V1}/models/mine/versions`,
    { source: 's3://bucket/x', provenance: { runId: run } },
  ],
  'missingContents ids': ({ content }) => ['POST', `${V1}/contents/missing`, { ids: [content] }],
  'model-versions/create run_id': ({ run }) => [
    'POST',
    `${MLFLOW}/model-versions/create`,
    { name: 'mine', source: 's3://bucket/x', run_id: run },
  ],
  'model-versions/create model_id': ({ logged }) => [
    'POST',
    `${MLFLOW}/model-versions/create`,
    { name: 'mine', source: 's3://bucket/x', model_id: logged },
  ],
  'model-versions/create source': ({ run }) => ['POST', `${MLFLOW}/model-versions/create`, { name: 'mine', source: `runs:/${run}/model` }],
  'runs/create experiment_id': ({ experiment }) => ['POST', `${MLFLOW}/runs/create`, { experiment_id: experiment, start_time: 1 }],
  'runs/log-metric run_id': ({ run }) => ['POST', `${MLFLOW}/runs/log-metric`, { run_id: run, key: 'k', value: 1, timestamp: 1 }],
  'runs/log-metric model_id': ({ logged }) => [
    'POST',
    `${MLFLOW}/runs/log-metric`,
    { run_id: own.run, model_id: logged, key: 'k', value: 1, timestamp: 1 },
  ],
  'runs/log-batch run_id': ({ run }) => ['POST', `${MLFLOW}/runs/log-batch`, { run_id: run, metrics: [] }],
  'runs/log-inputs run_id': ({ run }) => ['POST', `${MLFLOW}/runs/log-inputs`, { run_id: run, datasets: [] }],
  'runs/log-inputs models.model_id': ({ logged }) => [
    'POST',
    `${MLFLOW}/runs/log-inputs`,
    { run_id: own.run, models: [{ model_id: logged }] },
  ],
  'runs/outputs models.model_id': ({ logged }) => [
    'POST',
    `${MLFLOW}/runs/outputs`,
    { run_id: own.run, models: [{ model_id: logged, step: 0 }] },
  ],
  'runs/set-tag run_id': ({ run }) => ['POST', `${MLFLOW}/runs/set-tag`, { run_id: run, key: 'k', value: 'v' }],
  'runs/update run_id': ({ run }) => ['POST', `${MLFLOW}/runs/update`, { run_id: run, status: 'RUNNING' }],
  'runs/delete-tag run_id': ({ run }) => ['POST', `${MLFLOW}/runs/delete-tag`, { run_id: run, key: 'k' }],
  'runs/get run_id': ({ run }) => ['GET', `${MLFLOW}/runs/get?run_id=${run}`],
  'runs/search experiment_ids': ({ experiment }) => ['POST', `${MLFLOW}/runs/search`, { experiment_ids: [experiment] }],
  'metrics/get-history run_id': ({ run }) => ['GET', `${MLFLOW}/metrics/get-history?run_id=${run}&metric_key=secret-metric`],
  'experiments/get experiment_id': ({ experiment }) => ['GET', `${MLFLOW}/experiments/get?experiment_id=${experiment}`],
  'experiments/set-experiment-tag experiment_id': ({ experiment }) => [
    'POST',
    `${MLFLOW}/experiments/set-experiment-tag`,
    { experiment_id: experiment, key: 'k', value: 'v' },
  ],
  'logged-models experiment_id': ({ experiment }) => ['POST', `${MLFLOW}/logged-models`, { experiment_id: experiment }],
  'logged-models source_run_id': ({ run }) => ['POST', `${MLFLOW}/logged-models`, { experiment_id: own.experiment, source_run_id: run }],
  'logged-models/search experiment_ids': ({ experiment }) => ['POST', `${MLFLOW}/logged-models/search`, { experiment_ids: [experiment] }],
  'artifacts/list run_id': ({ run }) => ['GET', `${MLFLOW}/artifacts/list?run_id=${run}`],
  'get-artifact run_id': ({ run }) => ['GET', `/get-artifact?run_id=${run}&path=model/model.onnx`],
  'mlflow-artifacts path of a run': ({ run }) => ['GET', `/api/2.0/mlflow-artifacts/artifacts/0/${run}/artifacts/model/model.onnx`],
  'mlflow-artifacts path of a version': ({ version }) => ['GET', `/api/2.0/mlflow-artifacts/artifacts/versions/${version}/model.onnx`],
  'mlflow-artifacts list of a version': ({ version }) => ['GET', `/api/2.0/mlflow-artifacts/artifacts?path=versions/${version}`],
  'mpu/create path': ({ run }) => ['POST', `/api/2.0/mlflow-artifacts/mpu/create/0/${run}/artifacts`, { path: 'x', num_parts: 1 }],
}

/** An answer without what differs by chance: the ids that were asked for, and what was made. */
function plain({ status, text }: Told, { model }: Things): string {
  const chance = [
    /m-[0-9a-f]{32}|[0-9a-f]{32,64}/g,
    /(?<=id[=" :']{1,3})\d+/gi,
    /\d{13}|\d{4}-\d\d-\d\dT[\d:.]+Z|"(version|number|resourceVersion)":"?\d+"?/g,
    /"name":"\w+-\w+-\d+"/g,
  ]
  return `${status} ${chance.reduce((said, what) => said.replaceAll(what, '#'), text).replaceAll(model, 'MODEL')}`
}

describe('an id of another environment, or of what one may not read', () => {
  for (const [field, request] of Object.entries(FIELDS))
    it(`${field}: answers as an id of nothing does, and tells nothing`, async () => {
      const mine = await call(attacker, OWN, ...request(own))
      assert.ok(mine.status < 300, `one's own: ${mine.status} ${mine.text}`)
      const nothing = await call(attacker, OWN, ...request(unknown))
      for (const [whose, things] of Object.entries({ foreign, hidden })) {
        const told = await call(attacker, OWN, ...request(things))
        assert.equal(plain(told, things), plain(nothing, unknown), whose)
        assert.equal(told.text.includes('secret-metric'), false, told.text)
      }
    })

  it('gives its bytes to whoever has them anyway', async () => {
    const bytes = addingModel(2)
    assert.equal(contentIdOf(bytes), foreign.content)
    assert.equal((await call(attacker, OWN, 'PUT', `${V1}/contents/${foreign.content}`, bytes)).status, 200)
    const body = { files: [{ path: 'model.onnx', contentId: foreign.content }] }
    assert.equal((await call(attacker, OWN, 'POST', `${V1}/models/mine/versions`, body)).status, 201)
  })

  it('is in no body of a route that has no entry above', () => {
    const ids: string[] = []
    const look = (operation: string, schema: any, path: string): void => {
      for (const [name, inner] of Object.entries<any>(schema?.properties ?? {})) {
        const at = path === '' ? name : `${path}.${name}`
        if (/Ids?$|^ids?$|^source$|^parent/.test(name) && inner.type !== 'object') ids.push(`${operation} ${at}`)
        look(operation, inner, at)
        look(operation, inner.items, at)
      }
    }
    for (const { operation, body } of ROOMS.routes) look(operation, body, '')
    const covered = ids.filter((id) => !Object.keys(FIELDS).some((field) => field.startsWith(id)))
    // Notes of what the version was made from, never looked up; and what servers say of their own starts and endpoints.
    assert.deepEqual(covered, [
      'createVersion provenance.parentVersion',
      'reportServer bootId',
      'joinServer bootId',
      'pushWindows windows.key.source',
      'pushWindows windows.key.bootId',
    ])
  })
})
