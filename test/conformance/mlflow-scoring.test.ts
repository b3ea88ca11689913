import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { create } from '@bufbuild/protobuf'
import { after, before, describe, it } from 'node:test'
import { pythonEnv } from '../../scripts/python-env.ts'
import { ValueInfoProtoSchema } from '../../src/onnx/generated/onnx_pb.js'
import { startServer } from '../../src/server/start-server.ts'
import { buildModel, floats, node, value } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ChildProcess } from 'node:child_process'
import type { SlipwayServer } from '../../src/server/start-server.ts'

const MODELS: Readonly<Record<string, Uint8Array>> = {
  /** Three columns to two. */
  linear: buildModel({
    input: [value('x', 'FP32', ['batch', 3])],
    output: [value('y', 'FP32', ['batch', 2])],
    node: [node('MatMul', ['x', 'w'], ['y'])],
    initializer: [floats('w', [3, 2], 1, 0.1, 2, -0.5, 0.25, 3)],
  }),
  /** The same, with names for its columns in its MLmodel. */
  table: buildModel({
    input: [value('x', 'FP32', ['batch', 3])],
    output: [value('y', 'FP32', ['batch', 2])],
    node: [node('MatMul', ['x', 'w'], ['y'])],
    initializer: [floats('w', [3, 2], 1, 0.1, 2, -0.5, 0.25, 3)],
  }),
  /** Two inputs with a value each, two outputs. */
  pair: buildModel({
    input: [value('a', 'FP64', ['batch']), value('b', 'FP64', ['batch'])],
    output: [value('sum', 'FP64', ['batch']), value('ratio', 'FP64', ['batch'])],
    node: [node('Add', ['a', 'b'], ['sum']), node('Div', ['a', 'b'], ['ratio'])],
  }),
  whole: buildModel({
    input: [value('n', 'INT64', ['batch', 2])],
    output: [value('twice', 'INT64', ['batch', 2])],
    node: [node('Add', ['n', 'n'], ['twice'])],
  }),
  /** A label and a map of probabilities, as sklearn-onnx exports classifiers. */
  classes: buildModel({
    input: [value('x', 'FP32', ['batch', 2])],
    output: [
      value('label', 'INT64', ['batch']),
      create(ValueInfoProtoSchema, {
        name: 'probabilities',
        type: {
          value: {
            case: 'sequenceType',
            value: {
              elemType: {
                value: { case: 'mapType', value: { keyType: 7, valueType: { value: { case: 'tensorType', value: { elemType: 1 } } } } },
              },
            },
          },
        },
      }),
    ],
    node: [
      node('Softmax', ['x'], ['p'], { axis: 1n }),
      node('ArgMax', ['p'], ['label'], { axis: 1n, keepdims: 0n }),
      { ...node('ZipMap', ['p'], ['probabilities'], { classlabels_int64s: [0n, 1n] }), domain: 'ai.onnx.ml' },
    ],
  }),
}

interface Case {
  readonly name: string
  readonly model: keyof typeof MODELS
  readonly body: unknown
  readonly type?: string
}

const row = [0.5, -1.25, 3]
const LINEAR: readonly Case[] = (
  [
    ['split with columns', { dataframe_split: { columns: ['p', 'q', 'r'], data: [row, [1.5, 2.5, 0.1]] } }],
    ['split with an index', { dataframe_split: { columns: ['p', 'q', 'r'], index: [7, 9], data: [row, [1.5, 2.5, 0.1]] } }],
    ['split without columns', { dataframe_split: { data: [row] } }],
    ['records', { dataframe_records: [{ p: 0.5, q: -1.25, r: 3.5 }] }],
    ['instances', { instances: [row.map((x) => x + 0.5), row.map((x) => x + 0.25)] }],
    ['instances by name', { instances: [{ x: [0.5, 1.5, 2.5] }, { x: [0.1, 0.2, 0.3] }] }],
    ['inputs as one array', { inputs: [[0.5, 1.5, 2.5]] }],
    [
      'inputs by name',
      {
        inputs: {
          x: [
            [0.5, 1.5, 2.5],
            [-0.5, 1e-7, 1234567.5],
          ],
        },
      },
    ],
    ['empty parameters', { inputs: [[0.5, 1.5, 2.5]], params: {} }],
    ['unknown keys are left alone', { inputs: [[0.5, 1.5, 2.5]], client_request_id: 'a' }],
    ['no form', {}],
    ['an unknown form', { rows: [row] }],
    ['two forms', { inputs: [row], instances: [row] }],
    ['a list', [row]],
    ['a text', 'abc'],
    ['too few columns', { dataframe_split: { columns: ['p'], data: [[0.5]] } }],
    ['split that is a list', { dataframe_split: [row] }],
    ['split without data', { dataframe_split: { columns: ['p'] } }],
    ['split with a key of its own', { dataframe_split: { columns: ['p', 'q', 'r'], data: [row], rows: 1 } }],
    ['records that are no list', { dataframe_records: { p: 1.5 } }],
    ['an unknown input', { inputs: { z: [[0.5, 1.5, 2.5]] } }],
    ['texts for numbers', { inputs: [['a', 'b', 'c']] }],
    ['a signature name', { inputs: [[0.5, 1.5, 2.5]], instances: [[0.5, 1.5, 2.5]], signature_name: 'x' }],
  ] as const
).map(([name, body]) => ({ name, model: 'linear', body }))

