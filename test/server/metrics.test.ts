import assert from 'node:assert/strict'
import { it } from 'node:test'
import { METRICS } from '../../src/serving/observe/catalog.ts'
import { CUSTOMER, post, serveExamples } from '../fixtures.ts'

/** Sample lines of a metric: labels and value. */
function samples(text: string, name: string): { labels: string; value: number }[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .map((line) => ({ labels: line.slice(name.length, line.lastIndexOf(' ')), value: Number(line.slice(line.lastIndexOf(' ') + 1)) }))
}

it('metrics count what happened: requests by code, rows, batches, rejections by reason', async () => {
  await using server = await serveExamples(['churn'], { serving: { instances: 1 }, metrics: { guideNames: true } })
  for (let index = 0; index < 5; index++) await post(`${server.url}/predict`, { inputs: [CUSTOMER, CUSTOMER] })
  await post(`${server.url}/predict`, { ...CUSTOMER, plan: 'gold' })
  await fetch(`${server.url}/health`)
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const subject = 'endpoint="churn",variant="v1",model="churn",version="1"'
  assert.deepEqual(samples(text, 'slipway_request_duration_seconds_count'), [
    { labels: `{${subject},protocol="predict",code="200"}`, value: 5 },
    { labels: `{${subject},protocol="predict",code="400"}`, value: 1 },
  ])
  assert.deepEqual(samples(text, 'slipway_rows_total'), [{ labels: `{${subject}}`, value: 10 }])
  assert.deepEqual(samples(text, 'slipway_rejected_total'), [{ labels: `{${subject},reason="input_invalid"}`, value: 1 }])
  assert.deepEqual(samples(text, 'slipway_model_ready'), [{ labels: `{${subject}}`, value: 1 }])
  assert.deepEqual(
    samples(text, 'predictions_total').map(({ labels, value }) => [labels, value]),
    [
      ['{model="churn",status="success"}', 5],
      ['{model="churn",status="error"}', 1],
    ],
  )
  assert.deepEqual(
    samples(text, 'request_count').reduce((sum, { value }) => sum + value, 0),
    6,
  )
  const buckets = samples(text, 'slipway_request_duration_seconds_bucket').filter(({ labels }) => labels.includes('code="200"'))
  assert.ok(
    buckets.every(({ value }, index) => index === 0 || value >= buckets[index - 1]!.value),
    'buckets are cumulative',
  )
  assert.equal(buckets.at(-1)?.value, 5)
})

it('every metric that is exposed is in the catalog, and OpenMetrics ends as it must', async () => {
  await using server = await serveExamples(['churn'], { serving: { instances: 1 } })
  await post(`${server.url}/predict`, CUSTOMER)
  const response = await fetch(`${server.url}/metrics`, { headers: { accept: 'application/openmetrics-text; version=1.0.0' } })
  assert.match(response.headers.get('content-type') ?? '', /^application\/openmetrics-text; version=1\.0\.0/)
  const text = await response.text()
  assert.ok(text.endsWith('# EOF\n'))
  const names = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map((match) => [match[1], match[2]])
  for (const [name, type] of names)
    assert.ok(Object.hasOwn(METRICS, name ?? '') || Object.hasOwn(METRICS, `${name}_total`), `${name} (${type})`)
})

it('only those metrics are exposed that are asked for by name', async () => {
  await using server = await serveExamples(['churn'], { serving: { instances: 1 } })
  const asked = 'name[]=slipway_queue_requests&name[]=process_start_time_seconds&name[]=nothing'
  const text = await (await fetch(`${server.url}/metrics?${asked}`)).text()
  const names = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name)
  assert.deepEqual(new Set(names), new Set(['process_start_time_seconds', 'slipway_queue_requests']))
})
