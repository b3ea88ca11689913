/**
 * The backend test suite of the ONNX project, through the wire: every case that the PyPI package `onnx` carries as files is
 * served, asked over JSON and over binary tensors, and compared with the outputs that its authors recorded. Requests are
 * written and answers read here, by other means than those of the server.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { startServer } from '../../src/server/start-server.ts'
import { elementAt } from '../../src/tensor/tensor.ts'
import { findCases, UNSUPPORTED } from './onnx-cases.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import type { DataSet, OnnxCase } from './onnx-cases.ts'

/** Models per server: a server for each case would take longer to start than all the work. */
const GROUP = 20
const CASES_MIN = 140

type Value = number | bigint | string

interface Answered {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
  readonly values: readonly Value[]
}

const python = await pythonEnv('conformance')
const { stdout } = await promisify(execFile)(python, [
  '-c',
  'import importlib.util as u; print(u.find_spec("onnx").submodule_search_locations[0])',
])
const cases = await findCases(stdout.trim())
const passed = { json: 0, binary: 0, refused: 0 }
const locales = await mkdtemp(join(tmpdir(), 'slipway-locales-'))
await offerEnglishLocale(locales)

for (const group of groups(cases)) {
  describe(`ONNX cases ${group[0]?.name} and ${group.length - 1} more`, () => {
    let server: SlipwayServer
    before(async () => {
      server = await startServer({
        models: group.map(({ modelPath, name }) => ({ path: modelPath, name })),
        port: 0,
        serving: { instances: 1 },
      })
    })
    after(() => server?.close())

    for (const found of group) {
      const known = UNSUPPORTED[found.name]
      if (known === undefined)
        it(`${found.name} gives its recorded outputs over JSON and over binary tensors`, () => checkCase(server.url, found))
      else it(`${found.name} is refused: ${known.reason}`, () => checkRefusal(server.url, found.name, known.refusal))
    }
  })
}

describe('the ONNX backend test suite as a whole', () => {
  after(() => rm(locales, { recursive: true }))

  it('every case was found, and passed through both encodings or is in the table of what is not supported', (t) => {
    const refused = Object.keys(UNSUPPORTED)
    t.diagnostic(
      `${cases.length} cases: ${passed.json} passed over JSON, ${passed.binary} over binary tensors, ${passed.refused} are refused as the table says`,
    )
    assert.ok(cases.length >= CASES_MIN, `${cases.length} cases were found`)
    assert.deepEqual(
      refused.filter((name) => !cases.some((found) => found.name === name)),
      [],
      'the table names cases that the suite has not',
    )
    assert.deepEqual(passed, { json: cases.length - refused.length, binary: cases.length - refused.length, refused: refused.length })
  })
})

/** Heavy cases alone; the others dealt out in turn, so that no group consists of refused ones only (which would not start). */
function groups(all: readonly OnnxCase[]): OnnxCase[][] {
  const light = all.filter((found) => !found.heavy)
  const count = Math.ceil(light.length / GROUP)
  const dealt = Array.from({ length: count }, (_, group) => light.filter((_case, index) => index % count === group))
  return [...dealt, ...all.filter((found) => found.heavy).map((found) => [found])]
}

/**
 * The operator StringNormalizer asks the C library for the locale en_US.UTF-8, which small systems have not. C.UTF-8, which
 * they do have, changes case alike, so it is offered under that name. The variable is read when a model loads.
 */
async function offerEnglishLocale(folder: string): Promise<void> {
  const neutral = ['C.utf8', 'C.UTF-8'].map((name) => join('/usr/lib/locale', name)).find((path) => existsSync(path))
  if (neutral === undefined) return
  await symlink(neutral, join(folder, 'en_US.UTF-8'))
  process.env['LOCPATH'] = folder
}

