/** Weights reach servers that follow while they load and drain, in one process and in several, and what servers say is true now. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { ask } from '../asking.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { QUESTION } from '../adding-models.ts'
import { serveInChild } from '../child-server.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { adders, deploy, setAlias } from './following.ts'
import type { Plane } from '../api/in-plane.ts'
import type { ChildServer } from '../child-server.ts'

const ANNA = { environment: 'default', actor: 'anna' }

interface Report {
  readonly segment?: number
  readonly versions: readonly { variant: string; version: number; state: string; serves: boolean; reason?: string }[]
}

async function report(plane: Plane, name: string): Promise<Report | undefined> {
  return (await plane.ask('GET', `/endpoints/${name}`)).body.status.servers[0] as Report | undefined
}

/** What each process answers: connections of their own come to any of them. */
async function answers(server: ChildServer): Promise<Set<string>> {
  const asked = await Promise.all(
    Array.from({ length: 12 }, () => ask(`${server.url}/v2/models/adder/infer`, { method: 'POST', body: QUESTION })),
  )
  return new Set(asked.map(({ status, text }) => (status === 200 ? String(JSON.parse(text).outputs[0].data[0] - 1) : `status ${status}`)))
}

for (const processes of [1, 2])
  it(`with ${processes} process(es) a change of weights is in force at once while a version is loaded, and while one drains`, async (t) => {
    await using plane = await planeInProcess()
    await using folder = await temporaryFolder()
    const { routing } = plane.plane.services.delivery
    await adders(plane, 3)
    await adders(plane, 1, 'other')
    await deploy(plane)
    await setAlias(plane, 2)
    // Versions of two revisions at a time: main is 2, and beside it is 1.
    await routing.set(ANNA, 'adder', { beside: 1, weights: { main: 100, 'main-r1': 0 } })
    const flags = ['--control-plane', plane.url, '--store', join(folder.path, 'store'), '--server-name', 'one', '--instances', '1']
    const slow = join(folder.path, 'slow')
    const slowly = join(folder.path, 'slowly')
    await using server = await serveInChild([...flags, '--inline-max-us', '0', '--processes', String(processes)], {
      // A load takes ten seconds longer, and a run six, where the test says so.
      SLIPWAY_FAIL_POINTS: `load.begin:pause=10000@${slowly},run:slow=6000@${slow}`,
    })
    assert.deepEqual(await answers(server), new Set(['2']))
    const moved = async (weights: Record<string, number>, added: string): Promise<void> => {
      const before = performance.now()
      await routing.set(ANNA, 'adder', { weights })
      await until(async () => (await answers(server)).isSubsetOf(new Set([added])), `all requests go to ${added}`)
      t.diagnostic(`from the change to an answer by it: ${Math.round(performance.now() - before)} ms`)
    }

    await folder.write('slowly', '')
    await deploy(plane, 'other@champion')
    await until(() => !existsSync(slowly), 'the long load has begun')
    await until(async () => (await report(plane, 'other'))?.versions[0]?.state === 'loading', 'another endpoint is being loaded')
    await moved({ main: 0, 'main-r1': 100 }, '1')
    assert.equal((await report(plane, 'other'))?.versions[0]?.state, 'loading', 'all that was while it was loaded')
    await until(async () => (await report(plane, 'other'))?.versions[0]?.serves === true, 'the other endpoint serves')

    // A run of main goes on while its version is replaced: it drains.
    await moved({ main: 100, 'main-r1': 0 }, '2')
    await folder.write('slow', '')
    let drained = false
    const long = answers(server).finally(() => (drained = true))
    await until(() => !existsSync(slow), 'the long run has begun')
    await setAlias(plane, 3)
    await until(
      async () => (await report(plane, 'adder'))?.versions.some(({ version, serves }) => version === 3 && serves) === true,
      'version 3 serves',
    )
    assert.equal(drained, false, 'what it replaced still answers')
    const segment = (await plane.ask('GET', '/endpoints/adder')).body.status.routing.segment as number
    await routing.set(ANNA, 'adder', { weights: { main: 50 } })
    await until(async () => (await report(plane, 'adder'))?.segment === segment + 1, 'the new segment is in force and told')
    assert.equal(drained, false)
    assert.deepEqual(await long, new Set(['2']))
  })

it('weights that a server heard of last are in force after it was killed, without the control plane', async () => {
  await using folder = await temporaryFolder()
  const flags = ['--store', join(folder.path, 'store'), '--server-name', 'one']
  await using plane = await planeInProcess()
  await adders(plane, 2)
  await deploy(plane)
  await setAlias(plane, 2)
  await plane.plane.services.delivery.routing.set(ANNA, 'adder', { beside: 1, weights: { main: 100, 'main-r1': 0 } })
  {
    await using server = await serveInChild(['--control-plane', plane.url, ...flags])
    assert.deepEqual(await answers(server), new Set(['2']))
    await plane.plane.services.delivery.routing.set(ANNA, 'adder', { weights: { main: 0, 'main-r1': 100 } })
    await until(async () => (await answers(server)).has('1'), 'they are in force')
  }
  const { url } = plane
  await plane[Symbol.asyncDispose]()
  await using again = await serveInChild(['--control-plane', url, ...flags])
  assert.deepEqual(await answers(again), new Set(['1']))
})

it('a version that crashes again and again is told as failed, with the reason, and as ready when it is back', async () => {
  await using folder = await temporaryFolder()
  await using plane = await planeInProcess()
  await adders(plane, 1)
  await deploy(plane)
  const crash = join(folder.path, 'crash')
  const flags = [
    '--store',
    join(folder.path, 'store'),
    '--server-name',
    'one',
    '--isolation',
    'process',
    '--instances',
    '1',
    '--inline-max-us',
    '0',
  ]
  await using server = await serveInChild(['--control-plane', plane.url, ...flags], { SLIPWAY_FAIL_POINTS: `run:abort@${crash}` })
  const condition = async () => (await report(plane, 'adder'))?.versions[0]
  await until(async () => (await condition())?.serves === true, 'it serves')
  // It is back within seconds: what is told is looked at from before the crash on, until both have been seen.
  let failed: Awaited<ReturnType<typeof condition>>
  let unready = false
  const heard = until(async () => {
    const now = await condition()
    if (now?.state === 'failed') failed ??= now
    const { conditions } = (await plane.ask('GET', '/endpoints/adder')).body.status
    unready ||= conditions.find(({ type }: { type: string }) => type === 'Ready').status === 'False'
    return failed !== undefined && unready
  }, 'the control plane hears of it')
  await folder.write('crash', '')
  assert.match([...(await answers(server))].join(), /status 503/)
  await heard
  assert.deepEqual([failed?.serves, failed?.reason], [false, 'no instance is ready: each has ended and is backing off'])
  await until(async () => (await condition())?.serves === true, 'it is back')
})
