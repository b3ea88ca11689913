import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { readEvents } from '../../src/cli/control-plane/event-stream.ts'
import { addingModel } from '../adding-models.ts'
import { until } from '../fixtures.ts'
import { contentIdOf, planeInProcess, push } from './in-plane.ts'
import type { StreamMessage } from '../../src/cli/control-plane/event-stream.ts'
import type { Plane } from './in-plane.ts'

/** Collects messages of a stream until it is told to stop. */
function follow(url: string, headers: Record<string, string> = {}): { messages: StreamMessage[]; stop: () => Promise<void> } {
  const messages: StreamMessage[] = []
  const ended = new AbortController()
  const reading = (async () => {
    const response = await fetch(url, { headers, signal: ended.signal })
    assert.equal(response.status, 200)
    for await (const message of readEvents(response.body!)) if (message.data !== undefined) messages.push(message)
  })().catch((error: unknown) => {
    if (!ended.signal.aborted) throw error
  })
  return {
    messages,
    async stop() {
      ended.abort()
      await reading
    },
  }
}

/** As many clients do, reads nothing of the answer before all of the body is sent. */
async function sendsAllFirst(url: string, body: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const head = `POST /api/v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`
  socket.pause()
  await new Promise((resolve) => socket.write(head + body, resolve))
  let text = ''
  for await (const piece of socket) {
    text += String(piece)
    if (text.includes('"hint"')) break
  }
  return text
}

