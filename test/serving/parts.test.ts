/** An answer that comes in several parts, from an instance through the scheduler and a dialect to a client; and who may look on. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { everythingTo } from '../../src/contract/routing.ts'
import { API_VERSION } from '../../src/contract/schema.ts'
import { systemClock } from '../../src/core/clock.ts'
import { SlipwayError } from '../../src/core/errors.ts'
import { createIds } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/log.ts'
import { BodyThreads } from '../../src/protocol/bodies/body-threads.ts'
import { NO_ADMINISTRATION } from '../no-administration.ts'
import { routesOf } from '../../src/protocol/http/dialects/routes-of.ts'
import { v2 } from '../../src/protocol/http/dialects/v2/v2.ts'
import { HTTP_LIMIT_DEFAULTS } from '../../src/protocol/http/options.ts'
import { HttpServer } from '../../src/protocol/http/server.ts'
import { REQUEST_LIMIT_DEFAULTS } from '../../src/protocol/limits.ts'
import { instances } from '../../src/serving/backend.ts'
import { DataPlane } from '../../src/serving/data-plane.ts'
import { NOTHING_COUNTED } from '../../src/serving/observe/merge.ts'
import { Taps } from '../../src/serving/observe/taps.ts'
import { resolveTracing } from '../../src/serving/observe/tracing/options.ts'
import { addingModel, WIDTH } from '../adding-models.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Dialect, DialectHost } from '../../src/protocol/http/dialects/dialect.ts'
import type { Backend } from '../../src/serving/backend.ts'
import type { Prepared } from '../../src/serving/caller.ts'
import type { RequestEvent } from '../../src/serving/observe/events.ts'
import type { Loaded } from '../../src/serving/variant.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

function numbers(...data: number[]): Tensor {
  return { name: 'y', datatype: 'FP32', shape: [1, data.length], data: Float32Array.from(data) }
}

/** Answers 1, 2, 3 in three parts; or breaks off after the first, where it is asked with a negative number. */
const counting: Backend = {
  async open(options) {
    const model = await instances.open(options)
    const slots = model.slots.map((slot) => ({
      get state() {
        return slot.state
      },
      get available() {
        return slot.available
      },
      status: () => slot.status(),
      poll: () => slot.poll(),
      run: (...given: Parameters<typeof slot.run>) => slot.run(...given),
      async stream(inputs: readonly Tensor[], _outputs: readonly string[], onPart: (outputs: readonly Tensor[]) => void) {
        for (const part of [1, 2, 3]) {
          onPart([numbers(part)])
          await new Promise((resolve) => setImmediate(resolve))
          if ((inputs[0]!.data as Float32Array)[0]! < 0) throw new SlipwayError('SLW_RUN_FAILED', 'it broke')
        }
        return { outputs: [], computeUs: 3 }
      },
    }))
    return { ...model, slots, inline: undefined, [Symbol.asyncDispose]: () => model[Symbol.asyncDispose]() }
  },
}

function prepared(first: number, { requestedOutputs }: Loaded): Prepared {
  const data = Float32Array.of(first, 0, 0, 0)
  return { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, WIDTH], data }], rows: 1, warnings: [], outputs: requestedOutputs(undefined) }
}

const text = ([output]: readonly Tensor[]): string => `${[...(output!.data as Float32Array)].join(' ')}\n`

/** PUT /count/NAME with a number; errors are teapots. */
const counts: Dialect = {
  name: 'counts',
  description: 'for this test',
  error: (error) => ({ status: 418, type: 'text/plain', body: `teapot: ${error.code}` }),
  routes: () => [
    {
      method: 'PUT',
      path: '/count/:name',
      target: ({ name = '' }) => ({ name, version: undefined }),
      converse: (request) => ({
        prepare: (body, loaded) => prepared(Number(body.toString()), loaded),
        answer: ({ outputs }) => ({ type: 'text/plain', body: text(outputs) }),
        stream:
          request.header('accept') === 'text/whole'
            ? undefined
            : { type: 'text/lines', part: ({ outputs }) => text(outputs), end: () => 'end\n' },
      }),
    },
  ],
}

