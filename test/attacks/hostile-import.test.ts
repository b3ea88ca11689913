/** A server that somebody imports from says what it likes: nothing of that reaches another environment, holds up others, or breaks what is here. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { addingModel } from '../adding-models.ts'
import { planeInProcess, push } from '../api/in-plane.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Plane } from '../api/in-plane.ts'

type Answer = object | string | Buffer | ((request: IncomingMessage, response: ServerResponse, path: string) => void)

const RUN = 'a'.repeat(32)
const LOGGED = `m-${'b'.repeat(32)}`
const experiment = { experiment_id: '7', name: 'theirs' }
const ONE = { 'experiments/search': { experiments: [experiment] } }
const WITH_RUN = { ...ONE, 'runs/search': { runs: [{ info: { run_id: RUN, experiment_id: '7' } }] } }
const modelOf = (version: object): Record<string, Answer> => ({
  ...ONE,
  'registered-models/search': { registered_models: [{ name: 'brought' }] },
  'model-versions/search': { model_versions: [{ name: 'brought', version: '1', ...version }] },
})

/** What a server answers, by the end of a route; everything else is empty. */
let answers: Readonly<Record<string, Answer>> = {}
let from: string
let plane: Plane

const server = createServer((request, response) => {
  request.resume()
  const path = (request.url ?? '').split('?', 1)[0]!
  const answer = Object.entries(answers).find(([end]) => path.endsWith(end))?.[1] ?? {}
  response.setHeader('content-type', 'application/json')
  if (typeof answer === 'function') answer(request, response, path)
  else response.end(Buffer.isBuffer(answer) || typeof answer === 'string' ? answer : JSON.stringify(answer))
})

before(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  from = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  plane = await planeInProcess({ allowPrivateAddresses: true })
  for (const name of ['foreign', 'slow']) assert.equal((await plane.ask('POST', '/environments', { name })).status, 201)
})

after(async () => {
  await plane[Symbol.asyncDispose]()
  server.closeAllConnections()
  server.close()
})

