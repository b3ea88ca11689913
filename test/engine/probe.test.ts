import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openInline } from '../../src/engine/inline.ts'
import { probe } from '../../src/engine/probe.ts'
import { inspectOnnx } from '../../src/onnx/inspect.ts'
import { generateSample } from '../../src/tensor/sample.ts'
import { buildModel, closing, floats, instanceSpec, linearModel, node, value, weights } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Probe } from '../../src/engine/probe.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

async function probed(bytes: Uint8Array, sample?: (rows: number) => Tensor[], gentle = false): Promise<Probe> {
  await using folder = await temporaryFolder()
  const model = await inspectOnnx(await folder.write('model.onnx', bytes))
  await using instance = closing(await openInline(instanceSpec(model)))
  const { inputs } = model
  return await probe({
    instance,
    inputs,
    outputs: model.outputs.map(({ name }) => name),
    sample: sample ?? ((rows) => generateSample(inputs, rows)),
    maxBatchSize: 32,
    gentle,
  })
}

const x = value('x', 'FP32', ['batch', 4])
const y = value('y', 'FP32', ['batch', 4])
const one = (
  opType: string,
  attributes: Parameters<typeof node>[3] = {},
  more: Partial<Parameters<typeof buildModel>[0]> = {},
): Uint8Array => buildModel({ input: [x], output: [y], node: [node(opType, ['x'], ['y'], attributes)], ...more })

