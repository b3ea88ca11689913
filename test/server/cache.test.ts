import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { addingModel, QUESTION, WIDTH } from '../adding-models.ts'
import { CUSTOMER, post, serveExamples } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { startServer } from '../../src/server/start-server.ts'
import type { Answer } from '../fixtures.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const CACHED = { instances: 1, inlineMaxUs: 0, cacheMb: 1 } as const

function serve(folder: TemporaryFolder): Promise<SlipwayServer> {
  return startServer({ models: [{ path: `${folder.path}/m` }], port: 0, serving: CACHED })
}

function question(first: number, more: Record<string, unknown> = {}): object {
  return { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, WIDTH], data: [first, 2, 3, 4] }], ...more }
}

function infer(server: SlipwayServer, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  return post(`${server.url}/v2/models/m/infer`, body, headers)
}

function firstNumber({ body }: Answer): number | undefined {
  return (body['outputs'] as { data: number[] }[])[0]?.data[0]
}

/** Samples of the metrics of caches and runs, by name and the labels that tell them apart. */
async function counts(server: SlipwayServer): Promise<Record<string, number>> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const found: Record<string, number> = {}
  for (const line of text.split('\n')) {
    const match = /^slipway_(cache_\w+|runs_total|rows_total)\{(.*)\} (\S+)$/.exec(line)
    if (match === null) continue
    const labels = [/version="(\w+)"/, /result="(\w+)"/, /instance="(\w+)"/].map((label) => label.exec(match[2]!)?.[1] ?? '')
    found[`${match[1]} ${labels.join(' ')}`.trimEnd()] = Number(match[3])
  }
  return found
}

