import { unitHash } from '../contract/statistics/units.ts'
import { writeDetails, writePlace } from '../contract/receipt.ts'
import { signReceipt } from '../security/receipts.ts'
import type { Receipt, ReceiptKey } from '../contract/receipt.ts'
import type { Subject } from './observe/events.ts'
import type { Decision } from './router/decision.ts'

/** Places whose text is remembered: of each variant under a segment or two. */
const PLACES_MAX = 100

export interface Made {
  readonly decision: Decision
  readonly subject: Subject
  /** Whether chance assigned the request and the version itself answered. */
  readonly evidence: boolean
  /** Whether what is predicted is a number and no class. */
  readonly numeric: boolean
  readonly predicted: Receipt['predicted']
}

/** Writes the receipts of an endpoint's predictions. */
export class Receipts {
  readonly #key: ReceiptKey
  readonly #places = new Map<string, string>()

  constructor(key: ReceiptKey) {
    this.#key = key
  }

  write(id: string, { decision, subject, evidence, numeric, predicted }: Made): string {
    const { unit } = decision
    const place = this.#place(decision, subject, { evidence, numeric })
    return signReceipt(this.#key, `${id}.${place}.${writeDetails(unit === undefined ? undefined : unitHash(unit), predicted)}`)
  }

  #place(
    { endpoint, assigned, served, segment }: Decision,
    { model, version }: Subject,
    flags: Pick<Made, 'evidence' | 'numeric'>,
  ): string {
    const name = `${assigned}\0${served}\0${model}\0${version}\0${segment}\0${flags.evidence}`
    let text = this.#places.get(name)
    if (text !== undefined) return text
    if (this.#places.size >= PLACES_MAX) this.#places.clear()
    text = writePlace(this.#key.id, { endpoint, assigned, served, model, version, segment, ...flags })
    this.#places.set(name, text)
    return text
  }
}
