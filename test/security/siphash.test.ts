import assert from 'node:assert/strict'
import { it } from 'node:test'
import { SipHash } from '../../src/security/siphash.ts'

const KEY = Uint8Array.from({ length: 16 }, (_, index) => index)
const bytes = (count: number): string => String.fromCharCode(...Array.from({ length: count }, (_, index) => index))
const hex = ([low, high]: [number, number]): string => high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0')

it('SipHash-2-4 is that of its authors, and of OpenSSL, wherever a text is split', () => {
  // Appendix A of the paper (15 bytes), and `openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt size:8 SIPHASH`.
  const vectors: readonly (readonly [count: number, hash: string])[] = [
    [0, '726fdb47dd0e0e31'],
    [1, '74f839c593dc67fd'],
    [15, 'a129ca6149be45e5'],
  ]
  const sip = new SipHash(KEY)
  for (const [count, hash] of vectors) assert.equal(hex(sip.end(sip.begin(''), 0, bytes(count))), hash)
  for (let count = 0; count < 100; count++)
    for (let split = 0; split <= count; split += 8)
      assert.equal(hex(sip.end(sip.begin(bytes(split)), split, bytes(count).slice(split))), hex(sip.end(sip.begin(''), 0, bytes(count))))
  assert.notEqual(
    hex(new SipHash(new Uint8Array(16)).end(sip.begin(''), 0, '')),
    hex(sip.end(new SipHash(new Uint8Array(16)).begin(''), 0, '')),
  )
  assert.throws(() => new SipHash(new Uint8Array(15)), RangeError)
  assert.throws(() => sip.begin('1234567'), RangeError)
})
