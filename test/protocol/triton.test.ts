/** The extensions of Triton over HTTP, beyond what its own client asks (test/conformance/triton-client.test.ts). */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { classify, classCountOf, classNamesOf } from '../../src/protocol/v2/classification.ts'
import { readGenerateRequest } from '../../src/protocol/v2/generate.ts'
import { levelMeant, logSettings } from '../../src/protocol/v2/log-settings.ts'
import { runParameters } from '../../src/protocol/v2/parameters.ts'
import { traceSettings } from '../../src/protocol/v2/trace-settings.ts'
import { REQUEST_LIMIT_DEFAULTS } from '../../src/protocol/limits.ts'
import { startServer } from '../../src/server/start-server.ts'
import { isSlipwayError } from '../../src/core/errors.ts'
import { addingModel, QUESTION } from '../adding-models.ts'
import { example, freePort, post } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ClassNames } from '../../src/protocol/v2/classification.ts'
import type { ModelConfig } from '../../src/protocol/v2/model-config.ts'
import type { ModelStatistics } from '../../src/protocol/v2/statistics.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { Tensor, TensorSpec } from '../../src/tensor/tensor.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const TOKEN = 'a-token-of-some-length'
const ADMIN = { authorization: `Bearer ${TOKEN}` }
const ROW = [2, 95.5, 6, 1, 0, 0, 1, 0, 0, 1]

let folder: TemporaryFolder
let server: SlipwayServer
let adminPort: number

before(async () => {
  folder = await temporaryFolder()
  await folder.write('adder/model.onnx', addingModel(1))
  await folder.write('adder/slipway.yaml', 'apiVersion: slipway/v1\nkind: Model\nname: adder\nserving: { cacheMb: 1, batching: "off" }\n')
  adminPort = await freePort()
  server = await startServer({
    models: [{ path: example('churn') }, { path: join(folder.path, 'adder') }],
    port: 0,
    adminPort,
    serving: { instances: 1 },
    metrics: { guideNames: false, tritonNames: true },
    tracing: { endpoint: 'http://127.0.0.1:9', sampleRatio: 0.05 },
    environment: { SLIPWAY_ADMIN_TOKEN: TOKEN },
  })
})
after(async () => {
  await server.close()
  await folder[Symbol.asyncDispose]()
})

function infer(rows: number, more: object = {}): object {
  const data = Array.from({ length: rows }, () => ROW).flat()
  return { inputs: [{ name: 'customers', datatype: 'FP32', shape: [rows, 10], data }], ...more }
}

async function statistics(path: string): Promise<ModelStatistics[]> {
  const response = await fetch(`${server.url}/v2/models/${path}`)
  assert.equal(response.status, 200)
  return ((await response.json()) as { model_stats: ModelStatistics[] }).model_stats
}

async function refused(act: Promise<{ status: number; body: Record<string, unknown> }>, status: number, words: RegExp): Promise<void> {
  const answer = await act
  assert.equal(answer.status, status, JSON.stringify(answer.body))
  assert.deepEqual(Object.keys(answer.body), ['error'])
  assert.match(String(answer.body['error']), words)
}

