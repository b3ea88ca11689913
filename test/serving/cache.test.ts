import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isSlipwayError, SlipwayError } from '../../src/core/errors.ts'
import { ResponseCache } from '../../src/serving/cache/response-cache.ts'
import { ManualClock } from '../core/manual-clock.ts'
import { ask, assertAnswered, assertFailed, LateStore, NEVER, request, setUp, turns } from './asking-a-cache.ts'
import type { CacheableRequest } from '../../src/serving/cache/response-cache.ts'
import type { CacheStore } from '../../src/serving/cache/store.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

const kinds: readonly { readonly name: string; readonly wrap: (store: CacheStore) => CacheStore }[] = [
  { name: 'a store in memory', wrap: (store) => store },
  { name: 'a store that answers later', wrap: (store) => new LateStore(store) },
]

for (const { name, wrap } of kinds) {
  describe(`a cache on ${name}`, () => {
    it('the first request runs, equal ones beside it share its answer, later ones get it from the store', async () => {
      const { cache, clock, fake, store } = setUp({ wrap })
      const [first, second] = [ask(cache, request([1])), ask(cache, request([1]))]
      await turns()
      assert.equal(fake.runs.length, 1)
      clock.advance(7)
      fake.runs[0]?.answer()
      const third = ask(cache, request([1]))
      await turns()
      assertAnswered(first, request([1]), 'miss')
      assertAnswered(second, request([1]), 'shared')
      assertAnswered(third, request([1]), 'hit')
      assert.deepEqual(
        [first, second, third].map(({ result }) => result?.queueMs),
        [1, 7, 0],
      )
      assert.deepEqual(
        [first, second, third].map(({ result }) => result?.computeMs),
        [3, 0, 0],
      )
      assert.deepEqual([fake.runs.length, store.entries, cache.flights], [1, 1, 0])
    })

    it('requests that differ in anything that decides the answer are different requests', async () => {
      const { cache, fake, store } = setUp({ wrap })
      const x = { name: 'x', datatype: 'FP32', shape: [1, 4], data: Float32Array.of(1, 2, 3, 4) } as const
      const words = (...data: string[]): Tensor => ({ name: 't', datatype: 'BYTES', shape: [data.length], data })
      const bytes = new Uint8Array(x.data.buffer)
      const different: CacheableRequest[] = [
        { inputs: [x], outputs: ['y'], deadlineMs: NEVER },
        { inputs: [{ ...x, shape: [2, 2] }], outputs: ['y'], deadlineMs: NEVER },
        { inputs: [{ ...x, shape: [4, 1] }], outputs: ['y'], deadlineMs: NEVER },
        { inputs: [{ ...x, datatype: 'INT32', data: new Int32Array(x.data.buffer) }], outputs: ['y'], deadlineMs: NEVER },
        { inputs: [{ ...x, datatype: 'UINT8', shape: [16], data: bytes }], outputs: ['y'], deadlineMs: NEVER },
        { inputs: [{ ...x, data: Float32Array.of(1, 2, 3, 5) }], outputs: ['y'], deadlineMs: NEVER },
        { inputs: [x], outputs: ['z'], deadlineMs: NEVER },
        { inputs: [x], outputs: ['y', 'z'], deadlineMs: NEVER },
        { inputs: [x], outputs: ['z', 'y'], deadlineMs: NEVER },
        { inputs: [x], outputs: ['y'], parametersKey: 'a=1;', deadlineMs: NEVER },
        { inputs: [x], outputs: ['y'], parametersKey: 'a=2;', deadlineMs: NEVER },
        { inputs: [words('ab', 'c')], outputs: ['y'], deadlineMs: NEVER },
        { inputs: [words('a', 'bc')], outputs: ['y'], deadlineMs: NEVER },
        { inputs: [words('ab","c')], outputs: ['y'], deadlineMs: NEVER },
        { inputs: [words('a'), words('b')], outputs: ['y'], deadlineMs: NEVER },
        { inputs: [words('b'), words('a')], outputs: ['y'], deadlineMs: NEVER },
      ]
      const outcomes = different.map((one) => ask(cache, one))
      await turns()
      assert.equal(fake.runs.length, different.length)
      for (const run of fake.going) run.answer()
      const again = different.map((one) => ask(cache, one))
      await turns()
      for (const [index, one] of different.entries()) {
        assertAnswered(outcomes[index]!, one, 'miss')
        assertAnswered(again[index]!, one, 'hit')
      }
      assert.equal(store.entries, different.length)
    })

    it('what a request is of beside its answer does not matter: its deadline, and where in memory its numbers lie', async () => {
      const { cache, clock, fake } = setUp({ wrap })
      const first = ask(cache, request([5, 6]))
      await turns()
      fake.runs[0]?.answer()
      const slab = Float32Array.of(9, 9, 5, 6, 9)
      const view: CacheableRequest = {
        inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: slab.subarray(2, 4) }],
        outputs: ['y'],
        deadlineMs: clock.monotonicMs() + 50,
      }
      const second = ask(cache, view)
      await turns()
      assertAnswered(first, request([5, 6]), 'miss')
      assertAnswered(second, request([5, 6]), 'hit')
    })

    it('two requests with one digest each get their own answer, while they run and afterwards', async () => {
      const { cache, fake } = setUp({ wrap, digestOf: () => 'the same' })
      const outcomes = [1, 2, 1, 2].map((value) => ({ value, outcome: ask(cache, request([value])) }))
      await turns()
      for (const run of fake.going) run.answer()
      for (const { value, outcome } of outcomes) assertAnswered(outcome, request([value]))
      for (const value of [1, 2, 2, 1, 1]) {
        const outcome = ask(cache, request([value]))
        await turns()
        for (const run of fake.going) run.answer()
        assertAnswered(outcome, request([value]))
      }
      assert.equal(cache.flights, 0)
    })

    it('an error of the model goes to all who wait, and the next request runs again', async () => {
      const { cache, fake, store } = setUp({ wrap })
      const waiting = [1, 2, 3].map(() => ask(cache, request([1])))
      await turns()
      fake.runs[0]?.fail(new SlipwayError('SLW_RUN_REJECTED', 'no such row'))
      for (const outcome of waiting) assertFailed(outcome, 'SLW_RUN_REJECTED')
      assert.deepEqual([store.entries, cache.flights], [0, 0])
      const next = ask(cache, request([1]))
      await turns()
      assert.equal(fake.runs.length, 2)
      fake.runs[1]?.answer()
      assertAnswered(next, request([1]), 'miss')
    })

    it('the run of a caller that goes away goes on for the others', async () => {
      const { cache, fake } = setUp({ wrap })
      const [first, second] = [ask(cache, request([1])), ask(cache, request([1]))]
      await turns()
      first.cancel()
      first.cancel()
      assertFailed(first, 'SLW_CANCELLED')
      fake.runs[0]?.answer()
      assertAnswered(second, request([1]), 'shared')
      assert.deepEqual([fake.runs.length, fake.runs[0]?.how], [1, 'answered'])
    })

    it('when the last of those who wait goes away, the run is given up, and nothing is kept', async () => {
      const { cache, fake, store } = setUp({ wrap })
      const waiting = [1, 2, 3].map(() => ask(cache, request([1])))
      await turns()
      waiting[0]?.cancel()
      waiting[2]?.cancel()
      assert.equal(fake.runs[0]?.how, undefined)
      waiting[1]?.cancel()
      assert.deepEqual([fake.runs.length, fake.runs[0]?.how, cache.flights, store.entries], [1, 'cancelled', 0, 0])
      for (const outcome of waiting) assertFailed(outcome, 'SLW_CANCELLED')
      const next = ask(cache, request([1]))
      await turns()
      assert.equal(fake.runs.length, 2, 'the next one does not join what was given up')
      fake.runs[1]?.answer()
      assertAnswered(next, request([1]), 'miss')
    })

    it('the time of the one who runs is its own: when it is over, one of those who wait runs', async () => {
      const { cache, clock, fake } = setUp({ wrap })
      const short = ask(cache, request([1], { deadlineMs: clock.monotonicMs() + 10 }))
      const patient = [ask(cache, request([1])), ask(cache, request([1]))]
      await turns()
      clock.advance(20)
      assertFailed(short, 'SLW_DEADLINE_EXCEEDED')
      assert.deepEqual(
        fake.runs.map(({ how }) => how),
        ['failed', undefined],
      )
      fake.runs[1]?.answer()
      for (const outcome of patient) assertAnswered(outcome, request([1]))
      assert.deepEqual([fake.runs.length, cache.flights], [2, 0])
    })

    it('the one who took over the run may go away too, and is told once', async () => {
      const { cache, clock, fake } = setUp({ wrap })
      const short = ask(cache, request([1], { deadlineMs: clock.monotonicMs() + 10 }))
      const heir = ask(cache, request([1]))
      const last = ask(cache, request([1]))
      await turns()
      clock.advance(20)
      short.cancel()
      heir.cancel()
      heir.cancel()
      for (const [outcome, code] of [
        [short, 'SLW_DEADLINE_EXCEEDED'],
        [heir, 'SLW_CANCELLED'],
      ] as const)
        assertFailed(outcome, code)
      fake.runs[1]?.answer()
      assertAnswered(last, request([1]), 'shared')
    })

    it('those who cannot run in time themselves do not take the others with them', async () => {
      const { cache, clock, fake } = setUp({ wrap })
      const now = clock.monotonicMs()
      const [short, tight, patient] = [now + 10, now + 15, NEVER].map((deadlineMs) => ask(cache, request([1], { deadlineMs })))
      await turns()
      fake.refusal = ({ deadlineMs }) =>
        deadlineMs - clock.monotonicMs() < 10 ? new SlipwayError('SLW_DEADLINE_EXCEEDED', 'would take too long') : undefined
      clock.advance(11)
      for (const outcome of [short!, tight!]) assertFailed(outcome, 'SLW_DEADLINE_EXCEEDED')
      fake.runs[1]?.answer()
      assertAnswered(patient!, request([1]), 'miss')
      assert.deepEqual([fake.runs.length, cache.flights], [2, 0])
    })

    it('when nobody can take the run over, all who wait are told why', async () => {
      const { cache, clock, fake } = setUp({ wrap })
      const short = ask(cache, request([1], { deadlineMs: clock.monotonicMs() + 10 }))
      const patient = [ask(cache, request([1])), ask(cache, request([1]))]
      await turns()
      fake.refusal = () => new SlipwayError('SLW_QUEUE_FULL', 'full')
      clock.advance(11)
      assertFailed(short, 'SLW_DEADLINE_EXCEEDED')
      for (const outcome of patient) assertFailed(outcome, 'SLW_QUEUE_FULL')
      assert.equal(cache.flights, 0)
    })

    it('one who waits for the run of another waits no longer than its own time', async () => {
      const { cache, clock, fake } = setUp({ wrap })
      const patient = ask(cache, request([1]))
      await turns()
      const short = ask(cache, request([1], { deadlineMs: clock.monotonicMs() + 10 }))
      await turns()
      clock.advance(9)
      assert.equal(short.settled, 0)
      clock.advance(1)
      assertFailed(short, 'SLW_DEADLINE_EXCEEDED')
      assert.match(short.error?.message ?? '', /waited 10 ms for an equal request/)
      short.cancel()
      fake.runs[0]?.answer()
      clock.advance(1000)
      assertFailed(short, 'SLW_DEADLINE_EXCEEDED')
      assertAnswered(patient, request([1]), 'miss')
    })

    it('an answer is not given again after its time', async () => {
      const { cache, clock, fake, store } = setUp({ wrap, ttlMs: 100 })
      ask(cache, request([1]))
      await turns()
      fake.runs[0]?.answer()
      clock.advance(99)
      const fresh = ask(cache, request([1]))
      await turns()
      assertAnswered(fresh, request([1]), 'hit')
      clock.advance(1)
      const stale = ask(cache, request([1]))
      await turns()
      assert.deepEqual([stale.settled, fake.runs.length, store.entries, store.bytes, store.evictions], [0, 2, 0, 0, 1])
      fake.runs[1]?.answer()
      assertAnswered(stale, request([1]), 'miss')
    })

    it('an answer is kept in memory of its own, and what a caller does to its question afterwards changes nothing', async () => {
      const { cache, store } = setUp({ wrap })
      const batch = new Float32Array(100_000)
      const cutting = new ResponseCache(store, new ManualClock(), (_, settle) => {
        const y: Tensor = { name: 'y', datatype: 'FP32', shape: [1, 2], data: batch.subarray(10, 12) }
        setImmediate(() => settle(undefined, { outputs: [y], queueMs: 0, batchWaitMs: 0, computeMs: 0 }))
        return () => {}
      })
      const question = request([1, 2])
      ask(cutting, question)
      await turns()
      batch.fill(7)
      ;(question.inputs[0]!.data as Float32Array).fill(7)
      const hit = ask(cache, request([1, 2]))
      await turns()
      assert.equal(hit.result?.cache, 'hit')
      const { data } = hit.result.outputs[0]!
      assert.deepEqual([[...data], (data as Float32Array).buffer.byteLength], [[0, 0], 8])
      assert.ok(store.bytes < 1000, String(store.bytes))
    })
  })
}

