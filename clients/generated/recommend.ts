/** The model recommend. Written by `slipway client generate`: written again it is the same while the model takes and gives the same. */
import type { Client, Model, ModelOptions } from 'slipway/client'

/** Which of some items a user would rate highest, best first. A score is the expected rating, about 1 to 5. Trained on synthetic ratings. */
export interface RecommendRow {
  readonly user: number | bigint
  readonly items: readonly (number | bigint)[]
}

export interface RecommendAnswer {
  readonly prediction: readonly {
    readonly item: number | bigint
    readonly score: number | null
  }[]
}

/** The model on a server that calls it "recommend". */
export function recommendModel(client: Client, options: ModelOptions<RecommendRow, RecommendAnswer> = {}): Model<RecommendRow, RecommendAnswer> {
  return client.model('recommend', options)
}