describe('/api/v1', () => {
  let plane: Plane
  before(async () => {
    plane = await planeInProcess()
  })
  after(() => plane[Symbol.asyncDispose]())

  it('a model is pushed file by file, tried, and told of: what it takes, what was checked, where its bytes are', async () => {
    assert.equal((await plane.ask('POST', '/models', { name: 'adder', tags: { team: 'a' } })).status, 201)
    const model = Buffer.from(addingModel(1))
    const missing = await plane.ask('POST', '/contents/missing', { ids: [contentIdOf(model), contentIdOf(Buffer.from('?'))] })
    assert.deepEqual(missing.body.missing.length, 2)
    const made = await push(plane, 'adder', { 'model.onnx': model }, { metrics: { auc: 0.5 }, provenance: { codeCommit: 'abc' } })
    assert.equal(made.status, 201, JSON.stringify(made.body))
    assert.equal(made.headers.get('location'), '/api/v1/models/adder/versions/1')
    const { version, servable, signature, scan, metrics, provenance } = made.body
    assert.deepEqual([version, servable, metrics, provenance], [1, 'yes', { auc: 0.5 }, { codeCommit: 'abc' }])
    assert.deepEqual(
      signature.inputs.map((tensor: { name: string }) => tensor.name),
      ['x'],
    )
    assert.deepEqual(
      scan.map((check: { check: string; passed: boolean }) => [check.check, check.passed]),
      [
        ['content', true],
        ['model', true],
        ['run', true],
      ],
    )
    const again = await push(plane, 'adder', { 'model.onnx': model })
    assert.deepEqual([again.status, again.body.version], [200, 1])
    const file = await fetch(`${plane.url}/api/v1/models/adder/versions/1/files/model.onnx`, { headers: { range: 'bytes=2-5' } })
    assert.deepEqual([file.status, Buffer.from(await file.arrayBuffer()).equals(model.subarray(2, 6))], [206, true])
    const files = await plane.ask('GET', '/models/adder/versions/1/files')
    assert.deepEqual(files.body.items, [{ path: 'model.onnx', size: model.length, contentId: contentIdOf(model) }])
  })

  it('what cannot be served is registered with the reason, and never loaded', async () => {
    await plane.ask('POST', '/models', { name: 'odd' })
    const cases: readonly (readonly [files: Record<string, Uint8Array>, reason: RegExp])[] = [
      [{ 'model.onnx': Buffer.from('no model') }, /model\.onnx/],
      [{ 'model.pkl': Buffer.from([0x80, 4, 0x4e, 0x2e]) }, /model\.pkl is a pickle, which runs code/],
      // By what it is, whatever it is called.
      [{ 'weights.dat': Buffer.from([0x80, 5, 0x4e, 0x2e]) }, /weights\.dat is a pickle/],
      [{ 'model.zip': Buffer.from('PK\x03\x04rest', 'latin1') }, /zip archive/],
      [{ 'sub/model.onnx': Buffer.from(addingModel(2)) }, /sub\/model\.onnx/],
      [{ 'slipway.yaml': Buffer.from('model: ../../etc/passwd\n'), 'model.onnx': Buffer.from(addingModel(3)) }, /outside the package/],
      [
        {
          'slipway.yaml': Buffer.from('golden:\n  - input: {x: [1, 2, 3, 4]}\n    expect: [9]\n'),
          'model.onnx': Buffer.from(addingModel(4)),
        },
        /golden/,
      ],
    ]
    for (const [files, reason] of cases) {
      const { status, body } = await push(plane, 'odd', files)
      assert.equal(status, 201, JSON.stringify(body))
      assert.equal(body.servable, 'no')
      assert.match(body.servableReason, reason)
      assert.ok(!body.servableReason.includes(plane.plane.url) && !/\/tmp\//.test(body.servableReason), body.servableReason)
    }
  })

  it('bytes that are not those of their content id are refused, and a path that leaves the version too', async () => {
    const bytes = randomBytes(100)
    const wrong = await plane.ask('PUT', `/contents/${contentIdOf(randomBytes(100))}`, bytes)
    assert.deepEqual([wrong.status, wrong.body.code], [400, 'SLW_INPUT_INVALID'])
    assert.equal((await plane.ask('PUT', '/contents/abc', bytes)).status, 400)
    await plane.ask('POST', '/models', { name: 'paths' })
    for (const path of ['../x', '/etc/passwd', 'a/../../b', 'a\\..\\b', '%2e%2e/x', 'a//b', 'x\0y']) {
      const { status, body } = await push(plane, 'paths', { [path]: bytes })
      assert.deepEqual([status, body.code], [400, 'SLW_INPUT_INVALID'], path)
    }
    for (const path of ['..%2f..%2fslipway.db', '%2e%2e/slipway.db', 'a/%252e%252e/b'])
      assert.ok([400, 404].includes((await plane.ask('GET', `/models/adder/versions/1/files/${path}`)).status), path)
  })

  it('pages follow one another in an order, with the number of all, and no object is missed or told twice', async () => {
    for (let index = 0; index < 7; index++) await plane.ask('POST', '/models', { name: `page-${index}` })
    const names: string[] = []
    let pageToken: string | undefined
    do {
      const query = new URLSearchParams({
        filter: "name LIKE 'page-%'",
        limit: '3',
        orderBy: 'name DESC',
        ...(pageToken !== undefined && { pageToken }),
      })
      const { status, body } = await plane.ask('GET', `/models?${query.toString()}`)
      assert.deepEqual([status, body.total], [200, 7])
      names.push(...body.items.map(({ name }: { name: string }) => name))
      pageToken = body.nextPageToken
    } while (pageToken !== undefined)
    assert.deepEqual(
      names,
      Array.from({ length: 7 }, (_, index) => `page-${6 - index}`),
    )
    assert.equal((await plane.ask('GET', '/endpoints?pageToken=!')).status, 400)
    assert.equal((await plane.ask('GET', '/models?limit=0')).status, 400)
    assert.equal((await plane.ask('GET', '/models?pageToken=x')).status, 400)
    assert.equal((await plane.ask('GET', '/models?colour=red')).status, 400)
    assert.equal((await plane.ask('GET', `/models?filter=${encodeURIComponent('name =')}`)).status, 400)
  })

  it('a change says what it has seen, and is refused where that has changed', async () => {
    const made = await plane.ask('POST', '/models', { name: 'etag' })
    const etag = made.headers.get('etag')!
    assert.equal((await fetch(`${plane.url}/api/v1/models/etag`, { headers: { 'if-none-match': etag } })).status, 304)
    const changed = await plane.ask('PATCH', '/models/etag', { description: 'a' }, { 'if-match': etag })
    assert.equal(changed.status, 200)
    const late = await plane.ask('PATCH', '/models/etag', { description: 'b' }, { 'if-match': etag })
    assert.deepEqual([late.status, late.body.code], [412, 'SLW_PRECONDITION_FAILED'])
    assert.equal((await plane.ask('DELETE', '/models/etag', undefined, { 'if-match': etag })).status, 412)
    assert.equal((await plane.ask('PATCH', '/models/etag', { description: 'c' }, { 'if-match': 'W/"nonsense"' })).status, 412)
    await plane.ask('POST', '/models/etag/versions', { source: 's3://b/1' })
    await plane.ask('POST', '/models/etag/versions', { source: 's3://b/2' })
    const put = (version: number, headers: Record<string, string>) =>
      plane.ask('PUT', '/models/etag/aliases/live', { version, reason: 'why' }, headers)
    assert.equal((await put(1, { 'if-none-match': '*' })).status, 200)
    assert.equal((await put(2, { 'if-none-match': '*' })).status, 412)
    assert.equal((await put(2, { 'if-match': '"2"' })).status, 412)
    const moved = await put(2, { 'if-match': '"1"' })
    assert.deepEqual([moved.status, moved.headers.get('etag')], [200, '"2"'])
    const told = await plane.ask('GET', '/events?name=etag@live')
    assert.deepEqual(
      told.body.items.map(({ reason }: { reason: string }) => reason),
      ['why', 'why'],
    )
  })

  it('the same request with the same key is done once, and answered alike', async () => {
    const key = { 'idempotency-key': 'k-1' }
    const first = await plane.ask('POST', '/models/etag/versions', { source: 's3://b/3' }, key)
    const second = await plane.ask('POST', '/models/etag/versions', { source: 's3://b/3' }, key)
    assert.deepEqual([first.status, second.status, second.headers.get('idempotency-replayed')], [201, 201, 'true'])
    assert.deepEqual(second.body, first.body)
    const other = await plane.ask('POST', '/models/etag/versions', { source: 's3://b/4' }, key)
    assert.deepEqual([other.status, other.body.code], [422, 'SLW_IDEMPOTENCY_CONFLICT'])
    // The answer got lost before it was kept: the work is not done again.
    await plane.plane.services.ground.database.write((write) =>
      write.updateTable('idempotency_keys').set({ status: null, answer: null }).where('key', '=', 'k-1').execute(),
    )
    const third = await plane.ask('POST', '/models/etag/versions', { source: 's3://b/3' }, key)
    assert.deepEqual([third.status, third.body.version], [200, first.body.version])
    assert.equal((await plane.ask('GET', '/models/etag/versions')).body.total, 3)
  })

  it('errors are problems with a code, what is wrong where, and what to do', async () => {
    const { status, body, headers } = await plane.ask('POST', '/models', { nam: 'x' })
    assert.deepEqual([status, headers.get('content-type')?.split(';')[0]], [400, 'application/problem+json'])
    assert.deepEqual(
      [body.status, body.code, typeof body.hint, body.type],
      [400, 'SLW_INPUT_INVALID', 'string', 'urn:slipway:error:SLW_INPUT_INVALID'],
    )
    assert.ok(body.issues.some(({ message }: { message: string }) => message.includes('did you mean "name"?')))
    assert.equal((await plane.ask('POST', '/models', '{"name":')).body.code, 'SLW_BAD_REQUEST')
    assert.equal((await plane.ask('GET', '/models/nothing')).status, 404)
    assert.match(await sendsAllFirst(plane.url, `{"name": "${'x'.repeat(30_000_000)}"}`), /^HTTP\/1\.1 413 [^]*SLW_BODY_TOO_LARGE/)
    const wrong = await plane.ask('PUT', '/models')
    assert.deepEqual([wrong.status, wrong.headers.get('allow')], [405, 'GET, POST'])
    assert.equal((await plane.ask('POST', '/models', { name: 'etag' })).status, 409)
  })

  it('a feed goes on where it was left, tells what was asked for only, and says when it cannot', async () => {
    await plane.ask('POST', '/models', { name: 'feed' })
    const all = follow(`${plane.url}/api/v1/events/stream`)
    const mine = follow(`${plane.url}/api/v1/events/stream?name=feed*&kind=version`)
    await pause(300)
    for (let index = 0; index < 3; index++) {
      await plane.ask('POST', '/models/feed/versions', { source: `s3://b/${index}` })
      await plane.ask('PATCH', '/models/etag', { description: String(index) })
    }
    await until(() => all.messages.length >= 6 && mine.messages.length >= 3, 'all is told')
    await all.stop()
    await mine.stop()
    assert.deepEqual(
      mine.messages.map(({ event }) => event),
      ['version.created', 'version.created', 'version.created'],
    )
    const ids = all.messages.map(({ id }) => Number(id))
    assert.deepEqual(
      ids,
      ids.map((_, index) => ids[0]! + index),
    )
    const later = follow(`${plane.url}/api/v1/events/stream`, { 'last-event-id': String(ids[2]) })
    await until(() => later.messages.length >= 3, 'what came after is told again')
    await later.stop()
    assert.deepEqual(
      later.messages.slice(0, 3).map(({ id }) => Number(id)),
      ids.slice(3),
    )
    const future = await plane.ask('GET', '/events/stream?after=999999')
    assert.deepEqual([future.status, future.body.code], [410, 'SLW_FEED_EXPIRED'])
    assert.match(future.body.detail, /has the events 0 to \d+/)
  })

  it('whoever watches a model sees it as it is, and again when it changes', async () => {
    const watched = follow(`${plane.url}/api/v1/models/feed/watch`)
    await until(() => watched.messages.length === 1, 'it is told as it is')
    await plane.ask('PATCH', '/models/etag', { description: 'of no concern' })
    await plane.ask('PUT', '/models/feed/aliases/live', { version: 2 })
    await until(() => watched.messages.length === 2, 'it is told again')
    await plane.ask('DELETE', '/models/feed')
    await until(() => watched.messages.length === 3, 'its end is told')
    await watched.stop()
    assert.deepEqual(
      watched.messages.map(({ event }) => event),
      ['model', 'model', 'gone'],
    )
    assert.deepEqual(JSON.parse(watched.messages[1]!.data!).aliases, { live: 2 })
  })

  it('the description names every route, and its schemas are those that requests are checked with', async () => {
    const { body } = await plane.ask('GET', '/openapi.json')
    assert.equal(body.openapi, '3.1.0')
    const operations = Object.values(body.paths as Record<string, Record<string, { operationId: string }>>).flatMap((path) =>
      Object.values(path),
    )
    assert.ok(operations.length > 35)
    assert.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length)
    assert.ok(body.paths['/models/{model}/versions/{version}/files/{path}'].get)
    assert.ok(body.paths['/models/{model}'].patch.requestBody.content['application/json'].schema.properties.policy)
  })

  it('pages of other sites are let in neither by name nor by origin', async () => {
    assert.equal((await plane.ask('GET', '/models', undefined, { origin: 'http://evil.example' })).status, 403)
    assert.equal((await plane.ask('POST', '/models', { name: 'x' }, { origin: 'null' })).status, 403)
  })
})

