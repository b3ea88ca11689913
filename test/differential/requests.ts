/** Requests of the Open Inference Protocol, right and wrong, each of a kind. The same seed gives the same requests. */
import { randomFrom } from '../soak/random.ts'

export interface Sent {
  /** Kind: requests of one are treated alike by each server. */
  readonly kind: string
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer | undefined
}

const COLUMNS = 10
const INFER = '/v2/models/churn/infer'
const JSON_TYPE = { 'content-type': 'application/json' }

type Random = () => number

/** Values of one row: numbers, as people would send them, and some at the edges of FP32. */
function row(random: Random): number[] {
  return Array.from({ length: COLUMNS }, () => {
    const kind = random()
    if (kind < 0.5) return Math.floor(random() * 100)
    if (kind < 0.9) return Math.fround(random() * 200 - 50)
    return [0, -0, 1e-45, 1e30, -1e30, 0.1][Math.floor(random() * 6)]!
  })
}

interface Tensor {
  name: string
  datatype: string
  shape: unknown
  data?: unknown
  parameters?: object
}

function tensorOf(random: Random, rows: number, nested: boolean): Tensor {
  const data = Array.from({ length: rows }, () => row(random))
  return { name: 'customers', datatype: 'FP32', shape: [rows, COLUMNS], data: nested ? data : data.flat() }
}

function binary(
  random: Random,
  rows: number,
  request: object,
  change: (bytes: Buffer) => Buffer = (bytes) => bytes,
): Pick<Sent, 'headers' | 'body'> {
  const bytes = change(Buffer.from(Float32Array.from(Array.from({ length: rows }, () => row(random)).flat()).buffer))
  const input = { name: 'customers', datatype: 'FP32', shape: [rows, COLUMNS], parameters: { binary_data_size: bytes.length } }
  const head = Buffer.from(JSON.stringify({ inputs: [input], ...request }))
  return {
    headers: { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(head.length) },
    body: Buffer.concat([head, bytes]),
  }
}

type Kind = (random: Random, rows: number) => Partial<Sent> & Pick<Sent, 'body'>

/** A JSON request with one tensor, changed. */
function changed(change: (tensor: Tensor, request: Record<string, unknown>) => void): Kind {
  return (random, rows) => {
    const tensor = tensorOf(random, rows, false)
    const request: Record<string, unknown> = { inputs: [tensor] }
    change(tensor, request)
    return { body: JSON.stringify(request) }
  }
}

