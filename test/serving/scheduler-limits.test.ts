/** What is counted, promised to callers and told to others: limits, the time to come again, what an instance is given. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isSlipwayError, SlipwayError } from '../../src/core/errors.ts'
import { tensorBytes } from '../../src/tensor/tensor.ts'
import { ManualClock } from '../core/manual-clock.ts'
import { FakeRunner } from './fake-runner.ts'
import { assertAnswered, refused, request, setUp, submit, turns } from './scheduling.ts'
import type { Scheduler } from '../../src/serving/scheduler/scheduler.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

/** An instance that is busy until it is told. */
function gated(more: ConstructorParameters<typeof FakeRunner>[0] = {}): { runner: FakeRunner; open: () => void } {
  const gate = Promise.withResolvers<void>()
  return { runner: new FakeRunner({ gate: () => gate.promise, ...more }), open: () => gate.resolve() }
}

/** The time after which a request that is refused now should come again. */
function retryAfterMs(scheduler: Scheduler): number | undefined {
  try {
    submit(scheduler, request(1))
  } catch (error) {
    if (isSlipwayError(error)) return error.retryAfterMs
  }
  return assert.fail('it was taken')
}

describe('the limits of a queue', () => {
  it('count the rows that wait and those that come: as many as are allowed, and no more', async () => {
    const { runner, open } = gated()
    const { scheduler } = setUp({ runners: [runner], serving: { queueRows: 5 } })
    submit(scheduler, request(1))
    await turns()
    submit(scheduler, request(3))
    assert.throws(() => submit(scheduler, request(3)), refused('SLW_QUEUE_FULL', /3 of 5 rows waiting/))
    submit(scheduler, request(2))
    open()
    await turns()
  })

  it('count the bytes of the tensors that wait, and give them back', async () => {
    const { runner, open } = gated()
    const works = [request(4), request(4)]
    const bytes = works.flatMap(({ inputs }) => inputs).reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
    const { scheduler } = setUp({ runners: [runner], serving: { queueBytes: bytes } })
    submit(scheduler, request(4))
    await turns()
    const waiting = works.map((work) => submit(scheduler, work))
    assert.throws(() => submit(scheduler, request(1)), refused('SLW_QUEUE_FULL', new RegExp(`${bytes} of ${bytes} bytes waiting`)))
    waiting[0]!.cancel()
    const next = submit(scheduler, works[0]!)
    assert.throws(() => submit(scheduler, request(1)), refused('SLW_QUEUE_FULL', /bytes waiting/))
    open()
    await turns()
    for (const one of [waiting[1]!, next]) assert.equal(one.error, undefined)
    submit(scheduler, request(4))
  })

  it('count a request that is split as one, with the bytes that it has, until its last part is taken', async () => {
    const { runner, open } = gated()
    const { scheduler } = setUp({ runners: [runner], serving: { maxBatchSize: 2, queueRequests: 2, queueBytes: 1_000_000 } })
    submit(scheduler, request(1))
    await turns()
    const split = request(8)
    const outcome = submit(scheduler, split)
    assert.deepEqual([scheduler.queued, scheduler.inFlight], [1, 3], 'two parts wait, the others outside')
    submit(scheduler, request(1))
    assert.throws(() => submit(scheduler, request(1)), refused('SLW_QUEUE_FULL', /2 requests waiting/))
    open()
    await turns()
    assertAnswered(outcome, split)
    assert.deepEqual([scheduler.queued, scheduler.inFlight], [0, 0])
    assert.deepEqual(
      [outcome.result?.computeMs, runner.runs],
      [0.4, [1, 2, 2, 1, 2, 2]],
      'the time of four runs, and another one between them',
    )
  })

  it('say of a request that is split that it waited as long as its last part', async () => {
    const clock = new ManualClock()
    const runner = new FakeRunner({ gate: () => new Promise<void>((resolve) => clock.after(10, resolve)) })
    const { scheduler } = setUp({ clock, runners: [runner], serving: { maxBatchSize: 2, maxDelayUs: 1 } })
    const outcome = submit(scheduler, request(6))
    for (let left = 100; left > 0 && outcome.settled === 0; left--) {
      await turns(3)
      clock.advance(1)
    }
    assert.deepEqual([outcome.error, outcome.result?.queueMs], [undefined, 20])
  })

  it('say to come again when the queue can be empty, in one to thirty seconds', async () => {
    const { runner, open } = gated()
    const other = gated()
    for (const [perRunMs, expected] of [
      [1, 1000],
      [500, 2500],
      [10_000, 30_000],
    ] as const) {
      const cost = { fixedUs: perRunMs * 1000, perRowUs: 0 }
      const { scheduler } = setUp({ runners: [runner, other.runner], cost, serving: { maxBatchSize: 1, queueRequests: 10 } })
      for (const one of [runner, other.runner]) one.available = false
      for (let count = 0; count < 10; count++) submit(scheduler, request(1))
      assert.equal(retryAfterMs(scheduler), expected, `${perRunMs} ms`)
    }
    // Of many rows in few batches it is the batches that count.
    const cost = { fixedUs: 1_000_000, perRowUs: 0 }
    const { scheduler } = setUp({ runners: [runner], cost, serving: { maxBatchSize: 4, queueRows: 12 } })
    for (let count = 0; count < 12; count++) submit(scheduler, request(1))
    assert.equal(retryAfterMs(scheduler), 3000)
    open()
    other.open()
  })

  it('look for results before they refuse: an instance that is done meanwhile does not stand idle', async () => {
    const { runner, open } = gated()
    let polls = 0
    const polled = Object.assign(runner, { poll: () => void polls++ })
    const { scheduler } = setUp({
      runners: [polled],
      cost: { fixedUs: 1000, perRowUs: 0 },
      serving: { queueRequests: 1, latencyGoalMs: 5 },
    })
    submit(scheduler, request(1))
    await turns()
    submit(scheduler, request(1))
    assert.throws(() => submit(scheduler, request(1)), refused('SLW_QUEUE_FULL'))
    assert.equal(polls, 1)
    open()
    await turns()
  })
})

