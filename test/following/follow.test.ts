import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { planeInProcess, push } from '../api/in-plane.ts'
import { serveInChild } from '../child-server.ts'
import { freePort, until } from '../fixtures.ts'
import { keepAliveLoad } from '../keep-alive-load.ts'
import { startFaultProxy } from '../storage/fault-proxy.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { startControlPlane } from '../../src/control-plane/start-control-plane.ts'
import { FollowedState } from '../../src/contract/followed-state.ts'
import { check } from '../../src/contract/schema.ts'
import { loadModel } from '../../src/index.ts'
import { authority } from '../certificates.ts'
import { added, adders, deploy, follows, setAlias } from './following.ts'
import type { EndpointAnswer } from '../../src/contract/delivery-api.ts'
import type { Plane } from '../api/in-plane.ts'

/** A version that is as large has no room beside another. */
const DISK_BYTES = 4 * 1024 * 1024

async function endpoint(plane: Plane, name = 'adder'): Promise<EndpointAnswer> {
  return (await plane.ask('GET', `/endpoints/${name}`)).body as EndpointAnswer
}

const readyOf = ({ status }: EndpointAnswer): string => status.conditions.find(({ type }) => type === 'Ready')!.reason

it('an alias that moves is served within moments, without a failed request, and what the server does is told', async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await adders(plane, 2)
  await deploy(plane)
  assert.equal(readyOf(await endpoint(plane)), 'NoServer')
  await using server = await follows(plane.url, folder.path)
  assert.equal(await added(server), 1)
  await until(async () => readyOf(await endpoint(plane)) === 'Served', 'the server reports')
  await using load = keepAliveLoad(server.url, ['adder'])
  for (const version of [2, 1, 2]) {
    await setAlias(plane, version)
    await until(async () => (await added(server)) === version, `version ${version} answers`)
  }
  const rolledBack = await plane.ask('POST', '/endpoints/adder/rollback', {})
  assert.equal(rolledBack.status, 200, JSON.stringify(rolledBack.body))
  await until(async () => (await added(server)) === 1, 'the version before answers')
  const answers = await load.stop()
  assert.deepEqual(
    answers.filter(({ status }) => status !== 200),
    [],
  )
  await until(async () => readyOf(await endpoint(plane)) === 'Served', 'the rollback is told')
  const { status } = await endpoint(plane)
  assert.deepEqual(
    status.servers.map(({ server: name, versions }) => [name, versions.map(({ version, state, serves }) => [version, state, serves])]),
    [['one', [[1, 'ready', true]]]],
  )
  assert.equal(status.conditions.find(({ type }) => type === 'Following')?.reason, 'Suspended')
  const refused = await fetch(`${server.url}/v2/repository/models/adder/load`, { method: 'POST' })
  assert.equal(refused.status, 404, 'without an admin token there is no such route')
  await plane.ask('DELETE', '/endpoints/adder')
  await until(async () => (await added(server)) === 'status 404', 'the endpoint is gone')
})

it('a server starts from its local store alone, and goes on when the control plane is back', async () => {
  await using folder = await temporaryFolder()
  const port = await freePort()
  const data = join(folder.path, 'data')
  const url = `http://127.0.0.1:${port}`
  {
    await using plane = await planeInProcess({ data, port })
    await adders(plane, 2)
    await deploy(plane)
    await using server = await follows(url, folder.path)
    assert.equal(await added(server), 1)
  }
  const store = join(folder.path, 'store')
  const heard = join(
    store,
    (await readdir(store)).find((name) => name.endsWith('.heard'))!,
  )
  const anHourAgo = Date.now() / 1000 - 3600
  await utimes(heard, anHourAgo, anHourAgo)
  {
    // An answer that has nothing new is heard too.
    await using _plane = await planeInProcess({ data, port })
    await using _server = await follows(url, folder.path)
    await until(async () => (await stat(heard)).mtimeMs > Date.now() - 60_000, 'it is written down that it was heard')
  }
  await utimes(heard, anHourAgo, anHourAgo)
  await using server = await follows(url, folder.path)
  assert.equal(await added(server), 1)
  const health = (await (await fetch(`${server.url}/health`)).json()) as { following: { trouble: string; stale_seconds: number } }
  assert.match(health.following.trouble, /ECONNREFUSED/)
  assert.ok(health.following.stale_seconds >= 3600, 'what it serves is as old as that, however short it has run')
  assert.match(await (await fetch(`${server.url}/metrics`)).text(), /slipway_control_plane_stale_seconds [\d.]+/)
  await using plane = await startControlPlane({ data, port })
  await plane.services.aliases.set(
    { environment: 'default', actor: 'test' },
    'adder',
    { alias: 'champion', version: '2' },
    { protect: true },
  )
  await until(async () => (await added(server)) === 2, 'the next version answers', 60_000)
})

