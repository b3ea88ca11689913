import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { compute, FakeRunner, OUTPUTS } from './fake-runner.ts'
import { assertAnswered, plain, refused, request, setUp, submit, turns } from './scheduling.ts'
import type { SlipwayError } from '../../src/core/errors.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

describe('whoever shares a run', () => {
  const requests = fc.array(
    fc.record({
      rows: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 0, max: 6 }) }, { weight: 1, arbitrary: fc.integer({ min: 7, max: 100 }) }),
      width: fc.integer({ min: 1, max: 3 }),
      outputs: fc.constantFrom(OUTPUTS, ['sum'], ['text', 'y']),
      priority: fc.integer({ min: 0, max: 1 }),
      poisoned: fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.nat(99) }),
      arrives: fc.nat(12),
      cancelled: fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.nat(12) }),
    }),
    { minLength: 1, maxLength: 25 },
  )
  const settings = fc.record({
    batchable: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
    runners: fc.integer({ min: 1, max: 3 }),
    maxBatchSize: fc.integer({ min: 1, max: 40 }),
    maxDelayUs: fc.constantFrom(0, 0, 700, 3000),
    preferredBatchSizes: fc.constantFrom([], [4, 8]),
    inline: fc.boolean(),
    cost: fc.constantFrom(undefined, { fixedUs: 10, perRowUs: 1 }, { fixedUs: 1, perRowUs: 400 }),
    failures: fc.constantFrom(0, 0, 0.1),
    noise: fc.infiniteStream(fc.nat(99)),
  })

  it('every caller gets exactly its own rows, once, whatever is joined, split, refused, cancelled or fails around it', () =>
    fc.assert(
      fc.asyncProperty(requests, settings, async (asked, { batchable, cost, failures, inline, noise, runners, ...serving }) => {
        const random = (): number => noise.next().value as number
        const options = { turns: () => random() % 4, mixesRows: !batchable, fails: () => random() < failures * 100 }
        const { scheduler, clock } = setUp({
          runners: Array.from({ length: runners }, () => new FakeRunner(options)),
          inline: inline ? new FakeRunner({ mixesRows: !batchable }) : undefined,
          batchable,
          cost,
          serving,
        })
        const sent = asked.map((one) => {
          const poisonedRow = one.poisoned === undefined || one.rows === 0 ? undefined : one.poisoned % one.rows
          const key = `${one.width} ${one.outputs.join()}`
          const work = request(one.rows, {
            width: one.width,
            outputs: one.outputs,
            priority: one.priority,
            key,
            ...(poisonedRow !== undefined && { poisonedRow }),
          })
          // What the runner is given is its own: the answer is compared with a copy that nobody touches.
          const copy = { ...work, inputs: work.inputs.map((tensor) => ({ ...tensor, data: tensor.data.slice() })) }
          return { ...one, poisonedRow, work, copy, outcome: undefined as ReturnType<typeof submit> | undefined, gaveUp: false }
        })
        for (let now = 0; now <= 24 || scheduler.inFlight > 0; now++) {
          assert.ok(now < 5000, 'the scheduler stands still')
          for (const one of sent) {
            if (one.arrives === now) one.outcome = submit(scheduler, one.work)
            if (one.cancelled !== undefined && one.arrives + one.cancelled === now && one.outcome?.settled === 0) {
              one.gaveUp = true
              one.outcome.cancel()
            }
          }
          clock.advance(0.4)
          await turn()
        }
        assert.equal(scheduler.queued, 0)
        assert.equal(scheduler.inFlight, 0)
        await scheduler.drain()
        await turns(3)
        for (const { copy, gaveUp, outcome, poisonedRow } of sent) {
          assert.ok(outcome !== undefined)
          assert.equal(outcome.settled, 1)
          if (gaveUp) assert.equal(outcome.error?.code, 'SLW_CANCELLED')
          else if (outcome.error === undefined) {
            assert.equal(poisonedRow, undefined)
            assert.deepEqual(plain(outcome.result!.outputs), plain(compute(copy.inputs, copy.outputs, !batchable)))
          } else if (outcome.error.code === 'SLW_INSTANCE_FAILED') assert.ok(failures > 0, 'no instance failed')
          else {
            assert.equal(outcome.error.code, 'SLW_RUN_REJECTED')
            assert.notEqual(poisonedRow, undefined, 'a request without a poisoned row was refused')
          }
        }
      }),
      { numRuns: 300 },
    ))

  it('a request that the model refuses fails alone, and the others of its batch are answered', async () => {
    const runner = new FakeRunner()
    const { scheduler, batches } = setUp({ runners: [runner] })
    const works = [request(2), request(3, { poisonedRow: 1 }), request(1)]
    const [first, poisoned, last] = works.map((work) => submit(scheduler, work))
    await turns()
    assertAnswered(first!, works[0]!)
    assertAnswered(last!, works[2]!)
    assert.equal(poisoned!.error?.code, 'SLW_RUN_REJECTED')
    assert.deepEqual(runner.runs, [6, 2, 3, 1])
    const failed = { inputMs: 0, computeMs: 0, outputMs: 0, instance: 'pool', failed: true }
    assert.deepEqual(batches[0], { rows: 6, requests: 3, ...failed })
    // Each of them runs alone then, and counts.
    assert.deepEqual(
      batches.slice(1).map((batch) => [batch.rows, batch.requests, batch.failed]),
      [
        [2, 1, false],
        [3, 1, true],
        [1, 1, false],
      ],
    )
  })

  it('an instance that fails takes its batch with it, and the next batch runs', async () => {
    let failing = true
    const { scheduler } = setUp({ runners: [new FakeRunner({ fails: () => failing })] })
    const lost = [submit(scheduler, request(1)), submit(scheduler, request(1))]
    await turns()
    for (const { error } of lost) assert.deepEqual([error?.code, error?.retryAfterMs], ['SLW_INSTANCE_FAILED', 1000])
    failing = false
    const work = request(1)
    const next = submit(scheduler, work)
    await turns()
    assertAnswered(next, work)
  })

  it('a request with more rows than a batch is split, and its parts are joined in order', async () => {
    const runners = [new FakeRunner({ turns: () => 5 }), new FakeRunner()]
    const { scheduler } = setUp({ runners, serving: { maxBatchSize: 4 } })
    const work = request(11)
    const outcome = submit(scheduler, work)
    await turns()
    assertAnswered(outcome, work)
    assert.deepEqual(
      runners.flatMap(({ runs }) => runs).toSorted((a, b) => a - b),
      [3, 4, 4],
    )
  })

  it('once a part of a request has failed, its other parts are not run', async () => {
    const runner = new FakeRunner()
    const { scheduler } = setUp({ runners: [runner], serving: { maxBatchSize: 2 } })
    const outcome = submit(scheduler, request(100, { poisonedRow: 0 }))
    await turns()
    assert.deepEqual([outcome.settled, outcome.error?.code, scheduler.queued, scheduler.inFlight], [1, 'SLW_RUN_REJECTED', 0, 0])
    assert.deepEqual(runner.runs, [2])
  })

  it('a model that mixes rows never runs two requests together, empty ones neither', async () => {
    const runner = new FakeRunner({ mixesRows: true })
    const { scheduler } = setUp({ runners: [runner], batchable: false })
    const works = [request(0), request(1), request(0), request(3)]
    const outcomes = works.map((work) => submit(scheduler, work))
    await turns()
    assert.deepEqual(runner.runs, [0, 1, 0, 3])
    for (const [index, work] of works.entries())
      assert.deepEqual(plain(outcomes[index]!.result!.outputs), plain(compute(work.inputs, work.outputs, true)))
  })

  it('a batch whose outputs have another number of rows is not dealt out: its requests run one by one', async () => {
    const firstRowOnly = (inputs: readonly Tensor[], outputs: readonly string[]): Tensor[] => {
      const [x, t] = inputs
      return compute(
        [{ ...x!, shape: [1, 2], data: (x!.data as Float32Array).slice(0, 2) }, { ...t!, shape: [1], data: t!.data.slice(0, 1) } as Tensor],
        outputs,
      )
    }
    const { scheduler } = setUp({ runners: [new FakeRunner({ answer: firstRowOnly })] })
    const works = [request(1), request(1), request(1)]
    const outcomes = works.map((work) => submit(scheduler, work))
    await turns()
    for (const [index, outcome] of outcomes.entries()) assertAnswered(outcome, works[index]!)
  })
})

