import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isSlipwayError } from '../../src/core/errors.ts'
import { decodeBinary, encodeBinary } from '../../src/tensor/binary.ts'
import { sliceRows } from '../../src/tensor/tensor.ts'
import { ALL_DATATYPES, contents, smallShape, tensorOf } from './values.ts'

const refused =
  (message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(isSlipwayError(error), String(error))
    assert.equal(error.code, 'SLW_BAD_REQUEST')
    assert.match(error.message, message)
    return true
  }

describe('binary tensors', () => {
  it('every datatype comes back as it was sent', () =>
    fc.assert(
      fc.property(fc.constantFrom(...ALL_DATATYPES), smallShape, (datatype, shape) => {
        const tensor = tensorOf(datatype, shape)
        // The bytes of a request start anywhere.
        const bytes = Buffer.concat([Buffer.from([7]), encodeBinary(tensor)]).subarray(1)
        assert.deepEqual(contents({ ...tensor, data: decodeBinary(bytes, 'x', datatype, shape) }), contents(tensor))
      }),
      { numRuns: 400 },
    ))

  it('text of any kind comes back', () =>
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\0', ''))), (texts) => {
        const bytes = encodeBinary({ name: 'x', datatype: 'BYTES', shape: [texts.length], data: texts })
        assert.deepEqual(decodeBinary(bytes, 'x', 'BYTES', [texts.length]), texts)
      }),
    ))

  it('elements are little-endian; texts carry their length in bytes before them', () => {
    assert.deepEqual(
      encodeBinary({ name: 'x', datatype: 'INT32', shape: [2], data: Int32Array.of(1, -2) }),
      Buffer.from([1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]),
    )
    assert.deepEqual(
      encodeBinary({ name: 'x', datatype: 'BYTES', shape: [2], data: ['ü', ''] }),
      Buffer.from([2, 0, 0, 0, 0xc3, 0xbc, 0, 0, 0, 0]),
    )
    const rows = sliceRows({ name: 'x', datatype: 'FP32', shape: [3, 1], data: Float32Array.of(1, 2, 3) }, 1, 2)
    assert.deepEqual(encodeBinary(rows), Buffer.from(Float32Array.of(2).buffer))
  })

  it('any byte but 0 is true', () => {
    assert.deepEqual(decodeBinary(Buffer.from([0, 1, 2, 255]), 'x', 'BOOL', [4]), Uint8Array.of(0, 1, 1, 1))
  })

  it('decoded elements live in memory of their own', () => {
    const bytes = Buffer.from([1, 2])
    const data = decodeBinary(bytes, 'x', 'UINT8', [2])
    bytes.fill(9)
    assert.deepEqual(data, Uint8Array.of(1, 2))
  })

  it('bytes that do not make up the tensor are refused, with the input and both sizes', () => {
    const text = encodeBinary({ name: 'x', datatype: 'BYTES', shape: [2], data: ['abc', 'de'] })
    const cases: [() => unknown, RegExp][] = [
      [() => decodeBinary(Buffer.alloc(7), 'x', 'FP32', [2]), /input "x": FP32 \[2\] takes 8 bytes of binary data, found 7/],
      [() => decodeBinary(Buffer.alloc(9), 'x', 'FP32', [2]), /takes 8 bytes of binary data, found 9/],
      [() => decodeBinary(text.subarray(0, -1), 'x', 'BYTES', [2]), /input "x": element 1 says 2 bytes, 1 are left/],
      [() => decodeBinary(text.subarray(0, 9), 'x', 'BYTES', [2]), /element 1 of 2 is missing/],
      [() => decodeBinary(text, 'x', 'BYTES', [1]), /6 bytes are left over/],
      [() => decodeBinary(text, 'x', 'BYTES', [1_000_000_000]), /1000000000 BYTES elements do not fit in 13 bytes/],
      [() => decodeBinary(Buffer.from([0xff, 0xff, 0xff, 0xff]), 'x', 'BYTES', [1]), /element 0 says 4294967295 bytes, 0 are left/],
      [() => decodeBinary(Buffer.from([1, 0, 0, 0, 0xff]), 'x', 'BYTES', [1]), /element 0 is not UTF-8/],
      [() => decodeBinary(Buffer.from([1, 0, 0, 0, 0]), 'x', 'BYTES', [1]), /element 0 has a NUL character/],
    ]
    for (const [way, message] of cases) assert.throws(way, refused(message))
  })

  it('whatever the bytes, the answer is a tensor or a refusal', () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(...ALL_DATATYPES), smallShape, (bytes, datatype, shape) => {
        try {
          decodeBinary(bytes, 'x', datatype, shape)
        } catch (error) {
          refused(/input "x"/)(error)
        }
      }),
      { numRuns: 500 },
    ))
})