async function serve(backend: Backend) {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await temporaryFolder())
  await folder.write('m/model.onnx', addingModel(1))
  const events: RequestEvent[] = []
  const observers = [{ request: (event: RequestEvent) => void events.push(event) }]
  const dataPlane = opened.use(new DataPlane({ cores: 1, clock: systemClock, log: silentLogger, observers, backend }))
  const variant = { name: 'v1', model: 'm', version: '1', path: join(folder.path, 'm') }
  await dataPlane.apply([
    {
      apiVersion: API_VERSION,
      kind: 'Endpoint',
      metadata: { name: 'm', generation: 1 },
      spec: { variants: [variant] },
      routing: everythingTo('v1', 'm'),
    },
  ])
  const host: DialectHost = {
    dataPlane,
    limits: { ...REQUEST_LIMIT_DEFAULTS, ...HTTP_LIMIT_DEFAULTS },
    bodies: opened.use(new BodyThreads(1)),
    defaultModel: undefined,
    administration: NO_ADMINISTRATION,
    counts: () => Promise.resolve(NOTHING_COUNTED),
    tracing: resolveTracing(),
    logFile: undefined,
    metrics: () => Promise.resolve([]),
  }
  const dialects = [counts, v2]
  const server = opened.use(
    await HttpServer.listen({
      listeners: [{ address: { host: '127.0.0.1', port: 0 }, routes: dialects.flatMap((dialect) => routesOf(dialect, host)) }],
      access: {},
      limits: HTTP_LIMIT_DEFAULTS,
      clock: systemClock,
      nextId: createIds(),
      dialects,
    }),
  )
  const held = opened.move()
  const ask = async (name: string, body: string, accept = '*/*') => {
    const response = await fetch(`${server.url}/count/${name}`, { method: 'PUT', body, headers: { accept } })
    return { status: response.status, type: response.headers.get('content-type'), text: response.text() }
  }
  return { dataPlane, events, ask, url: server.url, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

describe('an answer in parts', () => {
  it('goes out part by part in the words of its dialect, and is one request', async () => {
    await using it = await serve(counting)
    const { status, type, text: said } = await it.ask('m', '1')
    assert.deepEqual([status, type, await said], [200, 'text/lines', '1\n2\n3\nend\n'])
    assert.deepEqual(
      it.events.map((event) => [event.protocol, event.status, event.decision?.served, event.rows]),
      [['counts', 200, 'v1', 1]],
    )
  })

  it('comes as one part where the model gives it at once', async () => {
    await using it = await serve(instances)
    const { text: said } = await it.ask('m', '1')
    assert.equal(await said, '2 1 1 1\nend\n')
    const { type, text: whole } = await it.ask('m', '1', 'text/whole')
    assert.deepEqual([type, await whole], ['text/plain', '2 1 1 1\n'])
  })

  it('breaks off where it fails half-way, so that nobody takes it for whole', async () => {
    await using it = await serve(counting)
    const { status, text: said } = await it.ask('m', '-1')
    assert.equal(status, 200)
    await assert.rejects(said)
    assert.deepEqual(
      it.events.map((event) => [event.status, event.errorCode]),
      [[500, 'SLW_RUN_FAILED']],
    )
  })
})

describe('an answer as events, as Triton generates it', () => {
  const events = async (url: string, first: number): Promise<{ status: number; type: string | null; events: unknown[] }> => {
    const response = await fetch(`${url}/v2/models/m/generate_stream`, { method: 'POST', body: `{"id":"7","x":[${first},0,0,0]}` })
    const said = await response.text()
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      events: said.split('\n\n').flatMap((event) => (event === '' ? [] : (JSON.parse(event.replace(/^data: /, '')) as unknown))),
    }
  }
  const known = { id: '7', model_name: 'm', model_version: '1' }

  it('has an event for each part', async () => {
    await using it = await serve(counting)
    assert.deepEqual(await events(it.url, 1), {
      status: 200,
      type: 'text/event-stream; charset=utf-8',
      events: [1, 2, 3].map((y) => ({ ...known, y })),
    })
  })

  it('ends with an event that says what failed, and counts as failed', async () => {
    await using it = await serve(counting)
    assert.deepEqual((await events(it.url, -1)).events, [{ ...known, y: 1 }, { error: 'it broke' }])
    assert.deepEqual(
      it.events.map((event) => [event.protocol, event.status, event.errorCode]),
      [['v2', 500, 'SLW_RUN_FAILED']],
    )
  })

  it('is one event where the model gives it at once', async () => {
    await using it = await serve(instances)
    assert.deepEqual((await events(it.url, 1)).events, [{ ...known, y: [2, 1, 1, 1] }])
  })
})

