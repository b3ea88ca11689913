import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Keys } from '../../src/access/keys.ts'
import { systemClock } from '../../src/core/clock.ts'
import { createIds } from '../../src/core/ids.ts'
import { planeInProcess } from '../api/in-plane.ts'

/** Calls of each kind: a median of so many moves by a few hundredths on a machine with neighbours. */
const CALLS = 4000
const ALIKE = 1.3

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1]!
}

it('how long a wrong key is looked at does not tell whether there is one of that name', async () => {
  await using plane = await planeInProcess()
  const { database } = plane.plane.services.ground
  const keys = new Keys({ database, clock: systemClock, newId: createIds() })
  const { key } = await keys.create({ environment: 'default', actor: 'test' }, { name: 'k', scopes: ['viewer'] })
  const [, prefix = '', secret = ''] = /^(slw_[0-9a-f]+)_(.+)$/.exec(key) ?? []
  const other = (letter: string): string => (letter === 'x' ? 'y' : 'x')
  const wrong = {
    'a name that is one': `${prefix}_${secret.replaceAll(/./g, other)}`,
    'a name that is none': `slw_${'0'.repeat(prefix.length - 4)}_${secret}`,
  }
  const times = Object.fromEntries(Object.keys(wrong).map((name) => [name, [] as number[]]))
  const kinds = Object.entries(wrong)
  for (let call = 0; call < CALLS; call++)
    // Each kind comes first as often as the other: what the machine does meanwhile meets both.
    for (const [name, text] of call % 2 === 0 ? kinds : kinds.toReversed()) {
      const begun = performance.now()
      assert.equal(await keys.verify(text), undefined)
      times[name]!.push(performance.now() - begun)
    }
  const medians = Object.entries(times).map(([name, some]) => [name, median(some)] as const)
  const found = medians.map(([, took]) => took)
  assert.ok(Math.max(...found) <= ALIKE * Math.min(...found), JSON.stringify(medians))
})
