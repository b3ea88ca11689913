import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { readReceipt, RECEIPT_MAX, writeDetails, writePlace } from '../../src/contract/receipt.ts'
import { HASHES } from '../../src/contract/statistics/units.ts'
import type { ReceiptKey, ReceiptPlace } from '../../src/contract/receipt.ts'
import { newReceiptKey, openReceipt, ReceiptSigner } from '../../src/security/receipts.ts'

const ID = '6b0debc7daff590e00000000'
const place = fc.record({
  endpoint: fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }),
  assigned: fc.string({ minLength: 1, maxLength: 20 }),
  served: fc.string({ minLength: 1, maxLength: 20 }),
  model: fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }),
  version: fc.string({ minLength: 1, maxLength: 20 }),
  segment: fc.integer({ min: 1, max: 2 ** 40 }),
  evidence: fc.boolean(),
  numeric: fc.boolean(),
})
const unit = fc.option(fc.integer({ min: 0, max: HASHES - 1 }), { nil: undefined })
const predicted = fc.option(
  fc.oneof(fc.string({ maxLength: 64, unit: 'grapheme' }), fc.integer(), fc.double({ noNaN: true }), fc.boolean()),
  { nil: undefined },
)

function signed(key: ReceiptKey, where: ReceiptPlace, details: string): string {
  const signer = new ReceiptSigner(key)
  return signer.sign(signer.at(writePlace(key.id, where)), ID, details)
}

describe('a receipt', () => {
  it('is read as it was written, and fits a header and a shell', () =>
    fc.assert(
      fc.property(place, unit, predicted, (where, of, what) => {
        const key = newReceiptKey()
        const text = signed(key, where, writeDetails(of, what))
        assert.match(text, /^[\w.~%+-]+$/)
        const known = typeof what === 'string' && what.length > 64 ? undefined : what
        const { id, timeMs, ...read } = openReceipt(text, (endpoint) => (endpoint === where.endpoint ? [key] : undefined))
        assert.deepEqual([id, timeMs], [ID, 0x6b0debc7 * 1000])
        assert.deepEqual(read, {
          ...where,
          unit: of,
          predicted: typeof known === 'string' ? known.toWellFormed() : Object.is(known, -0) ? 0 : known,
        })
      }),
    ))

  it('has the hash of its unit in base 36, as short as can be', () =>
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: 0, max: HASHES - 1 }), fc.constantFrom(0, 35, 36, 1295, 1296, 36 ** 4, HASHES - 1)),
        (hash) => {
          assert.equal(writeDetails(hash, undefined), hash.toString(36))
        },
      ),
    ))

  it('is none where anything of it is another', () => {
    const key = newReceiptKey()
    const where = { endpoint: 'e', assigned: 'main', served: 'main', model: 'm', version: '1', segment: 3, evidence: true, numeric: false }
    const text = signed(key, where, writeDetails(77, 'yes'))
    const open = (one: string) => openReceipt(one, () => [newReceiptKey(), key])
    assert.equal(open(text).unit, 77)
    for (let at = 0; at < text.length; at++)
      for (const other of ['a', 'B', '0', '.', '~', '%', ''])
        if (text[at] !== other)
          assert.throws(() => open(text.slice(0, at) + other + text.slice(at + 1)), { code: 'SLW_INPUT_INVALID' }, `${other} at ${at}`)
    assert.throws(() => openReceipt(text, () => [newReceiptKey()]), { code: 'SLW_INPUT_INVALID', message: /was not signed here/ })
    assert.throws(() => openReceipt(text, () => undefined), { code: 'SLW_INPUT_INVALID', message: /was not signed here/ })
  })

  it('that is none is told soon, however long it is', () => {
    for (const text of [
      '',
      '.',
      '...',
      'x'.repeat(RECEIPT_MAX + 1),
      `${ID}.${'A'.repeat(3900)}.${'~'.repeat(50)}.x`,
      `${ID}.bm8.~%zz.${'a'.repeat(16)}`,
    ])
      assert.equal(readReceipt(text), undefined, text.slice(0, 40))
  })
})
