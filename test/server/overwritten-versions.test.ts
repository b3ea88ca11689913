import assert from 'node:assert/strict'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { post, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { processTree } from '../../src/cli/tune/process-memory.ts'
import { SlipwayError } from '../../src/core/errors.ts'
import { silentLogger } from '../../src/core/log.ts'
import { Repository } from '../../src/serving/repository/repository.ts'
import { startServer } from '../../src/server/start-server.ts'
import { added, health, loads, sample } from './served.ts'
import type { DesiredEndpoint, VariantSpec } from '../../src/contract/desired-endpoint.ts'
import type { SlipwayServer, StartServerOptions } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const SMALL = { instances: 1, inlineMaxUs: 0 } as const
const ADMIN = { authorization: 'Bearer a-token-of-some-length' }

function serve(folder: TemporaryFolder, path: string, options: StartServerOptions = {}): Promise<SlipwayServer> {
  const environment = { SLIPWAY_ADMIN_TOKEN: 'a-token-of-some-length' }
  return startServer({ models: [{ path: join(folder.path, path) }], port: 0, serving: SMALL, environment, ...options })
}

async function twoLooks(server: SlipwayServer): Promise<void> {
  await server.repository.rescan()
  await server.repository.rescan()
}

function readiness(server: SlipwayServer, path = '/ready'): Promise<number> {
  return fetch(`${server.url}${path}`).then(({ status }) => status)
}

describe('a version that is overwritten with something broken', () => {
  it('goes on as it was loaded, is not downgraded, and the broken content is tried once', async () => {
    await using folder = await temporaryFolder()
    for (const version of [1, 2]) await folder.write(`all/m/${version}/model.onnx`, addingModel(version))
    await using server = await serve(folder, 'all')
    await folder.write('all/m/2/model.onnx', 'garbage')
    await twoLooks(server)
    assert.equal(await added(server, 'm'), 2)
    const before = await loads(server, 'm', 'ok')
    await folder.write('all/other/model.onnx', addingModel(9))
    await twoLooks(server)
    assert.equal(await added(server, 'other'), 9)
    assert.equal(await added(server, 'm'), 2)
    assert.deepEqual([await loads(server, 'm', 'model_invalid'), await loads(server, 'm', 'ok')], [1, before])
    assert.equal((await health(server)).models[0]?.failures?.[0]?.version, '2', 'it is told')
    await folder.write('all/m/2/model.onnx', addingModel(22))
    await twoLooks(server)
    assert.equal(await added(server, 'm'), 22)
  })

  it('also where it is the only one, or one of several that are served', async () => {
    await using folder = await temporaryFolder()
    for (const path of ['all/one/1', 'all/many/1', 'all/many/2']) await folder.write(`${path}/model.onnx`, addingModel(1))
    await using server = await serve(folder, 'all', { versions: 'all' })
    for (const path of ['all/one/1', 'all/many/1']) await folder.write(`${path}/model.onnx`, 'garbage')
    await twoLooks(server)
    await folder.write('all/other/model.onnx', addingModel(9))
    await twoLooks(server)
    assert.equal(await added(server, 'one'), 1)
    const { status } = await fetch(`${server.url}/v2/models/many/versions/1/ready`)
    assert.equal(status, 200)
    for (const name of ['one', 'many']) assert.equal(await loads(server, name, 'model_invalid'), 1)
    assert.deepEqual([await loads(server, 'one', 'ok'), await loads(server, 'many', 'ok')], [1, 2])
  })

  it('gives its place to an older one once it has ended; its instance is not started with what lies there now', async () => {
    await using folder = await temporaryFolder()
    for (const version of [1, 2]) await folder.write(`m/${version}/model.onnx`, addingModel(version))
    const children = processTree(process.pid)
    await using server = await serve(folder, 'm', { serving: { ...SMALL, isolation: 'process' } })
    const killInstance = (): void => {
      const instance = processTree(process.pid).find((pid) => !children.includes(pid))
      assert.ok(instance !== undefined)
      process.kill(instance, 'SIGKILL')
    }
    const file = join(folder.path, 'm/2/model.onnx')
    await rename(file, join(folder.path, 'good'))
    await writeFile(file, addingModel(77))
    killInstance()
    const last = (): string | undefined =>
      [...server.dataPlane.variants()].flatMap((variant) => variant.status().instances)[0]?.lastFailure?.message
    await until(() => /files of version 2 have changed since it was loaded/.test(last() ?? ''), 'a restart was refused')
    await rename(join(folder.path, 'good'), file)
    await until(async () => (await added(server, 'm')) === 2, 'with the files back it starts again')
    await writeFile(file, 'garbage')
    await twoLooks(server)
    assert.equal(await added(server, 'm'), 2)
    killInstance()
    await until(() => [...server.dataPlane.variants()].every((variant) => !variant.ready), 'its instance has ended')
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 1)
  })
})