describe('statistics of models', () => {
  it('begin at zero, whatever was run when the model was loaded, and know its memory', async () => {
    const [churn, adder] = await statistics('stats')
    assert.deepEqual([churn?.name, churn?.version, adder?.name], ['churn', '1', 'adder'])
    assert.deepEqual([churn?.inference_count, churn?.execution_count, churn?.last_inference, churn?.batch_stats], [0, 0, 0, []])
    assert.equal(churn?.memory_usage[0]?.type, 'CPU')
    assert.ok(churn.memory_usage[0].byte_size > 0)
  })

  it('count answers from the cache as answers, and not as runs', async () => {
    for (let index = 0; index < 4; index++) assert.equal((await post(`${server.url}/v2/models/adder/infer`, QUESTION)).status, 200)
    const [adder] = await statistics('adder/versions/1/stats')
    const { success, queue, compute_infer: compute, cache_hit: hit, cache_miss: miss } = adder!.inference_stats
    assert.deepEqual([success.count, queue.count, compute.count, hit.count, miss.count], [4, 4, 1, 3, 1])
    assert.deepEqual([adder!.inference_count, adder!.execution_count], [1, 1])
    assert.ok(hit.ns > 0 && miss.ns > 0 && hit.ns < success.ns)
  })

  it('are metrics too, by the names of Triton', async () => {
    const { execution_count: runsBefore } = (await statistics('churn/stats'))[0]!
    assert.equal((await post(`${server.url}/v2/models/churn/infer`, infer(3))).status, 200)
    assert.equal((await post(`${server.url}/v2/models/churn/infer`, infer(1, { parameters: { priority: 99 } }))).status, 400)
    const text = await (await fetch(`${server.url}/metrics`)).text()
    const value = (name: string, labels: string): number => Number(new RegExp(`^${name}\\{${labels}\\} (\\S+)$`, 'm').exec(text)?.[1])
    const churn = 'model="churn",version="1"'
    const adder = 'model="adder",version="1"'
    assert.equal(value('nv_inference_request_success', churn), 1)
    assert.equal(value('nv_inference_request_failure', `${churn},reason="OTHER"`), 1)
    assert.equal(value('nv_inference_request_failure', `${churn},reason="BACKEND"`), 0)
    assert.equal(value('nv_inference_count', churn), 3)
    assert.equal(value('nv_inference_exec_count', churn), runsBefore + 1)
    assert.equal(value('nv_inference_pending_request_count', churn), 0)
    assert.ok(value('nv_inference_request_duration_us', churn) >= value('nv_inference_compute_infer_duration_us', churn))
    assert.deepEqual([value('nv_cache_num_hits_per_model', adder), value('nv_cache_num_misses_per_model', adder)], [3, 1])
    assert.match(text, /^# TYPE nv_inference_request_success counter$/m)
    assert.match(text, /^nv_cpu_memory_total_bytes \d+$/m)
  })
})

it('the configuration of a model is what is in force', async () => {
  const config = async (name: string): Promise<ModelConfig> =>
    (await (await fetch(`${server.url}/v2/models/${name}/config`)).json()) as ModelConfig
  const churn = await config('churn')
  assert.equal(churn.max_batch_size, 32)
  assert.deepEqual(churn.input[0]?.dims, [10])
  assert.deepEqual(
    churn.output.map(({ dims }) => dims),
    [[], [2]],
  )
  assert.equal(churn.dynamic_batching?.default_priority_level, 5)
  assert.deepEqual(churn.version_policy, { specific: { versions: [1] } })
  const adder = await config('adder/versions/1')
  assert.deepEqual([adder.max_batch_size, adder.dynamic_batching, adder.response_cache], [0, undefined, { enable: true }])
  assert.deepEqual(adder.input[0]?.dims, [-1, 4], 'with the rows, where each request is a run of its own')
})

describe('an output as classes', () => {
  it('has the labels of the model, as JSON and as binary data', async () => {
    const outputs = [{ name: 'probabilities', parameters: { classification: 1 } }]
    const json = await post(`${server.url}/v2/models/churn/infer`, infer(2, { outputs }))
    const [found] = json.body['outputs'] as { datatype: string; shape: number[]; data: string[] }[]
    assert.deepEqual([found?.datatype, found?.shape], ['BYTES', [2, 1]])
    assert.match(found!.data[0]!, /^0\.\d{6}:1:churn$/)
    const binary = await fetch(`${server.url}/v2/models/churn/infer`, {
      method: 'POST',
      body: JSON.stringify(infer(1, { outputs: [{ name: 'probabilities', parameters: { classification: 2, binary_data: true } }] })),
    })
    const bytes = Buffer.from(await binary.arrayBuffer()).subarray(Number(binary.headers.get('inference-header-content-length')))
    const first = bytes.subarray(4, 4 + bytes.readUInt32LE(0)).toString()
    const second = bytes.subarray(4 + first.length + 4).toString()
    assert.match(`${first} ${second}`, /^0\.\d{6}:1:churn 0\.\d{6}:0:stays$/)
  })

  it('needs a number of classes, and numbers', async () => {
    for (const classification of [0, -1, 1.5, '2', true]) {
      const asked = infer(1, { outputs: [{ name: 'probabilities', parameters: { classification } }] })
      await refused(
        post(`${server.url}/v2/models/churn/infer`, asked),
        400,
        /outputs\[0\]: parameter "classification": expected the number/,
      )
    }
    assert.throws(() => classify({ name: 'y', datatype: 'BYTES', shape: [1], data: ['a'] }, 1, NAMES), /"y" is BYTES/)
    assert.equal(classCountOf({ classification: 3n }, 'x'), 3, 'as gRPC has it')
  })

  const NAMES: ClassNames = { hasRows: true, labels: new Map() }
  const texts = (tensor: Tensor, count: number, names = NAMES): unknown => classify(tensor, count, names).data
  it('is the largest values in order, whatever the datatype', () => {
    const float = Float32Array.of(1, Number.NaN, Number.POSITIVE_INFINITY, -0, 1)
    assert.deepEqual(texts({ name: 'y', datatype: 'FP32', shape: [1, 5], data: float }, 9), [
      'inf:2',
      '1.000000:0',
      '1.000000:4',
      '-0.000000:3',
      'nan:1',
    ])
    const wide = BigInt64Array.of(1n, 2n ** 62n + 1n, -5n)
    assert.deepEqual(texts({ name: 'y', datatype: 'INT64', shape: [1, 3], data: wide }, 2), ['4611686018427387905:1', '1:0'])
    assert.deepEqual(texts({ name: 'y', datatype: 'FP16', shape: [1, 2], data: Uint16Array.of(0x3c00, 0x4000) }, 1), ['2.000000:1'])
    assert.deepEqual(texts({ name: 'y', datatype: 'FP64', shape: [1, 1], data: Float64Array.of(-1.5e22) }, 1), [
      '-15000000000000000000000.000000:0',
    ])
    const whole = classify({ name: 'y', datatype: 'UINT8', shape: [2, 2], data: Uint8Array.of(1, 2, 3, 4) }, 3, {
      ...NAMES,
      hasRows: false,
    })
    assert.deepEqual([whole.shape, whole.data], [[3], ['4:3', '3:2', '2:1']])
    assert.deepEqual(classify({ name: 'y', datatype: 'FP32', shape: [0, 3], data: new Float32Array(0) }, 2, NAMES).shape, [0, 2])
  })

  it('is as if all were sorted, for many random rows', () => {
    const values = Float64Array.from({ length: 5000 }, (_, index) => ((Math.sin(index * 12.9898) * 43758.5453) % 50) | 0)
    const sorted = [...values.keys()].toSorted((a, b) => values[b]! - values[a]! || a - b)
    for (const count of [1, 2, 3, 17, 5000]) {
      const found = texts({ name: 'y', datatype: 'FP64', shape: [1, 5000], data: values }, count) as string[]
      assert.deepEqual(
        found.map((text) => Number(text.split(':')[1])),
        sorted.slice(0, count),
      )
    }
  })

  it('has labels only where the model has them for that output', () => {
    const plan = { task: 'classification', declared: true, probabilities: 'p', label: 'l', labels: ['a', 'b'] } as const
    const names = classNamesOf({
      answer: { ...plan, activation: 'none', threshold: undefined, topK: undefined },
      hasRows: true,
      labels: new Map(),
    })
    assert.deepEqual(texts({ name: 'p', datatype: 'UINT8', shape: [1, 3], data: Uint8Array.of(3, 2, 1) }, 3, names), [
      '3:0:a',
      '2:1:b',
      '1:2',
    ])
    assert.deepEqual(texts({ name: 'q', datatype: 'UINT8', shape: [1, 1], data: Uint8Array.of(3) }, 1, names), ['3:0'])
  })
})

describe('a request to generate', () => {
  const spec = (name: string, datatype: TensorSpec['datatype'], ...shape: number[]): TensorSpec => ({
    name,
    datatype,
    shape,
    dimensionNames: shape.map(() => undefined),
  })
  const read = (body: string, ...inputs: TensorSpec[]): { name: string; shape: readonly number[]; data: unknown }[] =>
    readGenerateRequest(
      Buffer.from(body),
      { inputs, hasRows: inputs.every(({ shape }) => shape[0] === -1) },
      REQUEST_LIMIT_DEFAULTS,
    ).inputs.map(({ name, shape, data }) => ({ name, shape, data: Array.from(data as ArrayLike<unknown>) }))

  it('has inputs as members, of one row, whose free dimension follows from the number of values', () => {
    assert.deepEqual(read('{"t":"a"}', spec('t', 'BYTES', -1)), [{ name: 't', shape: [1], data: ['a'] }])
    assert.deepEqual(read('{"t":["a","b"]}', spec('t', 'BYTES', -1)), [{ name: 't', shape: [2], data: ['a', 'b'] }])
    assert.deepEqual(read('{"x":[1,2,3]}', spec('x', 'INT64', -1, -1)), [{ name: 'x', shape: [1, 3], data: [1n, 2n, 3n] }])
    assert.deepEqual(read('{"x":9007199254740993}', spec('x', 'INT64', -1, 1)), [{ name: 'x', shape: [1, 1], data: [9007199254740993n] }])
    assert.deepEqual(read('{"x":[1,2,3,4]}', spec('x', 'FP32', -1, 2, -1)), [{ name: 'x', shape: [1, 2, 2], data: [1, 2, 3, 4] }])
    assert.deepEqual(read('{"x":1}', spec('x', 'FP32')), [{ name: 'x', shape: [], data: [1] }])
    assert.deepEqual(read('{"x":true,"parameters":{"y":2}}', spec('x', 'BOOL', 1), spec('y', 'UINT8', 1)), [
      { name: 'x', shape: [1], data: [1] },
      { name: 'y', shape: [1], data: [2] },
    ])
    assert.deepEqual(read('{"id":"one"}', spec('id', 'BYTES', -1)), [{ name: 'id', shape: [1], data: ['one'] }], 'an input of that name')
  })

  it('is refused with the reason where it is none', () => {
    const wide = spec('x', 'FP32', -1, 4)
    for (const [body, words] of [
      ['[]', /expected "\{"/],
      ['{"x":[1,2,3]}', /x: has 3 values, the input takes FP32 \[1, 4\]/],
      ['{"x":[[1,2,3,4]]}', /x: has 1 value/],
      ['{"x":[1,2,3,"a"]}', /x: /],
      ['{"x":[1,2,3,4],"x":[1,2,3,4]}', /x: given twice/],
      ['{"x":[1,2,3,4],"z":{}}', /z: is no input of the model, which has x; a parameter is a string/],
      ['{"x":[1,2,3,4],"parameters":7}', /parameters: expected "\{"/],
      ['{"x":[1,2,3,4]', /expected/],
    ] as const)
      assert.throws(
        () => read(body, wide),
        (error) => isSlipwayError(error) && error.code === 'SLW_BAD_REQUEST' && words.test(error.message),
      )
    assert.throws(() => read('{"x":[1]}', spec('x', 'FP32', -1, -1, -1)), /leaves the shape open: the input takes FP32 \[1, -1, -1\]/)
  })

  it('is answered by a real model, and refused by it, in the words of the protocol', async () => {
    const { body } = await post(`${server.url}/v2/models/churn/generate`, { customers: ROW, parameters: { note: 'x' } })
    assert.deepEqual(Object.keys(body), ['model_name', 'model_version', 'label', 'probabilities'])
    assert.equal(body['label'], 1)
    assert.equal((body['probabilities'] as number[]).length, 2)
    await refused(post(`${server.url}/v2/models/churn/generate`, { parameters: { note: 'x' } }), 400, /customers/)
    await refused(post(`${server.url}/v2/models/none/generate_stream`, { x: 1 }), 404, /"none"/)
    await refused(post(`${server.url}/v2/models/churn/generate`, { customers: ROW, sequence_id: 4 }), 501, /"sequence_id"/)
  })
})

describe('parameters of a request', () => {
  it('that clients send where they mean nothing are taken', () => {
    const nothing = { sequence_id: 0, sequence_start: false, sequence_end: false, priority: 0, timeout: 0, binary_data_output: true }
    assert.deepEqual(runParameters(nothing), { timeoutMs: undefined, priority: undefined, parametersKey: undefined })
    assert.deepEqual(runParameters({ sequence_id: '', timeout: 1500n, priority: 1n }), {
      timeoutMs: 1.5,
      priority: -4,
      parametersKey: undefined,
    })
  })

  it('that are reserved, or ask for what there is not, are refused by name', () => {
    for (const [parameters, code, words] of [
      [{ sequence_id: 3 }, 'SLW_NOT_IMPLEMENTED', /"sequence_id"/],
      [{ sequence_id: 'a' }, 'SLW_NOT_IMPLEMENTED', /"sequence_id"/],
      [{ sequence_end: true }, 'SLW_NOT_IMPLEMENTED', /"sequence_end"/],
      [{ headers: 'x' }, 'SLW_BAD_REQUEST', /"headers" is reserved/],
      [{ triton_secret: 1 }, 'SLW_BAD_REQUEST', /"triton_secret" is reserved/],
      [{ timeout: -1 }, 'SLW_BAD_REQUEST', /timeout: expected microseconds/],
      [{ timeout: 'soon' }, 'SLW_BAD_REQUEST', /timeout: expected microseconds/],
      [{ priority: true }, 'SLW_BAD_REQUEST', /priority/],
    ] as const)
      assert.throws(
        () => runParameters(parameters),
        (error) => isSlipwayError(error) && error.code === code && words.test(error.message),
      )
  })

  it('of the model keep runs apart that differ in them', () => {
    assert.equal(runParameters({ a: 1, b: 'x' }).parametersKey, 'a=1;b=x;')
  })
})

describe('settings', () => {
  it('of the log are those of a level, both ways', () => {
    for (const level of ['silent', 'error', 'warn', 'info', 'debug']) {
      const settings = logSettings(level, undefined)
      assert.equal(levelMeant(logSettings('info', undefined), { ...settings }), level)
    }
    const present = logSettings('info', '/var/log/x')
    assert.equal(present.log_file, '/var/log/x')
    assert.equal(levelMeant(present, { log_verbose_level: 3 }), 'debug')
    assert.equal(levelMeant(logSettings('debug', undefined), { log_verbose_level: 0 }), 'info')
    for (const [changes, words] of [
      [{ log_error: false }, /"log_warning" without "log_error"/],
      [{ log_info: false, log_verbose_level: 1 }, /"log_verbose_level" without "log_info"/],
      [{ log_info: 'yes' }, /"log_info": expected true or false/],
      [{ log_verbose_level: -1 }, /"log_verbose_level": expected a whole number/],
      [{ log_colour: true }, /there is no "log_colour"/],
      [{ log_format: 'default' }, /"log_format" does not change/],
    ] as const)
      assert.throws(() => levelMeant(present, changes), words)
  })

  it('of traces are those of the configuration, and do not change', async () => {
    const found = await (await fetch(`${server.url}/v2/models/churn/trace/setting`)).json()
    assert.deepEqual(found, traceSettings({ endpoint: 'http://127.0.0.1:9', sampleRatio: 0.05, serviceName: 'slipway' }))
    const { trace_level: level, trace_rate: rate } = found as Record<string, unknown>
    assert.deepEqual([level, rate], [['TIMESTAMPS'], '20'])
    assert.equal((await post(`${server.url}/v2/trace/setting`, {})).status, 200)
    await refused(post(`${server.url}/v2/trace/setting`, { trace_level: ['OFF'] }), 501, /"trace_level" does not change/)
    await refused(post(`${server.url}/v2/trace/setting`, { colour: 'red' }), 400, /there is no "colour"/)
    assert.equal((await fetch(`${server.url}/v2/models/none/trace/setting`)).status, 404)
  })
})

describe('administration', () => {
  const load = '/v2/repository/models/churn/load'
  it('goes to its own port where it has one', async () => {
    const apart = `http://127.0.0.1:${adminPort}`
    assert.equal((await post(server.url + load, {}, ADMIN)).status, 404)
    assert.equal((await fetch(apart + load, { method: 'POST', headers: ADMIN })).status, 200)
    assert.equal((await fetch(apart + load, { method: 'POST' })).status, 401)
    assert.equal((await post(`${apart}/v2/logging`, { log_info: true }, ADMIN)).status, 501, 'the logger of this server has no level')
    assert.equal((await fetch(`${server.url}/v2/logging`, { method: 'POST', headers: ADMIN })).status, 405)
    for (const [parameters, status, words] of [
      [{ config: '{}' }, 501, /"config"/],
      [{ 'file:1/model.onnx': 'x' }, 501, /"file:1\/model\.onnx"/],
      [{ unload_dependents: 'yes' }, 400, /unload_dependents/],
    ] as const)
      await refused(post(apart + load, { parameters }, ADMIN), status, words)
    await refused(post(`${apart}/v2/repository/other/models/churn/load`, {}, ADMIN), 501, /repository "other"/)
    await refused(post(`${server.url}/v2/repository/other/index`, {}), 501, /repository "other"/)
    await refused(post(`${server.url}/v2/repository/index`, { ready: 'yes' }), 400, /ready/)
    await refused(post(`${server.url}/v2/repository/index`, [1]), 400, /the body: expected a JSON object/)
  })

  it('that is off says how it is turned on', async () => {
    await using other = await startServer({ models: [{ path: join(folder.path, 'adder') }], port: 0, environment: {} })
    await refused(post(other.url + load, {}), 404, /administration is off: set SLIPWAY_ADMIN_TOKEN/)
  })
})
