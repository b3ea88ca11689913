import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seriesKey } from '../../src/contract/statistics/series.ts'
import { EndedCounts } from '../../src/server/cluster/ended-counts.ts'
import { liveTogether } from '../../src/serving/live.ts'
import { acrossSegments, mergeObserved, Observations } from '../../src/serving/observe/observations.ts'
import type { LiveEndpoint, LiveVariant } from '../../src/serving/live.ts'
import type { BatchEvent, RequestEvent, Subject } from '../../src/serving/observe/events.ts'
import type { ProcessCounts } from '../../src/serving/observe/merge.ts'
import type { Observed } from '../../src/serving/observe/observations.ts'
import type { Decision } from '../../src/serving/router/decision.ts'

const subject: Subject = { endpoint: 'churn', variant: 'v1', model: 'churn', version: '1' }

function event(index: number): RequestEvent {
  const failed = index % 7 === 0
  return {
    requestId: String(index),
    predictionId: String(index),
    startedMs: 0,
    receiveMs: 0,
    prepareMs: 0,
    protocol: index % 2 === 0 ? 'v2' : 'predict',
    subject,
    decision: undefined,
    status: failed ? 503 : 200,
    errorCode: failed ? 'SLW_QUEUE_FULL' : undefined,
    errorMessage: undefined,
    // Powers of two add without rounding, so that sums in another order are the same.
    durationMs: 1000 * 2 ** -(index % 12),
    queueMs: 500,
    batchWaitMs: 0,
    computeMs: 250,
    rows: 1 + (index % 3),
    cache: undefined,
    cacheMs: 0,
    traceparent: undefined,
  }
}

const inOrder = (observed: readonly Observed[]): unknown[] =>
  observed
    .map(({ series, ...rest }) => ({ ...rest, series: series.toSorted((a, b) => (seriesKey(a) < seriesKey(b) ? -1 : 1)) }))
    .toSorted((a, b) => a.segment - b.segment)

function decided(segment: number): Decision {
  return {
    endpoint: 'churn',
    assigned: 'v1',
    served: 'v1',
    segment,
    assignment: 'only',
    unit: undefined,
    point: undefined,
    edges: undefined,
  }
}

it('what several processes saw adds up to what one would have seen, in any order', () => {
  const processes = [new Observations(), new Observations(), new Observations()]
  const whole = new Observations()
  for (let index = 0; index < 1000; index++) {
    processes[(index * 7) % 3]?.request(event(index))
    whole.request(event(index))
  }
  const [a = [], b = [], c = []] = processes.map((one) => one.snapshot([subject]))
  const expected = inOrder(whole.snapshot([subject]))
  assert.deepEqual(inOrder(mergeObserved([a, b, c])), expected)
  assert.deepEqual(inOrder(mergeObserved([c, mergeObserved([b, a])])), expected)
})

function requestsBySegment(observations: Observations): Record<number, number> {
  return Object.fromEntries(
    observations.snapshot([subject]).map(({ segment, series }) => {
      const requests = series.find(({ name }) => name === 'request_seconds')?.statistic
      return [segment, requests?.kind === 'histogram' ? requests.count : 0]
    }),
  )
}

it('a request counts under the segment by which it was decided, whichever is in force when it is answered', () => {
  let now = 0
  const observations = new Observations(() => now)
  for (const segment of [1, 1, 2, 1, 2]) observations.request({ ...event(1), decision: decided(segment) })
  const counts = () => requestsBySegment(observations)
  assert.deepEqual(counts(), { 1: 3, 2: 2 })
  // Later nobody tells them apart, and the version as a whole has lost nothing.
  now += 16 * 60_000
  assert.deepEqual(counts(), { 0: 3, 2: 2 })
  const [version] = acrossSegments(observations.snapshot([subject]))
  assert.deepEqual(
    version?.series.filter(({ name }) => name === 'rows').map(({ statistic }) => statistic),
    [{ kind: 'count', value: 10 }],
  )
})