describe('V2 load', () => {
  it('leaves a pin, and of a new model whose newest version is broken serves the older one', async () => {
    await using folder = await temporaryFolder()
    for (const version of [1, 2]) await folder.write(`all/m/${version}/model.onnx`, addingModel(version))
    await using server = await serve(folder, 'all')
    await post(`${server.url}/admin/models/m/switch`, { version: '1' }, ADMIN)
    const load = (name: string): Promise<Response> =>
      fetch(`${server.url}/v2/repository/models/${name}/load`, { method: 'POST', headers: ADMIN })
    for (const name of ['new', 'seen-with-another']) {
      await folder.write(`all/${name}/1/model.onnx`, addingModel(5))
      await folder.write(`all/${name}/2/model.onnx`, 'garbage')
      assert.equal((await load(name === 'new' ? name : 'm')).status, 200)
      // What is found beside the model that is asked for is loaded, and not waited for.
      if (name !== 'new') await until(async () => (await added(server, name)) === 5, `${name} is served`)
      assert.equal(await added(server, name), 5)
    }
    assert.equal(await added(server, 'm'), 1)
    assert.equal((await load('new')).status, 422, 'where an older one goes on, it is told what is wrong with the newest')
    assert.equal(await added(server, 'new'), 5)
    await post(`${server.url}/admin/models/m/switch`, { version: 'policy' }, ADMIN)
    assert.equal(await added(server, 'm'), 2)
  })
})

describe('readiness', () => {
  it('does not fall while a model is loaded again for a request', async () => {
    await using folder = await temporaryFolder()
    for (const name of ['a', 'b']) await folder.write(`all/${name}/model.onnx`, addingModel(1))
    await using server = await serve(folder, 'all', { serving: { ...SMALL, isolation: 'process' }, memoryBudgetMb: 140 })
    const asleep = [...server.dataPlane.variants()].find((variant) => variant.phase === 'unloaded')
    assert.ok(asleep !== undefined)
    const name = asleep.subject.endpoint
    const answer = added(server, name)
    await until(() => asleep.phase === 'loading', 'it is being loaded')
    assert.deepEqual([await readiness(server), await readiness(server, `/v2/models/${name}/ready`)], [200, 200])
    assert.equal(asleep.phase, 'loading', 'all the while')
    assert.equal(await answer, 1)
  })

  it('does not wait for a model that is added', async () => {
    await using folder = await temporaryFolder()
    await folder.write('all/a/model.onnx', addingModel(1))
    await using server = await serve(folder, 'all', { serving: { ...SMALL, isolation: 'process' } })
    await folder.write('all/b/model.onnx', addingModel(2))
    const coming = server.repository.rescan(true)
    await until(() => server.dataPlane.endpoints.get('b')?.variants[0]?.phase === 'loading', 'it is being loaded')
    assert.deepEqual([await readiness(server), await readiness(server, '/v2/models/b/ready')], [200, 503])
    await coming
    assert.equal(await readiness(server, '/v2/models/b/ready'), 200)
  })
})

describe('with memory for one version', () => {
  it('versions of one model give way to each other', async () => {
    await using folder = await temporaryFolder()
    for (const version of [1, 2]) await folder.write(`m/${version}/model.onnx`, addingModel(version))
    await using server = await serve(folder, 'm', { versions: 'all', serving: { ...SMALL, isolation: 'process' }, memoryBudgetMb: 140 })
    for (const version of [1, 2, 1]) assert.equal(await added(server, `m/versions/${version}`), version)
  })
})

