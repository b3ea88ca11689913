import { elementCount, toNumbers } from '../../tensor/tensor.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { EmbeddingPlan } from './answer-of-text.ts'

/** Vectors of the rows of an output. */
export interface PoolOptions {
  readonly plan: Pick<EmbeddingPlan, 'pooling' | 'normalize' | 'perToken'>
  readonly output: Tensor
  readonly rows: number
  /** Tokens of each row. Undefined: as many as the output has. */
  readonly lengths: ArrayLike<number> | undefined
  /** Side on which shorter rows are filled up. */
  readonly side: 'left' | 'right'
}

/**
 * One vector for each row, or with the pooling `none` one for each token: the mean of the tokens' vectors, the first, or the greatest of each
 * element, divided by its length where that is asked (Reimers and Gurevych, 2019, "Sentence-BERT").
 */
export function vectorsOf({ plan, output, rows, lengths, side }: PoolOptions): (number[] | number[][])[] {
  const values = toNumbers(output)
  const tokens = plan.perToken ? (output.shape[1] ?? 1) : 1
  const width = rows === 0 ? 0 : elementCount(output.shape) / rows / Math.max(1, tokens)
  const finish = (vector: number[]): number[] => (plan.normalize ? normalized(vector) : vector).map(tidy)
  const vectorAt = (start: number): number[] => Array.from({ length: width }, (_, index) => values[start + index]!)
  return Array.from({ length: rows }, (_, row) => {
    const count = plan.perToken ? Math.min(tokens, lengths?.[row] ?? tokens) : 1
    const start = (row * tokens + (side === 'left' ? tokens - count : 0)) * width
    if (plan.perToken && plan.pooling === 'none')
      return Array.from({ length: count }, (_each, token) => finish(vectorAt(start + token * width)))
    const vector = vectorAt(start)
    if (plan.pooling === 'mean' || plan.pooling === 'max')
      for (let token = 1; token < count; token++)
        for (let index = 0; index < width; index++) {
          const value = values[start + token * width + index]!
          vector[index] = plan.pooling === 'mean' ? vector[index]! + value : Math.max(vector[index]!, value)
        }
    return finish(plan.pooling === 'mean' ? vector.map((sum) => sum / count) : vector)
  })
}

/** Vectors shorter than this are left as they are (torch.nn.functional.normalize). */
const SHORTEST = 1e-12

function normalized(vector: readonly number[]): number[] {
  const length = Math.max(SHORTEST, Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0)))
  return vector.map((value) => value / length)
}

/** Digits beyond those of a float32 are noise of the conversion. */
function tidy(value: number): number {
  return Number(value.toPrecision(8))
}
