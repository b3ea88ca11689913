import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { readNpy, writeNpy } from '../../src/tensor/npy.ts'
import { startServer } from '../../src/server/start-server.ts'
import { ask } from '../asking.ts'
import { CUSTOMER, example, serveExamples } from '../fixtures.ts'
import { buildModel, floats, node, value } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Asked } from '../asking.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const folder = stack.use(await temporaryFolder())
/** Three columns to two; as tensors, and without names. */
const linear = await folder.write(
  'linear.onnx',
  buildModel({
    input: [value('x', 'FP32', ['batch', 3])],
    output: [value('y', 'FP32', ['batch', 2])],
    node: [node('MatMul', ['x', 'w'], ['y'])],
    initializer: [floats('w', [3, 2], 1, 0, 0, 1, 1, 1)],
  }),
)
const tensors = stack.use(await startServer({ models: [{ path: linear }], port: 0, dialects: 'sagemaker' }))
const churn = stack.use(await serveExamples(['churn'], { dialects: 'sagemaker' }))

/** The customer of the examples as cells, in the order of the features. */
const CELLS = [2, 95.5, 6, 'basic', 'month-to-month', true]

function invoke(
  url: string,
  body: string | Uint8Array,
  type: string,
  { accept, ...headers }: Readonly<Record<string, string>> = {},
): Promise<Asked> {
  return ask(`${url}/invocations`, { body, headers: { 'content-type': type, ...(accept !== undefined && { accept }), ...headers } })
}

interface Prediction {
  readonly prediction: unknown
  readonly confidence: number
}
const predictions = ({ text }: Asked): Prediction[] => (JSON.parse(text) as { predictions: Prediction[] }).predictions

