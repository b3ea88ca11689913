import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { otelCollector } from '../../scripts/otel-collector.ts'
import { silentLogger } from '../../src/core/log.ts'
import { CUSTOMER, post, serveExamples, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { freePorts, startCollector } from './collector.ts'
import type { StartServerOptions } from '../../src/server/start-server.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { Collector, Span } from './collector.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = '00f067aa0ba902b7'
const KIND_INTERNAL = 1
const KIND_SERVER = 2
const PARTS = ['preprocess', 'queue', 'model_forward', 'postprocess']
/** The wall clock may be read a little before or after the monotonic one. */
const CLOCK_SLACK_NS = 50_000_000n

function traced(endpoint: string, tracing: StartServerOptions['tracing'] = {}, options: StartServerOptions = {}): Promise<SlipwayServer> {
  return serveExamples(['churn'], { serving: { instances: 1 }, ...options, tracing: { endpoint, sampleRatio: 1, ...tracing } })
}

function root(spans: readonly Span[]): Span {
  const found = spans.filter(({ name }) => name === 'model_inference')
  assert.equal(found.length, 1, `one root among ${spans.map(({ name }) => name).join(', ')}`)
  return found[0]!
}

async function metric(server: SlipwayServer, series: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.slice(series.length),
  )
}

const ways = [
  { protocol: 'http', endpointOf: ({ httpPort }: Pick<Collector, 'httpPort'>) => `http://127.0.0.1:${httpPort}` },
  { protocol: 'grpc', endpointOf: ({ grpcPort }: Pick<Collector, 'grpcPort'>) => `http://127.0.0.1:${grpcPort}` },
] as const

// The first time it is built, which takes minutes.
before(otelCollector, { timeout: 900_000 })

for (const { protocol, endpointOf } of ways) {
  describe(`traces in a real OpenTelemetry Collector over ${protocol}`, () => {
    it('tell of an answered request: its parts one after the other within it, and whom it answered', async () => {
      await using collector = await startCollector()
      const beforeNs = BigInt(Date.now()) * 1_000_000n
      await using server = await traced(endpointOf(collector), { protocol, serviceName: 'shop' })
      const answer = await post(`${server.url}/predict`, { inputs: [CUSTOMER, CUSTOMER] }, { 'x-request-id': 'mine' })
      assert.equal(answer.status, 200)
      await until(() => collector.spans.length >= 5, 'the spans have arrived')
      const afterNs = BigInt(Date.now()) * 1_000_000n
      const { spans } = collector
      const top = root(spans)
      assert.deepEqual([top.kind, top.parentSpanId, top.status.code ?? 0], [KIND_SERVER, '', 0])
      const { 'slipway.prediction_id': predictionId, ...attributes } = top.attributes
      assert.match(String(predictionId), /^[0-9a-f]{24}$/)
      assert.deepEqual(attributes, {
        'slipway.endpoint': 'churn',
        'slipway.variant': 'v1',
        'slipway.model': 'churn',
        'slipway.version': '1',
        'slipway.segment': 1,
        'slipway.assignment': 'only',
        'slipway.protocol': 'predict',
        'slipway.rows': 2,
        'slipway.request_id': 'mine',
        'http.response.status_code': 200,
      })
      assert.equal(top.resource['service.name'], 'shop')
      assert.ok(top.startNs >= beforeNs - CLOCK_SLACK_NS && top.endNs <= afterNs + CLOCK_SLACK_NS, 'the times are those of the wall clock')

      const parts = spans
        .filter((span) => span !== top)
        .toSorted((a, b) => Number(a.startNs - b.startNs) || PARTS.indexOf(a.name) - PARTS.indexOf(b.name))
      assert.deepEqual(
        parts.map(({ name }) => name),
        PARTS,
      )
      let at = top.startNs
      for (const part of parts) {
        assert.deepEqual([part.traceId, part.parentSpanId, part.kind], [top.traceId, top.spanId, KIND_INTERNAL])
        assert.ok(part.startNs >= at && part.endNs >= part.startNs, `${part.name} comes after what is before it`)
        at = part.endNs
      }
      assert.equal(at, top.endNs, 'the last part ends with the request')
      const forward = parts[2]!
      assert.ok(forward.endNs > forward.startNs, 'the run took time')
      assert.equal(new Set(spans.map(({ spanId }) => spanId)).size, 5)
    })

    it('go on where the caller began, and follow its decision and not the ratio', async () => {
      await using collector = await startCollector()
      await using server = await traced(endpointOf(collector), { protocol, sampleRatio: 0 })
      const ask = (traceparent: string): Promise<unknown> => post(`${server.url}/predict`, CUSTOMER, { traceparent })
      await post(`${server.url}/predict`, CUSTOMER)
      await ask(`00-${TRACE}-${PARENT}-00`)
      await ask(`00-${TRACE}-${PARENT}-01`)
      await until(() => collector.spans.length >= 5, 'the spans have arrived')
      assert.equal(collector.spans.length, 5, 'of the sampled request alone')
      const top = root(collector.spans)
      assert.deepEqual([top.traceId, top.parentSpanId], [TRACE, PARENT])
      assert.equal(top.flags, 0x301, 'sampled, and the parent is remote')
      assert.ok(collector.spans.every(({ traceId }) => traceId === TRACE))
    })

    it('of what waits at the end are sent before the server is closed', async () => {
      await using collector = await startCollector()
      const server = await traced(endpointOf(collector), { protocol })
      for (let index = 0; index < 150; index++) await post(`${server.url}/predict`, CUSTOMER)
      await server.close()
      assert.equal(collector.spans.length, 150 * 5)
    })

    it('wait for a collector that is away, harm no request meanwhile, and arrive when it is back', async () => {
      const ports = await freePorts()
      const warnings: string[] = []
      const logger = { ...silentLogger, warn: (_: object, message: string) => void warnings.push(message) }
      await using server = await traced(endpointOf(ports), { protocol }, { logger })
      for (let index = 0; index < 20; index++) assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)
      await until(() => warnings.length > 0, 'it is told that the collector is away')
      {
        await using collector = await startCollector(ports)
        await until(() => collector.spans.length >= 100, 'the spans have arrived')
        assert.equal(new Set(collector.spans.map(({ traceId }) => traceId)).size, 20)
      }
      // Again, now with a connection that was good once.
      await post(`${server.url}/predict`, CUSTOMER)
      await using collector = await startCollector(ports)
      await until(() => collector.spans.length >= 5, 'the spans have arrived')
      assert.deepEqual(warnings, ['traces are not delivered'], 'told once a minute')
      // The collector hands the spans on before it answers: they are counted a little after they are seen.
      await until(async () => (await metric(server, 'slipway_trace_spans_exported_total')) === 21 * 5, 'all are counted')
      for (const reason of ['buffer_full', 'rejected', 'undeliverable', 'shutdown'])
        assert.equal(await metric(server, `slipway_trace_spans_dropped_total{reason="${reason}"}`), 0)
    })
  })
}

