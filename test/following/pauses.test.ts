import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { silentLogger } from '../../src/core/log.ts'
import { SlipwayError } from '../../src/core/errors.ts'
import { createServer } from 'node:http'
import { listDigest } from '../../src/core/list-digest.ts'
import { ControlPlaneClient } from '../../src/following/control-plane-client.ts'
import { Follower } from '../../src/following/follower.ts'
import { LocalStore } from '../../src/following/local-store.ts'
import { ManualClock } from '../core/manual-clock.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** Milliseconds after which a follower asks again whose control plane does not answer, by what chance says. */
async function gaps(random: () => number, count: number): Promise<number[]> {
  await using folder = await temporaryFolder()
  const clock = new ManualClock()
  const asked: number[] = []
  const client = {
    follow(): Promise<never> {
      asked.push(clock.monotonicMs())
      return Promise.reject(new SlipwayError('SLW_UNREACHABLE', 'nobody is there'))
    },
  }
  await using follower = new Follower({
    selection: { references: ['adder@champion'] },
    url: 'http://127.0.0.1:1',
    name: 'test',
    client: client as never,
    store: await LocalStore.open(folder.path, 1024 * 1024),
    change: () => Promise.reject(new Error('there is nothing to apply')),
    route: () => {},
    live: () => [],
    clock,
    log: silentLogger,
    random,
  } as never)
  await follower.start()
  while (asked.length <= count) {
    clock.advance(1)
    await turn()
  }
  return asked.slice(1).map((at, index) => at - asked[index]!)
}

it('who cannot reach the control plane waits longer each time up to half a minute, and half of that is chance', async () => {
  assert.deepEqual(await gaps(() => 0, 9), [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000])
  assert.deepEqual(await gaps(() => 0.5, 8), [375, 750, 1500, 3000, 6000, 12_000, 22_500, 22_500])
  const most = await gaps(() => 1 - 2 ** -52, 8)
  for (const [index, gap] of [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].entries())
    assert.ok(Math.abs(most[index]! - gap) <= 1, `${most[index]} for ${gap}`)
})

it('of a hundred clients of a server that is gone no more than a few come back at the same time', async () => {
  const thirds = await Promise.all(Array.from({ length: 100 }, async () => (await gaps(Math.random, 3))[2]!))
  const [least, greatest] = [Math.min(...thirds), Math.max(...thirds)]
  assert.ok(least >= 1000 && greatest <= 2000, `${least} to ${greatest}`)
  const perTenth = Map.groupBy(thirds, (ms) => Math.floor(ms / 100))
  // Ten on average; thirty-five is eight standard deviations away.
  for (const [tenth, some] of perTenth) assert.ok(some.length < 35, `${some.length} in ${tenth}`)
  assert.ok(perTenth.size >= 6)
})

it('who is told at once, again and again, that nothing is new pauses between two questions', async () => {
  await using folder = await temporaryFolder()
  const clock = new ManualClock()
  const asked: number[] = []
  const client = {
    follow(_selection: unknown, known: string | undefined) {
      asked.push(clock.monotonicMs())
      return Promise.resolve(known === undefined ? { state: documentOf(1, []), etag: '1' } : undefined)
    },
  }
  await using follower = new Follower({
    ...quiet(clock),
    client: client as never,
    store: await LocalStore.open(folder.path, 1024),
  } as never)
  await follower.start()
  // The state is written between two questions, for which a real moment passes.
  while (asked.length < 8) {
    clock.advance(100)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  // The first two come at once.
  const gaps = asked.slice(2).map((at, index) => at - asked[index + 1]!)
  assert.ok(Math.min(...gaps) >= 2000, gaps.join())
})

it('an answer takes endpoints away only if it says how many there are', async () => {
  await using folder = await temporaryFolder()
  const clock = new ManualClock()
  const answers: { state: object; etag: string }[] = []
  const client = { follow: () => Promise.resolve(answers.shift()), manifest: () => Promise.reject(new Error('not of interest')) }
  const store = await LocalStore.open(folder.path, 1024)
  await using follower = new Follower({ ...quiet(clock), client: client as never, store } as never)
  const given = async (state: object): Promise<{ names: string[]; trouble: string | undefined }> => {
    answers.length = 0
    answers.push({ state, etag: String(Math.random()) })
    for (let ms = 0; ms < 60_000 && answers.length > 0; ms += 100) {
      clock.advance(100)
      for (let turns = 0; turns < 5; turns++) await turn()
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
    const { endpoints, trouble } = follower.status()
    return { names: endpoints.map(({ name }) => name), trouble }
  }
  void follower.start()
  assert.deepEqual((await given(documentOf(1, ['a', 'b']))).names, ['a', 'b'])
  const { list: _list, ...unsaid } = documentOf(2, []) as Record<string, unknown>
  const emptied = await given(unsaid)
  assert.deepEqual(emptied.names, ['a', 'b'])
  assert.match(emptied.trouble!, /gives no endpoint, and does not say that there is none/)
  const cut = { ...documentOf(3, ['a', 'b']), endpoints: (documentOf(3, ['a']) as { endpoints: unknown[] }).endpoints }
  const lost = await given(cut)
  assert.deepEqual(lost.names, ['a', 'b'])
  assert.match(lost.trouble!, /gives 1 endpoints, and says that there are 2/)
  // An earlier release says nothing of the list, and may take one of several away.
  const { list: _of, ...earlier } = documentOf(4, ['a']) as Record<string, unknown>
  assert.deepEqual((await given(earlier)).names, ['a'])
  assert.deepEqual((await given(documentOf(5, []))).names, [])
})

it('a sender that drips is given up, however steadily it drips', async () => {
  const server = createServer((_request, response) => {
    const drip = setInterval(() => response.write(' '), 20)
    response.on('close', () => clearInterval(drip))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  using opened = new DisposableStack()
  opened.defer(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as { port: number }
  using client = new ControlPlaneClient({ url: `http://127.0.0.1:${port}` } as never, 300)
  const options = { waitMs: 0, signal: new AbortController().signal }
  await assert.rejects(client.follow({ endpoints: 'all' } as never, undefined, options), /no whole answer within/)
})

/** Options of a follower that has nothing to do. */
function quiet(clock: ManualClock): object {
  return {
    selection: { endpoints: 'all' },
    url: 'http://127.0.0.1:1',
    name: 'test',
    change: () => Promise.resolve({ failures: [], switches: Promise.resolve([]) }),
    route: () => {},
    live: () => [],
    clock,
    log: silentLogger,
    random: () => 0,
  }
}

function documentOf(generation: number, names: readonly string[]): object {
  const endpoints = names.map((name) => ({
    name,
    labels: {},
    generation: 1,
    revision: 1,
    variants: [{ name: 'main', model: name, version: 1, versionId: '0'.repeat(32), digest: '0'.repeat(64), size: 1, serving: {} }],
    routing: { weights: { main: 10_000 }, salt: 's', segment: 1 },
  }))
  return {
    apiVersion: 'slipway/v1',
    kind: 'FollowedState',
    environment: 'default',
    era: 1,
    generation,
    endpoints,
    list: listDigest(endpoints),
  }
}
