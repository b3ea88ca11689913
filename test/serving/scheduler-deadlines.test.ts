import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isSlipwayError } from '../../src/core/errors.ts'
import { ManualClock } from '../core/manual-clock.ts'
import { FakeRunner } from './fake-runner.ts'
import { assertAnswered, refused, request, setUp, submit, turns } from './scheduling.ts'
import type { Scheduler } from '../../src/serving/scheduler/scheduler.ts'

/** A cost that says nothing of rows. */
const runs = (ms: number): { fixedUs: number; perRowUs: number } => ({ fixedUs: ms * 1000, perRowUs: 0 })

/** Instances whose runs take as long as `runMs` says, by a clock that a test moves. */
function timed(count: number, runMs: () => number): { clock: ManualClock; runners: FakeRunner[] } {
  const clock = new ManualClock()
  const gate = (): Promise<void> => new Promise((resolve) => clock.after(runMs(), resolve))
  return { clock, runners: Array.from({ length: count }, () => new FakeRunner({ gate })) }
}

/** Lets time pass in small steps, so that what ends in one is followed by what begins then. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left--) {
    clock.advance(1)
    await turns(4)
  }
}

/** Asks once; a refusal at the door counts as one. @returns whether it was taken */
function takes(scheduler: Scheduler, rows = 1): boolean {
  try {
    submit(scheduler, request(rows))
    return true
  } catch (error) {
    assert.ok(isSlipwayError(error))
    assert.equal(error.code, 'SLW_LATENCY_GOAL')
    return false
  }
}

describe('a limit of the wait in the queue', () => {
  it('refuses what has waited longer, and nothing that only runs longer', async () => {
    const { clock, runners } = timed(1, () => 100)
    const { scheduler } = setUp({ clock, runners, serving: { maxBatchSize: 1, queueTimeoutUs: 30_500 } })
    const [first, second, third] = [request(1), request(1), request(1)]
    const outcomes = [submit(scheduler, first)]
    await turns()
    outcomes.push(submit(scheduler, second))
    await pass(clock, 90)
    assert.ok(refused('SLW_LATENCY_GOAL', /waited \d+ ms in the queue of "m\/v1", longer than queueTimeoutUs/)(outcomes[1]?.error))
    outcomes.push(submit(scheduler, third))
    await pass(clock, 120)
    assertAnswered(outcomes[0]!, first)
    assertAnswered(outcomes[2]!, third)
  })
})

describe('a goal for the latency', () => {
  it('what would be answered too late is refused at once, and told when to come again', async () => {
    const { clock, runners } = timed(1, () => 10)
    const { scheduler } = setUp({ clock, runners, cost: runs(10), serving: { maxBatchSize: 1, latencyGoalMs: 35 } })
    const works = [request(1), request(1), request(1)]
    const outcomes = [submit(scheduler, works[0]!)]
    await turns()
    outcomes.push(submit(scheduler, works[1]!), submit(scheduler, works[2]!))
    assert.throws(
      () => submit(scheduler, request(1)),
      (error) =>
        refused('SLW_LATENCY_GOAL', /"m\/v1" would answer in about 40 ms, latencyGoalMs is 35/)(error) &&
        isSlipwayError(error) &&
        error.kind.http === 503 &&
        (error.retryAfterMs ?? 0) >= 1000,
    )
    assert.deepEqual([scheduler.queued, scheduler.inFlight], [2, 3], 'who is refused takes no place')
    await pass(clock, 11)
    const later = request(1)
    outcomes.push(submit(scheduler, later))
    await pass(clock, 50)
    for (const [index, work] of [...works, later].entries()) assertAnswered(outcomes[index]!, work)
    for (const { result } of outcomes) assert.ok(result!.queueMs + 10 <= 35, String(result!.queueMs))
  })

  it('several instances answer as much sooner, and a batch is one run', async () => {
    const { clock, runners } = timed(2, () => 10)
    const { scheduler } = setUp({ clock, runners, cost: runs(10), serving: { maxBatchSize: 4, latencyGoalMs: 21 } })
    let taken = 0
    for (let left = 2; left > 0; left--) {
      submit(scheduler, request(4))
      await turns()
    }
    while (takes(scheduler)) taken++
    // Both instances are busy for 10 ms; a run of 10 ms follows, and what else fits before its own.
    assert.equal(taken, 4)
    await pass(clock, 40)
    assert.equal(scheduler.inFlight, 0)
  })

  it('a request to an idle instance is never refused, however wrong the cost model is, and sets it right', async () => {
    const { clock, runners } = timed(1, () => 1)
    const { scheduler } = setUp({ clock, runners, cost: runs(1_000_000), serving: { latencyGoalMs: 5 } })
    for (let left = 1000; left > 0; left--) {
      const work = request(1, { deadlineMs: clock.monotonicMs() + 5 })
      const outcome = submit(scheduler, work)
      await turns(3)
      clock.advance(1)
      await turns(3)
      assertAnswered(outcome, work)
    }
    submit(scheduler, request(1))
    await turns()
    assert.equal(takes(scheduler), true, 'company is taken again, too')
  })

  it('what has waited longer than the goal is not run any more', async () => {
    const { clock, runners } = timed(1, () => 60)
    const { scheduler } = setUp({ clock, runners, cost: runs(1), serving: { maxBatchSize: 1, latencyGoalMs: 30 } })
    const first = submit(scheduler, request(1))
    await turns()
    const second = submit(scheduler, request(1))
    await pass(clock, 200)
    assert.deepEqual([first.error, second.error?.code, runners[0]!.runs.length], [undefined, 'SLW_LATENCY_GOAL', 1])
    assert.match(second.error?.message ?? '', /waited \d+ ms in the queue of "m\/v1", longer than latencyGoalMs/)
  })

  for (const inline of [false, true])
    it(`once a slow spell is over, requests beside others are taken again${inline ? ', also where lone ones run inline' : ''}`, async () => {
      let runMs = 1
      const { clock, runners } = timed(2, () => runMs)
      const { scheduler } = setUp({
        clock,
        runners: [runners[0]!],
        inline: inline ? runners[1] : undefined,
        cost: { fixedUs: 1000, perRowUs: 0 },
        serving: { latencyGoalMs: 20, inlineMaxUs: 5000 },
      })
      /** Two in one turn: the second is the one that may be refused. */
      const pair = async (): Promise<boolean> => {
        submit(scheduler, request(1))
        const taken = takes(scheduler)
        await pass(clock, runMs + 2)
        return taken
      }
      assert.equal(await pair(), true)
      runMs = 100
      let refusals = 0
      for (let left = 80; left > 0; left--) if (!(await pair())) refusals++
      assert.ok(refusals > 0, 'the slow spell is noticed')
      runMs = 1
      let tries = 1
      while (!(await pair())) assert.ok(tries++ < 300, 'the spell is never forgotten')
    })
})