describe('what is in memory', () => {
  it('a version that another has replaced is not loaded for those who waited for it', async () => {
    await using folder = await temporaryFolder()
    for (const version of [1, 2]) await folder.write(`m/${version}/model.onnx`, addingModel(version))
    await using server = await serve(folder, 'm', { versions: 'all', serving: { ...SMALL, isolation: 'process' }, memoryBudgetMb: 140 })
    const asleep = [...server.dataPlane.variants()].find((variant) => variant.phase === 'unloaded')
    assert.ok(asleep !== undefined)
    const before = await loads(server, 'm', 'ok')
    asleep.retire()
    await assert.rejects(server.dataPlane.activate(asleep, performance.now() + 10_000), { code: 'SLW_MODEL_NOT_READY' })
    assert.equal(await loads(server, 'm', 'ok'), before)
  })

  it('an answer from the cache is a use of its model', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/model.onnx', addingModel(1))
    await using server = await serve(folder, 'm', { serving: { ...SMALL, cacheMb: 1 } })
    const { scheduler } = server.dataPlane.endpoint('m').requireMain().requireReady()
    assert.equal(await added(server, 'm'), 1)
    const before = scheduler.lastUsedMs
    assert.equal(await added(server, 'm'), 1)
    assert.ok(scheduler.lastUsedMs > before)
    assert.equal(await sample(server, 'slipway_cache_requests_total', /result="hit"/), 1)
  })
})

describe('the repository', () => {
  /** What applies refuses versions with a code, or throws. */
  async function open(folder: TemporaryFolder) {
    const tried: string[] = []
    const world = { nowMs: 0, refused: new Map<string, SlipwayError>(), broken: undefined as Error | undefined, tried }
    const repository = new Repository({
      sources: [{ path: join(folder.path, 'm') }],
      versions: 'latest',
      modelRoots: [],
      clock: { monotonicMs: () => world.nowMs, epochMs: () => world.nowMs, after: () => () => {} },
      log: silentLogger,
      change(_name: string, desired: DesiredEndpoint | undefined) {
        if (world.broken !== undefined) return Promise.reject(world.broken)
        const specs: readonly VariantSpec[] = desired?.spec.variants ?? []
        tried.push(specs.map((spec) => spec.version).join())
        const failures = specs.flatMap((spec) => {
          const error = world.refused.get(spec.version)
          return error === undefined ? [] : [{ endpoint: 'm', spec, error, weighted: true }]
        })
        return Promise.resolve({ failures, switches: Promise.resolve([]) })
      },
    })
    await repository.read()
    await repository.start()
    return { repository, world }
  }

  it('tries again, after a while that doubles, what failed for want of memory, and never what the files are to blame for', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(1))
    const { repository, world } = await open(folder)
    world.refused.set('2', new SlipwayError('SLW_MEMORY_EXCEEDED', 'no room'))
    await folder.write('m/2/model.onnx', addingModel(2))
    await repository.rescan(true)
    for (const [nowMs, tried] of [
      [900, 0],
      [1000, 1],
      [2900, 0],
      [3000, 1],
    ] as const) {
      world.tried.length = 0
      world.nowMs = nowMs
      await repository.rescan()
      assert.equal(world.tried.filter((version) => version === '2').length, tried, `at ${nowMs} ms`)
    }
    world.nowMs = 10_000
    world.refused.set('2', new SlipwayError('SLW_MODEL_INVALID', 'no model'))
    await repository.rescan()
    world.nowMs = 10_000_000
    world.tried.length = 0
    await repository.rescan()
    assert.deepEqual(world.tried, [])
    await rm(join(folder.path, 'm/2'), { recursive: true })
    await repository.rescan(true)
    assert.equal(repository.documents()[0]?.spec.variants[0]?.version, '1')
  })

  it('takes a wish back when it could not even be tried', async () => {
    await using folder = await temporaryFolder()
    for (const version of [1, 2]) await folder.write(`m/${version}/model.onnx`, addingModel(version))
    const { repository, world } = await open(folder)
    world.broken = new Error('a process has gone')
    await assert.rejects(repository.switchTo('m', { version: '1' }), /a process has gone/)
    await assert.rejects(repository.unload('m'), /a process has gone/)
    assert.deepEqual(repository.models(), [
      { name: 'm', path: join(folder.path, 'm'), versions: ['1', '2'], pinned: undefined, unloaded: false },
    ])
  })
})