it('a server of several processes follows as one, and each of them says how', async () => {
  await using folder = await temporaryFolder()
  await using plane = await planeInProcess()
  await adders(plane, 2)
  await deploy(plane)
  const args = ['--control-plane', plane.url, '--store', join(folder.path, 'store'), '--processes', '2', '--instances', '1']
  await using server = await serveInChild(args)
  const ofAll = async <T>(ask: () => Promise<T>): Promise<T[]> => await Promise.all(Array.from({ length: 12 }, ask))
  assert.deepEqual(new Set(await ofAll(() => added(server))), new Set([1]))
  await setAlias(plane, 2)
  await until(async () => (await ofAll(() => added(server))).every((answer) => answer === 2), 'every process serves the next version')
  const healths = await ofAll(async () => (await (await fetch(`${server.url}/health`)).json()) as { following?: { endpoints: unknown[] } })
  for (const { following } of healths) assert.deepEqual(following?.endpoints.length, 1)
})

it('a version whose files were damaged is never loaded: it is fetched again, or waits until it can be', async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await using proxy = await startFaultProxy(plane.url)
  await adders(plane, 2)
  await deploy(plane)
  const store = join(folder.path, 'store')
  const damage = async (): Promise<void> => {
    const name = (await readdir(store, { recursive: true })).find((one) => one.endsWith('model.onnx'))!
    const bytes = await readFile(join(store, name))
    // Of the weights: the model loads, and gives other answers.
    bytes[bytes.length - 20]! ^= 1
    await writeFile(join(store, name), bytes)
  }
  {
    await using server = await follows(proxy.endpoint, folder.path)
    assert.equal(await added(server), 1)
  }
  await damage()
  {
    await using server = await follows(proxy.endpoint, folder.path)
    assert.equal(await added(server), 1)
    await until(async () => readyOf(await endpoint(plane)) === 'Served', 'that is told')
  }
  await damage()
  proxy.inject({ kind: 'status', status: 500 }, /./, 1000)
  await using server = await follows(proxy.endpoint, folder.path)
  assert.match(String(await added(server)), /^status [45]/)
  proxy.reset()
  await until(async () => (await added(server)) === 1, 'it is fetched again', 60_000)
})

it('a control plane that lies, is slow or gives old documents changes nothing of what is served', async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await using proxy = await startFaultProxy(plane.url)
  await adders(plane, 4)
  await deploy(plane)
  await using server = await follows(proxy.endpoint, folder.path)
  assert.equal(await added(server), 1)
  const troubleOf = (): string | undefined => server.repository.state().following?.trouble
  const failed = (): string | undefined =>
    server.repository.state().following?.endpoints[0]?.versions.find(({ state }) => state === 'failed')?.reason
  // Wrong bytes, an answer that is cut off, errors: each is told, and the next try is good.
  proxy.inject({ kind: 'change', at: 100 }, /GET .*contents/, 1)
  await setAlias(plane, 2)
  await until(() => failed() !== undefined, 'the lie is found out')
  assert.match(failed()!, /other bytes than its digest says/)
  assert.equal(await added(server), 1)
  await until(
    async () => (await endpoint(plane)).status.servers[0]?.versions.some(({ state }) => state === 'failed') === true,
    'it is told',
  )
  await until(async () => (await added(server)) === 2, 'the next try is good')
  proxy.inject({ kind: 'truncate', bytes: 50 }, /GET .*contents/, 1)
  proxy.inject({ kind: 'status', status: 500 }, /GET .*follow\/versions/, 1)
  await setAlias(plane, 3)
  await until(async () => (await added(server)) === 3, 'the third answers')
  // A document of before, as from a proxy that keeps answers.
  const path = join(
    folder.path,
    'store',
    (await readdir(join(folder.path, 'store'))).find((name) => name.startsWith('follows-'))!,
  )
  const { state } = JSON.parse(await readFile(path, 'utf8'))
  await using old = await startOld({ ...state, generation: 1 })
  await using stubborn = await follows(old.url, join(folder.path, 'other'), { name: 'two' })
  assert.equal(stubborn.repository.state().following?.trouble !== undefined || (await added(stubborn)) !== 3, true)
  assert.equal(troubleOf(), undefined)
})