async function mlflow(method: string, path: string, body?: object | Buffer, environment?: string): Promise<{ status: number; body: any }> {
  const response = await fetch(`${plane.url}${environment === undefined ? '' : `/env/${environment}`}/api/2.0/${path}`, {
    method,
    ...(body !== undefined && { body: Buffer.isBuffer(body) ? (body as never) : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
}

interface Ended {
  readonly state: string
  readonly error: string
}

/** Imports what the server answers with now, to the end. */
async function imported(said: Readonly<Record<string, Answer>>, name = from): Promise<Ended> {
  answers = said
  const { status, body } = await plane.ask('POST', '/imports', { from: name })
  assert.equal(status, 202, JSON.stringify(body))
  for (let tries = 0; tries < 1500; tries++) {
    const { body: now } = await plane.ask('GET', `/imports/${body.id}`)
    if (now.state !== 'running') return { state: now.state, error: now.error ?? '' }
    await sleep(20)
  }
  throw new Error('the import does not end')
}

describe('an import from a server', () => {
  const REFUSED: readonly (readonly [what: string, answers: Record<string, Answer>, says: RegExp])[] = [
    ['that speaks no JSON', { 'experiments/search': '<html>hello</html>' }, /not as MLflow does/],
    ['that answers with a word', { 'experiments/search': 'null' }, /not as MLflow does/],
    ['with experiments that are no list', { 'experiments/search': { experiments: { length: 9 } } }, /experiments that are no list/],
    [
      'with an experiment of no name',
      { 'experiments/search': { experiments: [{ experiment_id: '1' }] } },
      /no experiment of MLflow: .*name/,
    ],
    [
      'with a name that is a number',
      { 'experiments/search': { experiments: [{ experiment_id: '1', name: 5 }] } },
      /no experiment of MLflow: name must be string/,
    ],
    [
      'with an id that is a path',
      { 'experiments/search': { experiments: [{ experiment_id: '../../x', name: 'x' }] } },
      /experiment_id must match/,
    ],
    [
      'with a NUL in a tag',
      { 'experiments/search': { experiments: [{ ...experiment, tags: [{ key: 'k', value: 'a\0b' }] }] } },
      /is no text/,
    ],
    ['with half a character', { 'experiments/search': `{"experiments":[{"experiment_id":"1","name":"\\ud800"}]}` }, /is no text/],
    [
      'with a run without an experiment',
      { ...ONE, 'runs/search': { runs: [{ info: { run_id: RUN, experiment_id: '8' } }] } },
      /experiment 8, and no such/,
    ],
    [
      'with a run whose status nobody knows',
      { ...ONE, 'runs/search': { runs: [{ info: { run_id: RUN, experiment_id: '7', status: 'GREAT' } }] } },
      /must be one of/,
    ],
    [
      'with a million tags',
      { 'experiments/search': { experiments: [{ ...experiment, tags: Array.from({ length: 100_000 }, (_, i) => ({ key: `k${i}` })) }] } },
      /must not have more than 10000 items/,
    ],
    ['with a file outside', { ...WITH_RUN, 'artifacts/list': { files: [{ path: '../../etc/passwd' }] } }, /Invalid path/],
    ['with folders within folders', { ...WITH_RUN, 'artifacts/list': { files: [{ path: 'again', is_dir: true }] } }, /without end/],
    [
      'with more and more folders',
      { ...WITH_RUN, 'artifacts/list': { files: Array.from({ length: 20_000 }, (_, i) => ({ path: `d${i}`, is_dir: true })) } },
      /without end/,
    ],
    [
      'that says the same next page again',
      { 'experiments/search': { experiments: [experiment], next_page_token: 'x' } },
      /pages of experiments without end/,
    ],
    [
      'that has always another empty page',
      { 'experiments/search': (_, response) => void response.end(JSON.stringify({ next_page_token: String(Math.random()) })) },
      /pages of experiments without end/,
    ],
    [
      'with a page of 20 MB',
      { 'experiments/search': Buffer.concat([Buffer.from('{"x":['), Buffer.alloc(20_000_000, '1,'), Buffer.from('1]}')]) },
      /more than 16777216 bytes/,
    ],
    ['with brackets alone', { 'experiments/search': Buffer.alloc(16_000_000, '[') }, /not as MLflow does/],
    [
      'that sends more of a file than it has said',
      { ...WITH_RUN, 'artifacts/list': { files: [{ path: 'f', file_size: 3 }] }, 'get-artifact': Buffer.alloc(100_000) },
      /3 were announced/,
    ],
    [
      'that sends less',
      { ...WITH_RUN, 'artifacts/list': { files: [{ path: 'f', file_size: 9 }] }, 'get-artifact': 'abc' },
      /9 were announced/,
    ],
    ['with a version of no number', modelOf({ version: 'x' }), /without a number from 1/],
    ['with the largest number there is', modelOf({ version: '9007199254740991' }), /without a number from 1/],
    [
      'with a model that is a path',
      { ...ONE, 'registered-models/search': { registered_models: [{ name: '../x' }] } },
      /Invalid model name/,
    ],
    [
      'with an alias that is a path',
      {
        ...modelOf({}),
        'registered-models/search': { registered_models: [{ name: 'brought', aliases: [{ alias: '../x', version: 1 }] }] },
      },
      /Invalid alias name/,
    ],
    [
      'that redirects',
      { 'experiments/search': (_, response) => void response.writeHead(302, { location: '/health' }).end() },
      /answers 302/,
    ],
  ]
  for (const [what, said, says] of REFUSED)
    it(`${what} is refused by name`, async () => {
      const { state, error } = await imported(said)
      assert.equal(state, 'failed', error)
      assert.match(error, says)
      assert.doesNotMatch(error, /undefined|SQLITE|constraint|syntax error/)
    })

  it('leaves numbers, dates and lists as they can be used by others', async () => {
    const { state, error } = await imported({
      'experiments/search': {
        experiments: [
          { experiment_id: '9007199254740990', name: 'largest', creation_time: 9e15 },
          { experiment_id: '00', name: 'naught', creation_time: -1, last_update_time: '1e999' },
        ],
      },
      'runs/search': {
        runs: [{ info: { run_id: RUN.replaceAll('a', 'e'), experiment_id: '00', start_time: '99999999999999999', end_time: 8.7e15 } }],
      },
    })
    assert.equal(state, 'done', error)
    const made = await mlflow('POST', 'mlflow/experiments/create', { name: 'next' })
    assert.equal(made.status, 200)
    assert.ok(Number(made.body.experiment_id) < 1000, made.body.experiment_id)
    assert.equal((await plane.ask('GET', '/experiments')).status, 200)
    assert.equal((await mlflow('POST', 'mlflow/runs/search', { experiment_ids: [made.body.experiment_id] })).status, 200)
  })

  it('sees and changes nothing of another environment, whatever ids it has', async () => {
    // What another environment has: a run and a logged model with files and metrics, and a version.
    const { body: made } = await mlflow('POST', 'mlflow/experiments/create', { name: 'secret' }, 'foreign')
    const { body: ran } = await mlflow('POST', 'mlflow/runs/create', { experiment_id: made.experiment_id }, 'foreign')
    const run = ran.run.info.run_id as string
    const { body: logs } = await mlflow(
      'POST',
      'mlflow/logged-models',
      { experiment_id: made.experiment_id, source_run_id: run },
      'foreign',
    )
    const logged = logs.model.info.model_id as string
    await mlflow('POST', 'mlflow/runs/log-metric', { run_id: run, key: 'secret', value: 4711, timestamp: 1, model_id: logged }, 'foreign')
    const bytes = Buffer.from(addingModel(1))
    for (const place of [`${run}/artifacts/model`, `models/${logged}/artifacts`]) {
      const put = await mlflow('PUT', `mlflow-artifacts/artifacts/${made.experiment_id}/${place}/model.onnx`, bytes, 'foreign')
      assert.equal(put.status, 200)
    }
    await mlflow('POST', 'mlflow/registered-models/create', { name: 'theirs' }, 'foreign')
    const created = await mlflow('POST', 'mlflow/model-versions/create', { name: 'theirs', source: `runs:/${run}/model` }, 'foreign')
    assert.equal(created.status, 200)
    const { database } = plane.plane.services.ground
    const { id: version } = await database.read
      .selectFrom('versions')
      .innerJoin('models', 'models.id', 'versions.model_id')
      .select('versions.id')
      .where('models.environment', '=', 'foreign')
      .executeTakeFirstOrThrow()
    const everything = async (): Promise<unknown> => [
      await database.read
        .selectFrom('files')
        .selectAll()
        .where('root', 'in', [`run:${run}`, `model:${logged}`, `version:${version}`])
        .execute(),
      await database.read.selectFrom('metrics').selectAll().where('run_id', '=', run).execute(),
      await database.read.selectFrom('run_tags').selectAll().where('run_id', '=', run).execute(),
    ]
    const before = await everything()
    for (const said of [
      { ...ONE, 'runs/search': { runs: [{ info: { run_id: run, experiment_id: '7' }, data: { tags: [{ key: 'mine', value: 'now' }] } }] } },
      { ...ONE, 'logged-models/search': { models: [{ info: { model_id: logged, experiment_id: '7', name: 'mine' } }] } },
    ]) {
      const answer = await imported({
        ...said,
        'artifacts/list': { files: [{ path: 'mine.txt' }, { path: 'model/model.onnx' }] },
        'artifacts/directories': { files: [{ path: 'mine.txt' }, { path: 'model.onnx' }] },
        'get-artifact': 'changed',
        'artifacts/files': 'changed',
      })
      assert.equal(answer.state, 'failed')
      assert.match(answer.error, /its id is taken/)
    }
    assert.deepEqual(await everything(), before)
    const sources = [
      { source: `runs:/${run}/model`, run_id: run },
      { source: `models:/${logged}`, model_id: logged },
      { source: `mlflow-artifacts:/versions/${version}` },
      { source: `mlflow-artifacts:/${made.experiment_id}/${run}/artifacts/model` },
      { source: `x:/models/${logged}/artifacts` },
      { source: 'models:/%ff/1' },
    ]
    const { state, error } = await imported({
      ...modelOf({}),
      'model-versions/search': { model_versions: sources.map((source, index) => ({ name: 'brought', version: index + 1, ...source })) },
      'get-download-uri': { artifact_uri: 'https://elsewhere.example/collect' },
    })
    assert.equal(state, 'done', error)
    for (const [index] of sources.entries()) {
      const { status, body } = await plane.ask('GET', `/models/brought/versions/${index + 1}`)
      assert.equal(status, 200)
      assert.ok(!JSON.stringify(body).includes('4711'), `version ${index + 1} has a metric of another environment`)
      assert.equal(body.digest, undefined, `version ${index + 1} has files of another environment`)
      const place = await mlflow('GET', `mlflow/model-versions/get-download-uri?name=brought&version=${index + 1}`)
      assert.ok(!JSON.stringify(place.body).includes('elsewhere.example'), 'clients would send their token there')
    }
  })

  it('that was cut off leaves nothing for an import of the same into another environment', async () => {
    const run = 'd'.repeat(32)
    const one = {
      ...ONE,
      'runs/search': { runs: [{ info: { run_id: run, experiment_id: '7' }, data: { metrics: [{ key: 'm', value: 1 }] } }] },
      'artifacts/list': { files: [{ path: 'model.txt' }] },
    }
    // Its files come, and then it fails: in the environment of somebody else.
    answers = { ...one, 'get-artifact': 'theirs', 'metrics/get-history': '<html>' }
    const path = `${plane.url}/env/foreign/api/v1/imports`
    const begun = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ from }) })
    const { id } = (await begun.json()) as { id: string }
    for (let state = 'running'; state === 'running'; await sleep(20))
      state = ((await (await fetch(`${path}/${id}`)).json()) as { state: string }).state
    const { state, error } = await imported({ ...one, 'get-artifact': 'ours' })
    assert.equal(state, 'done', error)
    const file = await fetch(`${plane.url}/api/2.0/mlflow-artifacts/artifacts/7/${run}/artifacts/model.txt`)
    assert.equal(await file.text(), 'ours')
    // And one that is here is left as it is.
    assert.equal(
      (await imported({ ...one, 'artifacts/list': { files: [{ path: 'model.txt' }, { path: 'more.txt' }] }, 'get-artifact': 'other' }))
        .state,
      'done',
    )
    const after = await fetch(`${plane.url}/api/2.0/mlflow-artifacts/artifacts/7/${run}/artifacts/more.txt`)
    assert.equal(after.status, 404)
  })

  it('whose fields are null or empty is understood', async () => {
    const { state, error } = await imported({
      'experiments/search': { experiments: [{ ...experiment, tags: null, creation_time: null }] },
      'runs/search': {
        runs: [
          {
            info: { run_id: 'f'.repeat(32), experiment_id: '7', end_time: null, status: '' },
            data: { metrics: null, params: [] },
            inputs: null,
          },
        ],
      },
    })
    assert.equal(state, 'done', error)
  })

  it('that says nothing holds up neither an import into another environment nor its own end', async () => {
    const asked = Promise.withResolvers<void>()
    answers = { 'experiments/search': () => asked.resolve() }
    const path = '/env/slow/api/v1'
    const slow = await fetch(`${plane.url}${path}/imports`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ from: `${from}/silent` }),
    })
    const { id } = (await slow.json()) as { id: string }
    await asked.promise
    const { state, error } = await imported({ 'experiments/search': { experiments: [] } })
    assert.equal(state, 'done', error)
    assert.equal((await plane.ask('GET', `/imports/${id}`)).status, 404, 'an import of another environment')
    const began = performance.now()
    assert.equal((await plane.ask('POST', `/work/${id}/cancel`)).status, 200)
    for (;;) {
      const now = (await (await fetch(`${plane.url}${path}/imports/${id}`)).json()) as { state: string }
      if (now.state !== 'running') break
      assert.ok(performance.now() - began < 60_000, 'it goes on')
      await sleep(50)
    }
  })

  it('brings over what is honest, afterwards as before', async () => {
    const { state, error } = await imported({
      ...WITH_RUN,
      'logged-models/search': { models: [{ info: { model_id: LOGGED, experiment_id: '7', name: 'm', source_run_id: RUN } }] },
      'artifacts/list': { files: [{ path: 'model.onnx' }] },
      'get-artifact': Buffer.from(addingModel(2)),
      ...modelOf({}),
      'runs/search': WITH_RUN['runs/search'],
      'model-versions/search': {
        model_versions: [{ name: 'brought', version: '50', source: `mlflow-artifacts:/7/${RUN}/artifacts`, run_id: RUN }],
      },
    })
    assert.equal(state, 'done', error)
    assert.notEqual((await plane.ask('GET', '/models/brought/versions/50')).body.digest, undefined)
    assert.equal((await push(plane, 'brought', { 'model.onnx': addingModel(3) })).body.version, 51)
  })
})
