import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { readReceipt } from '../contract/receipt.ts'
import { SlipwayError } from '../core/errors.ts'
import type { Receipt, ReceiptKey } from '../contract/receipt.ts'

/** Characters of a signature: 96 bits. */
const SIGNATURE_LENGTH = 16

/** A new key. */
export function newReceiptKey(): ReceiptKey {
  return { id: randomBytes(3).toString('hex'), secret: randomBytes(32).toString('base64url') }
}

/** Signs the first three parts of a receipt: SHA-512/256 of the key and them, of which nothing can be made for a longer text. */
export function signReceipt({ secret }: ReceiptKey, signed: string): string {
  return `${signed}.${hash('sha512-256', secret + signed, 'base64url').slice(0, SIGNATURE_LENGTH)}`
}

/**
 * Reads a receipt that one of the keys has signed.
 * @param keysOf keys of an endpoint; undefined where there is no such endpoint
 * @throws SLW_INPUT_INVALID for what is no receipt, or was signed by nobody who is known
 */
export function openReceipt(text: string, keysOf: (endpoint: string) => readonly ReceiptKey[] | undefined): Receipt {
  const read = readReceipt(text)
  if (read === undefined)
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      'this is no receipt of a prediction: send what its answer had as slipway-prediction-id, whole',
    )
  const { receipt, key: id, signed } = read
  const key = keysOf(receipt.endpoint)?.find((one) => one.id === id)
  // The same answer for an unknown endpoint and a wrong signature: nobody learns which endpoints there are.
  if (key === undefined || !same(signReceipt(key, signed), text))
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      'the receipt was not signed here: its keys are older than those that are kept, or it was changed',
    )
  return receipt
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