/** Gives one document, whatever is asked. */
async function startOld(document: object): Promise<AsyncDisposable & { readonly url: string }> {
  const { createServer } = await import('node:http')
  const server = createServer((_request, response) => {
    response.setHeader('etag', '"0.1"')
    response.end(JSON.stringify(document))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

it('a version that cannot be loaded leaves the one before it, is told of with the reason, and the next one is served', async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await adders(plane, 2)
  await deploy(plane)
  await using server = await follows(plane.url, folder.path)
  await setAlias(plane, 2)
  await until(async () => (await added(server)) === 2, 'the second answers')
  // The registry believes it good; on this server it is not.
  const { version } = (await push(plane, 'adder', { 'model.onnx': Buffer.from('no model') })).body as { version: number }
  await plane.plane.services.ground.database.write((write) =>
    write.updateTable('versions').set({ servable: 1, servable_reason: null }).where('number', '=', version).execute(),
  )
  await setAlias(plane, version)
  await until(async () => readyOf(await endpoint(plane)) === 'LoadFailed', 'the failure is told')
  assert.equal(await added(server), 2)
  const { status } = await endpoint(plane)
  assert.deepEqual(
    status.servers[0]?.versions.map((one) => [one.version, one.state, one.serves]),
    [
      [version, 'failed', false],
      [2, 'ready', true],
    ],
  )
  await setAlias(plane, 1)
  await until(async () => (await added(server)) === 1, 'the next one answers')
  await until(async () => readyOf(await endpoint(plane)) === 'Served', 'that is told')
})

it('a store that is full is told of, and what is served goes on', async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await adders(plane, 2)
  await deploy(plane)
  await using server = await follows(plane.url, folder.path, { controlPlane: { storeMb: 1 } as never })
  assert.equal(await added(server), 1)
  await push(plane, 'adder', { 'model.onnx': Buffer.from(addingModel(3, 2)) })
  await setAlias(plane, 3)
  await until(async () => readyOf(await endpoint(plane)) === 'LoadFailed', 'the full store is told')
  assert.match((await endpoint(plane)).status.conditions[0]!.message, /has no room for adder\/3.*--store-mb/)
  assert.equal(await added(server), 1)
  await setAlias(plane, 2)
  await until(async () => (await added(server)) === 2, 'what fits is served')
})

it('a disk that is full costs no answer: the version that has no room is told of, and the next one that has is served', async (t) => {
  await using folder = await temporaryFolder()
  await using plane = await planeInProcess()
  await adders(plane, 1)
  const large = { 'model.onnx': Buffer.from(addingModel(2)), 'data.bin': randomBytes(DISK_BYTES) }
  assert.equal((await push(plane, 'adder', large)).status, 201)
  assert.equal((await push(plane, 'adder', { 'model.onnx': Buffer.from(addingModel(3)) })).status, 201)
  await deploy(plane)
  const store = join(folder.path, 'store')
  await mkdir(store)
  const small = smallDisk()
  t.diagnostic(small.what)
  const args = ['--control-plane', plane.url, '--store', store, '--server-name', 'one', '--instances', '1']
  await using server = await serveInChild(args, { STORE: store }, small.through)
  await using load = keepAliveLoad(server.url, ['adder'])
  const failed = async () => (await endpoint(plane)).status.servers[0]?.versions.find(({ state }) => state === 'failed')
  await setAlias(plane, 2)
  await until(async () => (await failed()) !== undefined, 'it is told', 30_000)
  assert.match((await failed())?.reason ?? '', small.says)
  assert.equal(await added(server), 1)
  await setAlias(plane, 3)
  await until(async () => (await added(server)) === 3, 'a version that has room is served', 30_000)
  assert.deepEqual(
    (await load.stop()).filter(({ status }) => status !== 200),
    [],
  )
})

/** What makes a disk of {@link DISK_BYTES} of the folder `STORE`, or where that is not allowed a limit of files as large. */
function smallDisk(): { readonly what: string; readonly through: readonly string[]; readonly says: RegExp } {
  const disk = ['unshare', '-m', 'sh', '-c', `mount -t tmpfs -o size=${DISK_BYTES} tmpfs "$STORE" && exec "$0" "$@"`]
  const [command = '', ...words] = disk
  const probe = spawnSync(command, [...words, 'true'], { env: { ...process.env, STORE: '/tmp' } })
  if (probe.status === 0)
    return {
      what: 'a file system of its own',
      through: disk,
      says: /the disk of the local store .* has no room for adder\/2: 4\.0 MiB are to come/,
    }
  const limit = ['sh', '-c', `ulimit -f ${DISK_BYTES / 1024 - 100} && exec "$0" "$@"`]
  return { what: 'a limit of the size of files', through: limit, says: /EFBIG/ }
}

it('a join token becomes a key of its own, which is replaced, and a key that was taken away shuts the server out', async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await adders(plane, 2)
  await deploy(plane)
  const admin = (await plane.ask('POST', '/keys', { name: 'admin', scopes: ['admin'] })).body as { key: string }
  const as = { authorization: `Bearer ${admin.key}` }
  const join_ = (await plane.ask('POST', '/keys', { name: 'edge', scopes: ['join'], environments: ['default'] }, as)).body as {
    key: string
  }
  await using outside = await follows(plane.url, join(folder.path, 'outside'), { name: 'outside' })
  assert.match(outside.repository.state().following?.trouble ?? '', /a key is needed/)
  await using server = await follows(plane.url, folder.path, { environment: { SLIPWAY_JOIN_TOKEN: join_.key } })
  assert.equal(await added(server), 1)
  const { items } = (await plane.ask('GET', '/keys', undefined, as)).body as {
    items: { id: string; name: string; scopes: string[]; expiresAt: number }[]
  }
  const own = items.filter(({ name }) => name === 'server one')
  assert.deepEqual(
    own.map(({ scopes, expiresAt }) => [scopes, expiresAt > Date.now() + 23 * 3600_000]),
    [[['follow'], true]],
  )
  // The key that was kept is used again after a restart; it opens nothing else.
  const kept = JSON.parse(await readFile(join(folder.path, 'store', 'key-one.json'), 'utf8')) as { key: string }
  assert.equal((await plane.ask('GET', '/models', undefined, { authorization: `Bearer ${kept.key}` })).status, 403)
  assert.equal((await plane.ask('GET', '/follow', undefined, { authorization: `Bearer ${kept.key}` })).status, 200)
  const next = await plane.ask('POST', '/servers/one/key', {}, { authorization: `Bearer ${kept.key}` })
  assert.equal(next.status, 201)
  await plane.ask('DELETE', `/keys/${own[0]!.id}`, undefined, as)
  assert.equal((await plane.ask('GET', '/follow', undefined, { authorization: `Bearer ${kept.key}` })).status, 401)
  // The server joins anew by its token and goes on.
  await plane.ask('PUT', '/models/adder/aliases/champion', { version: 2 }, as)
  await until(async () => (await added(server)) === 2, 'the server has joined again', 60_000)
})

