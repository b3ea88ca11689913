/** A model whose native code ends the process it runs in is tried where that harms nobody, and every command says what happened. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { loadModel } from '../../src/library/load-model.ts'
import { addingModel, QUESTION } from '../adding-models.ts'
import { ask } from '../asking.ts'
import { serveInChild } from '../child-server.ts'
import { slipway } from '../cli/slipway.ts'
import { until } from '../fixtures.ts'
import { buildModel, node, value } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** Outputs without a name end ONNX Runtime 1.30 with a segmentation fault when it runs. */
const SPLIT = {
  input: [value('x', 'FP32', ['N', 20])],
  output: [value('y', 'FP32', ['N', 5])],
  node: [node('Split', ['x'], ['', 'y', '', ''], { axis: -1n, num_outputs: 4n })],
}
const CRASHES = buildModel({ ...SPLIT, opset: 18 })

it('commands and applications outlive the model, and name the signal', { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder()
  const path = await folder.write('crashes.onnx', CRASHES)
  const rows = await folder.write('rows.json', JSON.stringify([{ x: Array.from({ length: 20 }, () => 0) }]))
  for (const args of [
    ['inspect', path],
    ['predict', path, '--input', rows],
    ['bench', path, '--duration', '1s'],
    ['serve', path, '--port', '0'],
  ]) {
    const { code, stderr } = await slipway(args)
    assert.equal(code, 128 + 11, `${args[0]}: ${stderr}`)
    assert.match(stderr, /the model ended the process in which it was tried, by SIGSEGV/, args[0])
  }
  await assert.rejects(loadModel(path), { code: 'SLW_LOAD_FAILED', message: /SIGSEGV/ })
})

it('a command ends when the runtime refuses a model', { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder()
  const path = await folder.write('old.onnx', buildModel({ ...SPLIT, opset: 17 }))
  const { code, stderr } = await slipway(['inspect', path])
  assert.equal(code, 10, stderr)
  assert.match(stderr, /Unrecognized attribute: num_outputs/)
})

for (const processes of [1, 2])
  it(`a server goes on when one is put into its folder (${processes} process(es))`, { timeout: 60_000 }, async () => {
    await using folder = await temporaryFolder()
    await folder.write('root/good/1/model.onnx', addingModel(1))
    await using server = await serveInChild([join(folder.path, 'root'), '--poll-ms', '100', '--processes', String(processes)])
    await folder.write('root/bad/1/model.onnx', CRASHES)
    await until(async () => (await ask(`${server.url}/health`)).text.includes('SIGSEGV'), 'health says why it is not served')
    for (let request = 0; request < 20; request++)
      assert.equal((await ask(`${server.url}/v2/models/good/infer`, { method: 'POST', body: QUESTION })).status, 200)
  })
