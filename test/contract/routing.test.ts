import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fits, isComplete, unitPoint, weightOf } from '../../src/contract/routing.ts'
import type { Routing } from '../../src/contract/routing.ts'

interface Vectors {
  readonly vectors: readonly { readonly salt: string; readonly unit: string; readonly point: number }[]
}

const PUBLISHED = join(import.meta.dirname, '../../docs/reference/bucketing.json')

describe('a unit', () => {
  it('lies where the published test vectors say', () => {
    const { vectors } = JSON.parse(readFileSync(PUBLISHED, 'utf8')) as Vectors
    assert.ok(vectors.length >= 10)
    for (const { salt, unit, point } of vectors) assert.equal(unitPoint(salt, unit), point, `${salt} ${unit}`)
  })

  it('lies anywhere with the same chance, and elsewhere under another salt', () => {
    const units = Array.from({ length: 20_000 }, (_, index) => `user-${index}`)
    const [one, other] = ['one', 'other'].map((salt) => units.map((unit) => unitPoint(salt, unit)))
    for (let tenth = 0; tenth < 10; tenth++) {
      const share = one!.filter((point) => Math.floor(point * 10) === tenth).length / units.length
      // Five standard deviations of a tenth of 20 000.
      assert.ok(Math.abs(share - 0.1) < 5 * Math.sqrt(0.09 / units.length), `${share} in tenth ${tenth}`)
    }
    const both = units.filter((_, index) => one![index]! < 0.5 && other![index]! < 0.5).length / units.length
    assert.ok(Math.abs(both - 0.25) < 5 * Math.sqrt(0.1875 / units.length), `${both} in both lower halves`)
  })
})

/** [letter, how many, hash] by the reference implementation, as PyPI mmh3 5 computes it: `s`, one byte 0, the letters. */
const MURMUR: readonly (readonly [letter: string, count: number, hash: number])[] = [
  ['a', 0, 3997042778],
  ['a', 1, 1876979886],
  ['a', 2, 2320712968],
  ['a', 3, 3230905774],
  ['a', 200, 3032620067],
  ['a', 253, 1797282215],
  ['a', 254, 760639223],
  ['a', 255, 802671681],
  ['é', 128, 3981105332],
  ['é', 2000, 3261032063],
  ['a', 5000, 439686447],
]

describe('a unit of any length', () => {
  it('has the point of MurmurHash3 of all of its bytes, however many were hashed before', () => {
    for (const [letter, count, hash] of MURMUR)
      assert.equal(unitPoint('s', letter.repeat(count)), hash / 2 ** 32, `${count} times ${letter}`)
  })
})

describe('a routing', () => {
  const routing = { weights: { main: 95, next: 5, gone: 0 }, salt: 's', segment: 2 }
  const declared = new Map([
    ['main', 'v1'],
    ['next', 'v2'],
    ['gone', 'v0'],
  ])
  const to = (present: Record<string, string>, now: Routing['weights']): boolean =>
    fits(routing, declared, new Map(Object.entries(present)), { ...routing, weights: now })

  it('fits to what is there of it, and not to another version of a variant that it gives a weight', () => {
    const now = { main: 100 }
    assert.deepEqual(
      [
        to({ main: 'v1', next: 'v2' }, now),
        to({ main: 'v1' }, now),
        to({ main: 'v1', gone: 'another' }, now),
        to({ main: 'v1', next: 'v1' }, now),
        to({ gone: 'v0' }, now),
        to({}, now),
      ],
      [true, true, true, false, false, false],
    )
  })

  it('is complete where every variant with a weight is there as it was declared, and no other counts', () => {
    const complete = (present: Record<string, string>): boolean => isComplete(routing, declared, new Map(Object.entries(present)))
    assert.deepEqual(
      [complete({ main: 'v1', next: 'v2' }), complete({ main: 'v1' }), complete({ main: 'v1', next: 'v1' }), complete({})],
      [true, false, false, false],
    )
    // It then fits whatever is in force.
    assert.equal(to({ main: 'v1', next: 'v2' }, { next: 100 }), true)
  })

  it('gives a variant that it does not name no weight, whatever its name', () => {
    assert.deepEqual(
      ['main', 'gone', 'other', 'toString', '__proto__'].map((variant) => weightOf(routing, variant)),
      [95, 0, 0, 0, 0],
    )
  })

  it('does not fit where one that is there would get more than it has, and more than it is to have, as another is missing', () => {
    assert.deepEqual(
      [
        to({ next: 'v2', old: 'v0' }, { old: 100 }),
        to({ next: 'v2', old: 'v0' }, { old: 50, next: 50 }),
        to({ next: 'v2', old: 'v0' }, { next: 100 }),
        to({ main: 'v1', next: 'v2', old: 'v0' }, { old: 100 }),
      ],
      [false, false, true, true],
    )
  })
})