it('an application follows an alias, has calls answered without a gap, and goes on without the registry', async () => {
  await using folder = await temporaryFolder()
  const store = join(folder.path, 'store')
  const tensor = () => ({ name: 'x', datatype: 'FP32' as const, shape: [1, 4], data: Float32Array.of(1, 2, 3, 4) })
  const ask = async (model: Awaited<ReturnType<typeof loadModel>>): Promise<number> =>
    ((await model.infer([tensor()]))[0]!.data as Float32Array)[0]! - 1
  let url = ''
  {
    await using plane = await planeInProcess()
    url = plane.url
    await adders(plane, 3)
    await using model = await loadModel('models:/adder@champion', { controlPlane: url, store })
    assert.deepEqual([model.name, model.version, await ask(model)], ['adder', '1', 1])
    const asking = new AbortController()
    const answers: number[] = []
    const calls = (async () => {
      while (!asking.signal.aborted) answers.push(await ask(model))
    })()
    for (const version of [2, 3]) {
      await setAlias(plane, version)
      await until(() => model.version === String(version), `version ${version} answers`)
    }
    asking.abort()
    await calls
    assert.ok(answers.every((answer) => [1, 2, 3].includes(answer)))
    await using byHand = await loadModel('models:/adder/1', { controlPlane: url, store, follow: 'manual' })
    assert.equal(byHand.version, '1')
    await using asked = await loadModel('models:/adder@champion', { controlPlane: url, store, follow: 'manual' })
    await setAlias(plane, 1)
    await until(() => model.version === '1', 'who is notified has it')
    assert.equal(asked.version, '3')
    await asked.refresh()
    assert.equal(asked.version, '1')
    await plane.ask('PUT', '/models/adder/aliases/other', { version: 3 })
    await using other = await loadModel('models:/adder@other', { controlPlane: url, store: join(folder.path, 'other') })
    // What a policy does not allow is not served here either, and what it comes to allow is served at once.
    await plane.ask('PATCH', '/models/adder', { policy: { gatedAliases: ['champion'], approval: true } })
    await plane.ask('PUT', '/models/adder/aliases/other', { version: 2 })
    await assert.rejects(loadModel('models:/adder@other', { controlPlane: url, store }), /adder\/2 is not approved/)
    assert.equal(await ask(other), 3)
    assert.equal((await plane.ask('PUT', '/models/adder/versions/2/approval', { state: 'approved' })).status, 200)
    await until(() => other.version === '2', 'what was approved is served', 5000)
    await assert.rejects(loadModel('models:/adder@nobody', { controlPlane: url, store }), /no alias "nobody"/)
  }
  await using offline = await loadModel('models:/adder@champion', { controlPlane: url, store })
  assert.deepEqual([offline.version, await ask(offline)], ['1', 1])
  assert.match(offline.following?.trouble ?? '', /ECONNREFUSED/)
  await assert.rejects(loadModel('models:/adder@champion', { controlPlane: url, store: join(folder.path, 'empty') }), {
    code: 'SLW_UNREACHABLE',
  })
  await assert.rejects(loadModel('models:/adder@champion'), /name it with \{ controlPlane/)
  await assert.rejects(loadModel('models:/adder', { controlPlane: url }), { code: 'SLW_CONFIG_INVALID' })
})

it('an object store that has lost its files leaves the old version serving, and the reason is told', async () => {
  await using folder = await temporaryFolder()
  await using plane = await planeInProcess({ data: join(folder.path, 'data') })
  await adders(plane, 2)
  await deploy(plane)
  await using server = await follows(plane.url, folder.path)
  assert.equal(await added(server), 1)
  const objects = join(folder.path, 'data', 'objects')
  await rename(objects, `${objects}.away`)
  await setAlias(plane, 2)
  await until(async () => readyOf(await endpoint(plane)) === 'LoadFailed', 'the fault is told')
  assert.equal(await added(server), 1)
  await rm(objects, { recursive: true, force: true })
  await rename(`${objects}.away`, objects)
  await until(async () => (await added(server)) === 2, 'the store is back', 60_000)
})

it('a control plane with TLS is followed by whoever believes its authority, and by nobody else', async () => {
  await using folder = await temporaryFolder()
  const ours = await authority(folder.path)
  const { cert, key } = await ours.issue('plane')
  await using plane = await startControlPlane({ data: join(folder.path, 'data'), port: 0, tls: { cert, key, clientCa: undefined } })
  assert.match(plane.url, /^https:/)
  await plane.services.models.create({ environment: 'default', actor: 'test' }, { name: 'm' })
  await using stranger = await follows(plane.url, join(folder.path, 'one'), { name: 'one' })
  assert.match(stranger.repository.state().following?.trouble ?? '', /self[- ]signed|SELF_SIGNED|UNABLE_TO_VERIFY/i)
  await using friend = await follows(plane.url, join(folder.path, 'two'), { name: 'two', controlPlane: { ca: ours.cert } as never })
  assert.equal(friend.repository.state().following?.trouble, undefined)
})

it('documents and reports of another release are understood as far as they go', async () => {
  const variant = {
    name: 'main',
    model: 'm',
    version: 1,
    versionId: '0'.repeat(32),
    digest: '0'.repeat(64),
    size: 1,
    serving: { later: 1 },
    later: 1,
  }
  const routing = { weights: { main: 100 }, salt: '', segment: 1, later: 1 }
  const endpoints = [{ name: 'e', labels: {}, generation: 1, revision: 1, variants: [variant], routing, later: 1 }]
  const document = {
    apiVersion: 'slipway/v1',
    kind: 'FollowedState',
    environment: 'default',
    era: 0,
    generation: 1,
    endpoints,
    later: { a: 1 },
  }
  assert.ok('value' in check(FollowedState, document))
  await using plane = await planeInProcess()
  const report = {
    apiVersion: 'slipway/v1',
    bootId: 'b',
    release: '99.0.0',
    sentAt: Date.now() + 3_600_000,
    staleSeconds: 0,
    expiresInMs: 60_000,
    endpoints: [],
    later: 1,
  }
  assert.equal((await plane.ask('PUT', '/servers/later/report', report)).status, 204)
  const { items } = (await plane.ask('GET', '/servers')).body as { items: { name: string; clockSkewMs: number }[] }
  assert.equal(Math.round(items[0]!.clockSkewMs / 60_000), 60, 'a clock that is wrong is told')
})
