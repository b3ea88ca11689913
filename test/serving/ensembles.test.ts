import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { localVersion } from '../../src/cli/model/package-files.ts'
import { loadModel } from '../../src/library/load-model.ts'
import { startServer } from '../../src/server/start-server.ts'
import { addingModel } from '../adding-models.ts'
import { post, until } from '../fixtures.ts'
import { buildModel, identityModel, node, value } from '../onnx/build-model.ts'
import { added, health, sample } from '../server/served.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const tensor = (name: string, dims = '4', type = 'FP32'): string => `{ name: "${name}" data_type: TYPE_${type} dims: [ ${dims} ] }`

interface Step {
  readonly model: string
  readonly version?: number
  readonly from: Readonly<Record<string, string>>
  readonly to: Readonly<Record<string, string>>
}

const map = (field: string, pairs: Readonly<Record<string, string>>): string =>
  Object.entries(pairs)
    .map(([key, to]) => `${field} { key: "${key}" value: "${to}" }`)
    .join(' ')

/** A configuration with each step on a line of its own, from line 4 on. */
function ensemble(steps: readonly Step[], inputs = [tensor('x')], outputs = [tensor('y')]): string {
  const lines = steps.map(
    ({ model, version = -1, from, to }) =>
      `{ model_name: "${model}" model_version: ${version} ${map('input_map', from)} ${map('output_map', to)} }`,
  )
  return `platform: "ensemble" max_batch_size: 8\ninput [ ${inputs.join(', ')} ] output [ ${outputs.join(', ')} ]\nensemble_scheduling { step [\n${lines.join(',\n')} ] }\n`
}

/** sum = a + b, and product = a b */
const twoInputs = buildModel({
  input: [value('a', 'FP32', ['n', 4]), value('b', 'FP32', ['n', 4])],
  output: [value('sum', 'FP32', ['n', 4]), value('product', 'FP32', ['n', 4])],
  node: [node('Add', ['a', 'b'], ['sum']), node('Mul', ['a', 'b'], ['product'])],
})

/** Looks up four of three: an index beyond is refused. */
const indexed = buildModel({
  input: [value('x', 'FP32', ['n', 4])],
  output: [value('y', 'FP32', ['n', 4])],
  node: [node('Cast', ['x'], ['i'], { to: 7n }), node('GatherElements', ['x', 'i'], ['y'], { axis: 1n })],
})

const first: Step = { model: 'one', from: { x: 'x' }, to: { y: 'middle' } }
const chain = ensemble([first, { model: 'ten', from: { x: 'middle' }, to: { y: 'y' } }])

async function write(folder: TemporaryFolder, name: string, config: string, model?: Uint8Array, version = 1): Promise<void> {
  await folder.write(`${name}/config.pbtxt`, config)
  await folder.write(`${name}/${version}/${model === undefined ? '.keep' : 'model.onnx'}`, model ?? '')
}

const BATCHED = 'max_batch_size: 8 instance_group { count: 1 } dynamic_batching { }'