describe('the queue of a scheduler', () => {
  const busy = (): { runner: FakeRunner; open: () => void } => {
    const gate = Promise.withResolvers<void>()
    return { runner: new FakeRunner({ gate: () => gate.promise }), open: gate.resolve }
  }

  it('one request more than may wait is refused with the time after which to come again', async () => {
    const { runner, open } = busy()
    const { scheduler } = setUp({
      runners: [runner],
      cost: { fixedUs: 1_000_000, perRowUs: 0 },
      serving: { queueRequests: 2, inlineMaxUs: 0, maxBatchSize: 1 },
    })
    const first = submit(scheduler, request(1))
    await turns()
    const waiting = [submit(scheduler, request(1)), submit(scheduler, request(1))]
    assert.equal(scheduler.queued, 2)
    assert.throws(
      () => submit(scheduler, request(1)),
      (error: SlipwayError) => refused('SLW_QUEUE_FULL', /"m\/v1" is full \(2 requests waiting\)/)(error) && error.retryAfterMs === 2000,
    )
    open()
    await turns()
    assert.deepEqual(
      [first, ...waiting].map(({ error, settled }) => [settled, error]),
      [
        [1, undefined],
        [1, undefined],
        [1, undefined],
      ],
    )
  })

  it('a request larger than a limit runs alone, and does not get in behind others', async () => {
    const { runner, open } = busy()
    const { scheduler } = setUp({ runners: [runner], serving: { queueRows: 5, queueBytes: 1000 } })
    submit(scheduler, request(1))
    await turns()
    const large = submit(scheduler, request(30))
    assert.throws(() => submit(scheduler, request(1)), refused('SLW_QUEUE_FULL', /30 of 5 rows waiting/))
    open()
    await turns()
    assert.equal(large.error, undefined)
    assert.equal(large.result?.outputs[0]?.shape[0], 30)
  })

  it('a reserved place counts as taken until it is given back, once', async () => {
    const { scheduler } = setUp({ runners: [new FakeRunner()], serving: { queueRequests: 1 } })
    const release = scheduler.reserve()
    assert.throws(() => scheduler.reserve(), refused('SLW_QUEUE_FULL'))
    release()
    release()
    const held = scheduler.reserve()
    assert.throws(() => scheduler.reserve(), refused('SLW_QUEUE_FULL'))
    held()
    const work = request(1)
    const outcome = submit(scheduler, work)
    await turns()
    assertAnswered(outcome, work)
  })

  it('a request whose time is over is told so while every instance is busy', async () => {
    const { runner, open } = busy()
    const { scheduler, clock } = setUp({ runners: [runner] })
    submit(scheduler, request(1))
    await turns()
    const late = submit(scheduler, request(1, { deadlineMs: clock.monotonicMs() + 10 }))
    const patient = submit(scheduler, request(1, { deadlineMs: clock.monotonicMs() + 10_000 }))
    clock.advance(60)
    assert.equal(late.error?.code, 'SLW_DEADLINE_EXCEEDED')
    assert.deepEqual([patient.settled, scheduler.queued, scheduler.inFlight], [0, 1, 2])
    open()
    await turns()
    assert.deepEqual([late.settled, patient.error, runner.runs], [1, undefined, [1, 1]])
  })

  it('a caller that leaves is not run when it waits, and gets nothing more when it runs', async () => {
    const { runner, open } = busy()
    const { scheduler } = setUp({ runners: [runner] })
    const running = submit(scheduler, request(1))
    await turns()
    const waiting = submit(scheduler, request(1))
    for (const { cancel } of [running, waiting, running, waiting]) cancel()
    assert.equal(scheduler.inFlight, 0)
    open()
    await turns()
    assert.deepEqual(
      [running, waiting].map(({ error, settled }) => [settled, error?.code]),
      [
        [1, 'SLW_CANCELLED'],
        [1, 'SLW_CANCELLED'],
      ],
    )
    assert.deepEqual(runner.runs, [1])
  })

  it('the most urgent run first, then the oldest', async () => {
    const { runner, open } = busy()
    const { scheduler, clock } = setUp({ runners: [runner] })
    submit(scheduler, request(7))
    await turns()
    for (const [rows, priority] of [
      [1, 1],
      [2, 0],
      [3, 1],
      [4, 0],
    ] as const) {
      submit(scheduler, request(rows, { priority, key: `alone ${rows}` }))
      clock.advance(1)
    }
    open()
    await turns()
    assert.deepEqual(runner.runs, [7, 2, 4, 1, 3])
  })

  it('a drained scheduler takes nothing new and answers what it has', async () => {
    const { runner, open } = busy()
    const { scheduler } = setUp({ runners: [runner] })
    const works = [request(1), request(2)]
    const outcomes = works.map((work) => submit(scheduler, work))
    let drained = false
    const drain = scheduler.drain().then(() => (drained = true))
    for (const door of [() => submit(scheduler, request(1)), () => scheduler.reserve()]) assert.throws(door, refused('SLW_DRAINING'))
    await turns()
    assert.equal(drained, false)
    open()
    await drain
    for (const [index, outcome] of outcomes.entries()) assertAnswered(outcome, works[index]!)
  })

  it('closing gives up what waits and leaves alone what runs', async () => {
    const { runner, open } = busy()
    const { scheduler } = setUp({ runners: [runner] })
    const work = request(1)
    const running = submit(scheduler, work)
    await turns()
    const waiting = submit(scheduler, request(1))
    scheduler.close()
    assert.equal(waiting.error?.code, 'SLW_DRAINING')
    assert.throws(() => submit(scheduler, request(1)), refused('SLW_CLOSED'))
    open()
    await turns()
    assertAnswered(running, work)
    assert.equal(scheduler.inFlight, 0)
  })
})