describe('a time limit of a request', () => {
  it('what cannot be answered in time is told so at the door', async () => {
    const { clock, runners } = timed(1, () => 10)
    const { scheduler } = setUp({ clock, runners, cost: runs(10), serving: { maxBatchSize: 1 } })
    submit(scheduler, request(1))
    await turns()
    const within = (ms: number) => submit(scheduler, request(1, { deadlineMs: clock.monotonicMs() + ms }))
    assert.throws(() => within(15), refused('SLW_DEADLINE_EXCEEDED', /would answer in about 20 ms, the request has 15 ms left/))
    assert.throws(() => within(-3), refused('SLW_DEADLINE_EXCEEDED', /the request has 0 ms left/))
    const outcome = within(25)
    await pass(clock, 25)
    assert.deepEqual([outcome.settled, outcome.error, runners[0]!.runs.length], [1, undefined, 2])
  })

  it('works whose time ran out while they waited are not run', async () => {
    const { clock, runners } = timed(1, () => 10)
    const { scheduler } = setUp({ clock, runners, serving: { maxBatchSize: 1 } })
    const deadlineMs = clock.monotonicMs() + 55
    const outcomes = Array.from({ length: 20 }, () => submit(scheduler, request(1, { deadlineMs })))
    await pass(clock, 300)
    const answered = outcomes.filter(({ error }) => error === undefined)
    for (const { settled } of outcomes) assert.equal(settled, 1)
    for (const { error } of outcomes.filter((outcome) => !answered.includes(outcome))) assert.equal(error?.code, 'SLW_DEADLINE_EXCEEDED')
    assert.equal(runners[0]!.runs.length, answered.length, 'nothing was run for nobody')
    assert.ok(answered.length >= 4 && answered.length <= 6, String(answered.length))
  })

  it('a run that is known to end too late is not begun', async () => {
    let runMs = 30
    const { clock, runners } = timed(1, () => runMs)
    const { scheduler } = setUp({ clock, runners, cost: runs(10), serving: { maxBatchSize: 1 } })
    submit(scheduler, request(1))
    await turns()
    const late = submit(scheduler, request(1, { deadlineMs: clock.monotonicMs() + 35 }))
    const next = submit(scheduler, request(1))
    runMs = 1
    await pass(clock, 50)
    assert.equal(late.error?.code, 'SLW_DEADLINE_EXCEEDED')
    assert.match(late.error.message, /waited 30 ms in the queue of "m\/v1", and a run takes \d+ ms more: past its time-out/)
    assert.deepEqual([next.error, runners[0]!.runs.length], [undefined, 2])
  })
})