describe('a full queue', () => {
  it('is told at once by a store in memory, and leaves nothing behind that a later request would wait for', () => {
    const { cache, fake } = setUp()
    fake.refusal = () => new SlipwayError('SLW_QUEUE_FULL', 'full')
    assert.throws(
      () => ask(cache, request([1])),
      (error) => isSlipwayError(error) && error.code === 'SLW_QUEUE_FULL',
    )
    assert.equal(cache.flights, 0)
    fake.refusal = undefined
    const next = ask(cache, request([1]))
    fake.runs[0]?.answer()
    assertAnswered(next, request([1]), 'miss')
  })

  it('is told through the callback by a store that answers later', async () => {
    const { cache, fake } = setUp({ wrap: (store) => new LateStore(store) })
    fake.refusal = () => new SlipwayError('SLW_QUEUE_FULL', 'full')
    const refused = ask(cache, request([1]))
    await turns()
    assertFailed(refused, 'SLW_QUEUE_FULL')
    refused.cancel()
    assert.deepEqual([refused.settled, cache.flights], [1, 0])
  })
})

describe('while a store is asked', () => {
  const silent = (get: CacheStore['get']) => setUp({ wrap: () => ({ get, set() {}, entries: 0, bytes: 0, evictions: 0 }) })

  it('a caller that goes away is told so once, and nothing is run for it', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const { cache, fake } = silent(() => promise)
    const gone = ask(cache, request([1]))
    gone.cancel()
    assertFailed(gone, 'SLW_CANCELLED')
    resolve(undefined)
    await turns()
    assert.deepEqual([gone.settled, fake.runs.length], [1, 0])
  })

  it('a request waits no longer than its time', async () => {
    const { cache, clock, fake } = silent(() => new Promise(() => {}))
    const late = ask(cache, request([1], { deadlineMs: clock.monotonicMs() + 10 }))
    clock.advance(10)
    assertFailed(late, 'SLW_DEADLINE_EXCEEDED')
    late.cancel()
    await turns()
    assert.deepEqual([late.settled, fake.runs.length], [1, 0])
  })

  it('a store that fails is one that knows nothing', async () => {
    const { cache, fake } = silent(() => Promise.reject(new Error('connection reset')))
    const outcome = ask(cache, request([1]))
    await turns()
    fake.runs[0]?.answer()
    assertAnswered(outcome, request([1]), 'miss')
  })
})
