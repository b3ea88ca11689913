import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { everythingTo } from '../../src/contract/routing.ts'
import { API_VERSION } from '../../src/contract/schema.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/log.ts'
import { DataPlane } from '../../src/serving/data-plane.ts'
import { Repository } from '../../src/serving/repository/repository.ts'
import { addingModel } from '../adding-models.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { HeldBackend } from './held-backend.ts'
import type { DesiredEndpoint } from '../../src/contract/desired-endpoint.ts'
import type { DataPlaneOptions } from '../../src/serving/data-plane.ts'

/** Time runs fifty times as fast for what waits. */
const clock = { ...systemClock, after: (delayMs: number, callback: () => void) => systemClock.after(delayMs / 50, callback) }

async function world(options: Partial<DataPlaneOptions> = {}) {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await temporaryFolder())
  const backend = new HeldBackend()
  const dataPlane = opened.use(new DataPlane({ cores: 1, clock, log: silentLogger, observers: [], backend, ...options }))
  const held = opened.move()
  return {
    folder,
    backend,
    dataPlane,
    async desired(name: string, version: string): Promise<DesiredEndpoint> {
      await folder.write(`${name}/${version}/model.onnx`, addingModel(1))
      const path = join(folder.path, name, version)
      return {
        apiVersion: API_VERSION,
        kind: 'Endpoint',
        metadata: { name, generation: 1 },
        spec: { variants: [{ name: 'main', model: name, version, path }] },
        routing: everythingTo('main', name),
      }
    },
    version: (name: string) => dataPlane.endpoints.get(name)?.main?.subject.version,
    ready: (name: string) => dataPlane.endpoints.get(name)?.main?.ready === true,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** Lets nothing of a version load until it is called. */
function hold(backend: HeldBackend, version: string): () => void {
  const { promise, resolve } = Promise.withResolvers<void>()
  backend.loads.set(version, promise)
  return resolve
}

describe('a load that hangs', () => {
  it('holds up the changes of its own endpoint, and of no other', { timeout: 30_000 }, async () => {
    await using it = await world()
    for (const name of ['a', 'b', 'c']) await it.dataPlane.change(name, await it.desired(name, '1'))
    const release = hold(it.backend, 'hangs')
    const hanging = it.dataPlane.change('a', await it.desired('a', 'hangs'))
    const next = it.dataPlane.change('a', await it.desired('a', '3'))
    await it.dataPlane.change('b', await it.desired('b', '2'))
    await it.dataPlane.change('c', undefined)
    await it.dataPlane.change('d', await it.desired('d', '1'))
    assert.deepEqual(['a', 'b', 'c', 'd'].map(it.version), ['1', '2', undefined, '1'])
    release()
    await hanging
    assert.equal(it.version('a'), 'hangs')
    await next
    assert.equal(it.version('a'), '3')
  })

  it('at the start holds up no other model', { timeout: 30_000 }, async () => {
    await using it = await world()
    const release = hold(it.backend, 'hangs')
    const all = it.dataPlane.apply([await it.desired('a', 'hangs'), await it.desired('b', '1'), await it.desired('c', '1')])
    await until(() => it.ready('b') && it.ready('c'), 'the others are served')
    assert.equal(it.ready('a'), false)
    release()
    assert.deepEqual((await all).failures, [])
    assert.ok(['a', 'b', 'c'].every(it.ready))
  })

  it('keeps what it is expected to take from others that are loaded meanwhile', { timeout: 30_000 }, async () => {
    // Room for two models, of some 30 MB as measured in a process of their own.
    await using it = await world({ memoryBudgetBytes: 1 << 30 })
    await it.dataPlane.change('a', await it.desired('a', '1'))
    const size = [...it.dataPlane.variants()][0]!.memoryBytes!
    await using small = await world({ memoryBudgetBytes: Math.floor(size * 2.5) })
    await small.dataPlane.change('a', await small.desired('a', '1'))
    const release = hold(small.backend, 'hangs')
    const hanging = small.dataPlane.change('b', await small.desired('b', 'hangs'))
    await until(() => small.dataPlane.endpoints.has('b'), 'it is being loaded')
    // A third finds no room beside what is being loaded, and does not take the place of what serves.
    await small.dataPlane.change('c', await small.desired('c', '1'))
    assert.deepEqual(['a', 'c'].map(small.ready), [true, true])
    assert.equal(small.dataPlane.endpoints.get('c')!.main!.loaded, undefined)
    release()
    await hanging
    assert.ok(small.dataPlane.endpoints.get('b')!.main!.loaded)
  })

  it('keeps the folders of other models from being followed no longer than a moment', { timeout: 30_000 }, async () => {
    await using it = await world()
    for (const name of ['a', 'b']) await it.folder.write(`root/${name}/1/model.onnx`, addingModel(1))
    const repository = new Repository({
      sources: [{ path: join(it.folder.path, 'root') }],
      versions: 'latest',
      modelRoots: [],
      clock,
      log: silentLogger,
      change: (name, desired) => it.dataPlane.change(name, desired),
    })
    await repository.read()
    await repository.start()
    repository.poll(1000)
    const release = hold(it.backend, '2')
    await it.folder.write('root/a/2/model.onnx', addingModel(2))
    await until(() => it.dataPlane.endpoints.get('a')!.loading.length > 0, 'its next version is being loaded')
    await it.folder.write('root/b/3/model.onnx', addingModel(3))
    await until(() => it.version('b') === '3', 'the next version of another model is served')
    assert.equal(it.version('a'), '1')
    assert.equal((await repository.switchTo('b', { version: '1' })).new[0]?.version, '1')
    release()
    await until(() => it.version('a') === '2', 'and then its own')
    await repository.close()
  })
})
