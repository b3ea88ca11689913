import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/log.ts'
import { Residency } from '../../src/serving/residency.ts'
import { observeAll } from '../../src/serving/observe/events.ts'
import type { Variant } from '../../src/serving/variant.ts'

test('the load of a change goes before the loads that requests wait for', async () => {
  const order: string[] = []
  const residency = new Residency({
    budgetBytes: undefined,
    log: silentLogger,
    observer: observeAll([]),
    variants: () => [],
    clock: systemClock,
    isBeside: () => false,
    left: () => Promise.resolve(),
  })
  const load = (name: string, ofChange: boolean) => {
    // What a load without a budget asks of a variant.
    const variant = {
      subject: { endpoint: name, version: '1' },
      spec: { path: `/nowhere/${name}` },
      load: () => Promise.resolve({ loadMs: order.push(name), warmUpMs: 0 }),
    }
    return residency.load(variant as unknown as Variant, { gentle: false, ofChange, ifRoom: false })
  }
  await Promise.all([load('going', false), load('asked', false), load('asked next', false), load('changed', true)])
  assert.deepEqual(order, ['going', 'changed', 'asked', 'asked next'])
})
