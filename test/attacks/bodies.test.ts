import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { contentIdOf, planeInProcess } from '../api/in-plane.ts'
import { serveInChild } from '../child-server.ts'
import { example } from '../fixtures.ts'
import { LONG } from './long.ts'
import type { Plane } from '../api/in-plane.ts'
import type { ChildServer } from '../child-server.ts'

const MB = 1_000_000
const BYTES = LONG ? 30 * MB : 6 * MB
/** How much longer a body may hold up others than an honest one of its size, whose every byte is read. */
const RATIO = 4

function repeated(
  unit: (index: number) => string,
  { begin = '', end = '', bytes = BYTES }: { begin?: string; end?: string; bytes?: number } = {},
): string {
  const parts = [begin]
  for (let size = begin.length, index = 0; size < bytes; index++) {
    const part = unit(index)
    parts.push(part)
    size += part.length
  }
  return parts.join('') + end
}

interface Told {
  readonly status: number
  readonly text: string
  /** How long another request waited at most, ms. */
  readonly waited: number
}

/** Sends a body while others ask for something small. */
async function send(url: string, body: string, type = 'application/json'): Promise<Told> {
  const health = new URL('/health', url)
  let waited = 0
  const over = new AbortController()
  const others = (async () => {
    while (!over.signal.aborted) {
      const began = performance.now()
      await (await fetch(health)).arrayBuffer()
      waited = Math.max(waited, performance.now() - began)
    }
  })()
  const answer = await fetch(url, { method: 'POST', body, headers: { 'content-type': type } })
  const text = await answer.text()
  over.abort()
  await others
  return { status: answer.status, text, waited }
}

/** Of several times, in the order of how long others waited. A body that holds up others does so each time; a busy machine does now and then. */
async function times(count: number, act: () => Promise<Told>): Promise<Told[]> {
  const told: Told[] = []
  while (told.length < count) told.push(await act())
  return told.toSorted((a, b) => a.waited - b.waited)
}

describe('a body sent to a server', () => {
  let server: ChildServer
  let honest: number
  before(async () => {
    server = await serveInChild([`churn=${example('churn')}`, '--instances', '1', '--drain-pause', '0ms'])
    const numbers = repeated(() => '1.5,', { begin: '[', end: '2]' })
    honest = (await times(3, () => send(`${server.url}/models/churn/predict`, numbers)))[1]!.waited
  })
  after(async () => {
    await server[Symbol.asyncDispose]()
  })

  const FRIENDLY = '/models/churn/predict'
  const V2 = '/v2/models/churn/infer'
  const attacks: readonly (readonly [what: string, path: string, body: () => string, says: RegExp, type?: string])[] = [
    [
      'keys that no model has',
      FRIENDLY,
      () => repeated((i) => `"k${i}":1,`, { begin: '{', end: '"z":1}' }),
      /more than 10000 keys in one object/,
    ],
    ['keys that no model has, in V2', V2, () => repeated((i) => `"k${i}":1,`, { begin: '{', end: '"z":1}' }), /more than 10000 keys/],
    [
      'parameters',
      V2,
      () => repeated((i) => `"k${i}":1,`, { begin: '{"inputs":[],"parameters":{', end: '"z":1}}' }),
      /more than 10000 keys/,
    ],
    [
      'rows',
      FRIENDLY,
      () => repeated((i) => `{"k${i}":1},`, { begin: '[', end: '{}]' }),
      /limits\.rows is 100000|more than 1000000 objects/,
    ],
    ['brackets', FRIENDLY, () => '['.repeat(BYTES), /nested deeper than 64 levels/],
    ['braces', FRIENDLY, () => '{"a":'.repeat(BYTES / 5), /nested deeper than 64 levels/],
    ['words that are no JSON', FRIENDLY, () => repeated(() => 'NaN,', { begin: '[', end: 'NaN]' }), /expected 6 values/],
    ['columns', FRIENDLY, () => repeated((i) => `c${i},`, { end: 'z\n1\n' }), /more than 10000 columns/, 'text/csv'],
    ['lines', FRIENDLY, () => repeated(() => '1,2,3\n', { begin: 'a,b,c\n' }), /limits\.rows is 100000/, 'text/csv'],
    ['quotation marks', FRIENDLY, () => '"'.repeat(BYTES), /CSV/, 'text/csv'],
    ['escapes', FRIENDLY, () => repeated(() => '\\u0041', { begin: '{"a":"', end: '"}' }), /no such feature/],
    ['digits', FRIENDLY, () => `[${'1'.repeat(BYTES)}]`, /expected 6 values/],
    [
      'outputs',
      V2,
      () => repeated((i) => `{"name":"x${i}"},`, { begin: '{"inputs":[],"outputs":[', end: '{}]}' }),
      /is missing at byte|more than/,
    ],
    [
      'parts',
      FRIENDLY,
      () => repeated((i) => `--b\r\ncontent-disposition: form-data; name="k${i}"\r\n\r\n1\r\n`),
      /parts/,
      'multipart/form-data; boundary=b',
    ],
  ]
  for (const [what, path, body, says, type] of attacks)
    it(`of ${what} alone is refused by name, and holds up nobody longer than an honest one`, async () => {
      const text = body()
      const [{ status, text: told, waited }] = (await times(5, () => send(`${server.url}${path}`, text, type))) as [Told, ...Told[]]
      assert.equal(status, 400, told.slice(0, 300))
      assert.match(told, says)
      assert.ok(waited < RATIO * honest, `others waited ${waited.toFixed(0)} ms, and ${honest.toFixed(0)} ms for an honest body`)
    })
})

