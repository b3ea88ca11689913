import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { MemoryStore } from '../../src/serving/cache/store.ts'
import { ManualClock } from '../core/manual-clock.ts'
import type { CachedAnswer } from '../../src/serving/cache/store.ts'

describe('a store in memory', () => {
  const answer = (text: string): CachedAnswer => ({ outputs: [{ name: 'y', datatype: 'BYTES', shape: [1], data: [text] }] })
  const key = (name: string): Buffer => Buffer.from(name)

  it('holds no more bytes than it may, keys and its own upkeep counted; the longest unused leave first', () => {
    const store = new MemoryStore({ maxBytes: 10_000, ttlMs: 1000, clock: new ManualClock() })
    for (const name of ['a', 'b', 'c']) store.set(name, key(name), answer(name), 2000)
    assert.equal(store.entries, 3)
    assert.ok(store.bytes > 6000 && store.bytes <= 10_000, String(store.bytes))
    assert.deepEqual(store.get('a', key('a')), answer('a'))
    store.set('d', key('d'), answer('d'), 4000)
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((name) => store.get(name, key(name))?.outputs[0]?.data[0]),
      ['a', undefined, 'c', 'd'],
    )
    assert.equal(store.evictions, 1)
    store.set('e', key('e'), answer('e'), 8000)
    assert.deepEqual([store.entries, store.evictions], [1, 4])
    assert.ok(store.bytes <= 10_000, String(store.bytes))
  })

  it('an entry that is larger than the whole store is not kept, and drives nothing out', () => {
    const store = new MemoryStore({ maxBytes: 10_000, ttlMs: 1000, clock: new ManualClock() })
    store.set('a', key('a'), answer('a'), 100)
    store.set('huge', key('huge'), answer('huge'), 10_001)
    store.set('long', Buffer.alloc(10_001), answer('long'), 1)
    assert.deepEqual([store.entries, store.evictions, store.get('huge', key('huge'))], [1, 0, undefined])
    assert.notEqual(store.get('a', key('a')), undefined)
  })

  it('the same place with another key is another entry: it is never answered by what lies there, and takes its place', () => {
    const store = new MemoryStore({ maxBytes: 10_000, ttlMs: 1000, clock: new ManualClock() })
    store.set('digest', key('one'), answer('one'), 100)
    assert.equal(store.get('digest', key('other')), undefined)
    const { bytes } = store
    store.set('digest', key('two'), answer('two'), 100)
    assert.equal(store.get('digest', key('one')), undefined)
    assert.deepEqual(store.get('digest', key('two')), answer('two'))
    assert.deepEqual([store.entries, store.bytes], [1, bytes])
  })

  it('counts its bytes right, whatever comes and goes', () => {
    const step = fc.record({ name: fc.nat(20), bytes: fc.nat(4000), get: fc.boolean(), wait: fc.nat(30) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const clock = new ManualClock()
        const store = new MemoryStore({ maxBytes: 8000, ttlMs: 100, clock })
        for (const { name, bytes, get, wait } of steps) {
          clock.advance(wait)
          const place = String(name)
          if (get) store.get(place, key(place))
          else store.set(place, key(place), answer(place), bytes)
          assert.ok(store.bytes <= 8000)
          assert.ok(store.bytes >= store.entries * 512)
        }
        clock.advance(100)
        for (let name = 0; name <= 20; name++) assert.equal(store.get(String(name), key(String(name))), undefined)
        assert.deepEqual([store.entries, store.bytes], [0, 0])
      }),
    )
  })
})
