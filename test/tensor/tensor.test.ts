import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  allocateRequestFloats,
  concatRows,
  copyTensor,
  elementAt,
  elementCount,
  sliceRows,
  tensorBytes,
  toNumbers,
} from '../../src/tensor/tensor.ts'
import { generateSample } from '../../src/tensor/sample.ts'
import { ALL_DATATYPES, contents, tensorOf } from './values.ts'
import type { TensorSpec } from '../../src/tensor/tensor.ts'

describe('tensors', () => {
  it('rows that are cut apart and joined again are the tensor they came from', () =>
    fc.assert(
      fc.property(
        fc.constantFrom(...ALL_DATATYPES),
        fc.nat(9),
        fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 2 }),
        fc.array(fc.nat(9)),
        (datatype, rows, inner, cuts) => {
          const tensor = tensorOf(datatype, [rows, ...inner])
          const edges = [0, ...cuts.map((cut) => Math.min(cut, rows)).toSorted((a, b) => a - b), rows]
          const parts = edges.slice(1).map((end, index) => sliceRows(tensor, edges[index]!, end))
          for (const part of parts) assert.equal(part.data.length, elementCount(part.shape))
          assert.deepEqual(contents(concatRows(parts)), contents(tensor))
        },
      ),
      { numRuns: 300 },
    ))

  it('a joined or copied tensor shares no memory with its source', () => {
    const source = tensorOf('FP32', [2, 2])
    for (const copy of [concatRows([source]), copyTensor(sliceRows(source, 0, 1))]) {
      assert.notEqual((copy.data as Float32Array).buffer, (source.data as Float32Array).buffer)
      assert.equal((copy.data as Float32Array).byteLength, (copy.data as Float32Array).buffer.byteLength)
    }
  })

  it('floats of many small requests never share elements', () => {
    const pieces = Array.from({ length: 500 }, (_, index) => allocateRequestFloats(index).fill(index))
    for (const [index, piece] of pieces.entries()) assert.ok(piece.length === index && piece.every((value) => value === index))
    assert.equal(allocateRequestFloats(100_000).length, 100_000)
  })

  it('elements show as people write them', () => {
    const at = (datatype: Parameters<typeof tensorOf>[0], data: Parameters<typeof elementAt>[0]['data']): unknown =>
      elementAt({ name: 'x', datatype, shape: [1], data }, 0)
    assert.equal(at('BOOL', Uint8Array.of(1)), true)
    assert.equal(at('FP16', Uint16Array.of(0x3e00)), 1.5)
    assert.equal(at('BF16', Uint16Array.of(0x3fc0)), 1.5)
    assert.equal(at('INT64', BigInt64Array.of(-5n)), -5)
    assert.equal(at('INT64', BigInt64Array.of(2n ** 60n)), 2n ** 60n)
    assert.equal(at('BYTES', ['a']), 'a')
    assert.deepEqual(Array.from(toNumbers({ name: 'x', datatype: 'UINT64', shape: [1], data: BigUint64Array.of(7n) })), [7])
  })

  it('the size in memory counts every element', () => {
    assert.equal(tensorBytes(tensorOf('FP64', [3])), 24)
    assert.ok(tensorBytes({ name: 'x', datatype: 'BYTES', shape: [1], data: ['a'.repeat(1000)] }) >= 1000)
  })

  it('generated samples fit their specs and ranges, and their rows differ', () => {
    const specs: TensorSpec[] = ALL_DATATYPES.map((datatype) => ({ name: datatype, datatype, shape: [-1, 2, -1], dimensionNames: [] }))
    const samples = generateSample(
      specs,
      5,
      new Map([
        ['FP32', { minimum: 10, maximum: 11 }],
        ['INT8', { minimum: -3, maximum: -2 }],
      ]),
    )
    for (const [index, { data, datatype, shape }] of samples.entries()) {
      assert.equal(datatype, ALL_DATATYPES[index])
      assert.deepEqual(shape, [5, 2, 2])
      assert.equal(data.length, 20)
      assert.ok(new Set<unknown>(data).size > 1, datatype)
    }
    const values = (name: string): number[] => Array.from(toNumbers(samples.find((sample) => sample.name === name)!))
    assert.ok(values('FP32').every((value) => value >= 10 && value <= 11))
    assert.ok(values('INT8').every((value) => value === -3 || value === -2))
  })
})