describe('a body sent to a control plane', () => {
  let plane: Plane
  before(async () => {
    plane = await planeInProcess()
  })
  after(async () => {
    await plane[Symbol.asyncDispose]()
  })

  const MLFLOW = '/api/2.0/mlflow'
  const attacks: readonly (readonly [what: string, path: string, body: () => string, status: number, says: RegExp])[] = [
    [
      'words',
      `${MLFLOW}/runs/log-batch`,
      () => repeated(() => 'NaN,', { begin: '{"metrics":[', end: 'NaN]}' }),
      400,
      /expected a list of objects|elements/,
    ],
    ['thirty megabytes', `${MLFLOW}/runs/log-batch`, () => repeated(() => 'NaN,', { bytes: 30 * MB }), 413, /larger than this route takes/],
    ['brackets', `${MLFLOW}/runs/log-batch`, () => '['.repeat(6 * MB), 400, /nested deeper than 64 levels/],
    [
      'keys',
      `${MLFLOW}/runs/create`,
      () => repeated((i) => `"k${i}":1,`, { begin: '{', end: '"z":1}', bytes: 6 * MB }),
      400,
      /more than 200000 keys/,
    ],
    [
      'tags',
      `${MLFLOW}/registered-models/create`,
      () => repeated((i) => `{"key":"k${i}"},`, { begin: '{"name":"m","tags":[', end: '{"key":"z"}]}', bytes: 2 * MB }),
      400,
      /elements, 10000 are allowed/,
    ],
    [
      'ids',
      `${MLFLOW}/runs/search`,
      () => repeated((i) => `"${i}",`, { begin: '{"experiment_ids":[', end: '"0"]}', bytes: MB }),
      400,
      /elements, 10000 are allowed/,
    ],
    ['brackets, in /api/v1', '/api/v1/models', () => '['.repeat(6 * MB), 400, /nested deeper than 64 levels/],
    [
      'keys, in /api/v1',
      '/api/v1/models',
      () => repeated((i) => `"k${i}":1,`, { begin: '{', end: '"z":1}', bytes: 6 * MB }),
      400,
      /more than 200000 keys/,
    ],
  ]
  for (const [what, path, body, expected, says] of attacks)
    it(`of ${what} alone is refused by name`, async () => {
      const { status, text } = await send(`${plane.url}${path}`, body())
      assert.equal(status, expected, text.slice(0, 300))
      assert.match(text, says)
    })

  it('that names files which cannot lie in one folder is refused, and so is a run that has such files', async () => {
    const bytes = Buffer.from('x')
    const contentId = contentIdOf(bytes)
    assert.equal((await plane.ask('PUT', `/contents/${contentId}`, bytes)).status, 200)
    await plane.ask('POST', '/models', { name: 'm' })
    const push = async (...paths: string[]) =>
      await plane.ask('POST', '/models/m/versions', { files: paths.map((path) => ({ path, contentId })) })
    for (const [paths, says] of [
      [['a', 'a/b'], /"a" is a file, and a folder of "a\/b"/],
      [['x/y/z', 'x/y'], /"x\/y" is a file/],
      [['n'.repeat(300)], /more than 255 bytes/],
      [[`d/${'ü'.repeat(128)}`], /more than 255 bytes/],
      [['\ud800.onnx'], /is no text|surrogate/],
    ] as const) {
      const { status, body } = await push(...paths)
      assert.equal(status, 400, `${paths.join()}: ${JSON.stringify(body)}`)
      assert.match(String((body as { detail?: string }).detail), says)
    }
    assert.equal((await push('a', 'b/a', 'b/c', 'ü'.repeat(127))).status, 201)
    const mlflow = async (method: string, path: string, body: unknown) =>
      await fetch(`${plane.url}/api/2.0/${path}`, { method, body: body instanceof Uint8Array ? (body as never) : JSON.stringify(body) })
    const { run } = (await (await mlflow('POST', 'mlflow/runs/create', { experiment_id: '0' })).json()) as {
      run: { info: { run_id: string } }
    }
    const artifacts = `mlflow-artifacts/artifacts/0/${run.info.run_id}/artifacts`
    for (const path of ['m/a', 'm/a/b']) assert.equal((await mlflow('PUT', `${artifacts}/${path}`, bytes)).status, 200, path)
    const made = await mlflow('POST', 'mlflow/model-versions/create', { name: 'm', source: `runs:/${run.info.run_id}/m` })
    assert.equal(made.status, 400, await made.text())
    assert.equal((await mlflow('PUT', `${artifacts}/${'n'.repeat(300)}`, bytes)).status, 400)
  })
})