async function checkCase(url: string, found: OnnxCase): Promise<void> {
  const base = `${url}/v2/models/${found.name}`
  const metadata = (await (await fetch(base)).json()) as { inputs: { name: string }[]; outputs: { name: string }[]; error?: string }
  assert.equal(metadata.error, undefined)
  const sets = await found.load()
  assert.ok(sets.length > 0, 'the case has no data')
  const names = { inputs: metadata.inputs.map((input) => input.name), outputs: metadata.outputs.map((output) => output.name) }
  const answers = { json: [] as Answered[][], binary: [] as Answered[][] }
  for (const set of sets) {
    // Inputs with a default value may follow, which no data set gives.
    assert.ok(names.inputs.length >= set.inputs.length, 'the model has the inputs of the data set')
    const answer = await inferJson(base, set, names.inputs)
    compare(answer, set, names.outputs, found)
    answers.json.push(answer)
  }
  passed.json++
  for (const set of sets) {
    const answer = await inferBinary(base, set, names.inputs)
    compare(answer, set, names.outputs, found)
    answers.binary.push(answer)
  }
  passed.binary++
  // Numbers in JSON are exact: they read back as the very bits of the binary answer.
  assert.deepEqual(answers.json, answers.binary)
}

async function checkRefusal(url: string, name: string, refusal: RegExp): Promise<void> {
  const ready = await fetch(`${url}/v2/models/${name}/ready`)
  assert.equal(ready.status, 503)
  assert.match(((await ready.json()) as { error: string }).error, refusal)
  const infer = await fetch(`${url}/v2/models/${name}/infer`, { method: 'POST', body: '{"inputs":[]}' })
  assert.equal(infer.status, 503)
  assert.match(((await infer.json()) as { error: string }).error, refusal)
  passed.refused++
}

/** As `assert_similar_outputs` of the suite's own runner compares: names and shapes equal, values as numpy's allclose. */
function compare(answer: readonly Answered[], { outputs }: DataSet, names: readonly string[], { rtol, atol }: OnnxCase): void {
  assert.deepEqual(
    answer.map((output) => output.name),
    names,
  )
  assert.equal(answer.length, outputs.length)
  for (const [index, expected] of outputs.entries()) {
    const { datatype, shape, values } = answer[index]!
    assert.equal(datatype, expected.datatype)
    assert.deepEqual(shape, expected.shape)
    assert.equal(values.length, expected.data.length)
    for (const [at, value] of values.entries()) {
      const wanted = valueAt(expected, at)
      if (Object.is(value, wanted) || value === wanted) continue
      const close =
        typeof value === 'number' &&
        typeof wanted === 'number' &&
        Number.isFinite(wanted) &&
        Math.abs(value - wanted) <= atol + rtol * Math.abs(wanted)
      assert.ok(close, `output "${names[index]}", element ${at}: ${value} is not ${wanted} within rtol ${rtol}, atol ${atol}`)
    }
  }
}

/** One element; BOOL as 0 and 1, 64-bit integers always as bigint. */
function valueAt(tensor: Tensor, index: number): Value {
  const raw = tensor.data[index]
  if (typeof raw === 'bigint') return raw
  const value = elementAt(tensor, index)
  return typeof value === 'boolean' ? Number(value) : value
}

