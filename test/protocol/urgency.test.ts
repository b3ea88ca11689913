import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { addingModel, QUESTION, WIDTH } from '../adding-models.ts'
import { CUSTOMER, post, serveExamples, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { startServer } from '../../src/server/start-server.ts'
import type { Answer } from '../fixtures.ts'
import type { ServingOptions } from '../../src/contract/serving-options.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'

interface SlowServer extends AsyncDisposable {
  readonly server: SlipwayServer
  /** Begins a run that takes more than a second; resolves when it goes on. */
  block(): Promise<{ readonly answer: Promise<Answer> }>
  ask(headers: Record<string, string>, more?: object): Promise<Answer>
}

/** One instance that runs one request after the other, and one of them slowly when a test wants it. */
async function serveSlow(more: ServingOptions = {}): Promise<SlowServer> {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await temporaryFolder())
  const trigger = join(folder.path, 'slow')
  const path = await folder.write('m.onnx', addingModel(1))
  // Instances read it when they start.
  process.env['SLIPWAY_FAIL_POINTS'] = `run:slow@${trigger}`
  const server = await startServer({
    models: [{ path }],
    port: 0,
    serving: { instances: 1, inlineMaxUs: 0, maxBatchSize: 1, priorityAgingMs: 60_000, ...more },
  }).finally(() => delete process.env['SLIPWAY_FAIL_POINTS'])
  opened.use(server)
  const { scheduler } = server.dataPlane.endpoint('m').requireMain().requireReady()
  const ask: SlowServer['ask'] = (headers, more) =>
    post(`${server.url}/v2/models/m/infer`, { ...(JSON.parse(QUESTION) as object), ...more }, headers)
  const held = opened.move()
  return {
    server,
    ask,
    async block() {
      writeFileSync(trigger, '')
      const answer = ask({})
      await until(() => scheduler.inFlight === 1 && scheduler.queued === 0, 'the slow run goes on')
      return { answer }
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

async function poolRuns({ url }: SlipwayServer): Promise<number> {
  return Number(/^slipway_runs_total\{.*instance="pool"\} (\d+)$/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1] ?? 0)
}

describe('how long a request may take', () => {
  it('is said by the header slipway-timeout-ms or by the parameter timeout; whoever waited longer gets 504 and is not run', async () => {
    await using slow = await serveSlow()
    const before = await poolRuns(slow.server)
    const { answer: blocking } = await slow.block()
    const [byHeader, byParameter, patient] = await Promise.all([
      slow.ask({ 'slipway-timeout-ms': '100' }),
      slow.ask({}, { parameters: { timeout: 100_000 } }),
      slow.ask({ 'slipway-timeout-ms': '25000.5' }),
    ])
    assert.equal((await blocking).status, 200)
    for (const { body, status } of [byHeader, byParameter]) {
      assert.equal(status, 504)
      assert.match(String(body['error']), /longer than its time-out/)
    }
    assert.equal(patient.status, 200)
    assert.equal((await poolRuns(slow.server)) - before, 2)
  })

  it('whichever of header and parameter is shorter counts', async () => {
    await using slow = await serveSlow()
    const { answer: blocking } = await slow.block()
    const [shortHeader, shortParameter] = await Promise.all([
      slow.ask({ 'slipway-timeout-ms': '100' }, { parameters: { timeout: 20_000_000 } }),
      slow.ask({ 'slipway-timeout-ms': '20000' }, { parameters: { timeout: 100_000 } }),
    ])
    assert.deepEqual([shortHeader.status, shortParameter.status, (await blocking).status], [504, 504, 200])
  })

  it('that is no time is refused with what was expected, in both dialects', async () => {
    await using server = await serveExamples(['churn'], { serving: { instances: 1 } })
    for (const value of ['0', '-5', 'soon', 'NaN', '1,000', ' ']) {
      const { body, status } = await post(`${server.url}/predict`, CUSTOMER, { 'slipway-timeout-ms': value })
      assert.deepEqual([status, body['code']], [400, 'SLW_BAD_REQUEST'], value)
      assert.match(String(body['error']), /^header slipway-timeout-ms: expected milliseconds above 0, got "/)
      assert.equal((await post(`${server.url}/v2/models/churn/infer`, '{}', { 'slipway-timeout-ms': value })).status, 400)
    }
    for (const value of ['20000', '1e4', '1000.5'])
      assert.equal((await post(`${server.url}/predict`, CUSTOMER, { 'slipway-timeout-ms': value })).status, 200, value)
  })
})

/** Requests that wait behind one that runs, one after the other. */
async function lineUp(slow: SlowServer): Promise<{
  readonly send: (name: string, headers: Record<string, string>, more?: object) => Promise<void>
  /** The names, in the order of the answers. */
  readonly order: () => Promise<string[]>
}> {
  const { answer: blocking } = await slow.block()
  const answered: string[] = []
  const { scheduler } = slow.server.dataPlane.endpoint('m').requireMain().requireReady()
  const all: Promise<void>[] = []
  return {
    async send(name, headers, more) {
      all.push(
        slow.ask(headers, more).then(({ status }) => {
          assert.equal(status, 200)
          answered.push(name)
        }),
      )
      await until(() => scheduler.queued === all.length, `${name} waits`)
    },
    async order() {
      await Promise.all([...all, blocking])
      return answered
    },
  }
}

describe('how urgent a request is', () => {
  it('is said by the header slipway-priority and, over it, the V2 parameter priority: 1 goes before 9, whoever came first', async () => {
    await using slow = await serveSlow()
    const { send, order } = await lineUp(slow)
    await send('9', { 'slipway-priority': '9' })
    await send('header 1, parameter 8', { 'slipway-priority': '1' }, { parameters: { priority: 8 } })
    await send('6', {}, { parameters: { priority: 6 } })
    await send('none', {})
    await send('0', {}, { parameters: { priority: 0 } })
    await send('5', { 'slipway-priority': '5' })
    await send('3', {}, { parameters: { priority: 3 } })
    await send('1', { 'slipway-priority': '1' })
    assert.deepEqual(await order(), ['1', '3', 'none', '0', '5', '6', 'header 1, parameter 8', '9'])
  })

  it('is what the model says for requests that say nothing', async () => {
    await using slow = await serveSlow({ defaultPriority: 2 })
    const { send, order } = await lineUp(slow)
    await send('header 5', { 'slipway-priority': '5' })
    await send('parameter 5', {}, { parameters: { priority: 5 } })
    await send('3', {}, { parameters: { priority: 3 } })
    await send('none', {})
    await send('0', {}, { parameters: { priority: 0 } })
    await send('1', { 'slipway-priority': '1' })
    assert.deepEqual(await order(), ['1', 'none', '0', '3', 'header 5', 'parameter 5'])
  })

  it('that is no level is refused with what was expected', async () => {
    await using folder = await temporaryFolder()
    const path = await folder.write('m.onnx', addingModel(1))
    await using server = await startServer({ models: [{ path }], port: 0, serving: { instances: 1 } })
    const infer = (headers: Record<string, string>, parameters: object): Promise<Answer> =>
      post(
        `${server.url}/v2/models/m/infer`,
        { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, WIDTH], data: [1, 2, 3, 4] }], parameters },
        headers,
      )
    for (const value of ['10', '-1', '2.5', 'high', 'NaN']) {
      const { body, status } = await infer({ 'slipway-priority': value }, {})
      assert.equal(status, 400, value)
      const wanted = `header slipway-priority: expected a whole number from 1 (most urgent) to 9, got ${JSON.stringify(value)}`
      assert.equal(body['error'], wanted)
    }
    for (const value of [10, -1, 2.5, 'high', true]) {
      const { body, status } = await infer({}, { priority: value })
      assert.equal(status, 400, String(value))
      assert.match(String(body['error']), /^parameters\.priority: expected a whole number from 1 \(most urgent\) to 9, got /)
    }
    for (const value of [0, 1, 9]) {
      assert.equal((await infer({ 'slipway-priority': String(value) }, {})).status, 200)
      assert.equal((await infer({}, { priority: value })).status, 200)
    }
  })
})