describe('the probe at load', () => {
  it('finds that a model treats rows one by one, what a row costs, and its shape', async () => {
    const found = await probed(linearModel())
    assert.deepEqual([found.batchable, found.reason], [true, 'runs with 1, 2 and 3 rows agree'])
    assert.ok(found.cost !== undefined && found.cost.fixedUs >= 0 && found.cost.perRowUs >= 0)
    assert.deepEqual([...found.rowShapes], [['y', [1]]])
  })

  it('beside others that serve, times nothing for its own sake, and knows the cost from them', async () => {
    let rows = 0
    let runs = 0
    const sample = (count: number): Tensor[] => {
      runs++
      rows += count
      return [{ name: 'x', datatype: 'FP32', shape: [count, 4], data: Float32Array.from({ length: count * 4 }, (_, index) => index) }]
    }
    const gentle = await probed(one('Relu'), sample, true)
    assert.equal(gentle.batchable, true)
    assert.ok(gentle.cost !== undefined && gentle.cost.fixedUs + gentle.cost.perRowUs > 0)
    assert.ok(runs <= 2 && rows <= 4, `${runs} samples of ${rows} rows`)
  })

  it('believes runs, not declared shapes: a wrong declaration does not matter', async () => {
    for (const declared of [
      [1, 4],
      ['other', 'names'],
      [7, 4],
    ] as const) {
      const { batchable, reason } = await probed(one('Relu', {}, { output: [value('y', 'FP32', declared)] }))
      assert.deepEqual([batchable, reason], [true, 'runs with 1, 2 and 3 rows agree'], declared.join())
    }
  })

  it('text and integers are compared exactly', async () => {
    const found = await probed(
      buildModel({
        input: [value('t', 'BYTES', [-1]), value('n', 'INT64', [-1, 2])],
        output: [value('u', 'BYTES', [-1]), value('m', 'INT64', [-1, 2])],
        node: [node('Identity', ['t'], ['u']), node('Abs', ['n'], ['m'])],
      }),
    )
    assert.equal(found.batchable, true)
  })

  it('a model with a fixed number of rows, a scalar or no input at all is not batched', async () => {
    for (const [input, reason] of [
      [value('x', 'FP32', [2, 4]), 'dimension 0 of input "x" is fixed at 2'],
      [value('x', 'FP32', []), 'dimension 0 of input "x" is fixed (a scalar)'],
    ] as const) {
      const found = await probed(one('Relu', {}, { input: [input], output: [value('y', 'FP32')] }))
      assert.deepEqual([found.batchable, found.reason], [false, reason])
      assert.ok(found.cost !== undefined)
    }
    const constant = await probed(
      buildModel({
        input: [],
        output: [value('y', 'FP32', [1])],
        node: [node('Identity', ['k'], ['y'])],
        initializer: [floats('k', [1], 1)],
      }),
    )
    assert.deepEqual([constant.batchable, constant.reason], [false, 'the model has no inputs'])
  })

  it('a model that mixes rows is not batched, and the reason names the output', async () => {
    const cases: [Uint8Array, RegExp][] = [
      [one('Softmax', { axis: 0n }), /output "y" of 2 rows differs from single runs/],
      [
        one(
          'CumSum',
          {},
          { node: [node('CumSum', ['x', 'axis'], ['y'])], initializer: [weights('axis', 'INT64', [], BigInt64Array.of(0n))] },
        ),
        /output "y" of 2 rows differs from single runs/,
      ],
      [one('ReduceMean', { axes: [0n], keepdims: 1n }), /output "y" has shape \[1, 4\] for 2 rows/],
      [one('ReduceMean', { axes: [0n], keepdims: 0n }), /output "y" has shape \[4\] for 1 rows?/],
      [one('Transpose', { perm: [1n, 0n] }), /output "y" has shape \[4, 1\] for 1 rows?/],
      [
        one('MatMul', {}, { node: [node('Transpose', ['x'], ['t']), node('MatMul', ['x', 't'], ['y'])] }),
        /the row shape of output "y" changes with the number of rows/,
      ],
    ]
    for (const [bytes, reason] of cases) {
      const found = await probed(bytes)
      assert.equal(found.batchable, false)
      assert.match(found.reason, reason)
      assert.ok(found.cost !== undefined)
    }
  })

  it('one output that mixes rows is enough', async () => {
    const found = await probed(
      buildModel({
        input: [x],
        output: [y, value('z', 'FP32', ['batch', 4])],
        node: [node('Relu', ['x'], ['y']), node('Softmax', ['x'], ['z'], { axis: 0n })],
      }),
    )
    assert.equal(found.batchable, false)
    assert.match(found.reason, /output "z"/)
  })

  it('a model that answers at random is not batched', async () => {
    const random: [string, Uint8Array][] = [
      ['RandomNormalLike', one('RandomNormalLike')],
      ['RandomUniformLike', one('RandomUniformLike')],
      [
        'Bernoulli',
        one(
          'Bernoulli',
          {},
          {
            node: [node('Mul', ['x', 'zero'], ['none']), node('Add', ['none', 'half'], ['p']), node('Bernoulli', ['p'], ['y'])],
            initializer: [floats('zero', [1], 0), floats('half', [1], 0.5)],
            input: [value('x', 'FP32', [-1, 400])],
            output: [value('y', 'FP32', [-1, 400])],
          },
        ),
      ],
    ]
    for (const [name, bytes] of random) {
      const found = await probed(bytes)
      assert.deepEqual(
        [found.batchable, found.reason],
        [false, 'output "y" of 1 rows differs from single runs (the model answers at random)'],
        name,
      )
    }
  })

  it('small differences of floats are not differences of rows', async () => {
    const wide = buildModel({
      input: [value('x', 'FP32', [-1, 257])],
      output: [value('y', 'FP32', [-1, 33])],
      node: [node('MatMul', ['x', 'w'], ['y'])],
      initializer: [floats('w', [257, 33], ...Array.from({ length: 257 * 33 }, (_, index) => Math.sin(index)))],
    })
    assert.equal((await probed(wide)).batchable, true)
  })

  it('a model that refuses generated inputs is not batched, says why, and is not refused itself', async () => {
    const gather = (input: ReturnType<typeof value>): Uint8Array =>
      buildModel({
        input: [input],
        output: [value('y', 'FP32')],
        node: [node('Gather', ['table', 'at'], ['y'])],
        initializer: [floats('table', [3], 1, 2, 3)],
      })
    const at = (rows: number, values: readonly bigint[]): Tensor[] => [
      {
        name: 'at',
        datatype: 'INT64',
        shape: [rows],
        data: BigInt64Array.from({ length: rows }, (_, index) => values[index % values.length]!),
      },
    ]
    const free = await probed(gather(value('at', 'INT64', [-1])), (rows) => at(rows, [9n]))
    assert.deepEqual([free.batchable, free.cost], [false, undefined])
    assert.match(free.reason, /the probe with generated inputs failed \(.*; examples in slipway\.yaml give it real ones/)
    const fixed = await probed(gather(value('at', 'INT64', [1])), () => at(1, [9n]))
    assert.deepEqual([fixed.batchable, fixed.cost], [false, undefined])
    assert.match(fixed.reason, /at/)
  })

  it('a refusal that only a larger timing run meets does not spoil what is known', async () => {
    const bytes = buildModel({
      input: [value('at', 'INT64', [-1])],
      output: [value('y', 'FP32', [-1])],
      node: [node('Gather', ['table', 'at'], ['y'])],
      initializer: [floats('table', [3], 1, 2, 3)],
    })
    const found = await probed(bytes, (rows) => [
      { name: 'at', datatype: 'INT64', shape: [rows], data: BigInt64Array.from({ length: rows }, (_, index) => BigInt(index)) },
    ])
    assert.equal(found.batchable, true)
    assert.ok(found.cost !== undefined)
  })
})
