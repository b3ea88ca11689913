/** What the description says of every route that changes something: executed once per key, held to an ETag, and on record. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import { addingModel } from '../adding-models.ts'
import { contentIdOf, planeInProcess } from './in-plane.ts'
import type { Answered, Plane } from './in-plane.ts'

interface Change {
  readonly path: string
  readonly body?: unknown
  readonly as?: Record<string, string>
}

/** Changes that leave no event, each with the reason. */
const SILENT: Readonly<Record<string, string>> = {
  redeliver: 'a delivery is its own record',
  cancelWork: 'work is its own record: who looks at it sees how it ended',
  retryWork: 'work is its own record',
  startImport: 'what it brings is told object by object',
  missingContents: 'it only asks',
  putContent: 'bytes are nothing until something refers to them',
  reportServer: 'reports are history of their own',
  pushWindows: 'windows are statistics',
  sendFeedback: 'labels are data',
  syncEndpoint: 'tested with an alias that has not moved: nothing changes',
  planRollout: 'it only asks',
  rolloutVerdictHook: 'it only asks',
  resumeEndpoint: 'tested on an endpoint that is not suspended: nothing changes',
}

let plane: Plane
let root: Record<string, string>
let made = 0

before(async () => {
  plane = await planeInProcess({ allowPrivateAddresses: true })
  const { key } = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body as { key: string }
  root = { authorization: `Bearer ${key}` }
})
after(async () => {
  await plane[Symbol.asyncDispose]()
})

async function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answered> {
  return await plane.ask(method, path, body, { ...root, ...headers })
}

async function done(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answered> {
  const answered = await ask(method, path, body, headers)
  assert.ok(answered.status < 300, `${method} ${path}: ${answered.status} ${JSON.stringify(answered.body)}`)
  return answered
}

const fresh = (): string => `n${++made}`

/** A model with a version that can be served, and an alias that points to it. */
async function model(): Promise<string> {
  const name = fresh()
  await done('POST', '/models', { name })
  for (const added of [made, made + 1000]) {
    const bytes = Buffer.from(addingModel(added))
    const contentId = contentIdOf(bytes)
    await done('PUT', `/contents/${contentId}`, bytes)
    await done('POST', `/models/${name}/versions`, { files: [{ path: 'model.onnx', contentId }] })
  }
  await done('PUT', `/models/${name}/aliases/live`, { version: 1 })
  return name
}

async function endpoint(): Promise<string> {
  const name = await model()
  await done('PUT', `/endpoints/${name}`, document(name, 1))
  await done('PUT', `/endpoints/${name}`, document(name, 2))
  return name
}

function document(name: string, version: number, metadata: object = {}): object {
  return {
    apiVersion: 'slipway/v1',
    kind: 'Endpoint',
    metadata: { name, ...metadata },
    spec: { variants: [{ model: `${name}/${version}` }] },
  }
}

async function webhook(): Promise<string> {
  return (await done('POST', '/webhooks', { name: fresh(), url: 'http://127.0.0.1:9/x', events: ['*'] })).body.id as string
}

async function person(scopes: string[]): Promise<{ as: Record<string, string>; personId: string; keyId: string }> {
  const { keys, people } = plane.plane.services
  const name = fresh()
  const { id: personId } = await people.signedIn({ issuer: 'i', subject: name, name, email: undefined, groups: [] })
  const { key, info } = await keys.create({ environment: 'default', actor: name }, { name, scopes, personId })
  return { as: { authorization: `Bearer ${key}` }, personId, keyId: info.id }
}

async function failedWork(): Promise<string> {
  const { work } = plane.plane.services
  return (await work.database.write((write) => work.enqueue(write, { kind: 'nobody-does-it', payload: {} }))).id
}

function pem(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }) as string
}

async function signer(): Promise<string> {
  return (await done('POST', '/signers', { name: fresh(), pem: pem() })).body.name as string
}

async function joined(): Promise<{ as: Record<string, string>; server: string }> {
  const server = fresh()
  const { key } = (await done('POST', '/servers/join', { server })).body as { key: string }
  return { as: { authorization: `Bearer ${key}` }, server }
}

