import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { everythingTo } from '../../src/contract/routing.ts'
import { API_VERSION } from '../../src/contract/schema.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/log.ts'
import { callModel } from '../../src/library/call-model.ts'
import { DataPlane } from '../../src/serving/data-plane.ts'
import { addingModel, WIDTH } from '../adding-models.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { HeldBackend } from './held-backend.ts'
import type { DataPlaneOptions } from '../../src/serving/data-plane.ts'
import type { DesiredEndpoint } from '../../src/contract/desired-endpoint.ts'
import type { Routing } from '../../src/contract/routing.ts'
import type { RequestEvent } from '../../src/serving/observe/events.ts'

interface World extends AsyncDisposable {
  readonly dataPlane: DataPlane
  readonly backend: HeldBackend
  readonly events: RequestEvent[]
  /** How often chance was asked. */
  readonly draws: () => number
  /** Versions by variant, and how requests are shared. */
  readonly desired: (variants: Readonly<Record<string, number>>, weights: Routing['weights'], segment: number) => DesiredEndpoint[]
  /** What the version that answers adds. */
  readonly ask: () => Promise<number>
}

/** An endpoint `e` of models that add their version. */
async function world(options: Partial<DataPlaneOptions> = {}): Promise<World> {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await temporaryFolder())
  for (const version of [1, 2, 3]) await folder.write(`${version}/model.onnx`, addingModel(version))
  const backend = new HeldBackend()
  const events: RequestEvent[] = []
  let draws = 0
  const dataPlane = opened.use(
    new DataPlane({
      cores: 1,
      clock: systemClock,
      log: silentLogger,
      observers: [{ request: (event) => void events.push(event) }],
      backend,
      ...options,
      random: () => {
        draws++
        return 0.5
      },
    }),
  )
  const held = opened.move()
  return {
    dataPlane,
    backend,
    events,
    draws: () => draws,
    desired: (variants, weights, segment) => [
      {
        apiVersion: API_VERSION,
        kind: 'Endpoint',
        metadata: { name: 'e', generation: 1 },
        spec: {
          variants: Object.entries(variants).map(([name, version]) => ({
            name,
            model: 'e',
            version: String(version),
            path: join(folder.path, String(version)),
          })),
        },
        routing: { weights, salt: 'salt', segment },
      },
    ],
    async ask() {
      const [output] = await callModel(dataPlane, {
        endpoint: 'e',
        prepare: ({ requestedOutputs }) => ({
          inputs: [{ name: 'x', datatype: 'FP32', shape: [1, WIDTH], data: new Float32Array(WIDTH) }],
          rows: 1,
          warnings: [],
          outputs: requestedOutputs(undefined),
        }),
      })
      return (output!.data as Float32Array)[0]!
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

describe('a change of weights', () => {
  it('takes effect at once while another version is being loaded, and the load does not undo it', async () => {
    await using it = await world()
    await it.dataPlane.apply(it.desired({ a: 1, b: 2 }, { a: 100, b: 0 }, 1))
    const gate = Promise.withResolvers<void>()
    it.backend.loads.set('3', gate.promise)
    const loading = it.dataPlane.apply(it.desired({ a: 1, b: 2, c: 3 }, { a: 100, b: 0, c: 0 }, 2))
    await until(() => it.dataPlane.endpoint('e').loading.length === 1, 'the third version is being loaded')
    assert.equal(await it.ask(), 1)
    it.dataPlane.route(it.desired({ a: 1, b: 2, c: 3 }, { a: 0, b: 100, c: 0 }, 3))
    assert.equal(await it.ask(), 2)
    assert.equal(it.dataPlane.live()[0]?.segment, 3)
    gate.resolve()
    await loading
    assert.deepEqual([await it.ask(), it.dataPlane.live()[0]?.segment], [2, 3])
    assert.deepEqual(
      it.events.map(({ decision }) => [decision?.segment, decision?.served, decision?.assignment]),
      [
        [2, 'a', 'only'],
        [3, 'b', 'only'],
        [3, 'b', 'only'],
      ],
    )
  })

  it('takes effect at once while what was replaced drains, and the next version need not wait for that either', async () => {
    await using it = await world()
    await it.dataPlane.apply(it.desired({ a: 1, b: 2 }, { a: 100, b: 0 }, 1))
    const gate = Promise.withResolvers<void>()
    it.backend.runs.set('1', gate.promise)
    const slow = it.ask()
    await until(() => it.dataPlane.endpoint('e').variants[0]?.loaded?.scheduler.inFlight === 1, 'a request runs')
    const switching = it.dataPlane.apply(it.desired({ b: 2 }, { b: 100 }, 2))
    await until(() => it.dataPlane.endpoint('e').variants.length === 1, 'the first version has given its place away')
    assert.equal(await it.ask(), 2)
    await it.dataPlane.apply(it.desired({ b: 2, c: 3 }, { b: 0, c: 100 }, 3))
    assert.equal(await it.ask(), 3)
    it.dataPlane.route(it.desired({ b: 2, c: 3 }, { b: 100, c: 0 }, 4))
    assert.equal(await it.ask(), 2)
    gate.resolve()
    assert.equal(await slow, 1)
    await switching
  })

  it('that names a version of its own waits for it, and none of the versions before gets its weight', async () => {
    await using it = await world()
    await it.dataPlane.apply(it.desired({ main: 1 }, { main: 100 }, 1))
    const gate = Promise.withResolvers<void>()
    it.backend.loads.set('2', gate.promise)
    const loading = it.dataPlane.apply(it.desired({ main: 2 }, { main: 100 }, 2))
    await until(() => it.dataPlane.endpoint('e').loading.length === 1, 'the second version is being loaded')
    assert.deepEqual([await it.ask(), it.dataPlane.live()[0]?.segment], [1, 1])
    gate.resolve()
    await loading
    assert.deepEqual([await it.ask(), it.dataPlane.live()[0]?.segment], [2, 2])
  })

  it('gives to those that are there while a variant is missing, and says that this was no chance', async () => {
    await using it = await world()
    await it.dataPlane.apply(it.desired({ a: 1, b: 2 }, { a: 50, b: 50 }, 1))
    const gate = Promise.withResolvers<void>()
    it.backend.loads.set('3', gate.promise)
    const loading = it.dataPlane.apply(it.desired({ a: 1, b: 2, c: 3 }, { a: 40, b: 40, c: 20 }, 2))
    await it.ask()
    gate.resolve()
    await loading
    await it.ask()
    assert.deepEqual(
      it.events.map(({ decision }) => decision?.assignment),
      ['incomplete', 'randomised'],
    )
  })
})

describe('a change of versions and weights', () => {
  it('gives a canary that is there already no more than its share while the new main version is being loaded', async () => {
    await using it = await world()
    await it.dataPlane.apply(it.desired({ main: 1, canary: 2 }, { main: 100, canary: 0 }, 1))
    const gate = Promise.withResolvers<void>()
    it.backend.loads.set('3', gate.promise)
    const loading = it.dataPlane.apply(it.desired({ next: 3, canary: 2 }, { next: 90, canary: 10 }, 2))
    await until(() => it.dataPlane.endpoint('e').loading.length === 1, 'the new version is being loaded')
    assert.deepEqual([await it.ask(), it.dataPlane.live()[0]?.segment], [1, 1])
    gate.resolve()
    await loading
    assert.deepEqual([await it.ask(), it.dataPlane.live()[0]?.segment], [3, 2])
  })

  it('that fails goes back to the weights from before it, and what was to have a part of them serves nothing', async () => {
    await using it = await world()
    await it.dataPlane.apply(it.desired({ a: 1 }, { a: 100 }, 1))
    const gate = Promise.withResolvers<void>()
    it.backend.loads.set('3', gate.promise)
    it.backend.loads.set('3', gate.promise)
    const failing = it.dataPlane.apply(it.desired({ a: 1, b: 2, c: 3 }, { a: 10, b: 60, c: 30 }, 2))
    await until(() => it.dataPlane.live()[0]?.segment === 2, 'the new weights hold for what is there')
    gate.promise.catch(() => {})
    gate.reject(new Error('it cannot be opened'))
    const { failures, switches } = await failing
    assert.deepEqual(
      failures.map(({ spec }) => spec.name),
      ['c'],
    )
    await switches
    assert.deepEqual(
      it.dataPlane.live().map(({ segment, variants }) => [segment, variants.map(({ name }) => name)]),
      [[1, ['a']]],
    )
    assert.equal(await it.ask(), 1)
  })

  it('leaves no request behind that waited for a version which did not end in time', async () => {
    await using it = await world({ drainTimeoutMs: 50 })
    await it.dataPlane.apply(it.desired({ main: 1 }, { main: 100 }, 1))
    const gate = Promise.withResolvers<void>()
    it.backend.runs.set('1', gate.promise)
    const running = it.ask()
    await until(() => it.dataPlane.endpoint('e').variants[0]?.loaded?.slots[0]?.available === false, 'one runs')
    const waiting = it.ask()
    await it.dataPlane.apply(it.desired({ main: 2 }, { main: 100 }, 2))
    assert.equal(await waiting, 2)
    gate.resolve()
    await running.catch(() => {})
  })
})

describe('a request without a unit', () => {
  it('is drawn for once, also where its version gives way before it has run', async () => {
    await using it = await world()
    await it.dataPlane.apply(it.desired({ a: 1, b: 2 }, { a: 60, b: 40 }, 1))
    let first = true
    const answer = callModel(it.dataPlane, {
      endpoint: 'e',
      async prepare({ requestedOutputs }) {
        if (first) {
          first = false
          // The variant that it fell to goes; where the request lies, there is another now.
          await it.dataPlane.apply(it.desired({ b: 2, c: 3 }, { b: 40, c: 60 }, 2))
        }
        const inputs = [{ name: 'x', datatype: 'FP32' as const, shape: [1, WIDTH], data: new Float32Array(WIDTH) }]
        return { inputs, rows: 1, warnings: [], outputs: requestedOutputs(undefined) }
      },
    })
    assert.equal(((await answer)[0]!.data as Float32Array)[0], 3)
    assert.equal(it.draws(), 1)
    const [event] = it.events
    assert.deepEqual(
      [event?.subject?.variant, event?.decision?.served, event?.decision?.segment, event?.decision?.point, event?.decision?.assignment],
      ['c', 'c', 2, 0.5, 'randomised'],
    )
  })

  it('needs no draw where one variant has everything, nor where a version is asked for', async () => {
    await using it = await world()
    await it.dataPlane.apply(it.desired({ a: 1, b: 2 }, { a: 100, b: 0 }, 1))
    await it.ask()
    const { decision } = it.dataPlane.endpoint('e').decide({ version: '2' })!
    assert.deepEqual([it.draws(), decision.assigned, decision.assignment], [0, 'b', 'version'])
  })
})

it('a request that waited to be prepared while its version was replaced counts for the one that answers, in its segment', async () => {
  await using it = await world()
  await it.dataPlane.apply(it.desired({ main: 1 }, { main: 100 }, 1))
  let first = true
  const answer = callModel(it.dataPlane, {
    endpoint: 'e',
    async prepare({ requestedOutputs }) {
      if (first) await it.dataPlane.apply(it.desired({ main: 2 }, { main: 100 }, 2))
      first = false
      const inputs = [{ name: 'x', datatype: 'FP32' as const, shape: [1, WIDTH], data: new Float32Array(WIDTH) }]
      return { inputs, rows: 1, warnings: [], outputs: requestedOutputs(undefined) }
    },
  })
  assert.equal(((await answer)[0]!.data as Float32Array)[0], 2)
  assert.deepEqual(
    it.events.map(({ subject, decision }) => [subject?.version, decision?.segment]),
    [['2', 2]],
  )
})

it('what is true of endpoints that came is told as soon as they are in use', async () => {
  await using it = await world()
  const told: (number | undefined)[] = []
  it.dataPlane.watch(() => void told.push(it.dataPlane.live()[0]?.segment))
  await it.dataPlane.apply(it.desired({ main: 1 }, { main: 100 }, 1))
  const gate = Promise.withResolvers<void>()
  it.backend.runs.set('1', gate.promise)
  const slow = it.ask()
  await until(() => it.dataPlane.endpoint('e').variants[0]?.loaded?.scheduler.inFlight === 1, 'a request runs')
  await it.dataPlane.apply(it.desired({ main: 2 }, { main: 100 }, 2))
  assert.equal(told.at(-1), 2, 'the version before still drains')
  gate.resolve()
  await slow
})

it('variants that are declared in another order have their units there, in a server that runs as in one that starts', async () => {
  await using it = await world()
  const at = (): string[] =>
    Array.from({ length: 20 }, (_, index) => it.dataPlane.endpoint('e').decide({ unit: `u${index}` })!.decision.served)
  await it.dataPlane.apply(it.desired({ a: 1, b: 2 }, { a: 50, b: 50 }, 1))
  await it.dataPlane.apply(it.desired({ b: 2, a: 1 }, { a: 50, b: 50 }, 2))
  const running = at()
  await it.dataPlane.apply([])
  await it.dataPlane.apply(it.desired({ b: 2, a: 1 }, { a: 50, b: 50 }, 2))
  assert.deepEqual(running, at())
})

describe('a unit', () => {
  it('stays where it is while a weight grows, and the rest moves by as much as it grew', async () => {
    await using it = await world()
    await it.dataPlane.apply(it.desired({ a: 1, b: 2 }, { a: 95, b: 5 }, 1))
    const units = Array.from({ length: 20_000 }, (_, index) => `u${index}`)
    const inB = (): Set<string> => {
      const endpoint = it.dataPlane.endpoint('e')
      return new Set(units.filter((unit) => endpoint.decide({ unit })!.decision.served === 'b'))
    }
    const before = inB()
    it.dataPlane.route(it.desired({ a: 1, b: 2 }, { a: 75, b: 25 }, 2))
    const after = inB()
    assert.ok([...before].every((unit) => after.has(unit)))
    assert.ok(Math.abs(before.size / units.length - 0.05) < 0.01 && Math.abs(after.size / units.length - 0.25) < 0.02)
  })
})

it('everything to one variant is what an endpoint has that nobody rolls anything out on', () => {
  assert.deepEqual(everythingTo('v1', 'm'), { weights: { v1: 100 }, salt: 'm', segment: 1 })
})
