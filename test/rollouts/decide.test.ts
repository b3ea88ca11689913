import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { resolveRollout } from '../../src/contract/rollout.ts'
import { STATES } from '../../src/contract/rollout-api.ts'
import { decide } from '../../src/rollouts/decide.ts'
import { frozenUntil } from '../../src/rollouts/freeze.ts'
import type { Rollout } from '../../src/contract/rollout.ts'
import type { Sight } from '../../src/rollouts/decide.ts'
import type { RolloutState } from '../../src/rollouts/rollout.ts'

const AT = 1_700_000_000_000

function rollout(more: Partial<RolloutState> = {}, strategy: Rollout = {}): RolloutState {
  return {
    id: 'r',
    endpointId: 'e',
    number: 1,
    from: { revision: 1, model: 'm', version: '1' },
    to: { revision: 2, model: 'm', version: '2' },
    strategy: resolveRollout(strategy),
    state: 'progressing',
    pausedFor: undefined,
    interrupted: undefined,
    step: 0,
    stepBeganAt: AT,
    stepSegment: 1,
    first: undefined,
    waitsFor: undefined,
    before: { weights: { main: 100 }, shadows: {}, edges: [] },
    edgeMs: undefined,
    errorRate: undefined,
    evidenceFrom: 0,
    peaks: new Map(),
    evidence: undefined,
    verdict: undefined,
    onPromoted: undefined,
    actor: 'a',
    reason: undefined,
    changes: 1,
    createdAt: AT,
    updatedAt: AT,
    endedAt: undefined,
    ...more,
  }
}

function sight(more: Partial<Sight> = {}): Sight {
  const nowMs = more.nowMs ?? AT + 400_000
  return {
    nowMs,
    unmet: [],
    frozenUntilMs: undefined,
    servers: { live: 3, ready: 3 },
    verdict: 'inconclusive',
    failures: [],
    sample: 1000,
    newestMs: nowMs - 5000,
    unanswered: [],
    ...more,
  }
}