/** A rollout that waits, and does nothing by itself. */
const HELD = { to: '1', rollout: { gates: ['approval'] } }

/** A change that works, for each route that changes something. */
const CHANGES: Readonly<Record<string, () => Promise<Change>>> = {
  createEnvironment: async () => ({ path: '/environments', body: { name: fresh() } }),
  deleteEnvironment: async () => ({ path: `/environments/${(await done('POST', '/environments', { name: fresh() })).body.name}` }),
  createWebhook: async () => ({ path: '/webhooks', body: { name: fresh(), url: 'http://127.0.0.1:9/x', events: ['*'] } }),
  updateWebhook: async () => ({ path: `/webhooks/${await webhook()}`, body: { active: false } }),
  deleteWebhook: async () => ({ path: `/webhooks/${await webhook()}` }),
  testWebhook: async () => ({ path: `/webhooks/${await webhook()}/test` }),
  async redeliver() {
    const id = await webhook()
    await done('POST', '/models', { name: fresh() })
    for (let wait = 0; ; wait++) {
      const { items } = (await ask('GET', `/webhooks/${id}/deliveries`)).body as { items: { id: string }[] }
      if (items[0] !== undefined) return { path: `/webhooks/${id}/deliveries/${items[0].id}/redeliver` }
      assert.ok(wait < 200, 'a delivery is written')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  },
  createKey: async () => ({ path: '/keys', body: { name: fresh(), scopes: ['viewer'] } }),
  rotateKey: async () => ({
    path: `/keys/${(await done('POST', '/keys', { name: fresh(), scopes: ['viewer'] })).body.id}/rotate`,
    body: {},
  }),
  revokeKey: async () => ({ path: `/keys/${(await done('POST', '/keys', { name: fresh(), scopes: ['viewer'] })).body.id}` }),
  createOwnToken: async () => ({ path: '/tokens', body: { name: fresh() }, as: (await person(['login'])).as }),
  async revokeOwnToken() {
    const { as } = await person(['login'])
    return { path: `/tokens/${(await done('POST', '/tokens', { name: fresh() }, as)).body.id}`, as }
  },
  grantRole: async () => ({ path: '/roles', body: { kind: 'group', name: fresh(), role: 'viewer' } }),
  revokeRole: async () => ({ path: `/roles/${(await done('POST', '/roles', { kind: 'group', name: fresh(), role: 'viewer' })).body.id}` }),
  cancelWork: async () => ({ path: `/work/${await failedWork()}/cancel` }),
  async retryWork() {
    const id = await failedWork()
    await done('POST', `/work/${id}/cancel`)
    return { path: `/work/${id}/retry` }
  },
  missingContents: async () => ({ path: '/contents/missing', body: { ids: ['0'.repeat(64)] } }),
  createModel: async () => ({ path: '/models', body: { name: fresh() } }),
  updateModel: async () => ({ path: `/models/${await model()}`, body: { description: 'new' } }),
  deleteModel: async () => ({ path: `/models/${await model()}` }),
  async restoreModel() {
    const name = await model()
    const { id } = (await ask('GET', `/models/${name}`)).body as { id: string }
    await done('DELETE', `/models/${name}`)
    return { path: `/trash/models/${id}/restore` }
  },
  createVersion: async () => ({ path: `/models/${await model()}/versions`, body: { source: 's3://b/x' } }),
  updateVersion: async () => ({ path: `/models/${await model()}/versions/1`, body: { description: 'new' } }),
  deleteVersion: async () => ({ path: `/models/${await model()}/versions/2` }),
  async restoreVersion() {
    const name = await model()
    await done('DELETE', `/models/${name}/versions/2`)
    return { path: `/models/${name}/versions/2/restore` }
  },
  setApproval: async () => ({ path: `/models/${await model()}/versions/1/approval`, body: { state: 'approved' } }),
  putGateResult: async () => ({
    path: `/models/${await model()}/versions/1/gates`,
    body: { gate: 'release', subject: 'm/1', datasets: [], results: [], notes: [], machine: 'here', at: 1 },
  }),
  inspectVersion: async () => ({ path: `/models/${await model()}/versions/1/inspection` }),
  setAlias: async () => ({ path: `/models/${await model()}/aliases/live`, body: { version: 2 } }),
  deleteAlias: async () => ({ path: `/models/${await model()}/aliases/live` }),
  async promoteVersion() {
    const { name: to } = (await done('POST', '/environments', { name: fresh() })).body as { name: string }
    return { path: `/models/${await model()}/versions/1/promote`, body: { to, alias: 'live' } }
  },
  addSigner: async () => ({ path: '/signers', body: { name: fresh(), pem: pem() } }),
  removeSigner: async () => ({ path: `/signers/${await signer()}` }),
  startImport: async () => ({ path: '/imports', body: { from: 'http://127.0.0.1:9' } }),
  async applyEndpoint() {
    const name = await endpoint()
    return { path: `/endpoints/${name}`, body: document(name, 1) }
  },
  deleteEndpoint: async () => ({ path: `/endpoints/${await endpoint()}` }),
  rollbackEndpoint: async () => ({ path: `/endpoints/${await endpoint()}/rollback`, body: {} }),
  setRouting: async () => ({ path: `/endpoints/${await endpoint()}/routing`, body: { weights: { main: 100 } } }),
  startRollout: async () => ({ path: `/endpoints/${await endpoint()}/rollouts`, body: HELD }),
  planRollout: async () => ({ path: `/endpoints/${await endpoint()}/rollout-plan`, body: HELD }),
  async commandRollout() {
    const name = await endpoint()
    await done('POST', `/endpoints/${name}/rollouts`, HELD)
    return { path: `/endpoints/${name}/rollouts/latest/commands`, body: { command: 'abort' } }
  },
  async rolloutVerdictHook() {
    const { id } = (await done('POST', `/endpoints/${await endpoint()}/rollouts`, HELD)).body as { id: string }
    return { path: `/rollouts/${id}/verdict`, body: { name: 'churn', phase: 'Progressing' } }
  },
  renewReceiptKey: async () => ({ path: `/endpoints/${await endpoint()}/receipt-key`, body: {} }),
  resumeEndpoint: async () => ({ path: `/endpoints/${await endpoint()}/resume` }),
  syncEndpoint: async () => ({ path: `/endpoints/${await endpoint()}/sync` }),
  async reportServer() {
    const { server, as } = await joined()
    const body = {
      apiVersion: 'slipway/v1',
      bootId: 'b',
      release: '1',
      staleSeconds: 0,
      sentAt: Date.now(),
      expiresInMs: 60_000,
      endpoints: [],
    }
    return { path: `/servers/${server}/report`, body, as }
  },
  adoptServers: async () => ({ path: '/servers/adopt' }),
  joinServer: async () => ({ path: '/servers/join', body: { server: fresh() } }),
  async rotateServerKey() {
    const { server, as } = await joined()
    return { path: `/servers/${server}/key`, body: {}, as }
  },
  sendFeedback: async () => ({
    path: '/feedback',
    body: {
      feedback: [
        { id: 'nobody', label: 1 },
        { id: 'nobody', label: 1 },
      ],
    },
  }),
  forgetRecords: async () => ({ path: '/records/forget', body: { unit: fresh() } }),
  async pushWindows() {
    const { server, as } = await joined()
    return { path: `/servers/${server}/windows`, body: { sentAt: Date.now(), windows: [] }, as }
  },
}
/** Bytes under their own digest, a signature over the files, and records, which count once by themselves: tested where they are made. */
const ELSEWHERE = new Set(['putContent', 'attachSignature', 'pushRecords'])

describe('every route that changes something', { timeout: 240_000 }, () => {
  for (const { method, operation, conditional = false, secret = false } of ROOMS.routes) {
    if (method === 'GET' || ELSEWHERE.has(operation)) continue
    it(`${operation} is executed once for one Idempotency-Key, and is on record`, async () => {
      const { path, body, as } = await CHANGES[operation]!()
      const { history } = plane.plane.services
      const key = { 'idempotency-key': randomUUID(), ...as }
      const recorded = await history.last()
      const first = await ask(method, path, body, key)
      assert.ok(first.status < 300, `${method} ${path}: ${first.status} ${JSON.stringify(first.body)}`)
      const after = await history.last()
      assert.equal(after > recorded, SILENT[operation] === undefined, 'an event')
      const second = await ask(method, path, body, key)
      assert.deepEqual([second.status, second.headers.get('idempotency-replayed')], [first.status, 'true'])
      assert.deepEqual(second.body, first.body)
      for (const header of ['location', 'etag']) assert.equal(second.headers.get(header), first.headers.get(header), header)
      assert.equal(await history.last(), after, 'nothing is done twice')
      const other = body === undefined ? undefined : await ask(method, path, `${JSON.stringify(body)} `, key)
      if (other !== undefined) assert.deepEqual([other.status, other.body.code], [422, 'SLW_IDEMPOTENCY_CONFLICT'], 'of other bytes')
      // The same key is another one on another route, and in another environment.
      if (as === undefined && operation !== 'createModel') {
        const made = await ask('POST', '/models', { name: fresh() }, key)
        assert.deepEqual([made.status, made.headers.get('idempotency-replayed')], [201, null])
      }
      if (secret) {
        const { read } = plane.plane.services.ground.database
        const { answer } = await read
          .selectFrom('idempotency_keys')
          .select('answer')
          .where('key', '=', key['idempotency-key'])
          .executeTakeFirstOrThrow()
        assert.equal(answer?.includes('slw_'), false, 'the secret is nowhere in the clear')
      }
    })

    it(`${operation} is refused with an If-Match that is not met, and changes nothing`, async () => {
      const { path, body, as } = await CHANGES[operation]!()
      const recorded = await plane.plane.services.history.last()
      const { status, body: problem } = await ask(method, path, body, { 'if-match': '"999"', ...as })
      assert.deepEqual([status, problem?.code], [412, 'SLW_PRECONDITION_FAILED'])
      assert.equal(await plane.plane.services.history.last(), recorded)
      // The ETag that is read from the object itself is met.
      if (!conditional || method === 'POST' || ['setApproval', 'setAlias'].includes(operation)) return
      const etag = (await ask('GET', path, undefined, as)).headers.get('etag')
      assert.ok(etag !== null, `GET ${path} has an ETag`)
      assert.ok((await ask(method, path, body, { 'if-match': etag, ...as })).status < 300)
    })
  }

  it('a change without an entry above fails here', () => {
    const known = new Set([...Object.keys(CHANGES), ...ELSEWHERE])
    assert.deepEqual(
      ROOMS.routes.filter(({ method, operation }) => method !== 'GET' && !known.has(operation)).map(({ operation }) => operation),
      [],
    )
  })
})

it('a secret is told again only to the credentials that got it', async () => {
  const { keys } = plane.plane.services
  const scope = { environment: 'default', actor: 'x' }
  const { key, info } = await keys.create(scope, { name: 'two', scopes: ['admin'] })
  const asked = { 'idempotency-key': randomUUID() }
  const body = { name: fresh(), scopes: ['viewer'] }
  const first = await ask('POST', '/keys', body, { ...asked, authorization: `Bearer ${key}` })
  assert.equal(first.status, 201)
  // Another caller with the same key of a request asks for something of its own.
  const other = await ask('POST', '/keys', body, asked)
  assert.equal(other.status, 201)
  assert.notEqual(other.body.id, first.body.id)
  const again = await ask('POST', '/keys', body, { ...asked, authorization: `Bearer ${key}` })
  assert.equal(again.body.key, first.body.key)
  await keys.revoke(scope, info.id)
  assert.equal((await ask('POST', '/keys', body, { ...asked, authorization: `Bearer ${key}` })).status, 401)
})

it('a key of a request is one of each environment', async () => {
  const environment = fresh()
  assert.equal((await ask('POST', '/environments', { name: environment })).status, 201)
  const key = { ...root, 'idempotency-key': randomUUID(), 'content-type': 'application/json' }
  const body = JSON.stringify({ name: fresh() })
  for (const place of ['', `/env/${environment}`]) {
    const made = await fetch(`${plane.url}${place}/api/v1/models`, { method: 'POST', headers: key, body })
    assert.deepEqual([made.status, made.headers.get('idempotency-replayed')], [201, null], place)
  }
})

it('a request that was refused may be sent again with the same key once the cause is mended', async () => {
  const name = fresh()
  const key = { 'idempotency-key': randomUUID() }
  const body = { source: 's3://b/x' }
  assert.equal((await ask('POST', `/models/${name}/versions`, body, key)).status, 404)
  await done('POST', '/models', { name })
  const { status, headers } = await ask('POST', `/models/${name}/versions`, body, key)
  assert.deepEqual([status, headers.get('idempotency-replayed')], [201, null])
})

it('every list comes in pages, and refuses a token that it has not given', { timeout: 120_000 }, async () => {
  const { as } = await person(['login'])
  const name = await endpoint()
  const hook = await webhook()
  for (let n = 0; n < 3; n++) {
    await done('POST', '/tokens', { name: fresh() }, as)
    await done('POST', '/roles', { kind: 'group', name: fresh(), role: 'viewer' })
    await done('POST', '/servers/join', { server: fresh() })
    await signer()
    await done('DELETE', `/models/${await model()}`)
  }
  for (const { path, query, operation } of ROOMS.routes) {
    const { properties = {} } = (query ?? {}) as { properties?: Record<string, unknown> }
    if (properties['pageToken'] === undefined) continue
    const at = path.replace(':endpoint', name).replace(':id', hook).replace(':model', name)
    const own = operation === 'listOwnTokens' ? as : {}
    for (const token of ['nonsense', Buffer.from('["another list","x"]').toString('base64url'), '%F0%9F%92%A1']) {
      const { status, body } = await ask('GET', `${at}?pageToken=${token}`, undefined, own)
      assert.deepEqual([status, body?.code], [400, 'SLW_INPUT_INVALID'], `${at}?pageToken=${token}`)
    }
    const whole = (await ask('GET', `${at}?limit=1000`, undefined, own)).body as { items: unknown[]; total: number }
    const found: unknown[] = []
    for (let token = ''; ;) {
      const { status, body } = await ask('GET', `${at}?limit=2${token}`, undefined, own)
      assert.equal(status, 200, at)
      found.push(...body.items)
      if (body.nextPageToken === undefined) break
      token = `&pageToken=${encodeURIComponent(body.nextPageToken)}`
    }
    // These go on meanwhile.
    if (['listWork', 'listEvents', 'listDeliveries'].includes(operation)) continue
    assert.deepEqual(found, whole.items, at)
    assert.equal(whole.total, whole.items.length, at)
  }
})

it('every object that can be read by itself can be watched', { timeout: 120_000 }, async () => {
  const paths = new Set(ROOMS.routes.map(({ path }) => path))
  const unwatched = ROOMS.routes
    .filter(({ method, path, operation }) => method === 'GET' && /^get[A-Z]/.test(operation) && !paths.has(`${path}/watch`))
    .map(({ operation }) => operation)
  assert.deepEqual(unwatched, ['getFile', 'getManifest', 'getContent', 'getTraffic'], 'bytes never change, and traffic is a window of time')
  const name = await endpoint()
  const { id } = (await done('POST', '/roles', { kind: 'group', name: fresh(), role: 'viewer' })).body as { id: string }
  for (const [path, change, event, gone] of [
    [`/models/${name}`, () => done('PATCH', `/models/${name}`, { description: 'seen' }), 'model', false],
    [`/models/${name}/versions/1`, () => done('PATCH', `/models/${name}/versions/1`, { description: 'seen' }), 'version', false],
    [`/models/${name}/aliases/live`, () => done('PUT', `/models/${name}/aliases/live`, { version: 2 }), 'alias', false],
    [`/endpoints/${name}`, () => done('PUT', `/endpoints/${name}`, document(name, 1)), 'endpoint', false],
    [`/roles/${id}`, () => done('DELETE', `/roles/${id}`), 'role', true],
  ] as const) {
    const ended = new AbortController()
    const response = await fetch(`${plane.url}/api/v1${path}/watch`, { headers: root, signal: ended.signal })
    let said = ''
    const events = (): string[] => [...said.matchAll(/^event: (\w+)$/gm)].map(([, kind = '']) => kind)
    const reading = (async () => {
      for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) said += piece
    })().catch(() => undefined)
    const until = async (count: number): Promise<void> => {
      for (let wait = 0; events().length < count; wait++) {
        assert.ok(wait < 400, `${path}: ${said}`)
        await new Promise((resolve) => setTimeout(resolve, 25))
      }
    }
    await until(1)
    await change()
    await until(2)
    assert.deepEqual(events(), [event, gone ? 'gone' : event])
    ended.abort()
    await reading
  }
})

