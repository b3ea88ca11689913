/** Models that are added and removed while a server runs. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { addingModel, QUESTION } from '../adding-models.ts'
import { post, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { startCluster } from '../../src/server/cluster/primary.ts'
import { startServer } from '../../src/server/start-server.ts'
import { Repository } from '../../src/serving/repository/repository.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/log.ts'
import type { RunningServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

async function options(folder: TemporaryFolder) {
  await folder.write('m/1/model.onnx', addingModel(1))
  await folder.write('more/other/model.onnx', addingModel(7))
  await folder.write('more/broken.onnx', 'no model')
  await folder.write('elsewhere/model.onnx', addingModel(9))
  return {
    models: [{ path: join(folder.path, 'm') }],
    modelRoots: [join(folder.path, 'more')],
    port: 0,
    serving: { instances: 1 },
    environment: {},
  }
}

async function answerOf(server: RunningServer, name: string): Promise<number> {
  const { status, body } = await post(`${server.url}/v2/models/${name}/infer`, QUESTION)
  return status === 200 ? Number((body['outputs'] as { data: number[] }[])[0]?.data[0]) - 1 : status
}

const known = (server: RunningServer): string[] => server.repository.models().map(({ name }) => name)

it('a model is added, survives what happens to the folders, and is gone once it is removed', async () => {
  await using folder = await temporaryFolder()
  await using server = await startServer(await options(folder))
  const path = join(folder.path, 'more/other')
  await server.repository.add({ name: 'other', path })
  assert.equal(await answerOf(server, 'other'), 7)
  await assert.rejects(server.repository.add({ name: 'other', path }), { code: 'SLW_ALREADY_EXISTS' })
  await server.repository.rescan(true)
  assert.deepEqual([await answerOf(server, 'other'), await answerOf(server, 'm')], [7, 1])
  await server.repository.remove('other')
  assert.deepEqual([await answerOf(server, 'other'), known(server)], [404, ['m']])
  await server.repository.rescan(true)
  assert.deepEqual(known(server), ['m'])
  await server.repository.add({ name: 'other', path })
  assert.equal(await answerOf(server, 'other'), 7, 'the name is free again')
  // A model of the configured folders stays known.
  await server.repository.remove('m')
  assert.deepEqual([await answerOf(server, 'm'), known(server)], [404, ['m', 'other']])
  await server.repository.load('m')
  assert.equal(await answerOf(server, 'm'), 1)
})

it('a model of the configured folders that was removed is served again by its path, and no other by its name', async () => {
  await using folder = await temporaryFolder()
  await using server = await startServer(await options(folder))
  await server.repository.remove('m')
  await assert.rejects(server.repository.add({ name: 'm', path: join(folder.path, 'more/other') }), { code: 'SLW_ALREADY_EXISTS' })
  assert.equal(await answerOf(server, 'm'), 404)
  await server.repository.add({ name: 'm', path: join(folder.path, 'm'), serving: { maxBatchSize: 7 } })
  assert.equal(await answerOf(server, 'm'), 1)
  assert.equal(server.dataPlane.endpoint('m').requireMain().loaded?.serving.maxBatchSize, 7)
  await server.repository.rescan(true)
  assert.deepEqual([await answerOf(server, 'm'), known(server)], [1, ['m']])
})

it('a model that is removed twice at once ends once, and what takes its name meanwhile can be removed as any other', async () => {
  await using folder = await temporaryFolder()
  await folder.write('other/model.onnx', addingModel(7))
  const ended = Promise.withResolvers<void>()
  const ends: string[] = []
  const repository = new Repository({
    sources: [],
    modelRoots: [folder.path],
    versions: undefined,
    clock: systemClock,
    log: silentLogger,
    change: async (name, desired) => {
      if (desired === undefined) ends.push(name)
      if (desired === undefined) await ended.promise
      return { failures: [], switches: Promise.resolve([]) }
    },
  })
  const add = (): Promise<unknown> => repository.add({ name: 'other', path: join(folder.path, 'other') })
  const names = (): string[] => repository.models().map(({ name }) => name)
  await add()
  const removals = [repository.remove('other'), repository.remove('other')]
  await until(() => ends.length === 1, 'the first of them ends it')
  const again = add()
  await until(() => names().length === 1, 'its name is taken while the second waits')
  ended.resolve()
  await Promise.all([...removals, again])
  assert.deepEqual(names(), ['other'], 'who came later is left alone')
  await repository.remove('other')
  await repository.rescan(true)
  assert.deepEqual(names(), [], 'nothing is left of it')
  await repository.close()
})

it('what cannot be served, is not there, or lies elsewhere is refused and leaves nothing behind', async () => {
  await using folder = await temporaryFolder()
  await using server = await startServer(await options(folder))
  for (const [path, code] of [
    ['more/broken.onnx', 'SLW_MODEL_INVALID'],
    ['more/missing', 'SLW_PATH_NOT_FOUND'],
    ['elsewhere', 'SLW_PATH_REFUSED'],
  ] as const) {
    await assert.rejects(server.repository.add({ name: 'other', path: join(folder.path, path) }), { code }, path)
    assert.deepEqual([await answerOf(server, 'other'), known(server)], [404, ['m']])
  }
  await assert.rejects(server.repository.remove('other'), { code: 'SLW_MODEL_NOT_FOUND' })
})

it('a model that has to fit beside the others is refused where it does not, and nothing gives way', async () => {
  await using folder = await temporaryFolder()
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  for (const [number, name] of names.entries()) await folder.write(`more/${name}/model.onnx`, addingModel(number, 20))
  await using server = await startServer({ ...(await options(folder)), memoryBudgetMb: 250 })
  const add = async (name: string) => await server.repository.add({ name, path: join(folder.path, 'more', name), mustFit: true })
  const refused: string[] = []
  for (const name of names)
    await add(name).catch((error: { code: string; message: string }) => {
      assert.equal(error.code, 'SLW_MEMORY_EXCEEDED', error.message)
      refused.push(name)
    })
  const accepted = names.filter((name) => !refused.includes(name))
  assert.ok(refused.length > 0 && accepted.length > 0, `accepted ${accepted.join(' ')}`)
  assert.deepEqual(known(server), ['m', ...accepted])
  for (const name of known(server)) assert.notEqual(server.dataPlane.endpoint(name).requireMain().loaded, undefined, `${name} is in memory`)
  await server.repository.remove(accepted[0]!)
  await add(refused[0]!)
  assert.equal(await answerOf(server, refused[0]!), names.indexOf(refused[0]!))
})

it('several processes add, remove and change how a model is served together', async () => {
  await using folder = await temporaryFolder()
  await using server = await startCluster({ ...(await options(folder)), processes: 2 })
  await server.repository.add({ name: 'other', path: join(folder.path, 'more/other') })
  const answers = async () => new Set(await Promise.all(Array.from({ length: 12 }, () => answerOf(server, 'other'))))
  assert.deepEqual(await answers(), new Set([7]))
  await server.repository.setServing('other', { instances: 2 })
  assert.deepEqual(await answers(), new Set([7]))
  const health = (await (await fetch(`${server.url}/health`)).json()) as { models: { name: string; instances: unknown[] }[] }
  assert.deepEqual(
    health.models.map(({ name, instances }) => [name, instances.length]),
    [
      ['m', 1],
      ['other', 2],
    ],
  )
  await server.repository.remove('other')
  assert.deepEqual(await answers(), new Set([404]))
})
