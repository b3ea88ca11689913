import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { bfloatToNumber, halfToNumber, numberToBfloat, numberToHalf } from '../../src/tensor/half.ts'

/** Every finite bfloat16, ascending from zero: the reference rounds by searching it. */
const BFLOATS = Array.from({ length: 0x7f80 }, (_, bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!)

function nearestBfloat(value: number): number {
  const size = Math.abs(value)
  let low = 0
  let high = BFLOATS.length - 1
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (BFLOATS[middle]! <= size) low = middle
    else high = middle
  }
  // Beyond the largest, the next step would be 2^128.
  const above = size > BFLOATS.at(-1)! ? 2 ** 128 : BFLOATS[high]!
  const below = size > BFLOATS.at(-1)! ? BFLOATS.at(-1)! : BFLOATS[low]!
  const toBelow = size - below
  const toAbove = above - size
  const belowBits = BFLOATS.indexOf(below)
  const magnitude = toBelow < toAbove || (toBelow === toAbove && belowBits % 2 === 0) ? belowBits : belowBits + 1
  return magnitude | (value < 0 || Object.is(value, -0) ? 0x8000 : 0)
}

describe('16-bit floats', () => {
  it('every FP16 reads as Float16Array reads it, and is written back to the same bits', () => {
    const all = Uint16Array.from({ length: 65_536 }, (_, bits) => bits)
    const expected = new Float16Array(all.buffer)
    for (const bits of all) {
      const value = halfToNumber(bits)
      assert.ok(Object.is(value, expected[bits]), `bits ${bits}`)
      if (!Number.isNaN(value)) assert.equal(numberToHalf(value), bits)
    }
    assert.ok(Number.isNaN(halfToNumber(numberToHalf(Number.NaN))))
  })

  it('any number becomes the FP16 that Float16Array rounds it to', () =>
    fc.assert(
      fc.property(
        fc.oneof(
          fc.double({ noNaN: true }),
          fc.double({ min: -70_000, max: 70_000, noNaN: true }),
          fc.double({ min: -1e-4, max: 1e-4, noNaN: true }),
        ),
        (value) => {
          assert.equal(numberToHalf(value), new Uint16Array(Float16Array.of(value).buffer)[0])
        },
      ),
      { numRuns: 2000 },
    ))

  it('every BF16 is the upper half of a float32, and is written back to the same bits', () => {
    for (let bits = 0; bits < 65_536; bits++) {
      const value = bfloatToNumber(bits)
      assert.ok(Object.is(value, new Float32Array(Uint32Array.of(bits << 16).buffer)[0]), `bits ${bits}`)
      if (!Number.isNaN(value)) assert.equal(numberToBfloat(value), bits)
    }
    assert.ok(Number.isNaN(bfloatToNumber(numberToBfloat(Number.NaN))))
  })

  it('any float32 becomes the nearest BF16, and one in the middle the even one', () => {
    const middles = fc.nat(0x7f7f).map((bits) => new Float32Array(Uint32Array.of((bits << 16) | 0x8000).buffer)[0]!)
    fc.assert(
      fc.property(
        fc.oneof(
          fc.float({ noNaN: true, noDefaultInfinity: true }),
          middles,
          middles.map((value) => -value),
        ),
        (value) => {
          assert.equal(numberToBfloat(value), nearestBfloat(value))
        },
      ),
      { numRuns: 500 },
    )
    assert.equal(bfloatToNumber(numberToBfloat(3.4e38)), Infinity)
    assert.equal(bfloatToNumber(numberToBfloat(-Infinity)), -Infinity)
  })

  it('a double just above the middle of two BF16 goes up', () => {
    assert.equal(bfloatToNumber(numberToBfloat(1 + 2 ** -8 + 2 ** -40)), 1 + 2 ** -7)
    assert.equal(bfloatToNumber(numberToBfloat(1 + 2 ** -7 + 2 ** -8 - 2 ** -40)), 1 + 2 ** -7)
  })
})