async function inferJson(base: string, { inputs }: DataSet, names: readonly string[]): Promise<Answered[]> {
  const written = inputs.map(({ datatype, shape, data }, index) => {
    const values = Array.from({ length: data.length }, (_, at) => jsonValue(inputs[index]!, at))
    return `{"name":${JSON.stringify(names[index])},"datatype":"${datatype}","shape":[${shape.join(',')}],"data":[${values.join(',')}]}`
  })
  const response = await fetch(`${base}/infer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: `{"inputs":[${written.join(',')}]}`,
  })
  const text = await response.text()
  assert.equal(response.status, 200, text)
  const { outputs } = parseExact(text) as {
    outputs: { name: string; datatype: string; shape: Exact[]; data: (Exact | string | boolean)[] }[]
  }
  return outputs.map(({ name, datatype, shape, data }) => ({
    name,
    datatype,
    shape: shape.map(({ digits }) => Number(digits)),
    values: data.map((value) => storedValue(value, datatype)),
  }))
}

function jsonValue(tensor: Tensor, index: number): string {
  const value = valueAt(tensor, index)
  if (typeof value === 'string') return JSON.stringify(value)
  if (tensor.datatype === 'BOOL') return value === 0 ? 'false' : 'true'
  return Object.is(value, -0) ? '-0.0' : String(value)
}

/** A number of a JSON text as it is written there. */
interface Exact {
  readonly digits: string
}

/** JSON with each number as its digits; also the bare words NaN and Infinity, which JSON.parse does not know. */
function parseExact(text: string): unknown {
  const quoted = text.replaceAll(/"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity|\d[\d.eE+-]*)/g, (token) =>
    token.startsWith('"') ? token : `{"digits":"${token}"}`,
  )
  return JSON.parse(quoted)
}

/** What JSON says, in the precision of the datatype. */
function storedValue(value: Exact | string | boolean, datatype: string): Value {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean') return Number(value)
  if (datatype === 'INT64' || datatype === 'UINT64') return BigInt(value.digits)
  const number = Number(value.digits)
  if (datatype === 'FP32') return Math.fround(number)
  return datatype === 'FP16' ? Math.f16round(number) : number
}

async function inferBinary(base: string, { inputs }: DataSet, names: readonly string[]): Promise<Answered[]> {
  const raw = inputs.map(({ data }) =>
    Array.isArray(data) ? Buffer.concat(data.map(lengthPrefixed)) : Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  )
  const header = Buffer.from(
    JSON.stringify({
      inputs: inputs.map(({ datatype, shape }, index) => ({
        name: names[index],
        datatype,
        shape,
        parameters: { binary_data_size: raw[index]!.length },
      })),
      parameters: { binary_data_output: true },
    }),
  )
  const response = await fetch(`${base}/infer`, {
    method: 'POST',
    headers: { 'inference-header-content-length': String(header.length) },
    body: Buffer.concat([header, ...raw]),
  })
  const body = Buffer.from(await response.arrayBuffer())
  assert.equal(response.status, 200, body.toString())
  const length = Number(response.headers.get('inference-header-content-length'))
  const { outputs } = JSON.parse(body.toString('utf8', 0, length)) as {
    outputs: { name: string; datatype: string; shape: number[]; parameters: { binary_data_size: number } }[]
  }
  let at = length
  const answered = outputs.map(({ name, datatype, shape, parameters }) => {
    const part = body.subarray(at, (at += parameters.binary_data_size))
    return { name, datatype, shape, values: binaryValues(part, datatype) }
  })
  assert.equal(at, body.length, 'nothing follows the last tensor')
  return answered
}

function lengthPrefixed(text: string): Buffer {
  const content = Buffer.from(text)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(content.length)
  return Buffer.concat([length, content])
}

function binaryValues(bytes: Buffer, datatype: string): Value[] {
  if (datatype === 'BYTES') {
    const texts: string[] = []
    for (let at = 0; at < bytes.length;) {
      const end = at + 4 + bytes.readUInt32LE(at)
      texts.push(bytes.toString('utf8', at + 4, end))
      at = end
    }
    return texts
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const [size, read] = ELEMENTS[datatype] ?? assert.fail(`datatype ${datatype}`)
  return Array.from({ length: bytes.length / size }, (_, index) => read(view, index * size))
}

const ELEMENTS: Readonly<Record<string, readonly [size: number, read: (view: DataView, at: number) => Value]>> = {
  BOOL: [1, (view, at) => view.getUint8(at)],
  UINT8: [1, (view, at) => view.getUint8(at)],
  INT8: [1, (view, at) => view.getInt8(at)],
  UINT16: [2, (view, at) => view.getUint16(at, true)],
  INT16: [2, (view, at) => view.getInt16(at, true)],
  UINT32: [4, (view, at) => view.getUint32(at, true)],
  INT32: [4, (view, at) => view.getInt32(at, true)],
  UINT64: [8, (view, at) => view.getBigUint64(at, true)],
  INT64: [8, (view, at) => view.getBigInt64(at, true)],
  FP16: [2, (view, at) => view.getFloat16(at, true)],
  FP32: [4, (view, at) => view.getFloat32(at, true)],
  FP64: [8, (view, at) => view.getFloat64(at, true)],
}