const CASES: readonly Case[] = [
  ...LINEAR,
  { name: 'CSV', model: 'linear', type: 'text/csv', body: 'p,q,r\n0.5,1.5,2.5\n-1.5,0.25,1e3\n' },
  { name: 'CSV of few columns', model: 'linear', type: 'text/csv', body: 'p,q\n0.5,1.5\n' },
  { name: 'CSV in UTF-8', model: 'linear', type: 'text/csv; charset=utf-8', body: 'p,q,r\n0.5,1.5,2.5\n' },
  { name: 'no JSON', model: 'linear', body: '{"inputs": [' },
  { name: 'no type that there is', model: 'linear', type: 'application/xml', body: '<a/>' },
  { name: 'another charset', model: 'linear', type: 'application/json; charset=latin1', body: { inputs: [row] } },
  { name: 'a parameter of the type', model: 'linear', type: 'application/json; format=pandas-split', body: { inputs: [row] } },
  { name: 'columns in their order', model: 'table', body: { dataframe_split: { columns: ['p', 'q', 'r'], data: [row, [1, 2, 3]] } } },
  { name: 'columns in another order', model: 'table', body: { dataframe_split: { columns: ['r', 'p', 'q'], data: [row, [1, 2, 3]] } } },
  {
    name: 'columns that it does not take',
    model: 'table',
    body: { dataframe_split: { columns: ['r', 'id', 'p', 'q'], data: [[1, 2, 3, 4]] } },
  },
  { name: 'columns that are missing', model: 'table', body: { dataframe_split: { columns: ['p', 'q', 's'], data: [row] } } },
  {
    name: 'records in another order',
    model: 'table',
    body: {
      dataframe_records: [
        { r: 0.5, q: 1.5, p: 2.5 },
        { p: 1, q: 2, r: 3 },
      ],
    },
  },
  { name: 'CSV in another order', model: 'table', type: 'text/csv', body: 'q,r,p\n0.5,1.5,2.5\n' },
  { name: 'CSV without a column', model: 'table', type: 'text/csv', body: 'q,r,s\n0.5,1.5,2.5\n' },
  { name: 'inputs by column', model: 'table', body: { inputs: { r: [0.5, 1.5], p: [2.5, 3.5], q: [4.5, 5.5] } } },
  {
    name: 'instances by column',
    model: 'table',
    body: {
      instances: [
        { r: 0.5, p: 2.5, q: 4.5 },
        { p: 0.25, q: 1.25, r: 2.25 },
      ],
    },
  },
  {
    name: 'two columns',
    model: 'pair',
    body: {
      dataframe_split: {
        columns: ['a', 'b'],
        data: [
          [1.5, 2],
          [3, 4.5],
        ],
      },
    },
  },
  {
    name: 'columns in another order, and one more',
    model: 'pair',
    body: { dataframe_split: { columns: ['b', 'c', 'a'], data: [[1.5, 9, 2.5]] } },
  },
  { name: 'a column is missing', model: 'pair', body: { dataframe_split: { columns: ['a'], data: [[1.5]] } } },
  { name: 'two inputs', model: 'pair', body: { inputs: { a: [1.5, 2.5], b: [0.5, 4.5] } } },
  {
    name: 'rows of two inputs',
    model: 'pair',
    body: {
      instances: [
        { a: 1.5, b: 2.5 },
        { a: 0.1, b: 0.2 },
      ],
    },
  },
  { name: 'inputs of different lengths', model: 'pair', body: { instances: [{ a: 1.5, b: 2.5 }, { a: 0.5 }] } },
  { name: 'infinity and NaN', model: 'pair', body: '{"inputs": {"a": [1.5, 0.0, -1.5, NaN], "b": [0.0, 0.0, -0.0, 1.5]}}' },
  { name: 'CSV by name', model: 'pair', type: 'text/csv', body: 'b,a\n0.5,1.5\n2.5,0.125\n' },
  {
    name: 'integers',
    model: 'whole',
    body: {
      dataframe_split: {
        columns: ['x', 'y'],
        data: [
          [1, -2],
          [9_007_199_254_740_991, 0],
        ],
      },
    },
  },
  { name: 'integers as instances', model: 'whole', body: '{"instances": [[4611686018427387903, -4]]}' },
  { name: 'fractions for integers', model: 'whole', body: { instances: [[1.5, 2.5]] } },
  {
    name: 'classes of a table',
    model: 'classes',
    body: {
      dataframe_split: {
        columns: ['a', 'b'],
        data: [
          [0.5, 2.5],
          [1.5, -0.5],
        ],
      },
    },
  },
  {
    name: 'classes of arrays',
    model: 'classes',
    body: {
      inputs: [
        [0.5, 2.5],
        [1.5, -0.5],
      ],
    },
  },
]