it('a control plane that ends does not wait for those who follow it', async () => {
  const plane = await planeInProcess()
  await plane.ask('POST', '/models', { name: 'm' })
  const followers = ['/events/stream', '/models/m/watch'].map((path) => fetch(`${plane.url}/api/v1${path}`))
  const bodies = (await Promise.all(followers)).map((response) => response.text())
  const late = pause(10_000, 'late', { ref: false })
  assert.notEqual(await Promise.race([plane[Symbol.asyncDispose](), late]), 'late')
  for (const text of await Promise.all(bodies)) assert.match(text, /^retry: 1000\n/)
})

it('the older words of scopes are roles, and keys rotate with an overlap', async () => {
  await using plane = await planeInProcess()
  const make = async (scopes: string[], key?: string): Promise<{ id: string; key: string }> =>
    (await plane.ask('POST', '/keys', { name: scopes.join('+'), scopes }, key === undefined ? {} : { authorization: `Bearer ${key}` })).body
  const admin = await make(['admin'])
  assert.equal((await plane.ask('GET', '/models')).status, 401, 'with the first key nothing is open without one')
  const keys = {
    admin,
    read: await make(['read'], admin.key),
    write: await make(['write'], admin.key),
    protect: await make(['protect'], admin.key),
  }
  const as = (who: keyof typeof keys) => ({ authorization: `Bearer ${keys[who].key}` })
  assert.equal((await plane.ask('POST', '/models', { name: 'm' }, as('write'))).status, 201)
  assert.equal((await plane.ask('PATCH', '/models/m', { protectedAliases: ['live'] }, as('write'))).status, 403)
  assert.equal((await plane.ask('PATCH', '/models/m', { protectedAliases: ['live'] }, as('protect'))).status, 200)
  await plane.ask('POST', '/models/m/versions', { source: 's3://b/1' }, as('write'))
  assert.equal((await plane.ask('PUT', '/models/m/aliases/live', { version: 1 }, as('write'))).status, 403)
  assert.equal((await plane.ask('PUT', '/models/m/aliases/live', { version: 1 }, as('protect'))).status, 200)

  const next = await plane.ask('POST', `/keys/${keys.write.id}/rotate`, { overlapMs: 300 }, as('admin'))
  assert.equal(next.status, 201)
  const withNext = { authorization: `Bearer ${next.body.key}` }
  assert.deepEqual(
    [(await plane.ask('GET', '/models', undefined, as('write'))).status, (await plane.ask('GET', '/models', undefined, withNext)).status],
    [200, 200],
  )
  await pause(400)
  assert.deepEqual(
    [(await plane.ask('GET', '/models', undefined, as('write'))).status, (await plane.ask('GET', '/models', undefined, withNext)).status],
    [401, 200],
  )
})
