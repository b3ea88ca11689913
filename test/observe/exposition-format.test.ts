import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CUSTOMER, post, serveExamples } from '../fixtures.ts'
import { chooseFormat } from '../../src/serving/observe/exposition-format.ts'

const PROTOBUF = 'application/vnd.google.protobuf'
const OPENMETRICS = 'application/openmetrics-text'
const TEXT = 'text/plain'

function chosen(accept: string | undefined): string {
  return chooseFormat(accept).type
}

describe('the format of metrics', () => {
  const delimited = `${PROTOBUF};proto=io.prometheus.client.MetricFamily;encoding=delimited`

  it('is what the scrapers of the field get', () => {
    // Prometheus 2.42 with and without native histograms, Prometheus 3, curl, a browser, a client without the header.
    assert.equal(
      chosen(`${delimited},${OPENMETRICS};version=1.0.0;q=0.8,${OPENMETRICS};version=0.0.1;q=0.75,${TEXT};version=0.0.4;q=0.5,*/*;q=0.1`),
      PROTOBUF,
    )
    assert.equal(
      chosen(`${OPENMETRICS};version=1.0.0,${OPENMETRICS};version=0.0.1;q=0.75,${TEXT};version=0.0.4;q=0.5,*/*;q=0.1`),
      OPENMETRICS,
    )
    assert.equal(
      chosen(
        `${OPENMETRICS};version=1.0.0;escaping=allow-utf-8;q=0.6,${OPENMETRICS};version=0.0.1;q=0.5,` +
          `${TEXT};version=1.0.0;escaping=allow-utf-8;q=0.4,${TEXT};version=0.0.4;q=0.3,*/*;q=0.2`,
      ),
      OPENMETRICS,
    )
    assert.equal(chosen('*/*'), TEXT)
    assert.equal(chosen('text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'), TEXT)
    assert.equal(chosen(undefined), TEXT)
  })

  it('is the one of the highest weight, wherever it stands', () => {
    assert.equal(chosen(`${TEXT};q=0.3, ${delimited};q=0.7`), PROTOBUF)
    assert.equal(chosen(`${delimited};q=0.3, ${TEXT};q=0.7`), TEXT)
    assert.equal(chosen(`${TEXT.toUpperCase()} ; Q=1 , ${delimited};q=0.999`), TEXT)
  })

  it('is never one that was refused, or of a kind that is not spoken', () => {
    assert.equal(chosen(`${delimited};q=0,${TEXT};q=0.1`), TEXT)
    assert.equal(chosen(`${PROTOBUF};proto=io.prometheus.client.MetricFamily;encoding=text,${TEXT};q=0.1`), TEXT)
    assert.equal(chosen(`${OPENMETRICS};version=2.0.0,${TEXT};q=0.1`), TEXT)
    assert.equal(chosen(`${OPENMETRICS};q=2,${TEXT};q=0.1`), TEXT)
    assert.equal(chosen(`*/*,${TEXT};q=0`), OPENMETRICS)
  })

  it('follows the more precise range, and reads quoted parameters', () => {
    assert.equal(chosen(`${OPENMETRICS};q=0.9,${OPENMETRICS};version=1.0.0;q=0.1,${TEXT};q=0.5`), TEXT)
    assert.equal(chosen(`${PROTOBUF};proto="io.prometheus.client.MetricFamily";encoding="delimited",${TEXT}`), PROTOBUF)
    assert.equal(chosen(`application/json;note="a,${OPENMETRICS};q=1",${TEXT};q=0.1`), TEXT)
    assert.equal(chosen(`${OPENMETRICS},*/*`), OPENMETRICS)
    assert.equal(chosen('application/*'), OPENMETRICS)
  })

  it('is named by the answer', async () => {
    await using server = await serveExamples(['churn'], { serving: { instances: 1 } })
    await post(`${server.url}/predict`, CUSTOMER)
    const types = await Promise.all(
      [delimited, OPENMETRICS, TEXT].map(async (accept) => {
        const response = await fetch(`${server.url}/metrics`, { headers: { accept } })
        const body = Buffer.from(await response.arrayBuffer())
        assert.ok(body.includes('slipway_rows'))
        return response.headers.get('content-type')
      }),
    )
    assert.deepEqual(types, [
      'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited',
      'application/openmetrics-text; version=1.0.0; charset=utf-8',
      'text/plain; version=0.0.4; charset=utf-8',
    ])
  })
})