describe('an ensemble', () => {
  let folder: TemporaryFolder
  let server: SlipwayServer
  before(async () => {
    folder = await temporaryFolder()
    // Its name comes first: it waits for its models.
    await write(folder, 'all', chain)
    await write(folder, 'one', BATCHED, addingModel(1))
    await write(folder, 'ten', `${BATCHED} version_policy { all { } }`, addingModel(10))
    await folder.write('ten/2/model.onnx', addingModel(20))
    await write(folder, 'both', BATCHED, twoInputs)
    await write(folder, 'indexed', BATCHED, indexed)
    await write(folder, 'doubles', BATCHED, identityModel('FP64', ['n', 4]))
    await write(folder, 'wide', BATCHED, identityModel('FP32', ['n', 5]))
    await write(folder, 'cached', `${BATCHED} response_cache { enable: true }`, addingModel(100))
    await write(folder, 'old', ensemble([first, { model: 'ten', version: 1, from: { x: 'middle' }, to: { y: 'y' } }]))
    await write(
      folder,
      'nested',
      ensemble([
        { model: 'all', from: { x: 'x' }, to: { y: 'm' } },
        { model: 'one', from: { x: 'm' }, to: { y: 'y' } },
      ]),
    )
    // One tensor goes to several steps, and is an output, too.
    await write(
      folder,
      'forked',
      ensemble(
        [
          first,
          { model: 'cached', from: { x: 'middle' }, to: { y: 'hundred' } },
          { model: 'ten', from: { x: 'middle' }, to: { y: 'more' } },
          { model: 'both', from: { a: 'hundred', b: 'more' }, to: { sum: 'y', product: 'z' } },
          { model: 'one', from: { x: 'hundred' }, to: { y: 'last' } },
        ],
        [tensor('x')],
        [tensor('y'), tensor('z'), tensor('middle'), tensor('hundred'), tensor('last')],
      ),
    )
    await write(
      folder,
      'labelled',
      ensemble([first], [tensor('x')], ['{ name: "middle" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "names.txt" }']),
    )
    await folder.write('labelled/names.txt', 'a\nb\nc\nd\n')
    await write(folder, 'failing', ensemble([first, { model: 'indexed', from: { x: 'middle' }, to: { y: 'y' } }]))
    server = await startServer({ models: [{ path: folder.path }], port: 0, serving: { inlineMaxUs: 0 } })
  })
  after(async () => {
    await server.close()
    await folder[Symbol.asyncDispose]()
  })

  const ask = (name: string, rows: readonly (readonly number[])[]): ReturnType<typeof post> =>
    post(`${server.url}/v2/models/${name}/infer`, { inputs: [{ name: 'x', datatype: 'FP32', shape: [rows.length, 4], data: rows.flat() }] })
  const outputs = (body: Record<string, unknown>): Record<string, number[]> =>
    Object.fromEntries((body['outputs'] as { name: string; data: number[] }[]).map(({ name, data }) => [name, data]))
  const requests = (endpoint: string): Promise<number> =>
    sample(server, 'slipway_request_duration_seconds_count', new RegExp(`endpoint="${endpoint}"`))

  it('answers as its models would one after the other, and is counted with them', async () => {
    const before = await Promise.all(['all', 'one', 'ten'].map(requests))
    assert.deepEqual([await added(server, 'all'), await added(server, 'old'), await added(server, 'nested')], [21, 11, 22])
    const after = await Promise.all(['all', 'one', 'ten'].map(requests))
    assert.deepEqual(
      after.map((count, index) => count - before[index]!),
      [2, 4, 3],
    )
    const metadata = (await (await fetch(`${server.url}/v2/models/all`)).json()) as Record<string, unknown>
    assert.deepEqual(
      [metadata['platform'], metadata['inputs'], metadata['outputs']],
      ['ensemble', [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }], [{ name: 'y', datatype: 'FP32', shape: [-1, 4] }]],
    )
  })

  it('names classes as the file of labels of its output does', async () => {
    const { body } = await post(`${server.url}/v2/models/labelled/infer`, {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 4, 2, 3] }],
      outputs: [{ name: 'middle', parameters: { classification: 2 } }],
    })
    assert.deepEqual((body['outputs'] as { data: string[] }[])[0]?.data, ['5.000000:1:b', '4.000000:3:d'])
  })

  it('gives one tensor to several steps and to the caller, and none is changed by another', async () => {
    const rows = [
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ]
    const flat = rows.flat()
    // The second time the cache answers for one of the steps.
    for (let time = 0; time < 3; time++) {
      const { status, body } = await ask('forked', rows)
      assert.equal(status, 200, JSON.stringify(body))
      assert.deepEqual(outputs(body), {
        y: flat.map((x) => x + 101 + (x + 21)),
        z: flat.map((x) => (x + 101) * (x + 21)),
        middle: flat.map((x) => x + 1),
        hundred: flat.map((x) => x + 101),
        last: flat.map((x) => x + 102),
      })
    }
    assert.equal(await sample(server, 'slipway_cache_requests_total', /endpoint="cached".*result="hit"/), 2)
  })

  it('has requests of several callers joined by its models, and each gets its own rows', async () => {
    const answers = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => outputs((await ask('all', [[index, 0, 0, 0]])).body)['y']),
    )
    assert.deepEqual(
      answers,
      answers.map((_, index) => [index + 21, 21, 21, 21]),
    )
  })

  it('names the step that fails, and passes its error on', async () => {
    const { status, body } = await ask('failing', [[1, 2, 9, 0]])
    assert.equal(status, 400)
    assert.match(String(body['error']), /^step 2 of the ensemble, model "indexed": the model refused the inputs/)
    assert.equal((await ask('failing', [[0, 1, 2, 2]])).status, 200)
    const late = await post(
      `${server.url}/v2/models/all/infer`,
      { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }] },
      { 'slipway-timeout-ms': '0.001' },
    )
    assert.equal(late.status, 504, JSON.stringify(late.body))
  })

  it('is no version that could be pushed, and no model of an application', async () => {
    await assert.rejects(localVersion(join(folder.path, 'all')), /all\/config\.pbtxt: an ensemble is no version by itself/)
    await assert.rejects(loadModel(join(folder.path, 'all')), /all\/config\.pbtxt: an ensemble is served from a repository/)
  })

  it('follows a model of it that is exchanged, and is not ready while one is not there', async () => {
    await folder.write('one/2/model.onnx', addingModel(2))
    await server.repository.rescan(true)
    assert.equal(await added(server, 'all'), 22)
    await server.repository.unload('ten')
    assert.match(String(await added(server, 'all')), /^503: .*model "ten" of the ensemble is not ready/)
    assert.equal((await fetch(`${server.url}/v2/models/all/ready`)).status, 503)
    await server.repository.load('ten')
    assert.equal(await added(server, 'all'), 22)
    await rm(join(folder.path, 'one/2'), { recursive: true })
    await server.repository.rescan(true)
    assert.equal(await added(server, 'all'), 21)
  })

  it('is refused with its line where its tensors do not fit, and tried again where a model of it is missing', async () => {
    const through = (model: string, from: Record<string, string>, to: Record<string, string>): string =>
      ensemble([first, { model, from, to }])
    const cases: Readonly<Record<string, readonly [config: string, message: RegExp]>> = {
      bad0: [
        through('doubles', { x: 'middle' }, { y: 'y' }),
        /line 5: input "x" of model "doubles" is FP64, and tensor "middle", output "y" of model "one", is FP32/,
      ],
      bad1: [through('wide', { x: 'middle' }, { y: 'y' }), /line 5: input "x" of model "wide" has shape \[-1, 5\], and tensor "middle"/],
      bad2: [through('ten', { X: 'middle' }, { y: 'y' }), /line 5: input_map: model "ten" has no input "X"; it has x/],
      bad3: [
        through('ten', { x: 'nothing' }, { y: 'y' }),
        /takes tensor "nothing", which is no input of the ensemble and no output of a step/,
      ],
      bad4: [through('ten', { x: 'middle' }, { Y: 'y' }), /line 5: output_map: model "ten" has no output "Y"; it has y/],
      bad5: [through('ten', { x: 'middle' }, { y: 'middle' }), /line 5: output_map: tensor "middle" is output "y" of model "one" already/],
      bad6: [through('both', { a: 'middle' }, { sum: 'y' }), /line 5: input_map: nothing goes to input "b" of model "both"/],
      bad7: [
        ensemble([
          { model: 'one', from: { x: 'b' }, to: { y: 'a' } },
          { model: 'ten', from: { x: 'a' }, to: { y: 'b' } },
          { model: 'ten', from: { x: 'x' }, to: { y: 'y' } },
        ]),
        /line 4: ensemble_scheduling: the steps of "one", "ten" wait for each other/,
      ],
      bad8: [through('bad8', { x: 'middle' }, { y: 'y' }), /line 5: model "bad8" is, or has in it, the ensemble itself/],
      bad9: [through('later', { x: 'middle' }, { y: 'y' }), /line 5: model "later" of the ensemble is not served here/],
      circle0: [through('circle1', { x: 'middle' }, { y: 'y' }), /model "circle1" is, or has in it, the ensemble itself/],
      circle1: [
        through('circle0', { x: 'middle' }, { y: 'y' }),
        /model "circle0" (is, or has in it, the ensemble itself|of the ensemble cannot be served)/,
      ],
    }
    for (const [name, [config]] of Object.entries(cases)) await write(folder, name, config)
    await server.repository.rescan(true)
    const { models } = await health(server)
    for (const [name, [, message]] of Object.entries(cases))
      assert.match(JSON.stringify(models.find((model) => model.name === name)).replaceAll('\\"', '"'), message, name)
    await write(folder, 'later', BATCHED, addingModel(30))
    await server.repository.rescan(true)
    await until(async () => {
      await server.repository.rescan(true)
      return (await added(server, 'bad9')) === 31
    }, 'the ensemble is tried again')
  })
})

