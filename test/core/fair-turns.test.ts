import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { FairTurns } from '../../src/core/fair-turns.ts'
import { ManualClock } from './manual-clock.ts'

/** Actions that end when they are told to. */
function world(atOnce: number) {
  const clock = new ManualClock()
  const turns = new FairTurns(atOnce, clock)
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  return {
    clock,
    begun,
    ask(caller: string, name: string, signal?: AbortSignal): Promise<void> {
      return turns.take(
        caller,
        () => {
          begun.push(name)
          return new Promise<void>((resolve) => ends.set(name, resolve))
        },
        signal,
      )
    },
    async end(name: string, afterMs = 0): Promise<void> {
      clock.advance(afterMs)
      ends.get(name)!()
      await turn()
    },
  }
}

it('so many act at once, one of each caller, and a caller who asks for much waits for himself', async () => {
  const it = world(2)
  const all = ['m1', 'm2', 'm3', 'm4'].map((name) => it.ask('mallory', name))
  await turn()
  assert.deepEqual(it.begun, ['m1'])
  all.push(it.ask('anna', 'a1'))
  await turn()
  assert.deepEqual(it.begun, ['m1', 'a1'], 'the other one does not wait')
  all.push(it.ask('bert', 'b1'), it.ask('anna', 'a2'))
  await it.end('a1', 10)
  assert.deepEqual(it.begun.slice(2), ['b1'], 'who has used nothing comes first')
  await it.end('m1', 60_000)
  assert.deepEqual(it.begun.slice(3), ['a2'], 'then who has used less')
  for (const name of ['b1', 'a2', 'm2', 'm3', 'm4']) await it.end(name)
  await Promise.all(all)
  assert.deepEqual(it.begun, ['m1', 'a1', 'b1', 'a2', 'm2', 'm3', 'm4'])
})

it('what was used long ago is forgotten', async () => {
  const it = world(1)
  const first = it.ask('anna', 'a1')
  await turn()
  await it.end('a1', 100_000)
  await first
  it.clock.advance(4 * 3_600_000)
  const others = [it.ask('bert', 'b1')]
  await turn()
  await it.end('b1', 100)
  it.clock.advance(1)
  others.push(it.ask('carl', 'c1'), it.ask('bert', 'b2'), it.ask('anna', 'a2'))
  await turn()
  await it.end('c1')
  assert.equal(it.begun.at(-1), 'a2')
  await it.end('a2')
  await it.end('b2')
  await Promise.all(others)
})

it('who has gone gives up the place, before or while waiting; a failed action frees it', async () => {
  const it = world(1)
  const gone = new AbortController()
  const acting = it.ask('anna', 'a1')
  const waiting = it.ask('bert', 'b1', gone.signal)
  const next = it.ask('carl', 'c1')
  gone.abort()
  await assert.rejects(waiting, { code: 'SLW_CANCELLED' })
  await assert.rejects(it.ask('bert', 'b2', gone.signal), { code: 'SLW_CANCELLED' })
  await it.end('a1')
  assert.deepEqual(it.begun, ['a1', 'c1'])
  await it.end('c1')
  await Promise.all([acting, next])
  const turns = new FairTurns(1, new ManualClock())
  await assert.rejects(
    turns.take('anna', () => Promise.reject(new Error('no'))),
    /no/,
  )
  assert.equal(await turns.take('anna', () => Promise.resolve(1)), 1)
})