/** Where Slipway answers and MLflow does not, or the other way about, and why. */
const DIFFERENT: Readonly<
  Record<string, { readonly theirs: number; readonly ours: number; readonly body: unknown; readonly model: string }>
> = {
  'whole numbers for an input of floats: JSON does not tell them apart': {
    model: 'linear',
    body: { inputs: [[1, 2, 3]] },
    theirs: 400,
    ours: 200,
  },
  'cells that are missing are no NaN': {
    model: 'linear',
    body: { dataframe_split: { columns: ['p', 'q', 'r'], data: [[0.5, 0.5], row] } },
    theirs: 200,
    ours: 400,
  },
  'an array for a model of two inputs is the fault of the client': { model: 'pair', body: { inputs: [1.5, 2.5] }, theirs: 500, ours: 400 },
  'parameters, which the model would never see': {
    model: 'linear',
    body: { inputs: [[0.5, 1.5, 2.5]], params: { top_k: 1 } },
    theirs: 200,
    ours: 400,
  },
}

const folder = await temporaryFolder()
let python: ChildProcess
let theirs: Readonly<Record<string, string>>
const ours = new Map<string, SlipwayServer>()

before(
  async () => {
    for (const [name, bytes] of Object.entries(MODELS)) await folder.write(`${name}.onnx`, bytes)
    python = spawn(await pythonEnv('mlflow-scoring'), [join(import.meta.dirname, 'mlflow/scoring.py'), folder.path], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, MLFLOW_DISABLE_TELEMETRY: 'true', DO_NOT_TRACK: 'true', GIT_PYTHON_REFRESH: 'quiet' },
    })
    const lines = createInterface(python.stdout!)
    const ended = once(python, 'exit').then(() => assert.fail("MLflow's servers have ended"))
    const [ports] = (await Promise.race([once(lines, 'line'), ended])) as [string]
    theirs = Object.fromEntries(
      Object.entries(JSON.parse(ports) as Record<string, number>).map(([name, port]) => [name, `http://127.0.0.1:${port}`]),
    )
    for (const name of Object.keys(MODELS))
      ours.set(name, await startServer({ models: [{ path: join(folder.path, 'mlflow', name) }], port: 0, dialects: 'mlflow' }))
  },
  { timeout: 100_000 },
)

after(async () => {
  for (const server of ours.values()) await server.close()
  python.stdin?.end()
  if (python.exitCode === null) await once(python, 'close')
  await folder[Symbol.asyncDispose]()
})

interface Told {
  readonly status: number
  readonly type: string | null
  readonly text: string
}

async function ask(url: string, body: unknown, type = 'application/json'): Promise<Told> {
  const response = await fetch(`${url}/invocations`, {
    method: 'POST',
    headers: { 'content-type': type },
    body:
      typeof body === 'string' && type !== 'application/json'
        ? body
        : typeof body === 'string' && body.startsWith('{')
          ? body
          : JSON.stringify(body),
  })
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
}

/** JSON of Python, in which infinities and NaN are words. */
function parsed(text: string): unknown {
  return JSON.parse(text.replaceAll(/\b(NaN|-?Infinity)\b/g, '"$1"').replaceAll(/-("Infinity")/g, '"-Infinity"'))
}

function urls(model: string): [string, string] {
  return [theirs[model]!, ours.get(model)!.url]
}

describe("MLflow's scoring server and the dialect mlflow, side by side", () => {
  for (const { name, model, body, type } of CASES)
    it(`${model}: ${name}`, async () => {
      const [there, here] = await Promise.all(urls(model).map((url) => ask(url, body, type)))
      assert.equal(here!.status, there!.status, `${there!.text}\n${here!.text}`)
      assert.equal(here!.type, there!.type)
      if (there!.status === 200) assert.deepEqual(parsed(here!.text), parsed(there!.text))
      else if (there!.status === 415) assert.ok(here!.text.length > 10)
      else {
        const [error, own] = [there!, here!].map((told) => parsed(told.text) as { error_code: string; message: string })
        assert.equal(own!.error_code, error!.error_code)
        assert.ok(own!.message.length > 10)
      }
    })

  for (const [name, { model, body, theirs: there, ours: here }] of Object.entries(DIFFERENT))
    it(`they differ: ${name}`, async () => {
      const answers = await Promise.all(urls(model).map((url) => ask(url, body)))
      assert.deepEqual(
        answers.map(({ status }) => status),
        [there, here],
        answers.map(({ text }) => text).join('\n'),
      )
    })

  it('probes and the version are alike', async () => {
    for (const path of ['/ping', '/health', '/version']) {
      const [there, here] = await Promise.all(
        urls('linear').map(async (url) => {
          const response = await fetch(url + path)
          return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
        }),
      )
      assert.deepEqual(here, there)
    }
  })
})
