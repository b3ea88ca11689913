import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { after, before, describe, it } from 'node:test'
import { allows } from '../../src/contract/roles.ts'
import { addingModel } from '../adding-models.ts'
import { planeInProcess, push } from './in-plane.ts'
import { NEEDED_ACTIONS, OPEN_ROUTES, OTHER_CREDENTIALS } from './needed-actions.ts'
import type { FastifyInstance } from 'fastify'
import type { Action } from '../../src/contract/roles.ts'
import type { Plane } from './in-plane.ts'

/** Who may do what: written down once more, so that a slip in the table of the product is found. */
const MAY: Readonly<Record<string, readonly string[]>> = {
  viewer: ['identify', 'read', 'pull'],
  developer: ['identify', 'read', 'pull', 'write', 'feedback'],
  operator: ['identify', 'read', 'pull', 'write', 'deploy', 'protect', 'records', 'feedback'],
  admin: ['identify', 'read', 'pull', 'write', 'deploy', 'protect', 'records', 'admin', 'report', 'join', 'feedback'],
  follow: ['identify', 'pull', 'report', 'feedback'],
  join: ['identify', 'join'],
  metrics: ['identify', 'report'],
  feedback: ['identify', 'feedback'],
}

interface Keyed {
  readonly role: string
  readonly where: 'own' | 'foreign' | 'everywhere'
  readonly headers: Record<string, string>
}

async function keysOf(plane: Plane): Promise<Keyed[]> {
  const admin = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body as { key: string }
  const root = { authorization: `Bearer ${admin.key}` }
  await plane.ask('POST', '/environments', { name: 'staging' }, root)
  const keys: Keyed[] = []
  for (const role of Object.keys(MAY))
    for (const where of ['own', 'foreign', 'everywhere'] as const) {
      const environments = where === 'everywhere' ? undefined : [where === 'own' ? 'default' : 'staging']
      const body = { name: `${role} ${where}`, scopes: [role], ...(environments !== undefined && { environments }) }
      const { key } = (await plane.ask('POST', '/keys', body, root)).body as { key: string }
      keys.push({ role, where, headers: { authorization: `Bearer ${key}` } })
    }
  return keys
}

/** Routes that concern every environment: the role in one is not enough. */
const EVERYWHERE = new Set([
  'POST /api/v1/servers/adopt',
  'GET /api/v1/backup',
  'GET /api/v1/refusals',
  'DELETE /api/v1/environments/:environment',
  'GET /api/v1/work',
  'GET /api/v1/work/:id',
  'GET /api/v1/work/:id/watch',
  'POST /api/v1/work/:id/cancel',
  'POST /api/v1/work/:id/retry',
])
/** Own tokens are for persons: a key is told so, whatever its role. */
const PERSONS = /^\w+ \/api\/v1\/tokens/

const ACTION_OF = new Map(
  Object.entries(NEEDED_ACTIONS).flatMap(([action, routes]) => routes.map((route) => [route, action as Action] as const)),
)

interface RunningRoute {
  readonly method: string
  /** As the router has it. */
  readonly url: string
  /** As the tables have it. */
  readonly name: string
}

/** The routes of every server that begins in `act`, as its router has them. */
async function routesOf(act: () => Promise<void>): Promise<readonly RunningRoute[]> {
  const routes: RunningRoute[] = []
  const watch = (message: unknown): void => {
    ;(message as { fastify: FastifyInstance }).fastify.addHook('onRoute', ({ method, url }) => {
      for (const one of [method].flat())
        routes.push({ method: one, url, name: `${one === 'HEAD' ? 'GET' : one} ${url.replace(/^\/(?:ajax-)?api\/[23]\.0\//, '/')}` })
    })
  }
  subscribe('fastify.initialization', watch)
  try {
    await act()
  } finally {
    unsubscribe('fastify.initialization', watch)
  }
  return routes
}