describe('what a trace tells of a request that was refused', () => {
  it('is how far it came: no model, a value that is wrong, a time that ran out while it waited', async () => {
    await using folder = await temporaryFolder()
    const trigger = join(folder.path, 'slow')
    // Read by the instances when they start: the next run after the file appears is slow.
    process.env['SLIPWAY_FAIL_POINTS'] = `run:slow@${trigger}`
    after(() => delete process.env['SLIPWAY_FAIL_POINTS'])
    await using collector = await startCollector()
    await using server = await traced(
      `http://127.0.0.1:${collector.httpPort}`,
      {},
      { serving: { instances: 1, inlineMaxUs: 0, requestTimeoutMs: 300 } },
    )
    const ask = (id: string, path: string, body: unknown, headers: Record<string, string> = {}): Promise<unknown> =>
      post(`${server.url}${path}`, body, { 'x-request-id': id, ...headers })
    await ask('no-model', '/models/nobody/predict', CUSTOMER, { traceparent: `00-${TRACE}-${PARENT}-01` })
    await ask('wrong-value', '/predict', { ...CUSTOMER, plan: 'gold' })
    await writeFile(trigger, '')
    const slow = ask('slow', '/predict', CUSTOMER)
    await until(() => !existsSync(trigger), 'the instance is busy')
    await ask('late', '/predict', CUSTOMER)
    await slow
    const traceOf = (id: string): readonly Span[] => {
      const top = collector.spans.find(({ attributes }) => attributes['slipway.request_id'] === id)
      return collector.spans.filter(({ traceId }) => traceId === top?.traceId)
    }
    const ids = ['no-model', 'wrong-value', 'late']
    await until(() => ids.every((id) => traceOf(id).length > 0), 'the spans have arrived')
    const found = ids.map((id) => {
      const { attributes, status } = root(traceOf(id))
      const names = traceOf(id).map(({ name }) => name)
      return [id, names, attributes['error.type'], attributes['http.response.status_code'], status.code ?? 0]
    })
    assert.equal(root(traceOf('no-model')).traceId, TRACE, 'also a request that found no model goes on where the caller began')
    const ERROR = 2
    assert.deepEqual(found, [
      // A caller's mistake is no error of the server's span.
      ['no-model', ['model_inference'], 'SLW_MODEL_NOT_FOUND', 404, 0],
      ['wrong-value', ['model_inference', 'preprocess'], 'SLW_INPUT_INVALID', 400, 0],
      ['late', ['model_inference', 'preprocess', 'queue'], 'SLW_DEADLINE_EXCEEDED', 504, ERROR],
    ])
    for (const id of ['wrong-value', 'late']) {
      const spans = traceOf(id)
      const last = spans.at(-1)!
      assert.equal(last.attributes['error.type'], root(spans).attributes['error.type'])
      assert.ok(last.endNs === root(spans).endNs && last.endNs > last.startNs, `${id} ended in ${last.name}`)
    }
  })
})

describe('the share of requests that is traced', () => {
  it('is the ratio, within what chance allows', async () => {
    await using collector = await startCollector()
    const server = await traced(`http://127.0.0.1:${collector.httpPort}`, { sampleRatio: 0.3 })
    const requests = 1000
    for (let done = 0; done < requests; done += 10)
      await Promise.all(Array.from({ length: 10 }, () => post(`${server.url}/predict`, CUSTOMER)))
    await server.close()
    const sampled = new Set(collector.spans.map(({ traceId }) => traceId))
    // Six standard deviations: once in a thousand million runs.
    const slack = 6 * Math.sqrt(requests * 0.3 * 0.7)
    assert.ok(Math.abs(sampled.size - requests * 0.3) < slack, `${sampled.size} of ${requests}`)
    assert.equal(collector.spans.length, sampled.size * 5)
    // The decision can be seen in the id: its last 56 bits are in the upper 30 %.
    const threshold = 2 ** 56 * 0.7
    assert.ok([...sampled].every((traceId) => Number(BigInt(`0x${traceId.slice(-14)}`)) >= threshold * (1 - 1e-9)))
  })

  it('is none without an endpoint, and nothing is told of it', async () => {
    await using server = await serveExamples(['churn'], { serving: { instances: 1 }, tracing: { sampleRatio: 1 } })
    await post(`${server.url}/predict`, CUSTOMER)
    assert.equal((await (await fetch(`${server.url}/metrics`)).text()).includes('slipway_trace_'), false)
  })
})
