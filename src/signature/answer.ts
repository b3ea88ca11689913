import { SlipwayError } from '../core/errors.ts'
import { requireRows } from './tensors.ts'
import { vectorsOf } from './text/pool.ts'
import { elementAt, elementCount, toNumbers } from '../tensor/tensor.ts'
import type { AnswerPlan, Label, Signature } from './signature.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** The answer for one row, ready to be written as JSON. */
export type Answer = Readonly<Record<string, unknown>>

/** Outputs that answers are made of: the others need not be computed or copied. */
export function answerOutputs(signature: Signature): readonly string[] {
  const { answer, outputs } = signature
  switch (answer.task) {
    case 'classification':
      return [answer.probabilities, answer.threshold === undefined ? answer.label : undefined].filter((name) => name !== undefined)
    case 'regression':
      return [answer.value]
    case 'ranking':
      return [answer.scores]
    case 'embedding':
      return [answer.output]
    case 'tensors':
      return outputs.map(({ name }) => name)
  }
}

/** Name of the tensor with the tokens of each row of texts. */
export const LENGTHS = 'tokens'

/**
 * Tensors as one answer per row. `inputs` are needed for rankings, whose items the caller chose, and for texts, of which it is the tensor
 * `LENGTHS`.
 */
export function decodeAnswers(signature: Signature, outputs: readonly Tensor[], inputs: readonly Tensor[], rows: number): Answer[] {
  const byName = new Map(outputs.map((tensor) => [tensor.name, tensor]))
  const plan = signature.answer
  switch (plan.task) {
    case 'classification':
      return classify(plan, byName, rows)
    case 'regression': {
      const value = output(byName, plan.value)
      return Array.from({ length: rows }, (_, row) => ({ prediction: rowValue(value, row, rows) }))
    }
    case 'ranking':
      return rank(
        plan,
        output(byName, plan.scores),
        inputs.find((input) => input.name === plan.items),
        rows,
      )
    case 'embedding': {
      const vectors = output(byName, plan.output)
      requireRows(vectors, rows)
      const lengths = inputs.find(({ name }) => name === LENGTHS)?.data as Int32Array | undefined
      const side = signature.text?.padding.side ?? 'right'
      return vectorsOf({ plan, output: vectors, rows, lengths, side }).map((prediction) => ({ prediction }))
    }
    case 'tensors':
      return Array.from({ length: rows }, (_, row) => tensorAnswer(outputs, row, rows, signature.hasRows))
  }
}

function output(byName: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const found = byName.get(name)
  if (found === undefined) throw new SlipwayError('SLW_INTERNAL', `output "${name}" is missing from a run`)
  return found
}

function perRow(tensor: Tensor, rows: number): number {
  return rows === 0 ? 0 : elementCount(tensor.shape) / rows
}

function rowValue(tensor: Tensor, row: number, rows: number): unknown {
  requireRows(tensor, rows)
  const width = perRow(tensor, rows)
  if (width === 1) return elementAt(tensor, row)
  return nest(tensor, tensor.shape.length > 0 && tensor.shape[0] === rows ? tensor.shape.slice(1) : [width], row * width)
}

function nest(tensor: Tensor, shape: readonly number[], start: number): unknown {
  const [length, ...rest] = shape
  if (length === undefined) return elementAt(tensor, start)
  const step = elementCount(rest)
  return Array.from({ length }, (_, index) => nest(tensor, rest, start + index * step))
}

function tensorAnswer(outputs: readonly Tensor[], row: number, rows: number, hasRows: boolean): Answer {
  const values = outputs.map((tensor) => [tensor.name, hasRows ? rowValue(tensor, row, rows) : nest(tensor, tensor.shape, 0)] as const)
  const first = values[0]
  return values.length === 1 && first !== undefined ? { prediction: first[1] } : { prediction: Object.fromEntries(values) }
}

type ClassificationPlan = Extract<AnswerPlan, { task: 'classification' }>