it('a segment that requests still come under is told apart, also where it is an older one, as of an endpoint that was declared anew', () => {
  let now = 0
  const observations = new Observations(() => now)
  observations.request({ ...event(1), decision: decided(57) })
  for (let minute = 0; minute < 20; minute++) {
    observations.request({ ...event(1), decision: decided(1) })
    now += 60_000
    observations.snapshot([subject])
  }
  assert.deepEqual(requestsBySegment(observations), { 0: 1, 1: 20 })
})

it('a version that was forgotten before it was served counts from when it is', () => {
  let now = 0
  const observations = new Observations(() => now)
  const examples = { subject, instance: 'pool', rows: 1, requests: 1, inputMs: 0, computeMs: 1, outputMs: 0, failed: false } as BatchEvent
  observations.batch(examples)
  now += 11 * 60_000
  assert.deepEqual(observations.snapshot([]), [])
  observations.request({ ...event(1), decision: decided(3) })
  assert.deepEqual(requestsBySegment(observations), { 3: 1 })
})

it('what ran before the first request came to its end is of no segment of its own', () => {
  const observations = new Observations()
  observations.batch({
    subject,
    instance: 'pool',
    rows: 1,
    requests: 1,
    inputMs: 0,
    computeMs: 1,
    outputMs: 0,
    failed: false,
  } as BatchEvent)
  observations.request({ ...event(1), decision: decided(5) })
  const [only, ...others] = observations.snapshot([subject])
  assert.deepEqual([only?.segment, others], [5, []])
  assert.ok(
    only?.series.some(({ name, statistic }) => name === 'compute_seconds' && statistic.kind === 'histogram' && statistic.count === 1),
  )
})

describe('what processes that have ended had counted', () => {
  const live = (segment: number): LiveEndpoint[] => [
    { name: 'churn', segment, variants: [{ name: 'v1', version: '1', ready: true, reason: undefined }] },
  ]
  const observedBy = (...segments: number[]): ProcessCounts => {
    const observations = new Observations()
    for (const segment of segments) observations.request({ ...event(1), decision: decided(segment) })
    return { observed: observations.snapshot([subject]), families: [] }
  }
  const rows = ({ observed }: ProcessCounts): Record<number, unknown> =>
    Object.fromEntries(observed.map(({ segment, series }) => [segment, series.find(({ name }) => name === 'rows')?.statistic]))

  it('is told by segment while that is in force, then of the version as a whole, and no longer than it is served', () => {
    const ended = new EndedCounts()
    const count = (value: number): unknown => ({ kind: 'count', value })
    ended.add(observedBy(1, 2), 0)
    ended.add(observedBy(2), 0)
    assert.deepEqual(rows(ended.counts(live(2), 60_000)), { 1: count(2), 2: count(4) })
    assert.deepEqual(rows(ended.counts(live(2), 1_000_000)), { 0: count(2), 2: count(4) })
    assert.deepEqual(rows(ended.counts(live(3), 2_000_000)), { 0: count(6) })
    assert.deepEqual(rows(ended.counts([], 2_500_000)), { 0: count(6) })
    assert.deepEqual(rows(ended.counts([], 2_700_000)), {})
  })
})

it('several processes tell of an endpoint what is true in each', () => {
  const variant = (ready = true): LiveVariant => ({ name: 'v1', version: '1', ready, reason: ready ? undefined : 'it ended' })
  const one = (segment: number, ...variants: LiveVariant[]): LiveEndpoint[] => [{ name: 'churn', segment, variants }]
  assert.deepEqual(liveTogether([one(5, variant()), one(4, variant())]), one(4, variant()))
  assert.deepEqual(liveTogether([one(5, variant()), one(5, variant(false))]), one(5, variant(false)))
  const missing = { name: 'v1', version: '1', ready: false, reason: 'it is not there in each process' }
  assert.deepEqual(liveTogether([one(5), one(5, variant())]), one(5, missing))
  assert.deepEqual(liveTogether([[], one(5, variant())]), [{ name: 'churn', variants: [missing] }], 'no segment is in force in all')
})
