import { elementCount, toNumbers } from '../tensor/tensor.ts'
import { predictionsOf } from './predictions.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Signature } from './signature.ts'

/** Relative difference up to which numbers count as the same. */
export const TOLERANCE = 0.01
/** Share of the first items of a ranking that have to be the same. */
const OVERLAP = 0.8
/** Elements that are compared at most. */
const ELEMENTS_MAX = 10_000

/**
 * Whether two versions answered the same request differently: another class, a number beyond the tolerance, a ranking whose first items are
 * others, or outputs that differ beyond the tolerance. A request of several rows differs where one of them does.
 */
export function disagree(signature: Signature, a: readonly Tensor[], b: readonly Tensor[], rows: number): boolean {
  const { answer: plan } = signature
  if (plan.task === 'classification' || plan.task === 'regression') {
    const [left, right] = [predictionsOf(signature, a, rows), predictionsOf(signature, b, rows)]
    if (left.length > 0 || right.length > 0)
      return (
        left.length !== right.length ||
        left.some((one, index) => (plan.task === 'regression' ? apart(Number(one), Number(right[index])) : one !== right[index]))
      )
  }
  if (plan.task === 'ranking') {
    const [left, right] = [a, b].map((outputs) => outputs.find(({ name }) => name === plan.scores))
    return left === undefined || right === undefined ? left !== right : rankingsDiffer(left, right, rows, plan.topK)
  }
  return a.some((tensor) => {
    const other = b.find(({ name }) => name === tensor.name)
    return other === undefined || tensorsDiffer(tensor, other)
  })
}

/** NaN is the same as NaN alone, and each infinity as itself. */
function apart(a: number, b: number): boolean {
  if (Object.is(a, b) || a === b) return false
  return !(Math.abs(a - b) <= TOLERANCE * Math.max(Math.abs(a), Math.abs(b)))
}

function tensorsDiffer(a: Tensor, b: Tensor): boolean {
  if (elementCount(a.shape) !== elementCount(b.shape) || (a.datatype === 'BYTES') !== (b.datatype === 'BYTES')) return true
  const count = Math.min(ELEMENTS_MAX, elementCount(a.shape))
  if (a.datatype === 'BYTES') return Array.from({ length: count }, (_, index) => a.data[index] !== b.data[index]).includes(true)
  const [left, right] = [toNumbers(a), toNumbers(b)]
  for (let index = 0; index < count; index++) if (apart(left[index]!, right[index]!)) return true
  return false
}

function rankingsDiffer(a: Tensor, b: Tensor, rows: number, topK: number): boolean {
  const width = elementCount(a.shape) / Math.max(1, rows)
  if (elementCount(b.shape) !== elementCount(a.shape)) return true
  const [left, right] = [toNumbers(a), toNumbers(b)]
  for (let row = 0; row < rows && row * width < ELEMENTS_MAX; row++) {
    const firstOf = (scores: ArrayLike<number>): number[] =>
      Array.from({ length: width }, (_, index) => index)
        .toSorted((one, other) => scores[row * width + other]! - scores[row * width + one]! || one - other)
        .slice(0, topK)
    const second = new Set(firstOf(right))
    const first = firstOf(left)
    if (first.filter((item) => second.has(item)).length < OVERLAP * first.length) return true
  }
  return false
}