function classify(plan: ClassificationPlan, byName: ReadonlyMap<string, Tensor>, rows: number): Answer[] {
  const label = plan.label === undefined ? undefined : byName.get(plan.label)
  if (plan.probabilities === undefined) {
    return Array.from({ length: rows }, (_, row) => ({
      prediction: label === undefined ? null : named(rowValue(label, row, rows), plan.labels),
    }))
  }
  const scores = output(byName, plan.probabilities)
  const width = perRow(scores, rows)
  const values = toNumbers(scores)
  return Array.from({ length: rows }, (_, row) => {
    const probabilities = activate(
      Array.from({ length: width }, (__, index) => values[row * width + index]!),
      plan,
    )
    const labels = labelsFor(probabilities.length, plan.labels)
    const best = pickBest(probabilities, plan)
    // The model's own choice counts where it makes one: its threshold need not be one half.
    const own = plan.threshold === undefined && label !== undefined ? ownIndex(rowValue(label, row, rows), labels) : -1
    const chosen = own >= 0 ? own : best
    return {
      prediction: labels[chosen] ?? null,
      confidence: tidy(probabilities[chosen] ?? Number.NaN),
      ...byLabel(probabilities, labels, plan.topK),
    }
  })
}

/** One column is the probability of the second of two classes. */
function activate(scores: number[], plan: ClassificationPlan): number[] {
  let values = scores
  if (plan.activation === 'sigmoid') values = scores.map((score) => 1 / (1 + Math.exp(-score)))
  if (plan.activation === 'softmax') {
    const largest = scores.reduce((most, score) => Math.max(most, score), Number.NEGATIVE_INFINITY)
    const powers = scores.map((score) => Math.exp(score - largest))
    const sum = powers.reduce((total, power) => total + power, 0)
    values = powers.map((power) => power / sum)
  }
  const [only] = values
  return values.length === 1 && only !== undefined ? [1 - only, only] : values
}

function pickBest(probabilities: readonly number[], plan: ClassificationPlan): number {
  if (plan.threshold !== undefined && probabilities.length === 2) return (probabilities[1] ?? 0) >= plan.threshold ? 1 : 0
  let best = 0
  for (let index = 1; index < probabilities.length; index++) if (probabilities[index]! > probabilities[best]!) best = index
  return best
}

/** Index of the label that the model's label output gives: as the label itself, or as an index where labels are names for 0, 1, 2... */
function ownIndex(value: unknown, labels: readonly Label[]): number {
  const exact = labels.findIndex((label) => label === value)
  if (exact >= 0) return exact
  return typeof value === 'number' && Number.isInteger(value) && value < labels.length ? value : -1
}

function named(value: unknown, labels: readonly Label[] | undefined): unknown {
  if (labels === undefined) return value
  return labels[ownIndex(value, labels)] ?? value
}

function labelsFor(count: number, labels: readonly Label[] | undefined): readonly Label[] {
  return labels !== undefined && labels.length === count ? labels : Array.from({ length: count }, (_, index) => index)
}

/**
 * The probabilities by label; with `topK` those of the likeliest labels, and as `top` also in their order, which the keys of a JSON object
 * do not keep where they look like integers.
 */
function byLabel(probabilities: readonly number[], labels: readonly Label[], topK: number | undefined): Answer {
  const classes = probabilities.map((probability, index) => ({ label: labels[index]!, probability: tidy(probability) }))
  const objectOf = (some: typeof classes): Record<string, number> =>
    Object.fromEntries(some.map(({ label, probability }) => [String(label), probability]))
  if (topK === undefined) return { probabilities: objectOf(classes) }
  const order = probabilities.map((_, index) => index).toSorted((a, b) => probabilities[b]! - probabilities[a]! || a - b)
  const top = order.slice(0, topK).map((index) => classes[index]!)
  return { probabilities: objectOf(top), top }
}

/** Digits beyond those of a float32 are noise of the conversion. */
function tidy(value: number): number {
  return Number(value.toPrecision(7))
}

function rank(plan: Extract<AnswerPlan, { task: 'ranking' }>, scores: Tensor, items: Tensor | undefined, rows: number): Answer[] {
  const width = perRow(scores, rows)
  const values = toNumbers(scores)
  return Array.from({ length: rows }, (_, row) => {
    const start = row * width
    const order = Array.from({ length: width }, (__, index) => index).toSorted((a, b) => values[start + b]! - values[start + a]! || a - b)
    const prediction = order.slice(0, plan.topK).map((index) => ({
      item:
        items === undefined
          ? (plan.labels?.[index] ?? index)
          : named(elementAt(items, items.data.length === width ? index : start + index), plan.labels),
      score: tidy(values[start + index]!),
    }))
    return { prediction }
  })
}
