/** A row of a dataset: its columns by name. */
export type Row = Readonly<Record<string, unknown>>

/** Answers of one model, row by row. */
export interface Scores {
  /** Classifiers: the index of the class, -1 for one that the candidate does not know. Regressors: the number. */
  readonly predicted: Float64Array
  /** Probabilities of a row side by side, in the order of the classes; undefined for models that give none, and for regressors. */
  readonly probabilities: Float64Array | undefined
}

/** Rows of a dataset with their truth, and the answers of two models for them. */
export interface Sample {
  readonly dataset: string
  /** Labels of a classifier as text, in the order of the probabilities; undefined for a regressor. */
  readonly classes: readonly string[] | undefined
  readonly rows: readonly Row[]
  /** Names of the rows, for people: an id, or `line 7`. */
  readonly names: readonly string[]
  /** Index of the class, or the number. */
  readonly truth: Float64Array
  readonly weights: Float64Array
  readonly candidate: Scores
  /** Undefined where there is nothing to compare with. */
  readonly champion: Scores | undefined
}

/** Rows of a sample that are told as examples. */
export const TOLD_MAX = 10

/** The weights of some rows; the others have none. */
export function weightsOf({ weights }: Pick<Sample, 'weights'>, chosen: readonly number[]): Float64Array {
  const some = new Float64Array(weights.length)
  for (const row of chosen) some[row] = weights[row]!
  return some
}
