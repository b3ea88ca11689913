import assert from 'node:assert/strict'
import { it } from 'node:test'
import { seriesKey } from '../../src/contract/statistics/series.ts'
import { acrossSegments, mergeObserved, Observations } from '../../src/serving/observe/observations.ts'
import type { RequestEvent, Subject } from '../../src/serving/observe/events.ts'
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
    traceparent: undefined,
  }
}

const inOrder = (observed: readonly Observed[]): unknown[] =>
  observed
    .map(({ series, ...rest }) => ({ ...rest, series: series.toSorted((a, b) => (seriesKey(a) < seriesKey(b) ? -1 : 1)) }))
    .toSorted((a, b) => a.segment - b.segment)

function decided(segment: number): Decision {
  return { endpoint: 'churn', assigned: 'v1', served: 'v1', segment, assignment: 'only', unit: undefined, point: undefined }
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

it('a request counts under the segment by which it was decided, whichever is in force when it is answered', () => {
  let now = 0
  const observations = new Observations(() => now)
  for (const segment of [1, 1, 2, 1, 2]) observations.request({ ...event(1), decision: decided(segment) })
  const counts = () =>
    Object.fromEntries(
      observations.snapshot([subject]).map(({ segment, series }) => {
        const requests = series.find(({ name }) => name === 'request_seconds')?.statistic
        return [segment, requests?.kind === 'histogram' ? requests.count : 0]
      }),
    )
  assert.deepEqual(counts(), { 1: 3, 2: 2 })
  // Later nobody tells them apart, and the version as a whole has lost nothing.
  now += 5 * 60_000
  assert.deepEqual(counts(), { 0: 3, 2: 2 })
  const [version] = acrossSegments(observations.snapshot([subject]))
  assert.deepEqual(
    version?.series.filter(({ name }) => name === 'rows').map(({ statistic }) => statistic),
    [{ kind: 'count', value: 10 }],
  )
})