describe('a SageMaker container', () => {
  it('answers CSV without a header, rows of JSON, instances and JSON Lines alike', async () => {
    const bodies: readonly (readonly [body: string, type: string])[] = [
      [`${CELLS.join(',')}\n${CELLS.join(',')}\n`, 'text/csv'],
      [`${CELLS.join(',')}\n${CELLS.join(',')}`, 'text/csv; label_size=0'],
      [`${Object.keys(CUSTOMER).join(',')}\n${CELLS.join(',')}\n${CELLS.join(',')}`, 'text/csv; header=present'],
      [JSON.stringify({ inputs: [CUSTOMER, CUSTOMER] }), 'application/json'],
      [JSON.stringify({ instances: [CUSTOMER, { features: CELLS }] }), 'application/json'],
      [JSON.stringify({ instances: [{ data: { features: { values: CELLS } } }, CELLS] }), 'application/json'],
      [`${JSON.stringify(CUSTOMER)}\n\r\n${JSON.stringify({ features: CELLS })}\r\n`, 'application/jsonlines'],
    ]
    for (const [body, type] of bodies) {
      const told = await invoke(churn.url, body, type)
      assert.equal(told.status, 200, told.text)
      const rows = predictions(told)
      assert.deepEqual(
        rows.map(({ prediction }) => prediction),
        ['churn', 'churn'],
        type,
      )
      assert.equal(rows[0]!.confidence, rows[1]!.confidence)
    }
  })

  it('writes what Accept asks for, whatever came', async () => {
    const csv = await invoke(churn.url, `${CELLS.join(',')}\n`, 'text/csv', { accept: 'text/csv' })
    assert.match(csv.text, /^churn,0\.\d+,0\.\d+,0\.\d+\n$/)
    assert.equal(csv.headers['content-type'], 'text/csv')
    const lines = await invoke(churn.url, `${CELLS.join(',')}\n`, 'text/csv', { accept: 'application/json;q=0.2, application/jsonlines' })
    assert.equal((JSON.parse(lines.text) as Prediction).prediction, 'churn')
    assert.match(lines.text, /\}\n$/)
    const any = await invoke(churn.url, JSON.stringify(CUSTOMER), 'application/json', { accept: '*/*' })
    assert.equal((JSON.parse(any.text) as Prediction).prediction, 'churn')
    const none = await invoke(churn.url, JSON.stringify(CUSTOMER), 'application/json', { accept: 'application/x-parquet' })
    assert.equal(none.status, 406)
    assert.match(none.text, /SLW_NOT_ACCEPTABLE.*|application\/x-npy/)
    const flat = await invoke(tensors.url, '1,2,3\n4,5,6\n', 'text/csv', { accept: 'text/csv' })
    assert.equal(flat.text, '4,5\n10,11\n')
  })

  it('takes arrays of NumPy of any kind of number, and gives them', async () => {
    const data = [1, 2, 3, 4, 5, 6]
    for (const array of [
      writeNpy({ name: 'x', datatype: 'FP32', shape: [2, 3], data: Float32Array.from(data) }),
      writeNpy({ name: 'x', datatype: 'FP64', shape: [2, 3], data: Float64Array.from(data) }),
      writeNpy({ name: 'x', datatype: 'INT64', shape: [2, 3], data: BigInt64Array.from(data, BigInt) }),
      writeNpy({ name: 'x', datatype: 'UINT8', shape: [2, 3], data: Uint8Array.from(data) }),
    ]) {
      const response = await fetch(`${tensors.url}/invocations`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-npy', accept: 'application/x-npy' },
        body: new Uint8Array(array),
      })
      assert.equal(response.status, 200)
      const answer = readNpy(Buffer.from(await response.arrayBuffer()), 'y', 100)
      assert.deepEqual([answer.datatype, answer.shape, [...answer.data]], ['FP32', [2, 2], [4, 5, 10, 11]])
    }
    const wrong = await invoke(
      tensors.url,
      writeNpy({ name: 'x', datatype: 'FP32', shape: [3, 2], data: Float32Array.from(data) }),
      'application/x-npy',
    )
    assert.equal(wrong.status, 400)
    assert.match(wrong.text, /has shape \[3, 2\], expected \[-1, 3\]/)
  })

  it('reads and writes large bodies as small ones', async () => {
    const rows = 60_000
    const cells = Array.from({ length: rows }, (_, index) => [index % 100, 0.5, index % 7])
    const expected = (index: number): number[] => [(index % 100) + (index % 7), 0.5 + (index % 7)]
    for (const [type, body] of [
      ['text/csv', cells.map((row) => `${row.join(',')}\n`).join('')],
      ['application/jsonlines', cells.map((row) => `${JSON.stringify(row)}\n`).join('')],
      ['application/x-npy', writeNpy({ name: 'x', datatype: 'FP64', shape: [rows, 3], data: Float64Array.from(cells.flat()) })],
    ] as const) {
      const told = await invoke(tensors.url, body, type, { accept: 'application/jsonlines' })
      assert.equal(told.status, 200, told.text.slice(0, 200))
      const lines = told.text.trimEnd().split('\n')
      assert.equal(lines.length, rows)
      for (const index of [0, 1, 12_345, rows - 1])
        assert.deepEqual((JSON.parse(lines[index]!) as Prediction).prediction, expected(index), type)
    }
  })

  it('refuses by name what it does not read', async () => {
    for (const [type, body, status, message] of [
      ['application/x-recordio-protobuf', 'x', 415, /RecordIO-protobuf is not read here; send CSV/],
      ['application/xml', '<a/>', 415, /Content-Type \\"application\/xml\\" is not one of application\/json, text\/csv/],
      ['application/jsonlines', '{"a":1}\n{', 400, /line 2: /],
      ['text/csv', '1,2\n', 400, /CSV: row 1 has 2 cells, expected 6: tenure_months/],
      ['application/json', '{"instances": 5}', 400, /instances: expected a list of rows/],
      ['application/x-npy', 'x', 415, /the model has 1 inputs|does not begin/],
    ] as const) {
      const told = await invoke(churn.url, body, type)
      if (type === 'application/x-npy') assert.equal(told.status, 400)
      else assert.equal(told.status, status, told.text)
      assert.match(told.text, message)
    }
  })

  it('gives custom attributes back, and leaves other headers of the platform alone', async () => {
    const told = await invoke(churn.url, JSON.stringify(CUSTOMER), 'application/json', {
      'x-amzn-sagemaker-custom-attributes': 'c000b4f9-df62-4c85-a0bf-7c525f9104a4',
      'x-amzn-sagemaker-unheard-of': '1',
    })
    assert.equal(told.status, 200)
    assert.equal(told.headers['x-amzn-sagemaker-custom-attributes'], 'c000b4f9-df62-4c85-a0bf-7c525f9104a4')
    const without = await invoke(churn.url, JSON.stringify(CUSTOMER), 'application/json')
    assert.equal(without.headers['x-amzn-sagemaker-custom-attributes'], undefined)
  })

  it('is pinged, and says how batch transform had best ask', async () => {
    assert.equal((await ask(`${churn.url}/ping`)).status, 200)
    const { text } = await ask(`${churn.url}/execution-parameters`)
    const parameters = JSON.parse(text) as Record<string, unknown>
    assert.equal(parameters['BatchStrategy'], 'MULTI_RECORD')
    assert.ok(Number(parameters['MaxConcurrentTransforms']) >= 1)
    assert.ok(Number(parameters['MaxConcurrentTransforms']) * Number(parameters['MaxPayloadInMB']) <= 100)
    await using small = await serveExamples(['churn'], { dialects: 'sagemaker', limits: { bodyBytes: 2 * 1024 ** 2 } })
    assert.equal((JSON.parse((await ask(`${small.url}/execution-parameters`)).text) as Record<string, unknown>)['MaxPayloadInMB'], 2)
  })

  it('is not healthy while nothing is served', async () => {
    await using empty = await startServer({ port: 0, dialects: 'sagemaker' })
    assert.equal((await ask(`${empty.url}/ping`)).status, 503)
    assert.equal((await invoke(empty.url, '1', 'text/csv')).status, 400)
  })

  it('has one model where several are served: the default one', async () => {
    const models = [{ path: linear }, { path: example('churn') }]
    await using server = await startServer({ models, port: 0, dialects: 'sagemaker', defaultModel: 'linear' })
    assert.deepEqual(predictions(await invoke(server.url, '1,2,3', 'text/csv'))[0]!.prediction, [4, 5])
  })
})
