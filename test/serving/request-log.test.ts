import assert from 'node:assert/strict'
import { it } from 'node:test'
import { requestLog } from '../../src/serving/observe/request-log.ts'
import type { RequestEvent } from '../../src/serving/observe/events.ts'

const event: RequestEvent = {
  requestId: 'r',
  predictionId: 'p',
  startedMs: 0,
  receiveMs: 0,
  prepareMs: 0,
  protocol: 'v2',
  subject: undefined,
  decision: undefined,
  status: 200,
  errorCode: undefined,
  errorMessage: undefined,
  durationMs: 1,
  queueMs: 0,
  batchWaitMs: 0,
  computeMs: 0,
  rows: 1,
  cache: undefined,
  cacheMs: 0,
  traceparent: undefined,
}

function record(options: { access: boolean; slowMs: number }): {
  told: [string, string][]
  tell: (change: Partial<RequestEvent>) => void
  tick: () => void
} {
  const told: [string, string][] = []
  let now = 1_000_000
  const at = (level: string) => (_fields: object, message: string) => void told.push([level, message])
  const observer = requestLog({ debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, options, () => now)
  return { told, tell: (change) => observer.request?.({ ...event, ...change }), tick: () => (now += 1000) }
}

it('tells errors and slow requests, and nothing of the others', () => {
  const { told, tell } = record({ access: false, slowMs: 100 })
  tell({})
  tell({ status: 400, errorMessage: 'wrong' })
  tell({ durationMs: 200 })
  tell({ status: 500, errorMessage: 'broken' })
  assert.deepEqual(told, [
    ['warn', 'slow request'],
    ['error', 'broken'],
  ])
})

it('an overload is told a few times a second, and the rest is counted', () => {
  const { told, tell, tick } = record({ access: false, slowMs: 100 })
  for (let index = 0; index < 1000; index++) tell({ status: 503, errorMessage: 'full' })
  tick()
  tell({ status: 503, errorMessage: 'full' })
  assert.deepEqual(
    told.map(([, message]) => message),
    ['full', 'full', 'full', 'full', 'full', 'more refusals, not told one by one', 'full'],
  )
})
