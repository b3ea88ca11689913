import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { silentLogger } from '../../src/core/log.ts'
import { SlipwayError } from '../../src/core/errors.ts'
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
    apply: () => Promise.reject(new Error('there is nothing to apply')),
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
