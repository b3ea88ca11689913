/** The model digits. Written by `slipway client generate`: written again it is the same while the model takes and gives the same. */
import type { Client, Model, ModelOptions } from 'slipway/client'

/** Which digit is written in a small picture, bright ink on black. */
export interface DigitsRow {
  /** PNG or JPEG. */
  readonly image: string
}

export interface DigitsAnswer {
  readonly prediction: '0' | '1' | '2' | '3' | '4' | '5' | '6' | '7' | '8' | '9'
  /** Probability of the prediction. */
  readonly confidence: number | null
  readonly probabilities: Readonly<Record<'0' | '1' | '2' | '3' | '4' | '5' | '6' | '7' | '8' | '9', number | null>>
}

/** The model on a server that calls it "digits". */
export function digitsModel(client: Client, options: ModelOptions<DigitsRow, DigitsAnswer> = {}): Model<DigitsRow, DigitsAnswer> {
  return client.model('digits', options)
}