it('a client that takes nothing of what comes is given up, and what answers it is told so', async () => {
  let given = 0
  let hasEnded = (): boolean => false
  const endless: Backend = {
    async open(options) {
      const model = await counting.open(options)
      const slots = model.slots.map((slot) => ({
        ...slot,
        get state() {
          return slot.state
        },
        get available() {
          return slot.available
        },
        async stream(_inputs: readonly Tensor[], _outputs: readonly string[], onPart: (outputs: readonly Tensor[]) => void) {
          const part: Tensor = { name: 'y', datatype: 'FP32', shape: [1, 200_000], data: new Float32Array(200_000).fill(0.123_456) }
          for (; given < 1000 && !hasEnded(); given++) {
            onPart([part])
            await new Promise((resolve) => setImmediate(resolve))
          }
          return { outputs: [], computeUs: 3 }
        },
      }))
      return { ...model, slots }
    },
  }
  await using it = await serve(endless)
  hasEnded = () => it.events.length > 0
  const socket = connect(Number(new URL(it.url).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.pause()
  socket.write('PUT /count/m HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1\r\n\r\n1')
  await until(() => it.events.length === 1, 'the request has ended')
  assert.equal(it.events[0]?.errorCode, 'SLW_CANCELLED')
  // Some hundred megabytes would have come.
  assert.ok(given < 500, `${given} parts`)
  socket.destroy()
})

it('a dialect words its errors and chooses their status, whatever ours would be', async () => {
  await using it = await serve(instances)
  const { status, type, text: said } = await it.ask('nobody', '1')
  assert.deepEqual([status, type, await said], [418, 'text/plain', 'teapot: SLW_MODEL_NOT_FOUND'])
})

describe('whoever looks on', () => {
  it('sees a request once, as the model takes it, with its decision, and then the outputs', async () => {
    await using it = await serve(instances)
    const seen: unknown[] = []
    const stop = it.dataPlane.taps.add(({ context, inputs, rows, copy }) => {
      using kept = copy(inputs)
      seen.push([context.protocol, context.decision.served, rows, [...(kept!.tensors[0]!.data as Float32Array)]])
      return (outputs) => seen.push([...(outputs[0]!.data as Float32Array)])
    })
    const { text: said } = await it.ask('m', '1', 'text/whole')
    await said
    stop()
    await (
      await it.ask('m', '1', 'text/whole')
    ).text
    assert.deepEqual(seen, [
      ['counts', 'v1', 1, [1, 0, 0, 0]],
      [2, 1, 1, 1],
    ])
  })

  it('sees an answer that comes in parts part by part', async () => {
    await using it = await serve(counting)
    const seen: number[] = []
    it.dataPlane.taps.add(() => (outputs) => void seen.push(...outputs.map(({ data }) => (data as Float32Array)[0]!)))
    await (
      await it.ask('m', '1')
    ).text
    assert.deepEqual(seen, [1, 2, 3])
  })

  it('keeps so much and no more: what is beyond is not copied, and counted', () => {
    const taps = new Taps(40)
    const kept: Disposable[] = []
    taps.add(({ copy, inputs }) => {
      const one = copy(inputs)
      if (one !== undefined) kept.push(one)
      return undefined
    })
    const see = (): unknown =>
      taps.open({ context: undefined as never, subject: undefined as never, inputs: [numbers(1, 2, 3, 4)], rows: 1 })
    for (let count = 0; count < 3; count++) assert.equal(see(), undefined)
    assert.deepEqual([kept.length, taps.dropped], [2, 1])
    kept.pop()?.[Symbol.dispose]()
    see()
    assert.deepEqual([kept.length, taps.dropped], [2, 1])
  })
})