describe('a request of an ensemble whose model is slow', () => {
  /** A server whose runs take long once there is a file. */
  async function serveSlow(folder: TemporaryFolder): Promise<{ readonly server: SlipwayServer; readonly slow: () => Promise<string> }> {
    await write(folder, 'm/all', chain)
    await write(folder, 'm/one', BATCHED, addingModel(1))
    await write(folder, 'm/ten', 'max_batch_size: 1 instance_group { count: 1 }', addingModel(10))
    process.env['SLIPWAY_FAIL_POINTS'] = `run:slow@${join(folder.path, 'slow')}`
    const models = [{ path: join(folder.path, 'm') }]
    const server = await startServer({ models, port: 0, serving: { inlineMaxUs: 0 }, shutdown: { pauseMs: 0 } }).finally(
      () => delete process.env['SLIPWAY_FAIL_POINTS'],
    )
    return { server, slow: () => folder.write('slow', '') }
  }
  const question = { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }] }

  it('leaves the queue of the model when its caller goes away', async () => {
    await using folder = await temporaryFolder()
    const { server, slow } = await serveSlow(folder)
    await using _server = server
    const { scheduler } = server.dataPlane.endpoint('ten').requireMain().requireReady()
    await slow()
    const running = post(`${server.url}/v2/models/ten/infer`, question)
    await until(() => scheduler.inFlight === 1 && scheduler.queued === 0, 'one runs')
    const gone = new AbortController()
    const asked = fetch(`${server.url}/v2/models/all/infer`, { method: 'POST', body: JSON.stringify(question), signal: gone.signal })
    asked.catch(() => {})
    await until(() => scheduler.queued === 1, 'the second step waits')
    gone.abort()
    await until(() => scheduler.queued === 0 && scheduler.inFlight === 1, 'the second step has left')
    assert.equal((await running).status, 200)
  })

  it('is answered to its end when the server stops', async () => {
    await using folder = await temporaryFolder()
    const { server, slow } = await serveSlow(folder)
    await using _server = server
    await slow()
    const asked = post(`${server.url}/v2/models/all/infer`, question)
    const { scheduler } = server.dataPlane.endpoint('one').requireMain().requireReady()
    await until(() => scheduler.inFlight === 1, 'the first step runs')
    const clean = server.drain()
    const { status, body } = await asked
    assert.deepEqual([status, await clean], [200, true], JSON.stringify(body))
  })
})

describe('an ensemble within a memory budget', () => {
  it('has its models loaded as they are needed, and is never unloaded for them', async () => {
    await using folder = await temporaryFolder()
    await write(folder, 'all', chain)
    for (const [name, number] of [
      ['one', 1],
      ['ten', 10],
    ] as const)
      await write(folder, name, 'max_batch_size: 8 instance_group { count: 1 }', addingModel(number, 40))
    await using server = await startServer({
      models: [{ path: folder.path }],
      port: 0,
      memoryBudgetMb: 240,
      serving: { isolation: 'process' },
    })
    for (let time = 0; time < 2; time++) assert.equal(await added(server, 'all'), 11)
    assert.ok((await sample(server, 'slipway_model_unloads_total', /reason="evicted"/)) >= 2, 'there is room for one')
    assert.equal(await sample(server, 'slipway_model_unloads_total', /endpoint="all"/), 0)
  })
})
