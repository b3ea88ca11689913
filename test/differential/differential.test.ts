/**
 * The same requests, right and wrong, to Triton, to MLServer and to us: what is answered alike has to be the same, and every difference
 * stands in docs/reference/protocols/differences.json with its reason.
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startServer } from '../../src/server/start-server.ts'
import { example, ROOT } from '../fixtures.ts'
import { startMlserver, startTriton } from './peers.ts'
import { KINDS, requests } from './requests.ts'
import type { Sent } from './requests.ts'

interface Difference {
  readonly kinds: readonly string[]
  readonly triton: string
  readonly mlserver: string
  readonly slipway: string
  readonly why: string
}

interface Output {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly data: readonly number[]
}

interface Answer {
  readonly status: number
  readonly outputs: readonly Output[]
  readonly id: unknown
  readonly error: unknown
}

const EACH = 10
const SERVERS = ['triton', 'mlserver', 'slipway'] as const

const opened = new AsyncDisposableStack()
let urls: Readonly<Record<(typeof SERVERS)[number], string>>
let differences: readonly Difference[]

before(async () => {
  const path = join(example('churn'), 'model.onnx')
  const [triton, mlserver] = await Promise.all([startTriton({ churn: path }), startMlserver({ churn: path })])
  opened.use(triton)
  opened.use(mlserver)
  // The file alone: the ranges of its package are an addition of ours.
  const ours = opened.use(await startServer({ models: [{ path, name: 'churn' }], port: 0 }))
  urls = { triton: triton.url, mlserver: mlserver.url, slipway: ours.url }
  differences = JSON.parse(await readFile(join(ROOT, 'docs/reference/protocols/differences.json'), 'utf8')) as Difference[]
})
after(() => opened.disposeAsync())

describe('the Open Inference Protocol, by Triton, MLServer and Slipway', () => {
  for (const kind of Object.keys(KINDS))
    it(kind, async () => {
      const known = differences.find(({ kinds }) => kinds.includes(kind))
      for (const sent of requests(7, EACH).filter((one) => one.kind === kind)) {
        const answers = Object.fromEntries(await Promise.all(SERVERS.map(async (name) => [name, await ask(urls[name], sent)] as const)))
        const { triton, mlserver, slipway } = answers as Record<(typeof SERVERS)[number], Answer>
        if (known === undefined) assert.deepEqual([triton.status, mlserver.status], [slipway.status, slipway.status], String(slipway.error))
        else
          for (const name of SERVERS)
            assert.ok(known[name].split(' or ').includes(String(answers[name]!.status)), `${name}: ${answers[name]!.status}`)
        if (slipway.status >= 400 && sent.method === 'POST') assert.equal(typeof slipway.error, 'string', 'an error says what is wrong')
        if (slipway.status !== 200 || sent.method !== 'POST') continue
        if (triton.status === 200) sameOutputs(slipway, triton)
        if (mlserver.status === 200) sameNumbers(slipway, mlserver)
      }
    })

  it('has no difference written down that there is not', () => {
    for (const { kinds } of differences) for (const kind of kinds) assert.ok(kind in KINDS, kind)
  })
})

async function ask(url: string, { method, path, headers, body }: Sent): Promise<Answer> {
  const response = await fetch(url + path, { method, headers, ...(body !== undefined && { body }) }).catch(() => undefined)
  // A server that breaks the connection off has answered with an error of its own.
  if (response === undefined) return { status: 500, outputs: [], id: undefined, error: undefined }
  const bytes = Buffer.from(await response.arrayBuffer())
  const length = Number(response.headers.get('inference-header-content-length') ?? bytes.length)
  let answer: { outputs?: (Output & { parameters?: { binary_data_size?: number } })[]; id?: unknown; error?: unknown } = {}
  try {
    answer = JSON.parse(bytes.toString('utf8', 0, length)) as typeof answer
  } catch {
    // Errors of MLServer's own are no JSON.
  }
  let at = length
  const outputs = (answer.outputs ?? []).map(({ parameters, ...output }) => {
    const size = parameters?.binary_data_size
    if (size === undefined) return output
    const raw = bytes.subarray(at, (at += size))
    return { ...output, data: numbersOf(raw, output.datatype) }
  })
  return { status: response.status, outputs, id: answer.id, error: answer.error }
}

function numbersOf(raw: Buffer, datatype: string): number[] {
  if (datatype === 'INT64') return Array.from({ length: raw.length / 8 }, (_, index) => Number(raw.readBigInt64LE(index * 8)))
  assert.equal(datatype, 'FP32')
  return Array.from({ length: raw.length / 4 }, (_, index) => raw.readFloatLE(index * 4))
}

/** Names, datatypes, shapes and numbers; Triton gives outputs in the order of the model. */
function sameOutputs(ours: Answer, triton: Answer): void {
  const sorted = ({ outputs }: Answer) => outputs.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const shapes = (answer: Answer) => sorted(answer).map(({ name, datatype, shape }) => ({ name, datatype, shape }))
  assert.deepEqual(shapes(ours), shapes(triton))
  assert.equal(ours.id, triton.id)
  sameNumbers(ours, triton)
}

/** MLServer's codec gives a list a second dimension of one. */
function sameNumbers(ours: Answer, theirs: Answer): void {
  for (const { name, data } of ours.outputs) {
    const other = theirs.outputs.find((output) => output.name === name)
    assert.ok(other !== undefined && other.data.length === data.length, name)
    for (const [index, value] of data.entries()) assert.ok(Math.abs(value - other.data[index]!) <= 1e-6, `${name}[${index}]`)
  }
}
