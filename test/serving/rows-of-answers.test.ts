/** V2 answers that do not belong to the rows of the request are errors, as in the friendly dialect. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { ask } from '../asking.ts'
import { serveInChild } from '../child-server.ts'
import { buildModel, node, value } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'

it(
  'two rows out for three in are an error in both dialects; one row, and a fixed number of rows, are not',
  { timeout: 60_000 },
  async () => {
    await using folder = await temporaryFolder()
    const path = await folder.write(
      'words.onnx',
      buildModel({
        input: [value('text', 'BYTES', ['N'])],
        output: [value('y', 'BYTES', ['M'])],
        node: [node('StringNormalizer', ['text'], ['y'], { stopwords: ['the'], locale: 'C' })],
      }),
    )
    await using server = await serveInChild([path])
    const v2 = async (...data: string[]) =>
      await ask(`${server.url}/v2/models/words/infer`, {
        method: 'POST',
        body: JSON.stringify({ inputs: [{ name: 'text', datatype: 'BYTES', shape: [data.length], data }] }),
      })
    const three = await v2('the', 'cat', 'sat')
    assert.equal(three.status, 500, three.text)
    assert.match(three.text, /output \\"y\\" has shape \[2\] for 3 rows.*send one at a time/)
    assert.equal((await v2('a', 'cat')).status, 200)
    assert.equal((await v2('Cat')).status, 200)
    const friendly = await ask(`${server.url}/predict`, {
      method: 'POST',
      body: JSON.stringify([{ text: 'the' }, { text: 'cat' }, { text: 'sat' }]),
    })
    assert.equal(friendly.status, 500, friendly.text)
    for (const half of [String.raw`"\ud83d"`, String.raw`"a\udca1"`]) {
      const { status, text } = await ask(`${server.url}/predict`, { method: 'POST', body: `{"text": ${half}}` })
      assert.equal(status, 400, text)
      assert.match(text, /half of a character/)
    }
  },
)

it('an input that is called __proto__ is an input', { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder()
  const path = await folder.write(
    'odd.onnx',
    buildModel({
      input: [value('__proto__', 'FP32', ['N']), value('constructor', 'FP32', ['N'])],
      output: [value('y', 'FP32', ['N'])],
      node: [node('Add', ['__proto__', 'constructor'], ['y'])],
    }),
  )
  await using server = await serveInChild([path])
  const { status, text } = await ask(`${server.url}/predict`, { method: 'POST', body: '{"__proto__": 1, "constructor": 2}' })
  assert.deepEqual([status, JSON.parse(text).prediction], [200, 3], text)
})