describe('the routes of the running server', () => {
  let plane: Plane
  let keys: readonly Keyed[]
  let routes: readonly RunningRoute[]

  before(async () => {
    routes = await routesOf(async () => {
      plane = await planeInProcess({ requestsPerMinute: 1_000_000 })
    })
    keys = await keysOf(plane)
  })
  after(async () => {
    await plane[Symbol.asyncDispose]()
  })

  /** Status of a call with a body that is none: whoever may come in is told that, and nothing is done. */
  const status = async ({ method, url }: RunningRoute, headers: Record<string, string> = {}): Promise<number> => {
    const path = url.replaceAll(/:(\w+)|\*/g, (_, name?: string) =>
      name === 'version' ? '1' : name === 'id' || name === 'content' ? '0'.repeat(64) : 'nothing',
    )
    const ended = new AbortController()
    const response = await fetch(`${plane.url}${path}`, {
      method,
      signal: ended.signal,
      redirect: 'manual',
      headers: { 'content-type': 'application/json', ...headers },
      ...(!['GET', 'HEAD'].includes(method) && { body: '{"x":1,"path":"x"}' }),
    })
    // A stream would never end.
    if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) ended.abort()
    else await response.arrayBuffer()
    return response.status
  }

  it('are all in the tables, and the tables have no other', () => {
    const running = new Set(routes.map(({ name }) => name))
    const listed = [...ACTION_OF.keys(), ...OPEN_ROUTES, ...OTHER_CREDENTIALS]
    assert.deepEqual(
      listed.filter((name) => !running.has(name)),
      [],
    )
    assert.equal(new Set(listed).size, listed.length, 'each stands once')
  })

  it('open to the roles that may take their action, in their own environment and in no other', { timeout: 240_000 }, async () => {
    for (const route of routes) {
      const action = ACTION_OF.get(route.name)
      if (action === undefined) continue
      const first = !route.url.startsWith('/ajax-api') && route.method !== 'HEAD'
      const at = `${route.method} ${route.url} (${action})`
      assert.equal(await status(route), 401, `nobody at ${at}`)
      for (const { role, where, headers } of keys) {
        // The second address of a route and its HEAD are the same route: one who may and one who may not show that.
        if (!first && !(where === 'own' && (role === 'admin' || role === 'feedback'))) continue
        const allowed = MAY[role]!.includes(action) && (where !== 'foreign' || action === 'identify')
        if (allowed && ((EVERYWHERE.has(route.name) && where === 'own') || PERSONS.test(route.name))) continue
        const answered = await status(route, headers)
        const what = `${role} (${where}) at ${at}: ${answered}`
        if (allowed) assert.ok(answered !== 403 && answered !== 401 && (answered < 500 || answered === 501), what)
        else assert.equal(answered, 403, what)
      }
    }
  })

  it('that are in no table refuse even an admin, by their method or because they are not here', { timeout: 240_000 }, async () => {
    const admin = keys.find(({ role, where }) => role === 'admin' && where === 'everywhere')!
    for (const route of routes) {
      if (ACTION_OF.has(route.name) || OPEN_ROUTES.has(route.name) || OTHER_CREDENTIALS.has(route.name)) continue
      // The client of this test cannot send it.
      if (route.method === 'TRACE') continue
      const answered = await status(route, admin.headers)
      assert.ok(answered === 405 || answered === 501, `${route.method} ${route.url} answers ${answered} and stands in no table of actions`)
    }
  })

  it('with a credential of their own take no key instead', async () => {
    const admin = keys.find(({ role, where }) => role === 'admin' && where === 'everywhere')!
    for (const route of routes.filter(({ name }) => OTHER_CREDENTIALS.has(name)))
      if (route.name !== 'POST /auth/logout') assert.ok([401, 403, 404].includes(await status(route, admin.headers)), route.name)
  })
})