it('a document that was read may not overwrite what was changed since, whoever sends it', async () => {
  const name = await endpoint()
  const { metadata } = (await ask('GET', `/endpoints/${name}`)).body as { metadata: { resourceVersion: string } }
  await done('PUT', `/endpoints/${name}`, document(name, 1))
  const stale = await ask('PUT', `/endpoints/${name}`, document(name, 2, { resourceVersion: metadata.resourceVersion }))
  assert.deepEqual([stale.status, stale.body.code], [412, 'SLW_PRECONDITION_FAILED'])
  const now = (await ask('GET', `/endpoints/${name}`)).body as { metadata: { resourceVersion: string } }
  await done('PUT', `/endpoints/${name}`, document(name, 2, { resourceVersion: now.metadata.resourceVersion }))
  assert.equal((await ask('PUT', `/endpoints/${name}`, document(name, 2, { resourceVersion: 'x' }))).status, 400)
})

it('what looks after an endpoint is kept as the document says, and nobody is taken for Slipway itself', async () => {
  const name = await endpoint()
  const managedBy = { kind: 'ci', name: 'https://ci.example.org/7' }
  const { body } = await done('PUT', `/endpoints/${name}`, document(name, 1, { managedBy }))
  assert.deepEqual(body.endpoint.metadata.managedBy, managedBy)
  for (const wrong of [{ kind: 'slipway', name: 'x' }, { kind: 'somebody', name: 'x' }, 'ci'])
    assert.equal((await ask('PUT', `/endpoints/${name}`, document(name, 1, { managedBy: wrong }))).status, 400)
})