export const KINDS: Readonly<Record<string, Kind>> = {
  'flat data': changed(() => {}),
  'nested data': (random, rows) => ({ body: JSON.stringify({ inputs: [tensorOf(random, rows, true)] }) }),
  'an id': changed((_, request) => (request['id'] = 'request-7')),
  'one output asked for': changed((_, request) => (request['outputs'] = [{ name: 'probabilities' }])),
  'outputs in another order': changed((_, request) => (request['outputs'] = [{ name: 'probabilities' }, { name: 'label' }])),
  'a version': (random, rows) => ({
    path: '/v2/models/churn/versions/1/infer',
    body: JSON.stringify({ inputs: [tensorOf(random, rows, false)] }),
  }),
  'keys in another order': (random, rows) => {
    const { name, datatype, shape, data } = tensorOf(random, rows, false)
    return { body: JSON.stringify({ inputs: [{ data, shape, datatype, name }] }) }
  },
  'unknown keys': changed((tensor, request) => Object.assign(request, { more: { a: [1] } }) && Object.assign(tensor, { more: 1 })),
  'binary input': (random, rows) => binary(random, rows, {}),
  'binary input and outputs': (random, rows) => binary(random, rows, { parameters: { binary_data_output: true } }),
  'binary output of one': (random, rows) =>
    binary(random, rows, { outputs: [{ name: 'probabilities', parameters: { binary_data: true } }] }),
  'numbers as integers and exponents': changed((tensor) => (tensor.data = (tensor.data as number[]).map((_, index) => index * 1000))),
  'no inputs': changed((_, request) => delete request['inputs']),
  'an empty list of inputs': changed((_, request) => (request['inputs'] = [])),
  'an unknown input': changed((tensor) => (tensor.name = 'clients')),
  'an input twice': changed((tensor, request) => (request['inputs'] = [tensor, tensor])),
  'a further input': changed((tensor, request) => (request['inputs'] = [tensor, { ...tensor, name: 'more' }])),
  'an input without a name': changed((tensor) => delete (tensor as Partial<Tensor>).name),
  'another datatype': changed((tensor) => (tensor.datatype = 'INT64')),
  'no datatype of the protocol': changed((tensor) => (tensor.datatype = 'FLOAT')),
  'no datatype': changed((tensor) => delete (tensor as Partial<Tensor>).datatype),
  'no shape': changed((tensor) => delete tensor.shape),
  'no data': changed((tensor) => delete tensor.data),
  'too few columns': changed((tensor) => {
    tensor.shape = [1, 3]
    tensor.data = [1, 2, 3]
  }),
  'another rank': changed((tensor) => {
    tensor.shape = [COLUMNS]
    tensor.data = (tensor.data as number[]).slice(0, COLUMNS)
  }),
  'fewer elements than the shape': changed((tensor) => (tensor.data = (tensor.data as number[]).slice(1))),
  'more elements than the shape': changed((tensor) => (tensor.data = [...(tensor.data as number[]), 1])),
  'a negative dimension': changed((tensor) => (tensor.shape = [-1, COLUMNS])),
  'a dimension that is text': changed((tensor) => (tensor.shape = ['1', COLUMNS])),
  'text for a number': changed((tensor) => (tensor.data = (tensor.data as unknown[]).with(0, 'many'))),
  'null for a number': changed((tensor) => (tensor.data = (tensor.data as unknown[]).with(0, null))),
  'a boolean for a number': changed((tensor) => (tensor.data = (tensor.data as unknown[]).with(0, true))),
  'no rows': changed((tensor) => {
    tensor.shape = [0, COLUMNS]
    tensor.data = []
  }),
  'an unknown output': changed((_, request) => (request['outputs'] = [{ name: 'nothing' }])),
  'an output twice': changed((_, request) => (request['outputs'] = [{ name: 'label' }, { name: 'label' }])),
  'an unknown model': (random, rows) => ({
    path: '/v2/models/nobody/infer',
    body: JSON.stringify({ inputs: [tensorOf(random, rows, false)] }),
  }),
  'an unknown version': (random, rows) => ({
    path: '/v2/models/churn/versions/99/infer',
    body: JSON.stringify({ inputs: [tensorOf(random, rows, false)] }),
  }),
  'broken JSON': (random) => ({ body: `{"inputs": [${'{'.repeat(1 + Math.floor(random() * 3))}` }),
  'a list instead of an object': () => ({ body: '[]' }),
  'an empty body': () => ({ body: '' }),
  'another method': () => ({ method: 'GET', body: undefined }),
  'a path that is none': () => ({ path: '/v2/models/churn/guess', body: '{}' }),
  'fewer bytes than announced': (random, rows) => binary(random, rows, {}, (bytes) => bytes.subarray(4)),
  'bytes that belong to no input': (random, rows) => {
    const sent = binary(random, rows, {})
    return { ...sent, body: Buffer.concat([sent.body as Buffer, Buffer.alloc(8)]) }
  },
  'a header length beyond the body': (random, rows) => {
    const sent = binary(random, rows, {})
    return { ...sent, headers: { ...sent.headers, 'inference-header-content-length': '1000000' } }
  },
  'an encoding that is none': (random, rows) => ({
    headers: { ...JSON_TYPE, 'content-encoding': 'snappy' },
    body: JSON.stringify({ inputs: [tensorOf(random, rows, false)] }),
  }),
  'the metadata of a model': () => ({ method: 'GET', path: '/v2/models/churn', body: undefined }),
  'the metadata of no model': () => ({ method: 'GET', path: '/v2/models/nobody', body: undefined }),
  'whether a model is ready': () => ({ method: 'GET', path: '/v2/models/churn/ready', body: undefined }),
  'whether no model is ready': () => ({ method: 'GET', path: '/v2/models/nobody/ready', body: undefined }),
  'whether the server is live': () => ({ method: 'GET', path: '/v2/health/live', body: undefined }),
  'whether the server is ready': () => ({ method: 'GET', path: '/v2/health/ready', body: undefined }),
}

/** @param each how many there are of each kind */
export function requests(seed: number, each: number): Sent[] {
  const chance = randomFrom(seed)
  const random = (): number => chance.next()
  return Object.entries(KINDS).flatMap(([kind, make]) =>
    Array.from({ length: each }, () => {
      const { method = 'POST', path = INFER, headers = JSON_TYPE, body } = make(random, 1 + Math.floor(random() * 5))
      return { kind, method, path, headers, body }
    }),
  )
}
