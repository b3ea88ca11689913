import assert from 'node:assert/strict'
import { it } from 'node:test'
import { mergeStatistics } from '../../src/contract/observation-window.ts'
import { Metrics } from '../../src/serving/observe/metrics.ts'
import type { ObservationWindow, WindowKey } from '../../src/contract/observation-window.ts'
import type { RequestEvent, Subject } from '../../src/serving/observe/events.ts'

const subject: Subject = { endpoint: 'churn', variant: 'v1', model: 'churn', version: '1' }

function key(server: string): WindowKey {
  return { source: 'online', server, bootId: 'b', sequence: 1, ...subject, segment: 0, startMs: 0, endMs: 10_000 }
}

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

it('windows of several servers merge into what one server would have seen, in any order', () => {
  const servers = [new Metrics({ guideNames: false }), new Metrics({ guideNames: false }), new Metrics({ guideNames: false })]
  const whole = new Metrics({ guideNames: false })
  for (let index = 0; index < 1000; index++) {
    servers[(index * 7) % 3]?.request(event(index))
    whole.request(event(index))
  }
  const windows: ObservationWindow[] = servers.map((server, index) => server.window(subject, key(`s${index}`)))
  const [a, b, c] = windows.map((window) => window.statistics)
  const expected = whole.window(subject, key('whole')).statistics
  const sorted = (statistics: object): object => Object.fromEntries(Object.entries(statistics).toSorted(([x], [y]) => (x < y ? -1 : 1)))
  assert.deepEqual(sorted(mergeStatistics(mergeStatistics(a ?? {}, b ?? {}), c ?? {})), sorted(expected))
  assert.deepEqual(sorted(mergeStatistics(c ?? {}, mergeStatistics(b ?? {}, a ?? {}))), sorted(expected))
})
