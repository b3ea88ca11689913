import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { tensorDataToJson, toJson } from '../../src/tensor/json-writer.ts'
import type { Datatype, TensorData } from '../../src/tensor/datatype.ts'

const write = (datatype: Datatype, data: TensorData): string => tensorDataToJson({ name: 'x', datatype, shape: [data.length], data })

describe('tensors written as JSON', () => {
  it('a float is written with the digits that read back as its very bits', () =>
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, noDefaultInfinity: true }),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        (single, double) => {
          const [readSingle, readDouble] = [write('FP32', Float32Array.of(single)), write('FP64', Float64Array.of(double))].map(
            (text) => (JSON.parse(text) as number[])[0],
          )
          assert.ok(Object.is(readSingle, single))
          assert.ok(Object.is(readDouble, double))
        },
      ),
    ))

  it('16-bit floats are written as their values', () => {
    assert.equal(write('FP16', Uint16Array.of(0x3c00, 0xc000, 0x7c00, 0x8000, 0x0001)), '[1,-2,Infinity,-0.0,5.960464477539063e-8]')
    assert.equal(write('BF16', Uint16Array.of(0x3f80, 0xbf80, 0xff80, 0x7fc0)), '[1,-1,-Infinity,NaN]')
  })

  it('what JSON cannot say is written in the words of Triton', () => {
    assert.equal(write('FP32', Float32Array.of(Number.NaN, Infinity, -Infinity, -0)), '[NaN,Infinity,-Infinity,-0.0]')
  })

  it('booleans, 64-bit integers and text are written in full', () => {
    assert.equal(write('BOOL', Uint8Array.of(0, 1)), '[false,true]')
    assert.equal(write('INT64', BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)), '[-9223372036854775808,9223372036854775807]')
    assert.equal(write('UINT64', BigUint64Array.of(2n ** 64n - 1n)), '[18446744073709551615]')
    assert.equal(write('BYTES', ['ü"\n', '🚀']), String.raw`["ü\"\n","🚀"]`)
    for (const datatype of ['FP32', 'BOOL', 'INT8', 'BYTES'] as const)
      assert.equal(write(datatype, datatype === 'BYTES' ? [] : new Float32Array(0)), '[]')
  })
})

describe('answers written as JSON', () => {
  it('any answer reads back as it was', () =>
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        assert.deepEqual(JSON.parse(toJson(value)), JSON.parse(JSON.stringify(value)))
      }),
    ))

  it('an answer is strict JSON: bigint in full, null for NaN and infinities, nothing for undefined members', () => {
    assert.equal(
      toJson({ a: 2n ** 64n, b: [Number.NaN, Infinity, -Infinity], c: undefined, d: null, 'e"': { f: [undefined, true, 'ü'] } }),
      String.raw`{"a":18446744073709551616,"b":[null,null,null],"d":null,"e\"":{"f":[null,true,"ü"]}}`,
    )
  })
})
