import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { debianBinary } from '../../scripts/debian-package.ts'
import { silentLogger } from '../../src/core/log.ts'
import { CUSTOMER, post, ROOT, serveExamples, until } from '../fixtures.ts'
import { startPrometheus } from './prometheus.ts'
import type { Prometheus, Sample } from './prometheus.ts'

const REQUESTS = 300
const NAME = 'slipway_request_duration_seconds'
const SELECTOR = '{code="200",protocol="predict"}'
/** Factor between the edges of a native bucket of schema 3. */
const NATIVE_WIDTH = 2 ** (1 / 8)

async function number(prometheus: Prometheus, expression: string): Promise<number> {
  return Number((await prometheus.query(expression))[0]?.value?.[1])
}

describe('a real Prometheus', () => {
  it('reads native histograms where it asks for protobuf, classic ones where it asks for text, and both know the latency', async () => {
    const durations: number[] = []
    const logger = {
      ...silentLogger,
      info: (fields: object) => void ('durationMs' in fields && durations.push(Number(fields.durationMs) / 1000)),
    }
    await using server = await serveExamples(['churn'], {
      serving: { instances: 1 },
      log: { access: true },
      metrics: { guideNames: false, tritonNames: true },
      logger,
    })
    const target = `127.0.0.1:${server.port}`
    // The series begins with one request that is not of the load: rates need a value from before.
    assert.equal((await post(`${server.url}/predict`, CUSTOMER)).status, 200)
    await using native = await startPrometheus(target, ['native-histograms'])
    await using classic = await startPrometheus(target, [])
    const nativeCount = (): Promise<number> => number(native, `histogram_count(${NAME}${SELECTOR})`)
    const classicCount = (): Promise<number> => number(classic, `${NAME}_count${SELECTOR}`)
    await until(async () => (await nativeCount()) === 1 && (await classicCount()) === 1, 'both have scraped the beginning')
    durations.length = 0
    for (let index = 0; index < REQUESTS; index++) await post(`${server.url}/predict`, CUSTOMER)
    const total = REQUESTS + 1
    await until(async () => (await nativeCount()) === total && (await classicCount()) === total, 'both have scraped the load')
    for (const prometheus of [native, classic])
      assert.equal(await number(prometheus, 'nv_inference_request_success{model="churn",version="1"}'), total, 'by the name of Triton')

    const sorted = durations.toSorted((a, b) => a - b)
    const [below, above] = [sorted[REQUESTS * 0.9 - 3], sorted[REQUESTS * 0.9 + 2]]
    assert.ok(below !== undefined && above !== undefined)
    const p90 = await number(native, `histogram_quantile(0.9, rate(${NAME}${SELECTOR}[10m]))`)
    assert.ok(
      p90 >= below / NATIVE_WIDTH && p90 <= above * NATIVE_WIDTH,
      `from native buckets ${p90} s, measured between ${below} and ${above} s`,
    )

    const [series] = await native.query(`${NAME}${SELECTOR}`)
    const histogram = series?.histogram?.[1]
    assert.ok(histogram !== undefined, 'the series holds a native histogram')
    assert.equal(
      histogram.buckets.reduce((sum, [, , , count]) => sum + Number(count), 0),
      total,
    )
    assert.deepEqual(await native.query(`${NAME}_bucket`), [], 'and no classic buckets beside it')

    const classicP90 = await number(classic, `histogram_quantile(0.9, rate(${NAME}_bucket${SELECTOR}[10m]))`)
    const edges = (await classic.query(`${NAME}_bucket${SELECTOR}`)).map(edgeOf).toSorted((a, b) => a - b)
    assert.ok(
      classicP90 >= Math.max(0, ...edges.filter((edge) => edge < below)) &&
        classicP90 <= Math.min(...edges.filter((edge) => edge >= above)),
      `from classic buckets ${classicP90} s, measured between ${below} and ${above} s`,
    )
    assert.equal((await classic.query(`${NAME}${SELECTOR}`)).length, 0, 'text has no native histograms')
    // Counters and gauges are the same series whichever way they came.
    for (const prometheus of [native, classic]) {
      assert.equal(await number(prometheus, 'slipway_rows_total'), total)
      assert.equal(await number(prometheus, 'slipway_model_ready{endpoint="churn",version="1"}'), 1)
    }
  })

  it('scrapes by the configuration of the guide, and answers its queries', async () => {
    await using server = await serveExamples(['churn'], { serving: { instances: 1 } })
    const target = `127.0.0.1:${server.port}`
    const page = await readFile(join(ROOT, 'docs/guides/observing.md'), 'utf8')
    const [, scrapes = ''] = /^```yaml\n([\s\S]*?)^```/m.exec(page) ?? []
    const [, queries = ''] = /^```promql\n([\s\S]*?)^```/m.exec(page) ?? []
    assert.match(scrapes, /127\.0\.0\.1:8470/)
    const [native, classic, rejected] = queries
      .trim()
      .split('\n')
      .map((line) => line.replace(/\s+#.*$/, ''))
    assert.ok(native !== undefined && classic !== undefined && rejected !== undefined)
    const config = scrapes.replace('127.0.0.1:8470', target)
    await using withNative = await startPrometheus(target, ['native-histograms'], config)
    await using plain = await startPrometheus(target, [], config)
    for (const [prometheus, query, found] of [
      [withNative, native, 'endpoint'],
      [plain, classic, 'endpoint'],
      [withNative, rejected, 'endpoint'],
    ] as const)
      await until(async () => {
        await post(`${server.url}/predict`, CUSTOMER)
        await post(`${server.url}/predict`, { ...CUSTOMER, plan: 'gold' })
        const [series] = await prometheus.query(query)
        return series?.metric[found] === 'churn' && Number(series.value?.[1]) > 0
      }, `${query} has a value for churn`)
  })

  it('its promtool finds nothing to complain of in the text', async () => {
    await using server = await serveExamples(['churn'], { serving: { instances: 1 } })
    await post(`${server.url}/predict`, CUSTOMER)
    await post(`${server.url}/predict`, { ...CUSTOMER, plan: 'gold' })
    const response = await fetch(`${server.url}/metrics`)
    const promtool = spawn(await debianBinary('promtool', 'prometheus'), ['check', 'metrics'])
    promtool.stdin.end(await response.text())
    const [said, complaints, code] = await Promise.all([
      textOf(promtool.stdout),
      textOf(promtool.stderr),
      new Promise((resolve) => promtool.once('close', resolve)),
    ])
    assert.deepEqual({ code, said, complaints }, { code: 0, said: '', complaints: '' })
  })
})

function edgeOf({ metric }: Sample): number {
  const { le } = metric
  return le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le)
}