describe('a place that is held for a body', () => {
  it('is refused where the answer would be late, by its own priority and time, and only where others wait', async () => {
    const { runner, open } = gated()
    const cost = { fixedUs: 10_000, perRowUs: 0 }
    const { scheduler, clock } = setUp({ runners: [runner], cost, serving: { maxBatchSize: 1, latencyGoalMs: 25 } })
    submit(scheduler, request(1))
    await turns()
    scheduler.reserve(0, clock.monotonicMs() + 1)()
    submit(scheduler, request(1))
    assert.throws(() => scheduler.reserve(), refused('SLW_LATENCY_GOAL', /about 30 ms/))
    scheduler.reserve(-1)()
    assert.throws(() => scheduler.reserve(-1, clock.monotonicMs() + 15), refused('SLW_DEADLINE_EXCEEDED', /about 20 ms/))
    assert.equal(scheduler.reserved, 0)
    open()
    await turns()
  })

  it('is a sign of use, as a request is: an idle model is the one that nobody asks', async () => {
    const clock = new ManualClock()
    clock.advance(5)
    const { scheduler } = setUp({ clock, runners: [new FakeRunner()] })
    assert.equal(scheduler.lastUsedMs, clock.monotonicMs())
    clock.advance(100)
    scheduler.reserve()()
    assert.equal(scheduler.lastUsedMs, clock.monotonicMs())
    clock.advance(100)
    submit(scheduler, request(1))
    assert.equal(scheduler.lastUsedMs, clock.monotonicMs())
    await turns()
  })
})

describe('what an answer would take', () => {
  it('counts a run for each request that waits, where the model takes one at a time', async () => {
    const { runner, open } = gated()
    const cost = { fixedUs: 10_000, perRowUs: 0 }
    const { scheduler } = setUp({ runners: [runner], cost, batchable: false, serving: { maxBatchSize: 8, latencyGoalMs: 35 } })
    for (let count = 0; count < 3; count++) {
      submit(scheduler, request(1))
      await turns()
    }
    assert.throws(() => submit(scheduler, request(1)), refused('SLW_LATENCY_GOAL', /about 40 ms/))
    open()
    await turns()
  })

  it('counts rows up to a batch where they share runs, and all of them where a run takes one request', async () => {
    const cost = { fixedUs: 0, perRowUs: 1000 }
    for (const [batchable, expected] of [
      [true, /about 20 ms/],
      [false, /about 25 ms/],
    ] as const) {
      const gates = [gated(), gated()]
      const runners = gates.map(({ runner }) => runner)
      const { scheduler } = setUp({ runners, cost, batchable, serving: { maxBatchSize: 10, latencyGoalMs: 15 } })
      // Two runs of 10 ms on two instances are 10 ms; what follows takes as long as its rows.
      for (let count = 0; count < 2; count++) {
        submit(scheduler, request(10))
        await turns()
      }
      assert.throws(() => submit(scheduler, request(15)), refused('SLW_LATENCY_GOAL', expected))
      for (const { open } of gates) open()
      await turns()
    }
  })

  it('is nothing that is known before there is a cost: nobody is refused', async () => {
    const { runner, open } = gated()
    const { scheduler, clock } = setUp({ runners: [runner], serving: { latencyGoalMs: 1 } })
    submit(scheduler, request(1))
    await turns()
    submit(scheduler, request(1, { deadlineMs: clock.monotonicMs() + 0.1 }))
    open()
    await turns()
  })
})

