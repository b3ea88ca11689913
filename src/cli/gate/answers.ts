import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import type { Row, Scores } from '../../gates/gates.ts'
import type { Model } from '../../library/load-model.ts'
import type { Answer } from '../../signature/answer.ts'
import type { Signature } from '../../signature/signature.ts'
import type { DatasetSpec } from '../../contract/gates.ts'

/** Rows that are asked in one call. */
const BATCH = 256
/** Nobody waits for these answers: the limits of models are for callers. */
const PATIENCE = { timeoutMs: 600_000 } as const

/** Answers of a model for rows; of rows that it refuses, the reason. */
export interface Asked {
  readonly answers: readonly (Answer | undefined)[]
  readonly refusals: ReadonlyMap<number, string>
}

/** What a model does, as far as metrics know it. @throws SLW_CONFIG_INVALID for rankings and tensors */
export function taskOf({ answer: { task } }: Signature, name: string): 'classification' | 'regression' {
  if (task === 'classification' || task === 'regression') return task
  throw new SlipwayError(
    'SLW_CONFIG_INVALID',
    `the answers of ${name} are ${task === 'ranking' ? 'rankings' : 'tensors'}, and datasets are evaluated for classifiers and regressors; say what they mean under answer in slipway.yaml, or leave the datasets out`,
  )
}

/** The row that a model is asked: its features, or the columns in their order that mean nothing else. */
export function questionOf(row: Row, { features, inputs, image }: Signature, { label, prediction, weight, id }: DatasetSpec): unknown {
  const others = new Set([label, prediction, weight, id])
  if (image !== undefined) return Object.fromEntries(Object.entries(row).filter(([column]) => !others.has(column)))
  const names = features === undefined ? inputs.map(({ name }) => name) : features.map(({ spec }) => spec.name)
  const known = names.filter((name) => name in row)
  if (features !== undefined || known.length > 0) return Object.fromEntries(known.map((name) => [name, row[name]]))
  return Object.entries(row).flatMap(([column, value]) => (others.has(column) ? [] : [value]))
}

/** Asks rows in batches; a batch that is refused is asked row by row. @throws what is no fault of a row */
export async function askRows(model: Model, questions: readonly unknown[]): Promise<Asked> {
  const answers: (Answer | undefined)[] = []
  const refusals = new Map<number, string>()
  const askOne = async (question: unknown, index: number): Promise<Answer | undefined> => {
    try {
      return (await model.predict([question], PATIENCE))[0]
    } catch (error) {
      if (!isRefusal(error)) throw error
      refusals.set(index, error.message)
      return undefined
    }
  }
  for (let from = 0; from < questions.length; from += BATCH) {
    const batch = questions.slice(from, from + BATCH)
    try {
      answers.push(...(await model.predict(batch, PATIENCE)))
    } catch (error) {
      if (!isRefusal(error)) throw error
      for (const [index, question] of batch.entries()) answers.push(await askOne(question, from + index))
    }
  }
  return { answers, refusals }
}

/** Whether fewer rows, or other ones, would have been answered. */
function isRefusal(error: unknown): error is SlipwayError {
  return isSlipwayError(error) && error.kind.http >= 400 && error.kind.http < 500 && !error.kind.retry
}

/**
 * Labels of a classifier as text, in the order of its probabilities: as the model names them, else those that it gives or should give.
 * @param truth labels of the rows, for models that name none
 */
export function classesOf({ answer }: Signature, { answers }: Asked, truth: readonly unknown[]): string[] {
  if (answer.task === 'classification' && answer.labels !== undefined) return answer.labels.map(String)
  const named = answers.find((one) => one !== undefined)?.['probabilities']
  if (named !== undefined && named !== null) return Object.keys(named)
  return [
    ...new Set(
      [...truth, ...answers.map((one) => one?.['prediction'])].filter((label) => label !== undefined && label !== null).map(String),
    ),
  ].toSorted()
}

/**
 * Answers as numbers.
 * @param classes undefined for numbers
 * @returns the scores, and which rows have no usable answer, with the reason
 */
export function scoresOf(
  answers: readonly (Answer | undefined)[],
  classes: readonly string[] | undefined,
): { readonly scores: Scores; readonly unusable: Map<number, string> } {
  const unusable = new Map<number, string>()
  const predicted = Float64Array.from(answers, (answer, row) => {
    const value = answer?.['prediction']
    if (classes !== undefined) return classes.indexOf(String(value))
    const number = typeof value === 'number' || typeof value === 'bigint' ? Number(value) : Number.NaN
    if (answer !== undefined && !Number.isFinite(number))
      unusable.set(row, `the answer is ${JSON.stringify(value) ?? 'missing'}, and no number`)
    return number
  })
  return { scores: { predicted, probabilities: classes === undefined ? undefined : probabilitiesOf(answers, classes, unusable) }, unusable }
}

/** Probabilities side by side; undefined where answers have none, or not those of all classes. */
function probabilitiesOf(
  answers: readonly (Answer | undefined)[],
  classes: readonly string[],
  unusable: Map<number, string>,
): Float64Array | undefined {
  const side = new Float64Array(answers.length * classes.length)
  for (const [row, answer] of answers.entries()) {
    if (answer === undefined) continue
    const given = answer['probabilities'] as Readonly<Record<string, number>> | undefined
    if (given === undefined || answer['top'] !== undefined) return undefined
    for (const [index, name] of classes.entries()) {
      const probability = given[name] ?? 0
      side[row * classes.length + index] = probability
      if (!Number.isFinite(probability)) unusable.set(row, `the probability of "${name}" is ${probability}`)
    }
  }
  return side
}

/**
 * Truth as numbers: labels by their text, or by their place (0, 1, 2...) where none of them is a label.
 * @throws SLW_INPUT_INVALID naming the row and what is expected
 */
export function truthOf(
  labels: readonly unknown[],
  classes: readonly string[] | undefined,
  { names, place }: { readonly names: readonly string[]; readonly place: string },
): Float64Array {
  if (classes === undefined)
    return Float64Array.from(labels, (label, row) => {
      const number = numberOf(label)
      if (number !== undefined) return number
      throw new SlipwayError('SLW_INPUT_INVALID', `${place}, ${names[row]}: the label is ${JSON.stringify(label)}; expected a number`)
    })
  const byName = labels.some((label) => classes.includes(String(label)))
  return Float64Array.from(labels, (label, row) => {
    const index = byName ? classes.indexOf(String(label)) : placeOf(label, classes.length)
    if (index >= 0) return index
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `${place}, ${names[row]}: the label ${JSON.stringify(label)} is none of ${classes.join(', ')}${byName ? '' : ` (nor their place, 0 to ${classes.length - 1})`}`,
    )
  })
}

function placeOf(label: unknown, count: number): number {
  const index = typeof label === 'boolean' ? Number(label) : (numberOf(label) ?? -1)
  return Number.isInteger(index) && index >= 0 && index < count ? index : -1
}

/** A number, also as text or of 64 bits; an empty text is none. */
function numberOf(value: unknown): number | undefined {
  if (typeof value !== 'number' && typeof value !== 'bigint' && (typeof value !== 'string' || value.trim() === '')) return undefined
  return Number.isFinite(Number(value)) ? Number(value) : undefined
}