it('an overlay of another target is held to what the one in use is held to', async () => {
  const name = await model()
  const overlays = { kubernetes: { autoscaling: { minReplicas: 5, maxReplicas: 2 } } }
  const declared = document(name, 1) as { spec: object }
  const { status, body } = await ask('PUT', `/endpoints/${name}`, { ...declared, spec: { ...declared.spec, overlays } })
  assert.equal(status, 400)
  assert.match(JSON.stringify(body), /spec\.overlays\.kubernetes\.autoscaling.*minReplicas 5 is more than maxReplicas 2/)
  const fits = { kubernetes: { autoscaling: { minReplicas: 2, maxReplicas: 5 } } }
  assert.equal((await ask('PUT', `/endpoints/${name}`, { ...declared, spec: { ...declared.spec, overlays: fits } })).status, 201)
})

it('one name is one server: who joins later takes the place, and who lost it is told so', async () => {
  const server = fresh()
  const join = (bootId: string, again = false) => ask('POST', '/servers/join', { server, bootId, again })
  const report = (key: string, bootId: string) =>
    ask(
      'PUT',
      `/servers/${server}/report`,
      { apiVersion: 'slipway/v1', bootId, release: '1', staleSeconds: 0, sentAt: Date.now(), expiresInMs: 60_000, endpoints: [] },
      { authorization: `Bearer ${key}` },
    )
  const one = await join('one')
  assert.equal((await report(one.body.key as string, 'one')).status, 204)
  const two = await join('two')
  assert.equal((await report(one.body.key as string, 'one')).status, 401)
  assert.equal((await report(two.body.key as string, 'two')).status, 204)
  const again = await join('one', true)
  assert.deepEqual([again.status, again.body.code], [409, 'SLW_CONFLICT'])
  assert.match(again.body.detail as string, /taken the place of this one.*--server-name/)
  assert.ok(Number(again.headers.get('retry-after')) > 0)
  assert.equal((await join('two', true)).status, 201, 'the one that has the place may join again')
  const told = (await ask('GET', `/events?kind=server&name=${server}`)).body.items as { action: string }[]
  assert.deepEqual(
    told.map(({ action }) => action),
    ['joined', 'replaced', 'joined'],
  )
})