describe('a long queue', () => {
  it('answers a thousand of one kind in order, each with its own rows', async () => {
    const { runner, open } = gated()
    const { scheduler } = setUp({ runners: [runner], serving: { maxBatchSize: 3, queueRequests: 5000 } })
    const works = Array.from({ length: 1000 }, () => request(1))
    const outcomes = works.map((work) => submit(scheduler, work))
    for (const index of [1, 2, 3, 400, 401, 999]) outcomes[index]!.cancel()
    open()
    for (let left = 100; left > 0 && scheduler.inFlight > 0; left--) await turns()
    for (const [index, outcome] of outcomes.entries())
      if (outcome.error === undefined) assertAnswered(outcome, works[index]!)
      else assert.equal(outcome.error.code, 'SLW_CANCELLED')
    assert.equal(outcomes.filter(({ error }) => error !== undefined).length, 6)
    assert.equal(
      runner.runs.reduce((sum, rows) => sum + rows, 0),
      994,
      'nothing is run for those who left',
    )
    assert.deepEqual([scheduler.queued, scheduler.inFlight], [0, 0])
  })

  it('tells each that its time is over when it is, not only the first', async () => {
    const { runner, open } = gated()
    const { scheduler, clock } = setUp({ runners: [runner] })
    submit(scheduler, request(1))
    await turns()
    const late = [60, 200, 400].map((ms) => submit(scheduler, request(1, { deadlineMs: clock.monotonicMs() + ms })))
    for (const [index, ms] of [110, 150, 200].entries()) {
      clock.advance(ms)
      assert.deepEqual(
        late.map(({ settled }) => settled),
        late.map((_, at) => (at <= index ? 1 : 0)),
      )
    }
    assert.match(late[2]!.error?.message ?? '', /waited 400 ms in the queue of "m\/v1", longer than its time-out/)
    open()
    await turns()
  })

  it('is drained when the last is answered, not the first', async () => {
    const gates = [gated(), gated()]
    const { scheduler } = setUp({ runners: gates.map(({ runner }) => runner), serving: { maxBatchSize: 1 } })
    const outcomes = [1, 1].map((rows) => submit(scheduler, request(rows)))
    await turns()
    let drained = false
    const drain = scheduler.drain().then(() => (drained = true))
    gates[0]!.open()
    await turns()
    assert.deepEqual([outcomes[0]!.settled, drained], [1, false])
    gates[1]!.open()
    await drain
  })
})

describe('an instance', () => {
  it('that ends while a refused batch runs one by one leaves nobody without an answer', async () => {
    let runs = 0
    const runner = {
      available: true,
      run(): Promise<never> {
        runs++
        if (runs === 1) return Promise.reject(new SlipwayError('SLW_RUN_REJECTED', 'a poisoned row'))
        runner.available = false
        return Promise.reject(new SlipwayError('SLW_INSTANCE_FAILED', 'the instance was killed', { retryAfterMs: 1000 }))
      },
    }
    const { scheduler } = setUp({ runners: [runner] })
    const outcomes = [1, 1, 1].map((rows) => submit(scheduler, request(rows)))
    await turns()
    assert.deepEqual(
      outcomes.map(({ error, settled }) => [settled, error?.code, error?.message, error?.retryAfterMs]),
      [
        [1, 'SLW_INSTANCE_FAILED', 'the instance was killed', 1000],
        [1, 'SLW_INSTANCE_FAILED', 'the instance ended', 1000],
        [1, 'SLW_INSTANCE_FAILED', 'the instance ended', 1000],
      ],
    )
    assert.deepEqual([runs, scheduler.inFlight], [2, 0])
  })

  it('is given tensors of their own memory: a view would take the buffer of others with it', async () => {
    const given: Tensor[][] = []
    const runner = new FakeRunner({
      answer(inputs) {
        given.push([...inputs])
        return []
      },
    })
    const { scheduler } = setUp({ runners: [runner], batchable: false })
    const whole = Float32Array.of(1, 2)
    const large = Float32Array.of(7, 8, 9, 10)
    for (const data of [whole, large.subarray(1, 3), new Float32Array(0)])
      submit(scheduler, request(1, { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, data.length], data }], outputs: [] }))
    await turns(50)
    const [own, copied, empty] = given.map(([tensor]) => tensor!.data as Float32Array)
    assert.equal(own, whole, 'nothing is copied that need not be')
    assert.deepEqual([...copied!], [8, 9])
    assert.equal(copied!.buffer.byteLength, 8)
    assert.equal(empty!.length, 0)
  })
})
