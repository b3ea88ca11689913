import { elementAt, elementCount } from '../tensor/tensor.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Label, Signature } from './signature.ts'

/** Rows of a request whose predictions are looked at. */
const ROWS_MAX = 64

/**
 * The class or number that was predicted for each of the first rows, without what people are told beside it.
 * @returns empty where the answer is neither, or the outputs that it is made of were not asked for
 */
export function predictionsOf(signature: Signature, outputs: readonly Tensor[], rows: number): Label[] {
  const { answer: plan } = signature
  const name = plan.task === 'classification' ? chosenOutput(plan) : plan.task === 'regression' ? plan.value : undefined
  const tensor = name === undefined ? undefined : outputs.find((output) => output.name === name)
  if (tensor === undefined || rows === 0) return []
  const width = elementCount(tensor.shape) / rows
  if (!Number.isInteger(width) || width === 0) return []
  const found: Label[] = []
  for (let row = 0; row < Math.min(rows, ROWS_MAX); row++) {
    const prediction = plan.task === 'classification' ? classAt(plan, tensor, row, width) : width === 1 ? elementAt(tensor, row) : undefined
    if (typeof prediction === 'bigint') found.push(Number(prediction))
    else if (typeof prediction === 'string' || typeof prediction === 'number' || typeof prediction === 'boolean') found.push(prediction)
  }
  return found
}

type Classification = Extract<Signature['answer'], { task: 'classification' }>

/** The model's own choice where it makes one: its threshold need not be one half. */
function chosenOutput({ label, probabilities, threshold }: Classification): string | undefined {
  return threshold === undefined ? (label ?? probabilities) : (probabilities ?? label)
}

function classAt(plan: Classification, tensor: Tensor, row: number, width: number): unknown {
  const { label, labels, threshold } = plan
  if (tensor.name === label) {
    const value = elementAt(tensor, row * width)
    const index = typeof value === 'bigint' ? Number(value) : value
    if (labels === undefined || labels.includes(index as Label)) return index
    return typeof index === 'number' ? (labels[index] ?? index) : index
  }
  const at = (column: number): number => Number(elementAt(tensor, row * width + column))
  let best = 0
  // One column, or a threshold: the probability of the second of two classes, or what the activation makes it of.
  if (width === 1 || (threshold !== undefined && width === 2)) {
    const limit = threshold ?? 0.5
    const score = plan.activation === 'softmax' && width === 2 ? at(1) - at(0) : at(width - 1)
    best = score >= (plan.activation === 'none' ? limit : Math.log(limit / (1 - limit))) ? 1 : 0
  } else for (let column = 1; column < width; column++) if (at(column) > at(best)) best = column
  return labels !== undefined && labels.length === Math.max(width, 2) ? labels[best] : best
}
