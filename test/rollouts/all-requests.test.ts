import assert from 'node:assert/strict'
import { it } from 'node:test'
import { resolveRollout } from '../../src/contract/rollout.ts'
import { Histogram, LATENCY_EDGES } from '../../src/contract/statistics/histogram.ts'
import { judgeAll } from '../../src/rollouts/all-requests.ts'
import type { Rollup, Windows } from '../../src/monitoring/windows.ts'
import type { JudgingQuery } from '../../src/rollouts/arms.ts'

const AT = 1_700_000_000_000

/** One window of a version: so many requests, of which some went wrong. */
function rollup(index: number, version: string, requests: number, errors: number): Rollup {
  const of = (count: number): ReturnType<Histogram['snapshot']> => {
    const histogram = new Histogram(LATENCY_EDGES)
    for (let one = 0; one < count; one++) histogram.observe(0.01)
    return histogram.snapshot()
  }
  const startMs = AT + index * 10_000
  return {
    startMs,
    endMs: startMs + 10_000,
    endpoint: 'e',
    variant: 'v',
    model: 'm',
    version,
    segment: 5,
    source: 'online',
    series: [
      { name: 'request_seconds', labels: { protocol: 'v2', code: 200 }, statistic: of(requests - errors) },
      { name: 'request_seconds', labels: { protocol: 'v2', code: 500 }, statistic: of(errors) },
    ],
  }
}

async function judged(
  rollups: readonly Rollup[],
  { state = 'baking', errorRate = 0, strategy = {} }: { state?: string; errorRate?: number; strategy?: object } = {},
) {
  const windows = { list: async () => rollups } as unknown as Windows
  const rollout = {
    strategy: resolveRollout(strategy),
    state,
    step: state === 'baking' ? 3 : 0,
    stepBeganAt: AT,
    stepSegment: 5,
    errorRate,
  }
  const query = { environment: 'default', endpoint: 'e', rollout, nowMs: AT + 60_000 } as unknown as JudgingQuery
  const arms = { base: { model: 'm', version: '1' }, candidate: { model: 'm', version: '2' } }
  return await judgeAll({ windows }, query, { arms, alpha: 0.02 })
}

const windows = (count: number, errors: number): Rollup[] => Array.from({ length: count }, (_, index) => rollup(index, '2', 300, errors))

it('a version that has all requests and fails at many of them is turned back, and one that fails as before is not', async () => {
  assert.deepEqual((await judged(windows(4, 0))).failures, [])
  assert.deepEqual((await judged(windows(4, 2))).failures, [])
  const { failures, traffic } = await judged(windows(4, 150))
  assert.deepEqual(failures, ['errors: 600 of all 1200 requests (50 %) went wrong, and 1 % may'])
  assert.deepEqual(
    traffic.map(({ version, requests, errors }) => [version, requests, errors]),
    [['2', 1200, 600]],
  )
  // As much as before, and as much as somebody allows.
  assert.deepEqual((await judged(windows(4, 150), { errorRate: 0.4 })).failures, [])
  assert.deepEqual((await judged(windows(4, 150), { strategy: { errors: { limit: 0.6 } } })).failures, [])
  // One window may be one incident.
  assert.deepEqual((await judged([...windows(3, 0), rollup(3, '2', 300, 100)])).failures, [])
})

it('of an audience all requests are told, of both versions, and none is judged', async () => {
  const rollups = [rollup(0, '1', 100, 1), rollup(0, '2', 40, 30)]
  const { failures, traffic } = await judged(rollups, {
    state: 'progressing',
    strategy: { strategy: 'ab', audience: [{ header: 'x', is: '*' }] },
  })
  assert.deepEqual(failures, [])
  assert.deepEqual(
    traffic.map(({ version, requests, errors }) => [version, requests, errors]),
    [
      ['1', 100, 1],
      ['2', 40, 30],
    ],
  )
  assert.deepEqual((await judged(rollups, { state: 'progressing' })).traffic, [])
})