it('a role for some models is a role for these, by whatever door', async () => {
  await using plane = await planeInProcess()
  for (const [index, name] of ['churn', 'churn-eu', 'other'].entries()) {
    await plane.ask('POST', '/models', { name })
    await push(plane, name, { 'model.onnx': Buffer.from(addingModel(index)) })
  }
  const { key: root } = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body as { key: string }
  const as = { authorization: `Bearer ${root}` }
  const make = async (scopes: string[], models: string[]) => ({
    authorization: `Bearer ${((await plane.ask('POST', '/keys', { name: 'some', scopes, models }, as)).body as { key: string }).key}`,
  })
  const developer = await make(['developer'], ['churn*'])
  const status = async (method: string, path: string, body?: unknown, who = developer): Promise<number> =>
    (await plane.ask(method, path, body, who)).status
  assert.equal(await status('GET', '/models/churn'), 200)
  assert.equal(await status('GET', '/models/churn-eu'), 200)
  assert.equal(await status('GET', '/models/other'), 403)
  const seen = async (path: string): Promise<string[]> =>
    ((await plane.ask('GET', path, undefined, developer)).body.items as { model?: string; name?: string }[]).map(
      ({ model, name }) => model ?? name!,
    )
  assert.deepEqual(await seen('/models'), ['churn', 'churn-eu'], 'lists show what is theirs')
  assert.deepEqual(await seen('/versions?orderBy=name'), ['churn', 'churn-eu'])
  assert.equal(await status('PATCH', '/models/churn', { description: 'd' }), 200)
  assert.equal(await status('PATCH', '/models/churn', { name: 'taken-over' }), 403, 'nobody renames into what is not theirs')
  assert.equal(await status('POST', '/models', { name: 'churn-us' }), 201)
  assert.equal(await status('POST', '/models', { name: 'us' }), 403)
  const mlflow = async (path: string, fields: Record<string, string>): Promise<number> =>
    (await fetch(`${plane.url}/api/2.0/mlflow/${path}?${new URLSearchParams(fields).toString()}`, { headers: developer })).status
  assert.equal(await mlflow('registered-models/get', { name: 'churn' }), 200)
  assert.equal(await mlflow('registered-models/get', { name: 'other' }), 403)
  assert.equal(await mlflow('registered-models/get', {}), 403)
  assert.equal(await mlflow('registered-models/search', { max_results: '9' }), 200)
  // Runs belong to no model: whoever trains some models logs them, and registers these; what others have logged is not ended.
  const asked = async (method: string, path: string, body?: object): Promise<[number, any]> => {
    const headers = { ...developer, 'content-type': 'application/json' }
    const response = await fetch(`${plane.url}/api/2.0/${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return [response.status, await response.json().catch(() => undefined)]
  }
  const [created, { run }] = await asked('POST', 'mlflow/runs/create', { experiment_id: '0' })
  assert.equal(created, 200)
  const { run_id: runId } = run.info as { run_id: string }
  assert.equal(await status('GET', `/runs/${run.info.run_id}`), 200)
  assert.equal((await asked('POST', 'mlflow/runs/log-metric', { run_id: runId, key: 'auc', value: 0.9, timestamp: 1 }))[0], 200)
  assert.equal((await asked('PUT', `mlflow-artifacts/artifacts/0/${runId}/artifacts/model/a.txt`, { a: 1 }))[0], 200)
  assert.equal((await asked('POST', 'mlflow/model-versions/create', { name: 'churn', source: `runs:/${runId}/model` }))[0], 200)
  assert.equal((await asked('POST', 'mlflow/model-versions/create', { name: 'other', source: `runs:/${runId}/model` }))[0], 403)
  for (const path of ['runs/delete', 'runs/restore']) assert.equal((await asked('POST', `mlflow/${path}`, { run_id: runId }))[0], 403, path)
  for (const path of ['experiments/delete', 'experiments/restore', 'experiments/update'])
    assert.equal((await asked('POST', `mlflow/${path}`, { experiment_id: '0', new_name: 'x' }))[0], 403, path)
  const idOf = async (model: string): Promise<string> =>
    ((await plane.ask('GET', `/models/${model}/versions/1`, undefined, as)).body as { id: string }).id
  for (const [model, expected] of [
    ['churn', 200],
    ['other', 403],
  ] as const) {
    const place = `versions/${await idOf(model)}`
    assert.equal((await asked('GET', `mlflow-artifacts/artifacts/${place}/model.onnx`))[0], expected)
    assert.equal((await asked('GET', `mlflow-artifacts/artifacts?path=${place}`))[0], expected)
    const download = `${plane.url}/model-versions/get-artifact?name=${model}&version=1&path=model.onnx`
    assert.equal((await fetch(download, { headers: developer })).status, expected)
    const source = `mlflow-artifacts:/${place}`
    assert.equal((await asked('POST', 'mlflow/model-versions/create', { name: 'churn', source }))[0], 403)
  }
  // Endpoints are those of their models, before and after.
  const operator = await make(['operator'], ['churn'])
  const document = (model: string) => ({
    apiVersion: 'slipway/v1',
    kind: 'Endpoint',
    metadata: { name: 'e' },
    spec: { variants: [{ model }] },
  })
  assert.equal(await status('PUT', '/endpoints/e', document('other/1'), operator), 403)
  assert.equal(await status('PUT', '/endpoints/e', document('churn/1'), operator), 201)
  assert.equal(await status('PUT', '/endpoints/e', document('other/1'), operator), 403)
  assert.equal((await plane.ask('PUT', '/endpoints/e', document('other/1'), as)).status, 200)
  assert.equal(await status('PUT', '/endpoints/e', document('churn/1'), operator), 403)
  assert.equal(await status('DELETE', '/endpoints/e', undefined, operator), 403)
  // Nor do they return to what is not theirs, whatever is served now.
  assert.equal((await plane.ask('PUT', '/endpoints/e', document('churn/1'), as)).status, 200)
  assert.equal(await status('POST', '/endpoints/e/rollback', { to: 2 }, operator), 403)
  assert.equal(await status('POST', '/models/churn/versions', { source: 'models:/other/1' }, developer), 403, 'nor make versions of it')
  for (const source of ['models:/other/1/x', 'models:///other/1', 'models:/%6fther/1', 'models:/other/1/'])
    assert.equal(await status('POST', '/models/churn/versions', { source }, developer), 403, source)
  assert.equal(await status('POST', '/models/churn/versions', { source: 'models:/churn/1' }, developer), 201)
  assert.equal((await plane.ask('PUT', '/endpoints/e', document('other/1'), as)).status, 200)
  // Files go with the model, also by their content.
  const viewer = await make(['viewer'], ['churn'])
  const contentOf = async (model: string): Promise<string> => {
    const { id } = (await plane.ask('GET', `/models/${model}/versions/1`, undefined, as)).body as { id: string }
    return (await plane.ask('GET', `/follow/versions/${id}`, undefined, as)).body.files[0].contentId as string
  }
  assert.equal((await fetch(`${plane.url}/api/v1/follow/contents/${await contentOf('churn')}`, { headers: viewer })).status, 200)
  assert.equal((await fetch(`${plane.url}/api/v1/follow/contents/${await contentOf('other')}`, { headers: viewer })).status, 403)
  assert.equal(await status('GET', '/follow', undefined, viewer), 403)
  assert.equal(await status('GET', '/follow?endpoints=&references=churn/1', undefined, viewer), 200)
  assert.equal(await status('GET', '/follow?endpoints=&references=churn/1,other/1', undefined, viewer), 403)
  // What may be done stands in the answers.
  const { actions } = (await plane.ask('GET', '/models/churn', undefined, developer)).body
  assert.deepEqual(actions, ['read', 'pull', 'write', 'feedback'])
  const who = (await plane.ask('GET', '/whoami', undefined, developer)).body
  assert.deepEqual(who.grants, [{ role: 'developer', models: ['churn*'] }])
  assert.deepEqual(who.environments, [{ environment: 'default', actions: ['read', 'pull', 'write', 'feedback'] }])
})

it('who is admin of one environment makes no keys and roles for others, and refused calls are on record', async () => {
  await using plane = await planeInProcess()
  const { key: root } = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body as { key: string }
  const as = { authorization: `Bearer ${root}` }
  await plane.ask('POST', '/environments', { name: 'staging' }, as)
  const { key } = (await plane.ask('POST', '/keys', { name: 'stager', scopes: ['admin'], environments: ['staging'] }, as)).body as {
    key: string
  }
  const stager = { authorization: `Bearer ${key}` }
  const there = async (method: string, path: string, body: unknown, headers = stager): Promise<number> =>
    (
      await fetch(`${plane.url}/env/staging/api/v1${path}`, {
        method,
        headers: { ...headers, 'content-type': 'application/json' },
        ...(method !== 'GET' && { body: JSON.stringify(body) }),
      })
    ).status
  assert.equal(await there('POST', '/keys', { name: 'x', scopes: ['admin'] }), 403)
  assert.equal(await there('POST', '/keys', { name: 'x', scopes: ['viewer'], environments: ['default'] }), 403)
  assert.equal(await there('POST', '/keys', { name: 'x', scopes: ['viewer'], environments: ['staging'] }), 201)
  assert.equal(await there('POST', '/roles', { kind: 'user', name: 'a', role: 'admin', everywhere: true }), 403)
  assert.equal(await there('POST', '/roles', { kind: 'user', name: 'a', role: 'viewer' }), 201)
  assert.equal(await there('POST', '/environments', { name: 'another' }), 403)
  assert.equal(await there('GET', '/backup', undefined), 403)
  assert.equal((await plane.ask('GET', '/keys', undefined, stager)).status, 403, 'in the first environment it is nobody')
  // A secret of the control plane signs for whom an admin of everything has chosen, and for nobody else.
  const hook = { name: 'hook', url: 'https://example.org/', events: ['*'] }
  assert.equal(await there('POST', '/webhooks', { ...hook, secret: 'env:HOOK' }), 403)
  assert.equal(await there('POST', '/webhooks', { ...hook, secret: 'env:HOOK' }, as), 201)
  // Nor do its credentials of AWS tell a topic that somebody else has chosen.
  const topic = 'sns:arn:aws:sns:eu-central-1:123456789012:x'
  assert.equal(await there('POST', '/webhooks', { ...hook, url: topic }), 403)
  const hooks = (await (await fetch(`${plane.url}/env/staging/api/v1/webhooks`, { headers: stager })).json()) as { items: { id: string }[] }
  const path = `/webhooks/${hooks.items[0]!.id}`
  assert.equal(await there('PATCH', path, { events: ['model.*'] }), 200)
  assert.equal(await there('PATCH', path, { url: 'https://example.com/' }), 403)
  assert.equal(await there('PATCH', path, { url: topic, secret: null }), 403)
  assert.equal(await there('PATCH', path, { url: 'https://example.com/', secret: null }), 200)
  const { items } = (await plane.ask('GET', '/refusals', undefined, as)).body as {
    items: { caller: string; route: string; code: string; count: number }[]
  }
  assert.ok(items.some(({ caller, route, code }) => caller === 'stager' && route === 'POST /api/v1/keys' && code === 'SLW_FORBIDDEN'))
  const unknown = await fetch(`${plane.url}/env/nowhere/api/v1/models`, { headers: as })
  assert.equal(unknown.status, 404)
})

it('wrong keys are held to a few a minute, and requests to what was said', async () => {
  await using plane = await planeInProcess({ requestsPerMinute: 150 })
  const { key } = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body as { key: string }
  const statuses: number[] = []
  for (let turn = 0; turn < 65; turn++)
    statuses.push((await plane.ask('GET', '/models', undefined, { authorization: `Bearer slw_${turn}_x` })).status)
  assert.deepEqual([...new Set(statuses)], [401, 429])
  assert.equal(statuses.filter((status) => status === 401).length, 60)
  // However a key is written, it is one caller.
  const ways = [
    (): string => `Bearer ${key}`,
    (): string => `bearer  ${key}`,
    (turn: number): string => `Basic ${Buffer.from(`name${turn}:${key}`).toString('base64')}`,
  ]
  const own: Awaited<ReturnType<Plane['ask']>>[] = []
  for (let turn = 0; turn < 151; turn++)
    own.push(await plane.ask('GET', '/models', undefined, { authorization: ways[turn % ways.length]!(turn) }))
  assert.deepEqual([...new Set(own.slice(0, 150).map(({ status }) => status))], [200])
  const last = own.at(-1)!
  assert.equal(last.status, 429)
  assert.ok(Number(last.headers.get('retry-after')) > 0)
  assert.equal((await fetch(`${plane.url}/health`)).status, 200)
})

it('what nobody has allowed is denied', () => {
  const target = { environment: 'default', models: ['churn'] }
  assert.equal(allows([], 'read', target), false)
  assert.equal(allows([{ role: 'no such role' }], 'read', target), false)
  assert.equal(allows([{ role: 'admin', environments: [] }], 'read', target), false)
  assert.equal(allows([{ role: 'viewer', models: ['churn'] }], 'read', { environment: 'default', models: [] }), false)
  assert.equal(allows([{ role: 'viewer', models: ['churn'] }], 'read', { environment: 'default', models: ['churn', 'other'] }), false)
  assert.equal(
    allows(
      [
        { role: 'viewer', models: ['churn'] },
        { role: 'viewer', models: ['other'] },
      ],
      'read',
      { environment: 'default', models: ['churn', 'other'] },
    ),
    true,
  )
})

/** What a server without endpoints reports. */
function reportNow() {
  return {
    apiVersion: 'slipway/v1',
    bootId: 'b',
    release: '0',
    sentAt: Date.now(),
    expiresInMs: 60_000,
    staleSeconds: 0,
    endpoints: [],
  }
}

it('the key of a server speaks for that server alone, and no other key becomes one', async () => {
  await using plane = await planeInProcess()
  const { key: root } = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body as { key: string }
  const as = { authorization: `Bearer ${root}` }
  const make = async (scope: string): Promise<Record<string, string>> => {
    const { key } = (await plane.ask('POST', '/keys', { name: scope, scopes: [scope] }, as)).body as { key: string }
    return { authorization: `Bearer ${key}` }
  }
  const [join, metrics, follow] = [await make('join'), await make('metrics'), await make('follow')]
  const joined = await plane.ask('POST', '/servers/join', { server: 'one' }, join)
  assert.equal(joined.status, 201)
  const own = { authorization: `Bearer ${joined.body.key}` }
  const report = reportNow()
  const windows = { sentAt: Date.now(), windows: [] }
  const ask = async (method: string, path: string, body: unknown, who: Record<string, string>): Promise<number> =>
    (await plane.ask(method, path, body, who)).status
  assert.equal(await ask('PUT', '/servers/one/report', report, own), 204)
  assert.equal(await ask('PUT', '/servers/two/report', report, own), 403)
  assert.equal(await ask('POST', '/servers/one/windows', windows, own), 204)
  assert.equal(await ask('POST', '/servers/two/windows', windows, own), 403)
  assert.equal(await ask('POST', '/servers/two/key', {}, own), 403)
  for (const other of [metrics, follow]) assert.equal(await ask('POST', '/servers/one/key', {}, other), 403)
  const rotated = await plane.ask('POST', '/servers/one/key', {}, own)
  assert.equal(rotated.status, 201)
  assert.equal(await ask('PUT', '/servers/one/report', report, { authorization: `Bearer ${rotated.body.key}` }), 204)
})

it("a key that is no server's own speaks for one server, and for none that another key speaks for", async () => {
  await using plane = await planeInProcess()
  const { key: root } = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body as { key: string }
  const as = { authorization: `Bearer ${root}` }
  const make = async (name: string, scope: string): Promise<{ id: string; who: Record<string, string> }> => {
    const { key, id } = (await plane.ask('POST', '/keys', { name, scopes: [scope] }, as)).body as { key: string; id: string }
    return { id, who: { authorization: `Bearer ${key}` } }
  }
  const [first, second, metrics] = [await make('first', 'follow'), await make('second', 'follow'), await make('pusher', 'metrics')]
  const [join, otherJoin] = [await make('edge', 'join'), await make('cloud', 'join')]
  const report = reportNow()
  const tell = async (server: string, { who }: { who: Record<string, string> }): Promise<number> =>
    (await plane.ask('PUT', `/servers/${server}/report`, report, who)).status
  const send = async (server: string, { who }: { who: Record<string, string> }): Promise<number> =>
    (await plane.ask('POST', `/servers/${server}/windows`, { sentAt: Date.now(), windows: [] }, who)).status
  const joins = async (server: string, { who }: { who: Record<string, string> }) =>
    await plane.ask('POST', '/servers/join', { server, bootId: String(Math.random()) }, who)
  assert.equal(await tell('a', first), 204)
  assert.equal(await tell('a', first), 204)
  assert.deepEqual(
    [await tell('a', second), await send('a', second), await tell('a', metrics), await send('a', metrics)],
    [403, 403, 403, 403],
  )
  assert.equal(await tell('b', first), 403, 'it speaks for a')
  // Windows of a server that is gone, or was called otherwise, are taken of whoever has them.
  assert.deepEqual([await send('gone', first), await send('gone', metrics)], [204, 204])
  assert.deepEqual([await tell('b', second), await send('b', metrics)], [204, 403])
  // The key that is made in its place goes on; another one of the same name does not while the first is in force.
  const named = await make('first', 'follow')
  assert.equal(await tell('a', named), 403)
  const rotated = await plane.ask('POST', `/keys/${first.id}/rotate`, {}, as)
  assert.equal(rotated.status, 201, JSON.stringify(rotated.body))
  assert.equal(await tell('a', { who: { authorization: `Bearer ${rotated.body.key}` } }), 204)
  // A token takes the place of a server that joined by it, and of no other.
  assert.equal((await joins('a', join)).status, 409)
  const own = await joins('c', join)
  assert.equal(own.status, 201)
  assert.equal((await joins('c', otherJoin)).status, 409)
  assert.equal(await tell('c', second), 403, 'it has joined')
  assert.equal(await tell('c', { who: { authorization: `Bearer ${own.body.key}` } }), 204)
  assert.equal((await joins('c', join)).status, 201, 'it was started again')
  // Who may do everything may do that too.
  assert.equal(await tell('c', { who: as }), 204)
  assert.equal((await joins('c', { who: as })).status, 201)
})

it('a stream of events ends with the key that it was begun with', async () => {
  await using plane = await planeInProcess()
  const { key: root } = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body as { key: string }
  const as = { authorization: `Bearer ${root}` }
  const { key, id } = (await plane.ask('POST', '/keys', { name: 'reader', scopes: ['viewer'] }, as)).body as { key: string; id: string }
  const stream = await fetch(`${plane.url}/api/v1/events/stream`, { headers: { authorization: `Bearer ${key}` } })
  assert.equal(stream.status, 200)
  const text = stream.text()
  assert.equal((await plane.ask('DELETE', `/keys/${id}`, undefined, as)).status, 204)
  await plane.ask('POST', '/models', { name: 'secret' }, as)
  assert.doesNotMatch(await text, /secret/)
})
