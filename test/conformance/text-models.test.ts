/** Encoders and classifiers of texts, served, beside what onnxruntime and the package `tokenizers` make of the same texts in Python. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { packageDigest, readPackage } from '../../src/model/package.ts'
import { startServer } from '../../src/server/start-server.ts'
import { post } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'

const NAMES = ['encoder', 'encoder-cls', 'encoder-max', 'encoder-tokens', 'encoder-short', 'left', 'careless', 'classifier'] as const

interface Told extends Record<(typeof NAMES)[number], unknown[]> {
  readonly texts: readonly string[]
  readonly pairs: readonly (readonly [string, string])[]
  readonly 'of pairs': readonly (readonly number[])[]
}

/** What pads may change: kernels sum in another order. */
const TOLERANCE = 1e-5

describe('models of texts', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let server: SlipwayServer
  let told: Told
  before(async () => {
    folder = await temporaryFolder()
    await promisify(execFile)(await pythonEnv('text'), [join(import.meta.dirname, 'text_models.py'), folder.path])
    told = JSON.parse(await readFile(join(folder.path, 'told.json'), 'utf8')) as Told
    server = await startServer({ models: [{ path: folder.path }], port: 0 })
  })
  after(async () => {
    await server?.close()
    await folder?.[Symbol.asyncDispose]()
  })

  const predict = async (name: string, body: unknown, headers: Record<string, string> = {}): ReturnType<typeof post> =>
    await post(`${server.url}/models/${name}/predict`, body, headers)
  const valueOf = (answer: Record<string, unknown>): unknown =>
    answer['probabilities'] === undefined ? answer['prediction'] : Object.values(answer['probabilities'] as object)

  for (const name of NAMES)
    it(`${name}: texts together, each alone, and many at once are answered as in Python`, async () => {
      const expected = told[name]
      const together = await predict(name, { text: told.texts })
      assert.equal(together.status, 200, JSON.stringify(together.body))
      const predictions = together.body['predictions'] as Record<string, unknown>[]
      close(predictions.map(valueOf), expected, name)
      const alone = await Promise.all(told.texts.map((text) => predict(name, { text })))
      close(
        alone.map(({ body }) => valueOf(body)),
        expected,
        name,
      )
    })

  it('a classifier answers the label of config.json and how sure it is', async () => {
    const { body } = await predict('classifier', { text: told.texts[4] })
    const probabilities = told.classifier[4] as readonly number[]
    const best = probabilities.indexOf(Math.max(...probabilities))
    assert.equal(body['prediction'], ['late', 'thanks', 'other'][best])
    assert.ok(Math.abs((body['confidence'] as number) - probabilities[best]!) < TOLERANCE)
  })

  it('rows may be texts, objects, or a table, and two texts may belong together', async () => {
    const [first, second] = told.texts as readonly [string, string]
    const wanted = told.classifier.slice(0, 2)
    for (const body of [
      { inputs: [{ text: first }, { text: second }] },
      [{ text: first }, { text: second }],
      { inputs: [first, second] },
      [first, second],
      { inputs: { text: [first, second] } },
      [[first], [second]],
    ]) {
      const answer = await predict('classifier', body)
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      close((answer.body['predictions'] as Record<string, unknown>[]).map(valueOf), wanted, JSON.stringify(body))
    }
    const csv = await fetch(`${server.url}/models/classifier/predict`, {
      method: 'POST',
      headers: { 'content-type': 'text/csv' },
      body: `text\r\n"${first}"\r\n${second}\r\n`,
    })
    close(((await csv.json()) as { predictions: Record<string, unknown>[] }).predictions.map(valueOf), wanted, 'csv')
    const pairs = told.pairs
    for (const body of [
      pairs.map(([text, pair]) => ({ text, text_pair: pair })),
      { text: pairs.map(([text]) => text), text_pair: pairs.map(([, pair]) => pair) },
      pairs.map(([text, pair]) => [text, pair]),
    ]) {
      const answer = await predict('classifier', body)
      close((answer.body['predictions'] as Record<string, unknown>[]).map(valueOf), told['of pairs'], JSON.stringify(answer.body))
    }
  })

  it('refuses what is no text, naming each place', async () => {
    const { status, body } = await predict('encoder-refusing', [
      { text: 3 },
      { text: 'fine' },
      {},
      { text: 'a '.repeat(12) },
      { text: 'é'.repeat(101) },
      { text: 'fine', language: 'en' },
    ])
    assert.equal(status, 400)
    const issues = body['issues'] as { path: string; message: string }[]
    assert.deepEqual(
      issues.map(({ path, message }) => `${path}: ${message}`),
      [
        'inputs[5].language: the model has no such feature',
        'inputs[0].text: expected a text, found 3',
        'inputs[2].text: missing; expected a text',
        'inputs[3].text: has more than the 9 tokens that the model takes',
        'inputs[4].text: has 202 B, at most 200 B are allowed (text.bytesMax)',
      ],
    )
    const half = await predict('encoder', '{"text": "\\ud83d"}')
    assert.deepEqual([half.status, /half of a character/.test(JSON.stringify(half.body))], [400, true])
    const uneven = await predict('encoder', { text: ['a', 'b'], text_pair: ['c'] })
    assert.deepEqual([uneven.status, /expected a list of 2 texts/.test(JSON.stringify(uneven.body))], [400, true])
  })

  it('token ids are taken as before over V2, whatever the texts are', async () => {
    const metadata = (await (await fetch(`${server.url}/v2/models/encoder`)).json()) as { inputs: unknown[] }
    assert.deepEqual(metadata.inputs, [
      { name: 'input_ids', datatype: 'INT64', shape: [-1, -1] },
      { name: 'attention_mask', datatype: 'INT64', shape: [-1, -1] },
      { name: 'token_type_ids', datatype: 'INT64', shape: [-1, -1] },
    ])
    const tensor = (name: string, data: readonly number[]): object => ({ name, datatype: 'INT64', shape: [1, data.length], data })
    const { status, body } = await post(`${server.url}/v2/models/encoder/infer`, {
      inputs: [tensor('input_ids', [2, 9, 3]), tensor('attention_mask', [1, 1, 1]), tensor('token_type_ids', [0, 0, 0])],
    })
    assert.equal(status, 200)
    assert.deepEqual((body['outputs'] as { shape: number[] }[])[0]!.shape, [1, 3, 32])
  })

  it('a text of 100 kB is read in a thread, cut to what the model takes, and delays no short one for long', async () => {
    const long = Array.from({ length: 20_000 }, (_, index) => told.texts[5]!.split(' ')[index % 13]).join(' ')
    assert.ok(long.length > 80_000)
    const first = await predict('encoder', { text: long })
    assert.equal(first.status, 200)
    const again = await Promise.all(Array.from({ length: 6 }, () => predict('encoder', { text: long })))
    for (const { body } of again) close(body['prediction'], first.body['prediction'], 'long')
    const short = await predict('encoder', { text: told.texts[0] })
    close(short.body['prediction'], told.encoder[0], 'short')
  })

  it('a model that takes more than texts takes tensors, and says why', async () => {
    const answer = await predict('mixed', { input_ids: [2, 3], weights_of_words: [1, 2] })
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    const refused = await predict('mixed', { text: 'x' })
    assert.equal(refused.status, 400)
  })

  it('the tokenizer is part of what a version is', async () => {
    const digest = async (): Promise<string> =>
      packageDigest(await readPackage({ name: 'm', version: '1', path: join(folder.path, 'encoder') }))
    const path = join(folder.path, 'encoder', 'tokenizer.json')
    const [before, content] = [await digest(), await readFile(path, 'utf8')]
    await writeFile(path, content.replace('"max_length":120', '"max_length":119').replace('"max_length": 120', '"max_length": 119'))
    assert.notEqual(await digest(), before)
    await writeFile(path, content)
    assert.equal(await digest(), before)
    // What is loaded is asked as it was.
    const { body } = await predict('encoder', { text: told.texts[0] })
    close(body['prediction'], told.encoder[0], 'encoder')
  })

  it('/docs describes the texts, and its example is one that is answered', async () => {
    const example = (await (await fetch(`${server.url}/models/classifier/example`)).json()) as object
    assert.deepEqual(Object.keys(example), ['text'])
    assert.equal((await predict('classifier', example)).status, 200)
    const openapi = await (await fetch(`${server.url}/openapi.json`)).text()
    assert.match(openapi, /"text":\{"type":"string"\}/)
  })
})

function close(actual: unknown, expected: unknown, what: string): void {
  if (Array.isArray(expected)) {
    assert.ok(Array.isArray(actual), `${what}: ${JSON.stringify(actual)}`)
    assert.equal(actual.length, expected.length, what)
    for (const [index, one] of expected.entries()) close(actual[index], one, `${what}[${index}]`)
  } else
    assert.ok(Math.abs((actual as number) - (expected as number)) <= TOLERANCE, `${what}: ${String(actual)} is not ${String(expected)}`)
}