describe('a server whose model has a cache', () => {
  it('answers an equal question again without a run, and says so in header and metrics', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(10))
    await using server = await serve(folder)
    const runsBefore = (await counts(server))['runs_total 1  pool'] ?? 0
    const answers: Answer[] = []
    for (const first of [1, 1, 5, 1, 5]) answers.push(await infer(server, question(first)))
    assert.deepEqual(
      answers.map((answer) => [answer.status, firstNumber(answer), answer.headers.get('slipway-cache')]),
      [
        [200, 11, 'miss'],
        [200, 11, 'hit'],
        [200, 15, 'miss'],
        [200, 11, 'hit'],
        [200, 15, 'hit'],
      ],
    )
    const after = await counts(server)
    assert.equal((after['runs_total 1  pool'] ?? 0) - runsBefore, 2)
    assert.deepEqual(
      [after['cache_requests_total 1 hit'], after['cache_requests_total 1 miss'], after['cache_requests_total 1 shared']],
      [3, 2, undefined],
    )
    assert.deepEqual([after['cache_entries 1'], after['cache_evictions_total 1']], [2, 0])
    assert.equal(after['rows_total 1'], 5, 'rows that were answered, from wherever')
    const bytes = after['cache_bytes 1'] ?? 0
    assert.ok(bytes >= 2 * 2 * WIDTH * 4 && bytes < 1024 * 1024, String(bytes))
  })

  it('every caller gets its own ids, whoever asked first', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(10))
    await using server = await serve(folder)
    const ask = (name: string): Promise<Answer> => infer(server, question(1, { id: `body-${name}` }), { 'x-request-id': `header-${name}` })
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    const answers = [await ask('first'), ...(await Promise.all(names.map(ask)))]
    for (const [index, name] of ['first', ...names].entries()) {
      const { body, headers } = answers[index]!
      assert.deepEqual([body['id'], headers.get('x-request-id'), body['model_version']], [`body-${name}`, `header-${name}`, '1'])
      assert.equal(headers.get('slipway-cache'), index === 0 ? 'miss' : 'hit')
    }
    const plain = await infer(server, question(1))
    assert.deepEqual([plain.body['id'], plain.headers.get('slipway-cache')], [undefined, 'hit'])
    assert.notEqual(plain.headers.get('x-request-id'), (await infer(server, question(1))).headers.get('x-request-id'))
  })

  it('equal questions at one time are one run, however many ask', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(10))
    await using server = await serve(folder)
    const runsBefore = (await counts(server))['runs_total 1  pool'] ?? 0
    const answers = await Promise.all(Array.from({ length: 50 }, () => infer(server, question(3))))
    for (const answer of answers) assert.deepEqual([answer.status, firstNumber(answer)], [200, 13])
    const after = await counts(server)
    assert.equal((after['runs_total 1  pool'] ?? 0) - runsBefore, 1)
    const by = (result: string): number => after[`cache_requests_total 1 ${result}`] ?? 0
    assert.deepEqual([by('miss'), by('hit') + by('shared')], [1, 49])
  })

  it('the same numbers in another shape, and other outputs or parameters, are other questions', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(10))
    await using server = await serve(folder)
    const two = [1, 2, 3, 4, 5, 6, 7, 8]
    const tensor = (rows: number, data: readonly number[]): object => ({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [rows, WIDTH], data }],
    })
    const bodies = [
      tensor(2, two),
      tensor(1, two.slice(0, 4)),
      question(1, { parameters: { seed: 1 } }),
      question(1, { parameters: { seed: 2 } }),
    ]
    for (const body of bodies) assert.equal((await infer(server, body)).headers.get('slipway-cache'), 'miss')
    const named = await infer(server, { ...question(1), outputs: [{ name: 'y' }] })
    assert.deepEqual([firstNumber(named), named.headers.get('slipway-cache')], [11, 'hit'], 'all outputs, by name or not')
    const wrong = await infer(server, tensor(4, two))
    assert.deepEqual([wrong.status, wrong.headers.get('slipway-cache')], [400, null])
    const answer = await infer(server, tensor(2, two))
    assert.deepEqual(
      [answer.headers.get('slipway-cache'), (answer.body['outputs'] as { data: number[] }[])[0]?.data],
      ['hit', two.map((value) => value + 10)],
    )
  })

  it('another version begins with nothing: no answer of the old one is ever given again', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(10))
    await using server = await serve(folder)
    for (const how of ['miss', 'hit']) {
      const answer = await infer(server, QUESTION)
      assert.deepEqual([firstNumber(answer), answer.headers.get('slipway-cache')], [11, how])
    }
    await folder.write('m/2/model.onnx', addingModel(20))
    await server.repository.rescan(true)
    for (const how of ['miss', 'hit']) {
      const answer = await infer(server, QUESTION)
      assert.deepEqual([firstNumber(answer), answer.body['model_version'], answer.headers.get('slipway-cache')], [21, '2', how])
    }
    const after = await counts(server)
    assert.deepEqual([after['cache_requests_total 1 hit'], after['cache_requests_total 2 hit']], [1, 1])
    assert.deepEqual([after['cache_entries 1'], after['cache_entries 2']], [undefined, 1], 'gauges are of what is served')
  })

  it('the friendly dialect too, whatever the order of the fields', async () => {
    await using server = await serveExamples(['churn'], { serving: CACHED })
    const first = await post(`${server.url}/predict`, CUSTOMER)
    const turned = Object.fromEntries(Object.entries(CUSTOMER).toReversed())
    const second = await post(`${server.url}/predict`, turned, { 'x-request-id': 'mine' })
    const other = await post(`${server.url}/predict`, { ...CUSTOMER, support_calls: 0 })
    assert.deepEqual(
      [first, second, other].map(({ headers, status }) => [status, headers.get('slipway-cache')]),
      [
        [200, 'miss'],
        [200, 'hit'],
        [200, 'miss'],
      ],
    )
    assert.deepEqual(second.body, first.body)
    assert.equal(second.headers.get('x-request-id'), 'mine')
    assert.notDeepEqual(other.body, first.body)
  })

  it('without the option there is no cache, and no word of one', async () => {
    await using server = await serveExamples(['churn'], { serving: { ...CACHED, cacheMb: 0 } })
    for (let left = 2; left > 0; left--) assert.equal((await post(`${server.url}/predict`, CUSTOMER)).headers.get('slipway-cache'), null)
    assert.deepEqual(
      Object.keys(await counts(server)).filter((name) => name.startsWith('cache_')),
      [],
    )
  })
})
