import assert from 'node:assert/strict'
import { request } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { BodyThreads } from '../../src/protocol/bodies/body-threads.ts'
import { Collected } from '../../src/protocol/bodies/collected.ts'
import { REQUEST_LIMIT_DEFAULTS } from '../../src/protocol/limits.ts'
import { startServer } from '../../src/server/start-server.ts'
import { addingModel } from '../adding-models.ts'
import { example } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'

describe('the chunks of a body', () => {
  it('are the body, however many there are', () => {
    const bytes = Buffer.from(Array.from({ length: 700_000 }, (_, index) => (index * 7919) % 251))
    for (const size of [0, 1, 1000, 262_143, 262_144, 262_145, 700_000])
      for (const limit of [size, 800_000])
        for (const chunk of [997, 65_536, 1_000_000]) {
          const collected = new Collected(limit)
          for (let at = 0; at < size; at += chunk) collected.add(bytes.subarray(at, Math.min(size, at + chunk)))
          assert.equal(collected.size, size)
          assert.ok(collected.whole().equals(bytes.subarray(0, size)), `${size} bytes in chunks of ${chunk}, ${limit} allowed`)
        }
  })
})

describe('a large body', () => {
  let server: SlipwayServer
  let folder: TemporaryFolder
  before(async () => {
    folder = await temporaryFolder()
    await folder.write('adder.onnx', addingModel(1))
    const models = [
      { path: example('churn'), name: 'churn' },
      { path: `${folder.path}/adder.onnx`, name: 'adder' },
    ]
    server = await startServer({ models, port: 0 } as never)
  })
  after(async () => {
    await server[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  async function post(
    path: string,
    body: string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; bytes: Buffer; headers: Headers }> {
    const response = await fetch(server.url + path, {
      method: 'POST',
      body: body as never,
      headers: { 'content-type': 'application/json', ...headers },
    })
    return { status: response.status, bytes: Buffer.from(await response.arrayBuffer()), headers: response.headers }
  }

  async function exampleRow(): Promise<object> {
    const text = (await (await fetch(`${server.url}/models/churn/example`)).json()) as { inputs: object[] } | object
    return 'inputs' in text ? (text.inputs as object[])[0]! : text
  }

  it('is answered as its parts are, as JSON, as CSV, zipped, and in chunks', async () => {
    const one = await exampleRow()
    const rows = Array.from({ length: 12_000 }, () => one)
    const body = JSON.stringify({ inputs: rows })
    assert.ok(body.length > 1_200_000)
    const small = JSON.parse((await post('/models/churn/predict', JSON.stringify({ inputs: [one] }))).bytes.toString()) as {
      predictions: unknown[]
    }
    const expected = JSON.stringify({ predictions: rows.map(() => small.predictions[0]) })
    const whole = await post('/models/churn/predict', body)
    assert.equal(whole.status, 200)
    assert.equal(whole.bytes.toString(), expected)
    assert.equal(whole.headers.get('slipway-version'), '1')
    assert.equal((await post('/models/churn/predict', gzipSync(body), { 'content-encoding': 'gzip' })).bytes.toString(), expected)
    const csv = await post('/models/churn/predict', body, { accept: 'text/csv' })
    assert.equal(csv.headers.get('content-type'), 'text/csv; charset=utf-8; header=present')
    assert.equal(csv.bytes.toString().trimEnd().split('\n').length, rows.length + 1)
    const columns = Object.keys(one)
    const lines = [columns.join(','), ...rows.map((each) => columns.map((name) => String((each as never)[name])).join(','))]
    assert.equal((await post('/models/churn/predict', lines.join('\n'), { 'content-type': 'text/csv' })).bytes.toString(), expected)
    const chunked = await new Promise<string>((resolve, reject) => {
      const asking = request(
        `${server.url}/models/churn/predict`,
        { method: 'POST', headers: { 'content-type': 'application/json' } },
        (response) => {
          let text = ''
          response.on('data', (chunk: Buffer) => (text += chunk.toString()))
          response.on('end', () => resolve(text))
        },
      )
      asking.on('error', reject)
      for (let at = 0; at < body.length; at += 50_000) asking.write(body.slice(at, at + 50_000))
      asking.end()
    })
    assert.equal(chunked, expected)
  })

  it('that was zipped is read where it stays large when it is zipped', async () => {
    const numbers = Array.from({ length: 400_000 }, () => Math.random())
    const asked = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [100_000, 4], data: numbers }] })
    const zipped = gzipSync(asked)
    assert.ok(zipped.length > 1_000_000)
    const plain = await post('/v2/models/adder/infer', asked)
    assert.equal(plain.status, 200)
    assert.ok((await post('/v2/models/adder/infer', zipped, { 'content-encoding': 'gzip' })).bytes.equals(plain.bytes))
  })

  it('that is wrong is refused in the same words', async () => {
    const one = await exampleRow()
    const wrong = { ...one, [Object.keys(one)[0]!]: {} }
    const refusal = async (count: number): Promise<{ error: string; issues: unknown[] }> => {
      const { status, bytes } = await post(
        '/models/churn/predict',
        JSON.stringify({ inputs: [wrong, ...Array.from({ length: count }, () => one)] }),
      )
      assert.equal(status, 400)
      const { error, issues } = JSON.parse(bytes.toString()) as { error: string; issues: unknown[] }
      return { error, issues }
    }
    assert.deepEqual(await refusal(12_000), await refusal(1))
    const cut = await post('/models/churn/predict', `{"inputs": [${'[1],'.repeat(100_000)}`)
    assert.equal(cut.status, 400)
  })

  it('of tensors is answered in V2 as its parts are, as JSON and as bytes', async () => {
    const metadata = (await (await fetch(`${server.url}/v2/models/adder`)).json()) as {
      inputs: { name: string; datatype: string; shape: number[] }[]
    }
    const [input] = metadata.inputs
    const width = input!.shape[1]!
    const rows = 60_000
    const tensor = (count: number): object => ({ name: input!.name, datatype: input!.datatype, shape: [count, width] })
    const asked = async (count: number): Promise<{ outputs: { name: string; data: unknown[] }[]; id?: string }> => {
      const data = Array.from({ length: count * width }, () => 0.25)
      const { status, bytes } = await post('/v2/models/adder/infer', JSON.stringify({ id: 'x', inputs: [{ ...tensor(count), data }] }))
      assert.equal(status, 200, bytes.toString().slice(0, 300))
      return JSON.parse(bytes.toString())
    }
    const [one, all] = [await asked(1), await asked(rows)]
    assert.equal(all.id, 'x')
    for (const [index, output] of one.outputs.entries()) {
      const { data, name } = all.outputs[index]!
      assert.deepEqual([name, data.length], [output.name, output.data.length * rows])
      assert.deepEqual(data.slice(-output.data.length), output.data)
    }
    const header = JSON.stringify({
      parameters: { binary_data_output: true },
      inputs: [{ ...tensor(rows), parameters: { binary_data_size: rows * width * 4 } }],
    })
    const raw = Buffer.concat([Buffer.from(header), Buffer.from(new Float32Array(rows * width).fill(0.25).buffer)])
    const answer = await post('/v2/models/adder/infer', raw, { 'inference-header-content-length': String(header.length) })
    assert.equal(answer.status, 200)
    const length = Number(answer.headers.get('inference-header-content-length'))
    const { outputs } = JSON.parse(answer.bytes.subarray(0, length).toString()) as {
      outputs: { parameters: { binary_data_size: number } }[]
    }
    assert.equal(answer.bytes.length, length + outputs.reduce((sum, { parameters }) => sum + parameters.binary_data_size, 0))
  })
})

it('a server that closes fails the bodies that are being read, and reads no more', async () => {
  await using bodies = new BodyThreads(1)
  const { signature } = {
    signature: {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }],
      outputs: [],
      hasRows: true,
      ranges: new Map(),
      answer: { task: 'tensors' },
    },
  }
  const body = (count: number): Buffer =>
    Buffer.from(
      JSON.stringify({
        inputs: [{ name: 'x', datatype: 'FP32', shape: [count, 4], data: Array.from({ length: count * 4 }, () => 0.123456789) }],
      }),
    )
  const reading = (count: number) => ({
    body: body(count),
    header: undefined,
    signature: signature as never,
    limits: REQUEST_LIMIT_DEFAULTS,
  })
  const first = bodies.read('v2', reading(100_000))
  assert.ok(first instanceof Promise)
  assert.equal((await first).rows, 100_000)
  const cut = bodies.read('v2', reading(100_000)) as Promise<unknown>
  const closing = bodies[Symbol.asyncDispose]()
  await assert.rejects(cut, { code: 'SLW_CLOSED' })
  await closing
  await assert.rejects(bodies.read('v2', reading(100_000)) as Promise<unknown>, { code: 'SLW_CLOSED' })
})
