import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { checkTensors } from '../../src/signature/tensors.ts'
import { fp32, refused, shown, signatureOf, spec } from './signature-of.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

const two = signatureOf({ inputs: [spec('a', 'FP32', [-1, 2]), spec('b', 'INT64', [-1])] })
const int64 = (name: string, ...values: bigint[]): Tensor => ({
  name,
  datatype: 'INT64',
  shape: [values.length],
  data: BigInt64Array.from(values),
})

describe('raw tensors', () => {
  it('may come in any order, and are arranged as the model wants them', () => {
    const a = fp32('a', [2, 2], 1, 2, 3, 4)
    for (const given of [
      [a, int64('b', 1n, 2n)],
      [int64('b', 1n, 2n), a],
    ]) {
      const { inputs, rows, warnings } = checkTensors(two, given)
      assert.deepEqual([rows, warnings], [2, []])
      assert.deepEqual(shown(inputs), shown([a, int64('b', 1n, 2n)]))
    }
  })

  it('missing, unknown and doubled inputs, datatypes, shapes and rows that differ are refused', () => {
    const cases: [Tensor[], Record<string, string>][] = [
      [[fp32('a', [1, 2], 1, 2)], { 'inputs.b': '^missing; expected INT64 \\[-1\\]' }],
      [[fp32('a', [1, 2], 1, 2), int64('c', 1n)], { 'inputs.c': 'no such input; it has a, b', 'inputs.b': 'missing' }],
      [[int64('b', 1n), int64('b', 1n), fp32('a', [1, 2], 1, 2)], { 'inputs.b': 'given twice' }],
      [[fp32('a', [1, 2], 1, 2), fp32('b', [1], 1)], { 'inputs.b': 'is FP32, expected INT64' }],
      [[fp32('a', [1, 3], 1, 2, 3), int64('b', 1n)], { 'inputs.a': 'has shape \\[1, 3\\], expected \\[-1, 2\\]' }],
      [[fp32('a', [2], 1, 2), int64('b', 1n)], { 'inputs.a': 'has shape \\[2\\]' }],
      [[fp32('a', [2, 2], 1, 2, 3, 4), int64('b', 1n)], { 'inputs.b': 'has 1 rows, "a" has 2' }],
    ]
    for (const [given, issues] of cases) assert.throws(() => checkTensors(two, given), refused('SLW_INPUT_INVALID', issues))
  })

  it('a tensor whose data is not as long as its shape says is refused, so that it takes nothing from its neighbours in a batch', () => {
    for (const values of [
      [1, 2, 3],
      [1, 2, 3, 4, 5],
    ]) {
      assert.throws(() => checkTensors(two, [fp32('a', [2, 2], ...values), int64('b', 1n, 2n)]), refused('SLW_INPUT_INVALID', /inputs\.a/))
    }
  })

  it('an input with a default may be left out, and gets memory of its own', () => {
    const fallback = fp32('k', [1], 7)
    const signature = signatureOf({ inputs: [spec('x', 'FP32', [-1]), spec('k', 'FP32', [1])], defaults: [fallback] })
    const { inputs } = checkTensors(signature, [fp32('x', [2], 1, 2)])
    assert.deepEqual(shown(inputs), shown([fp32('x', [2], 1, 2), fallback]))
    assert.notEqual(inputs[1]!.data, fallback.data)
  })

  it('a model without rows counts as one row', () => {
    assert.equal(checkTensors(signatureOf({ inputs: [spec('x', 'FP32', [3, 2])] }), [fp32('x', [3, 2], 1, 2, 3, 4, 5, 6)]).rows, 1)
    assert.equal(checkTensors(signatureOf({ inputs: [spec('x', 'FP32', undefined)] }), [fp32('x', [3], 1, 2, 3)]).rows, 3)
  })

  it('ranges hold, also those of named features on their columns', () => {
    const ranged = signatureOf({ inputs: [spec('x', 'FP32', [-1, 2])] }, { inputs: [{ name: 'x', minimum: 0 }] })
    assert.throws(
      () => checkTensors(ranged, [fp32('x', [2, 2], 1, 2, 3, -1)]),
      refused('SLW_INPUT_INVALID', { 'inputs.x[3]': '-1 is outside 0 to Infinity' }),
    )
    const featured = signatureOf(
      { inputs: [spec('x', 'FP32', [-1, 2])] },
      {
        features: [
          { name: 'age', type: 'number', minimum: 0, maximum: 120 },
          { name: 'free', type: 'number', nan: 'warn' },
        ],
      },
    )
    assert.throws(
      () => checkTensors(featured, [fp32('x', [2, 2], 1, 1, 130, Number.NaN)]),
      refused('SLW_INPUT_INVALID', { 'inputs.x[1][0] (age)': '130 is outside 0 to 120' }),
    )
    assert.deepEqual(checkTensors(featured, [fp32('x', [1, 2], 1, Infinity)]).warnings, ['inputs.x[0][1] (free): Infinity'])
  })

  it('NaN is let through, warned of or refused, as the policy says', () => {
    const policy = (nanPolicy?: 'reject' | 'warn'): ReturnType<typeof checkTensors> =>
      checkTensors(signatureOf({ inputs: [spec('x', 'FP16', [-1])], ...(nanPolicy && { nanPolicy }) }), [
        { name: 'x', datatype: 'FP16', shape: [2], data: Uint16Array.of(0x3c00, 0x7e00) },
      ])
    assert.deepEqual(policy().warnings, [])
    assert.deepEqual(policy('warn').warnings, ['inputs.x[1]: NaN'])
    assert.throws(() => policy('reject'), refused('SLW_INPUT_INVALID', { 'inputs.x[1]': 'expected a finite number, found NaN' }))
  })
})