describe('priorities', () => {
  it('a batch is filled with what is less urgent and fits, the most urgent first', async () => {
    const { clock, runners } = timed(1, () => 10)
    const { scheduler } = setUp({ clock, runners, serving: { maxBatchSize: 4 } })
    submit(scheduler, request(1))
    await turns()
    const patient = Array.from({ length: 5 }, () => submit(scheduler, request(1, { priority: 2 })))
    const other = submit(scheduler, request(1, { priority: 1, key: 'other', width: 3 }))
    const urgent = submit(scheduler, request(1, { priority: -4 }))
    await pass(clock, 21)
    assert.deepEqual([urgent.settled, patient.map(({ settled }) => settled), other.settled], [1, [1, 1, 1, 0, 0], 0])
    await pass(clock, 30)
    assert.deepEqual(runners[0]!.runs, [1, 4, 1, 2])
    for (const { error, settled } of [...patient, other, urgent]) assert.deepEqual([settled, error], [1, undefined])
  })

  it('what came later is asked of the door by its own priority: an urgent request is taken where a patient one is refused', async () => {
    const { clock, runners } = timed(1, () => 10)
    const { scheduler } = setUp({ clock, runners, cost: runs(10), serving: { maxBatchSize: 1, latencyGoalMs: 25 } })
    submit(scheduler, request(1))
    await turns()
    submit(scheduler, request(1))
    assert.throws(() => submit(scheduler, request(1)), refused('SLW_LATENCY_GOAL'))
    const urgent = request(1, { priority: -1 })
    const outcome = submit(scheduler, urgent)
    await pass(clock, 21)
    assertAnswered(outcome, urgent)
  })

  it('nobody starves: with a steady stream of urgent works, another runs after the waiting that its levels are worth', () => {
    const levels = fc.tuple(fc.integer({ min: -4, max: 4 }), fc.integer({ min: -4, max: 4 })).map((two) => two.toSorted((a, b) => a - b))
    const scene = fc.record({
      levels,
      agingMs: fc.integer({ min: 1, max: 12 }),
      backlog: fc.nat(10),
      oneKey: fc.boolean(),
      rowsMax: fc.integer({ min: 1, max: 3 }),
    })
    return fc.assert(
      fc.asyncProperty(scene, async ({ agingMs, backlog, levels: [urgent = 0, patient = 0], oneKey, rowsMax }) => {
        const { clock, runners } = timed(1, () => 1)
        const { scheduler } = setUp({ clock, runners, serving: { maxBatchSize: rowsMax, priorityAgingMs: agingMs } })
        const stream = { priority: urgent, key: oneKey ? 'one' : 'stream' }
        /** As many rows as the instance runs in a millisecond: it never gets to the end of its queue. */
        const arrive = (): void => void submit(scheduler, request(rowsMax, stream))
        for (let count = 0; count <= backlog; count++) arrive()
        await turns(4)
        const outcome = submit(scheduler, request(1, { priority: patient, key: oneKey ? 'one' : 'patient' }))
        const allowedMs = (patient - urgent) * agingMs + backlog + 2
        let waitedMs = 0
        for (; outcome.settled === 0 && waitedMs <= allowedMs; waitedMs++) {
          arrive()
          await pass(clock, 1)
        }
        scheduler.close()
        assert.equal(outcome.settled, 1, `still waits after ${waitedMs} ms, ${allowedMs} were allowed`)
        assert.equal(outcome.error, undefined)
      }),
      { numRuns: 200 },
    )
  })
})

describe('a lane that waits for company', () => {
  it('does not hold up a full batch of another lane, nor one whose time has come', async () => {
    const { clock, runners } = timed(1, () => 0.1)
    const { scheduler } = setUp({ clock, runners, serving: { maxBatchSize: 4, maxDelayUs: 8000 } })
    submit(scheduler, request(1, { key: 'waits' }))
    await turns()
    for (let count = 0; count < 4; count++) submit(scheduler, request(1, { key: 'full' }))
    await turns()
    assert.deepEqual(runners[0]!.runs, [4])
    await pass(clock, 7)
    assert.deepEqual(runners[0]!.runs, [4])
    await pass(clock, 2)
    assert.deepEqual(runners[0]!.runs, [4, 1])
  })

  it('waits no longer because others have begun to wait after it', async () => {
    const { clock, runners } = timed(1, () => 0.1)
    const { scheduler } = setUp({ clock, runners, serving: { maxBatchSize: 4, maxDelayUs: 8000 } })
    const outcomes = []
    for (let count = 0; count < 4; count++) {
      outcomes.push(submit(scheduler, request(1, { key: `lane ${count}` })))
      await pass(clock, 2)
    }
    await pass(clock, 20)
    for (const { result } of outcomes) assert.ok(result!.queueMs >= 8 && result!.queueMs <= 9, `waited ${result!.queueMs} ms`)
  })
})
