import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { isSlipwayError, SlipwayError } from '../../src/core/errors.ts'
import { ask, assertAnswered, LateStore, NEVER, request, setUp, turns } from './asking-a-cache.ts'
import type { CacheableRequest } from '../../src/serving/cache/response-cache.ts'
import type { Outcome } from './asking-a-cache.ts'

describe('a cache, whatever happens in whatever order', () => {
  const actions = fc.array(
    fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({ act: fc.constant('ask'), value: fc.nat(3), timeoutMs: fc.constantFrom(NEVER, NEVER, 5, 20, 80) }),
      },
      { weight: 2, arbitrary: fc.record({ act: fc.constant('cancel'), which: fc.nat(30) }) },
      { weight: 2, arbitrary: fc.record({ act: fc.constant('answer'), which: fc.nat(5) }) },
      { weight: 1, arbitrary: fc.record({ act: fc.constant('fail'), which: fc.nat(5) }) },
      { weight: 2, arbitrary: fc.record({ act: fc.constant('wait'), ms: fc.nat(30) }) },
      {
        weight: 1,
        arbitrary: fc.record({ act: fc.constant('refuse'), code: fc.constantFrom(undefined, 'SLW_QUEUE_FULL', 'SLW_DEADLINE_EXCEEDED') }),
      },
      { weight: 2, arbitrary: fc.record({ act: fc.constant('turn') }) },
    ),
    { maxLength: 80 },
  )
  const settings = fc.record({
    late: fc.boolean(),
    ttlMs: fc.constantFrom(20, 1000),
    maxBytes: fc.constantFrom(1, 1500, 1_000_000),
    collide: fc.boolean(),
  })

  it('every request is settled exactly once, with its own answer or an error of its own, and nothing is left running', () =>
    fc.assert(
      fc.asyncProperty(actions, settings, async (steps, { collide, late, maxBytes, ttlMs }) => {
        const { cache, clock, fake, store } = setUp({
          maxBytes,
          ttlMs,
          wrap: (inner) => (late ? new LateStore(inner) : inner),
          ...(collide && { digestOf: () => 'the same' }),
        })
        const sent: { outcome: Outcome; asked: CacheableRequest; gaveUp: boolean; timed: boolean }[] = []
        let refused = 0
        for (const step of steps) {
          const { act } = step
          if ('value' in step) {
            const asked = request([step.value], { deadlineMs: clock.monotonicMs() + step.timeoutMs })
            try {
              sent.push({ outcome: ask(cache, asked), asked, gaveUp: false, timed: step.timeoutMs !== NEVER })
            } catch (error) {
              assert.ok(isSlipwayError(error) && fake.refusal !== undefined)
              refused++
            }
          } else if (act === 'cancel' && 'which' in step) {
            const one = sent[step.which]
            if (one === undefined) continue
            one.gaveUp ||= one.outcome.settled === 0
            one.outcome.cancel()
            assert.equal(one.outcome.settled, 1, 'whoever goes away is told at once')
          } else if (act === 'answer' && 'which' in step) fake.going[step.which]?.answer()
          else if (act === 'fail' && 'which' in step) fake.going[step.which]?.fail(new SlipwayError('SLW_RUN_FAILED', 'broken'))
          else if ('ms' in step) clock.advance(step.ms)
          else if ('code' in step) {
            const { code } = step
            fake.refusal = code === undefined ? undefined : () => new SlipwayError(code as 'SLW_QUEUE_FULL', 'refused')
          } else await turn()
        }
        await turns()
        fake.refusal = undefined
        for (const run of fake.going) run.answer()
        await turns()
        assert.deepEqual([fake.going.length, cache.flights], [0, 0])
        assert.ok(store.bytes <= maxBytes)
        clock.advance(1000)
        for (const { asked, gaveUp, outcome, timed } of sent) {
          assert.equal(outcome.settled, 1)
          const code = outcome.error?.code
          if (gaveUp) assert.equal(code, 'SLW_CANCELLED')
          else if (code === undefined) assertAnswered(outcome, asked)
          else if (code === 'SLW_CANCELLED') assert.fail('somebody else went away')
          else if (code === 'SLW_DEADLINE_EXCEEDED') assert.ok(timed || steps.some((step) => 'code' in step), 'it had time')
        }
        assert.ok(refused === 0 || !late, 'a store that answers later never throws')
      }),
      { numRuns: 500 },
    ))
})
