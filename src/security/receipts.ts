import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { whyNoLabel } from '../contract/feedback.ts'
import { readReceipt } from '../contract/receipt.ts'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { HEX } from '../core/ids.ts'
import { SipHash } from './siphash.ts'
import type { FeedbackItem, FeedbackRefusal } from '../contract/feedback.ts'
import type { Receipt, ReceiptKey } from '../contract/receipt.ts'

/** A new key. */
export function newReceiptKey(): ReceiptKey {
  return { id: randomBytes(3).toString('hex'), secret: randomBytes(32).toString('base64url') }
}

/** Signs receipts by one key: SipHash of the place, filled up with spaces to a multiple of 8, the id and the details. */
export class ReceiptSigner {
  readonly #hash: SipHash

  constructor({ secret }: ReceiptKey) {
    this.#hash = new SipHash(hash('sha256', secret, 'buffer').subarray(0, 16))
  }

  /** A place that many receipts have. @param text from `writePlace` */
  at(text: string): SignedPlace {
    const padded = text.padEnd(Math.ceil(text.length / 8) * 8, ' ')
    return { text, length: padded.length, begun: this.#hash.begin(padded) }
  }

  /** The receipt of a prediction. @param details from `writeDetails` */
  sign({ text, length, begun }: SignedPlace, id: string, details: string): string {
    const [low, high] = this.#hash.end(begun, length, `${id}.${details}`)
    return `${id}.${text}.${details}.${HEX[high >>> 16]}${HEX[high & 0xffff]}${HEX[low >>> 16]}${HEX[low & 0xffff]}`
  }
}

/** A place, and what its signatures have in common. */
export interface SignedPlace {
  readonly text: string
  /** Bytes that were absorbed. */
  readonly length: number
  readonly begun: Int32Array
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
  const { receipt, key: id, place, details } = read
  const key = keysOf(receipt.endpoint)?.find((one) => one.id === id)
  // The same answer for an unknown endpoint and a wrong signature: nobody learns which endpoints there are.
  const signer = key === undefined ? undefined : signerOf(key)
  if (signer === undefined || !same(signer.sign(signer.at(place), receipt.id, details), text))
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      'the receipt was not signed here: its keys are older than those that are kept, or it was changed',
    )
  return receipt
}

const signers = new WeakMap<ReceiptKey, ReceiptSigner>()

/** Labels come by the thousand, most of them of one key. */
function signerOf(key: ReceiptKey): ReceiptSigner {
  let signer = signers.get(key)
  if (signer === undefined) signers.set(key, (signer = new ReceiptSigner(key)))
  return signer
}

/** A label, and the prediction that it is about. */
export interface OpenedLabel {
  readonly item: FeedbackItem
  readonly receipt: Receipt
}

export interface FeedbackDoor {
  readonly nowMs: number
  /** See {@link openReceipt}. */
  readonly keysOf: (endpoint: string) => readonly ReceiptKey[] | undefined
  /** @throws where the caller may not say anything of the prediction */
  readonly permit: (receipt: Receipt) => void
}

/**
 * Tells labels whose receipts somebody here has signed from the others, each with its place in the list.
 * @throws SLW_INPUT_INVALID where the only one is refused
 */
export function openFeedback(
  items: readonly FeedbackItem[],
  { nowMs, keysOf, permit }: FeedbackDoor,
): { readonly opened: OpenedLabel[]; readonly refused: FeedbackRefusal[] } {
  const opened: OpenedLabel[] = []
  const refused: FeedbackRefusal[] = []
  for (const [index, item] of items.entries()) {
    try {
      const reason = whyNoLabel(item, nowMs)
      if (reason !== undefined) throw new SlipwayError('SLW_INPUT_INVALID', reason)
      const receipt = openReceipt(item.id, keysOf)
      permit(receipt)
      opened.push({ item, receipt })
    } catch (error) {
      refused.push({ index, message: messageOf(error) })
    }
  }
  const [only] = refused
  if (items.length === 1 && only !== undefined) throw new SlipwayError('SLW_INPUT_INVALID', only.message)
  return { opened, refused }
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
