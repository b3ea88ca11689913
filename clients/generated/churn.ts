/** The model churn. Written by `slipway client generate`: written again it is the same while the model takes and gives the same. */
import type { Client, Model, ModelOptions } from 'slipway/client'

/** How likely a customer of a telephone company is to leave. Trained on synthetic data. */
export interface ChurnRow {
  /** How long the customer has been one. (months) From 0 to 72. */
  readonly tenure_months: number
  /** What the customer pays each month. (USD) From 15 to 150. */
  readonly monthly_charges: number
  /** Calls to the help line in the last 90 days. (calls) From 0 to 15. Default: 0. */
  readonly support_calls?: number
  /** The tariff. */
  readonly plan: 'basic' | 'plus' | 'pro'
  /** How long the customer is bound. */
  readonly contract: 'month-to-month' | 'one-year' | 'two-year'
  /** Whether bills come by e-mail only. Default: false. */
  readonly paperless?: boolean
}

export interface ChurnAnswer {
  readonly prediction: 'stays' | 'churn'
  /** Probability of the prediction. */
  readonly confidence: number | null
  readonly probabilities: Readonly<Record<'stays' | 'churn', number | null>>
}

/** The model on a server that calls it "churn". */
export function churnModel(client: Client, options: ModelOptions<ChurnRow, ChurnAnswer> = {}): Model<ChurnRow, ChurnAnswer> {
  return client.model('churn', options)
}