describe('what a rollout does next', () => {
  const cases: readonly (readonly [name: string, rollout: RolloutState, sight: Sight, expected: object])[] = [
    [
      'waits for gates',
      rollout({ state: 'waiting', step: -1 }),
      sight({ unmet: ['an approval'] }),
      { do: 'stay', waitsFor: 'an approval' },
    ],
    ['loads once they are passed', rollout({ state: 'waiting', step: -1 }), sight(), { do: 'load' }],
    [
      'gives no server requests before all that were heard of have it loaded',
      rollout({ state: 'loading', step: -1 }),
      sight({ servers: { live: 3, ready: 2 } }),
      { do: 'stay', waitsFor: '1 of 3 servers, which load m/2' },
    ],
    [
      'waits where no server follows',
      rollout({ state: 'loading', step: -1 }),
      sight({ servers: { live: 0, ready: 0 } }),
      { do: 'stay', waitsFor: 'a server that follows the endpoint' },
    ],
    [
      'lets a server try once more',
      rollout({ state: 'loading', step: -1 }),
      sight({ nowMs: AT + 20_000, servers: { live: 3, ready: 2, failed: 'c: no room', failing: 1 } }),
      { do: 'stay', waitsFor: '1 of 3 servers, which load m/2' },
    ],
    [
      'goes back where a server cannot load it',
      rollout({ state: 'loading', step: -1 }),
      sight({ servers: { live: 3, ready: 2, failed: 'c: no room', failing: 1 } }),
      { do: 'back', why: 'a server cannot load m/2: c: no room' },
    ],
    [
      'takes no step while one that came later cannot load it',
      rollout(),
      sight({ servers: { live: 3, ready: 2, failed: 'c: no room', failing: 1 } }),
      { do: 'stay', waitsFor: '1 of 3 servers, which do not have m/2 loaded' },
    ],
    [
      'goes back where a breaker has tripped',
      rollout(),
      sight({ servers: { live: 3, ready: 2, tripped: 'c: 10 failed' } }),
      { do: 'back', why: 'a server has taken m/2 out by itself: c: 10 failed' },
    ],
    ['goes back on a fail', rollout(), sight({ verdict: 'fail', failures: ['errors', 'slow'] }), { do: 'back', why: 'errors; slow' }],
    [
      'goes back from a pause',
      rollout({ state: 'paused', pausedFor: 'person' }),
      sight({ verdict: 'fail', failures: ['x'] }),
      { do: 'back', why: 'x' },
    ],
    [
      'stays for as long as a step lasts',
      rollout(),
      sight({ nowMs: AT + 100_000 }),
      { do: 'stay', waitsFor: 'the end of the step, in 200 s' },
    ],
    [
      'stays for want of requests',
      rollout(),
      sight({ sample: 40 }),
      { do: 'stay', waitsFor: '60 of 100 requests of the new version in this step' },
    ],
    ['needs a pass for the last step', rollout({ step: 2 }), sight(), { do: 'stay', waitsFor: 'all guardrails to pass' }],
    [
      'takes the last step with a pass',
      rollout({ step: 2 }),
      sight({ verdict: 'pass' }),
      { do: 'step', to: 3, why: 'step 3 of 3 is done' },
    ],
    [
      'needs a pass for each step where that is asked',
      rollout({}, { advance: 'proven' }),
      sight(),
      { do: 'stay', waitsFor: 'all guardrails to pass' },
    ],
    [
      'is paused where nobody asks anything',
      rollout(),
      sight({ newestMs: undefined, verdict: 'no data', sample: 0 }),
      { do: 'pause', for: 'no data', why: 'no requests were seen yet: neither a failure nor a success can be shown' },
    ],
    [
      'is paused where requests have ended, whatever was shown before',
      rollout(),
      sight({ newestMs: AT + 100_000, verdict: 'pass' }),
      { do: 'pause', for: 'no data', why: 'no requests were seen for 300 s: neither a failure nor a success can be shown' },
    ],
    [
      'goes on once there are requests',
      rollout({ state: 'paused', pausedFor: 'no data', interrupted: 'progressing' }),
      sight(),
      { do: 'go on', why: 'there are requests again' },
    ],
    ['stays paused by a person', rollout({ state: 'paused', pausedFor: 'person' }), sight({ verdict: 'pass' }), { do: 'stay' }],
    [
      'is paused after its deadline',
      rollout({ step: 2 }, { deadline: '1m' }),
      sight(),
      { do: 'pause', for: 'deadline', why: 'step 3 has taken longer than it may, and waits for all guardrails to pass' },
    ],
    [
      'goes back after its deadline where that is asked',
      rollout({ step: 2 }, { deadline: '1m', onDeadline: 'back' }),
      sight(),
      { do: 'back', why: 'step 3 has taken longer than it may, and waits for all guardrails to pass' },
    ],
    [
      'waits for a person',
      rollout({}, { steps: [{ weight: 5, approve: true }] }),
      sight({ verdict: 'pass' }),
      { do: 'pause', for: 'approval', why: 'a person has to promote it from here' },
    ],
    [
      'bakes',
      rollout({ state: 'baking', step: 3 }),
      sight({ nowMs: AT + 1000 }),
      { do: 'stay', waitsFor: 'the end of the time in which it is watched, in 299 s' },
    ],
    ['comes into force', rollout({ state: 'baking', step: 3 }), sight(), { do: 'put in force', why: 'all steps are done' }],
    ['ends', rollout({ state: 'watching', step: 3 }), sight(), { do: 'end' }],
    [
      'is watched for late labels',
      rollout({ state: 'watching', step: 3 }, { watchAfter: '1h' }),
      sight({ verdict: 'fail', failures: ['labels'] }),
      { do: 'back', why: 'labels' },
    ],
  ]
  for (const [name, at, seen, expected] of cases) it(name, () => assert.deepEqual(decide(at, seen), expected))

  it('takes no step without evidence, and none in a freeze, whatever else is seen', () => {
    const seen = fc.record({
      nowMs: fc.integer({ min: AT, max: AT + 10_000_000 }),
      unmet: fc.array(fc.string(), { maxLength: 1 }),
      frozenUntilMs: fc.option(fc.integer({ min: AT, max: AT + 20_000_000 }), { nil: undefined }),
      servers: fc.record({ live: fc.nat(3), ready: fc.nat(3) }),
      verdict: fc.constantFrom('pass', 'fail', 'inconclusive', 'no data'),
      failures: fc.constant(['x']),
      sample: fc.nat(300),
      newestMs: fc.option(fc.integer({ min: AT - 1000, max: AT + 10_000_000 }), { nil: undefined }),
      unanswered: fc.array(fc.string(), { maxLength: 1 }),
    })
    const states = fc.record({ state: fc.constantFrom(...STATES), step: fc.integer({ min: 0, max: 2 }) })
    fc.assert(
      fc.property(states, seen, (now, saw) => {
        const decision = decide(rollout(now), saw as Sight)
        if (decision.do === 'step' || decision.do === 'put in force') assert.equal(saw.frozenUntilMs, undefined)
        if (decision.do === 'step') assert.ok(saw.servers.live > 0 && saw.servers.ready >= saw.servers.live)
        if (decision.do === 'step' && now.state === 'progressing') {
          assert.ok(saw.sample >= 100 && saw.frozenUntilMs === undefined && saw.verdict !== 'fail' && saw.unanswered.length === 0)
          assert.ok(saw.newestMs !== undefined && saw.nowMs - saw.newestMs <= 120_000)
          assert.ok(now.step < 2 || saw.verdict === 'pass')
        }
        if (decision.do === 'load') assert.ok(saw.unmet.length === 0 && saw.frozenUntilMs === undefined)
        if (decision.do === 'put in force') assert.equal(now.state, 'baking')
      }),
      { numRuns: 2000 },
    )
  })
})

describe('freezes', () => {
  const weekend = { cron: '0 18 * * FRI', duration: '60h', timeZone: 'Europe/Berlin' }
  it('last from their beginning, in their time zone', () => {
    assert.equal(frozenUntil([weekend], Date.parse('2026-06-05T15:59:00Z')), undefined)
    assert.equal(frozenUntil([weekend], Date.parse('2026-06-05T16:01:00Z')), Date.parse('2026-06-08T04:00:00Z'))
    assert.equal(frozenUntil([weekend], Date.parse('2026-06-08T03:59:00Z')), Date.parse('2026-06-08T04:00:00Z'))
    assert.equal(frozenUntil([weekend], Date.parse('2026-06-08T04:01:00Z')), undefined)
  })
  it('that overlap end with the latest of them', () => {
    const now = Date.parse('2026-06-05T12:00:30Z')
    assert.equal(frozenUntil([{ cron: '* * * * *', duration: '2h' }], now), Date.parse('2026-06-05T14:00:00Z'))
  })
  it('that cannot be read are refused by their place', () => {
    assert.throws(() => frozenUntil([weekend, { cron: 'x', duration: '1h' }], 0), /spec\.rollout\.freeze\[1\]: "x" in time zone "UTC"/)
  })
})
