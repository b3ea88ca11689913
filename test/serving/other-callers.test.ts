/** One caller never changes the answer to another: a model in which rows of a batch are not independent is not batched. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { ask } from '../asking.ts'
import { serveInChild } from '../child-server.ts'
import { buildModel, floats, node, value } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** The larger of two numbers, after a dynamic quantisation: beside a row of huge numbers all others look like zero. */
const QUANTISED = buildModel({
  input: [value('x', 'FP32', ['batch', 2])],
  output: [value('label', 'INT64', ['batch'])],
  node: [
    node('DynamicQuantizeLinear', ['x'], ['q', 's', 'z']),
    node('DequantizeLinear', ['q', 's', 'z'], ['d']),
    node('Add', ['d', 'b'], ['e']),
    node('ArgMax', ['e'], ['label'], { axis: 1n, keepdims: 0n }),
  ],
  initializer: [floats('b', [2], 0.001, 0)],
})

it('a dynamically quantised model answers each caller as if nobody else had asked', { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder()
  await folder.write('m/model.onnx', QUANTISED)
  await using server = await serveInChild([join(folder.path, 'm'), '--inline-max-us', '0', '--instances', '1'])
  const labelOf = async (...row: number[]): Promise<number> => {
    const body = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: row }] })
    const { status, text } = await ask(`${server.url}/v2/models/m/infer`, { method: 'POST', body })
    assert.equal(status, 200, text)
    return JSON.parse(text).outputs[0].data[0] as number
  }
  for (let round = 0; round < 20; round++) {
    const labels = await Promise.all([labelOf(1e4, 1), ...Array.from({ length: 31 }, () => labelOf(1, 3))])
    assert.deepEqual(
      labels.slice(1),
      Array.from({ length: 31 }, () => 1),
    )
  }
  assert.match(server.said(), /not batched: DynamicQuantizeLinear computes one scale/)
})

it('with batching: on the operator is told, and rows are joined all the same', { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder()
  await folder.write('m/model.onnx', QUANTISED)
  await folder.write('m/slipway.yaml', 'apiVersion: slipway/v1\nkind: Model\nserving:\n  batching: on\n  inlineMaxUs: 0\n')
  await using server = await serveInChild([join(folder.path, 'm'), '--instances', '1'])
  const body = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 3] }] })
  await Promise.all(Array.from({ length: 64 }, () => ask(`${server.url}/v2/models/m/infer`, { method: 'POST', body })))
  const { text } = await ask(`${server.url}/metrics`)
  const [, runs] = /^slipway_batch_rows_count\{[^}]*\} (\d+)$/m.exec(text) ?? []
  assert.ok(Number(runs) < 64, `${runs} runs for 64 requests`)
})
