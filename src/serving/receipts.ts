import { writeDetails, writePlace } from '../contract/receipt.ts'
import { unitHash } from '../contract/statistics/units.ts'
import { ReceiptSigner } from '../security/receipts.ts'
import type { Receipt, ReceiptKey } from '../contract/receipt.ts'
import type { SignedPlace } from '../security/receipts.ts'
import type { Subject } from './observe/events.ts'
import type { Decision } from './router/decision.ts'

/** Places that are remembered: of each variant under a segment or two. */
const PLACES_MAX = 32

export interface Made {
  readonly decision: Decision
  readonly subject: Subject
  /** Whether chance assigned the request and the version itself answered. */
  readonly evidence: boolean
  /** Whether what is predicted is a number and no class. */
  readonly numeric: boolean
  readonly predicted: Receipt['predicted']
}

interface Place extends Pick<Made, 'subject' | 'evidence' | 'numeric'>, Pick<Decision, 'assigned' | 'segment'> {
  readonly signed: SignedPlace
}

/** Writes the receipts of an endpoint's predictions. */
export class Receipts {
  readonly #key: ReceiptKey
  readonly #signer: ReceiptSigner
  #places: Place[] = []

  constructor(key: ReceiptKey) {
    this.#key = key
    this.#signer = new ReceiptSigner(key)
  }

  write(id: string, made: Made): string {
    const { unit } = made.decision
    return this.#signer.sign(this.#placeOf(made).signed, id, writeDetails(unit === undefined ? undefined : unitHash(unit), made.predicted))
  }

  /** A search of few is faster than a key made of all of it. */
  #placeOf({ decision: { endpoint, assigned, served, segment }, subject, evidence, numeric }: Made): Place {
    for (const place of this.#places)
      if (
        place.subject === subject &&
        place.segment === segment &&
        place.assigned === assigned &&
        place.evidence === evidence &&
        place.numeric === numeric
      )
        return place
    const { model, version } = subject
    const text = writePlace(this.#key.id, { endpoint, assigned, served, model, version, segment, evidence, numeric })
    const place: Place = { subject, assigned, segment, evidence, numeric, signed: this.#signer.at(text) }
    this.#places = [place, ...this.#places.slice(0, PLACES_MAX - 1)]
    return place
  }
}