describe('when a batch starts', () => {
  it('without a delay, what has come in one turn of the event loop runs together', async () => {
    const runner = new FakeRunner()
    const { scheduler } = setUp({ runners: [runner] })
    for (const rows of [1, 2, 3]) submit(scheduler, request(rows))
    await turns()
    assert.deepEqual(runner.runs, [6])
  })

  it('with a delay, a request waits for company until its time is over, and says how long', async () => {
    const runner = new FakeRunner()
    const { scheduler, clock } = setUp({ runners: [runner], serving: { maxDelayUs: 2000 } })
    const first = submit(scheduler, request(1))
    await turns()
    clock.advance(1.5)
    submit(scheduler, request(2))
    await turns()
    assert.deepEqual(runner.runs, [])
    clock.advance(0.5)
    await turns()
    assert.deepEqual(runner.runs, [3])
    assert.deepEqual([first.result?.queueMs, first.result?.batchWaitMs], [2, 2])
  })

  it('with a delay, a full batch and one of a preferred size start at once', async () => {
    const runner = new FakeRunner()
    const { scheduler, clock } = setUp({ runners: [runner], serving: { maxDelayUs: 2000, maxBatchSize: 8, preferredBatchSizes: [2, 4] } })
    for (let count = 0; count < 8; count++) submit(scheduler, request(1))
    await turns()
    for (let count = 0; count < 5; count++) submit(scheduler, request(1))
    await turns()
    assert.deepEqual(runner.runs, [8, 4])
    clock.advance(2)
    await turns()
    assert.deepEqual(runner.runs, [8, 4, 1])
  })

  it('requests of different keys never share a run', async () => {
    const runner = new FakeRunner()
    const { scheduler } = setUp({ runners: [runner] })
    const works = [
      request(1, { width: 1 }),
      request(1, { width: 2 }),
      request(1, { width: 1 }),
      request(1, { outputs: ['sum'], key: 'sum' }),
    ]
    const outcomes = works.map((work) => submit(scheduler, work))
    await turns()
    assert.deepEqual(runner.runs, [2, 1, 1])
    for (const [index, outcome] of outcomes.entries()) assertAnswered(outcome, works[index]!)
  })

  it('rows that are dear are divided among the free instances, cheap ones are not', async () => {
    for (const { perRowUs, runs } of [
      { perRowUs: 1000, runs: [[4], [4]] },
      { perRowUs: 1, runs: [[8], []] },
    ]) {
      const runners = [new FakeRunner(), new FakeRunner()]
      const { scheduler } = setUp({ runners, cost: { fixedUs: 10, perRowUs } })
      for (let count = 0; count < 8; count++) submit(scheduler, request(1))
      await turns()
      assert.deepEqual(
        runners.map((runner) => runner.runs),
        runs,
      )
    }
  })

  it('a lone short run stays on the calling thread; company, a long run or a busy pool sends it to the pool', async () => {
    const inline = new FakeRunner()
    const gate = Promise.withResolvers<void>()
    const pool = [new FakeRunner(), new FakeRunner()]
    const long = new FakeRunner({ gate: () => gate.promise })
    const { scheduler, batches } = setUp({
      runners: [...pool, long],
      inline,
      cost: { fixedUs: 100, perRowUs: 50 },
      serving: { inlineMaxUs: 300 },
    })
    const runs = (): unknown => [inline.runs, ...pool.map((runner) => runner.runs)]
    submit(scheduler, request(3))
    await turns()
    assert.deepEqual(runs(), [[3], [], []])
    submit(scheduler, request(4))
    await turns()
    assert.deepEqual(runs(), [[3], [4], []])
    submit(scheduler, request(1, { key: 'a' }))
    submit(scheduler, request(2, { key: 'b' }))
    await turns()
    assert.deepEqual(runs(), [[3], [4, 1], [2]])
    void long.run(request(1).inputs, [])
    submit(scheduler, request(1))
    await turns()
    assert.deepEqual(runs(), [[3], [4, 1, 1], [2]])
    gate.resolve()
    await turns()
    scheduler.dropInline()
    submit(scheduler, request(1))
    await turns()
    assert.deepEqual(runs(), [[3], [4, 1, 1, 1], [2]])
    assert.deepEqual(
      batches.map(({ instance }) => instance),
      ['inline', 'pool', 'pool', 'pool', 'pool', 'pool'],
    )
  })
})
