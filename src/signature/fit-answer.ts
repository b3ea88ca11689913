import { SlipwayError } from '../core/errors.ts'
import { toNumbers } from '../tensor/tensor.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Signature } from './signature.ts'

/** Outputs of one run of the model, by any inputs. */
export type Outputs = readonly Tensor[]

/** A signature whose answers are what the model gives. */
export interface FittedSignature {
  readonly signature: Signature
  /** What was changed, for people, with the line that would keep it. Undefined: nothing. */
  readonly mended: string | undefined
}

/** Rounding of a sum in single precision, on either side of 0 and 1. */
const ROUNDING = 1e-4

/**
 * Holds the plan of a classification against what the model gives: labels must be as many as its classes, and probabilities must be some. A
 * plan that a package declares is refused where it does not fit; one that was guessed from the file answers with the label alone.
 * @param runs outputs of a few runs; none: nothing is checked
 * @param source name of the package, for messages
 * @throws SLW_PACKAGE_INVALID with the line to write
 */
export function fitAnswer(signature: Signature, runs: readonly Outputs[], source: string): FittedSignature {
  const { answer: plan } = signature
  if (plan.task !== 'classification' || plan.probabilities === undefined) return { signature, mended: undefined }
  const { probabilities: name, labels } = plan
  const scores = runs.flatMap((outputs) => outputs.filter((tensor) => tensor.name === name))
  const classes = scores.map((tensor) => classesOf(tensor, signature)).find((count) => count !== undefined)
  if (plan.declared && labels !== undefined && classes !== undefined && labels.length !== Math.max(classes, 2))
    throw invalid(
      source,
      `labels: there are ${labels.length}, and output "${name}" has ${classes} ${classes === 1 ? 'column, which is the probability of the second of two' : 'columns'}: write one label for each class, in the order of the columns`,
    )
  const named = plan.declared ? undefined : signature.labels.get(name)
  if (named !== undefined && classes !== undefined && named.length !== Math.max(classes, 2))
    return {
      signature: { ...signature, answer: plan.label === undefined ? { task: 'tensors' } : { ...plan, probabilities: undefined } },
      mended: `the file of labels of output "${name}" has ${named.length}, and the output ${classes} ${classes === 1 ? 'column' : 'columns'}; answers are ${plan.label === undefined ? 'the tensors as they are' : 'the label alone'}`,
    }
  if (plan.activation !== 'none') return { signature, mended: undefined }
  const [low, high] = extentOf(scores)
  if (low >= -ROUNDING && high <= 1 + ROUNDING) return { signature, mended: undefined }
  const [least, greatest] = [low, high].map((value) => Number(value.toPrecision(3)))
  const activation = classes === 1 ? 'sigmoid' : 'softmax'
  const found = `output "${name}" has values such as ${least} and ${greatest}, which are no probabilities`
  if (plan.declared)
    throw invalid(source, `${found}: write "activation: ${activation}" below "answer:", or "task: tensors" for the values as they are`)
  const mended = `${found}; answers are ${plan.label === undefined ? 'the tensors as they are' : 'the label alone'}. In slipway.yaml, "answer: { activation: ${activation} }" makes probabilities of them`
  return {
    signature: { ...signature, answer: plan.label === undefined ? { task: 'tensors' } : { ...plan, probabilities: undefined } },
    mended,
  }
}

/** The least and the greatest finite value; Infinity and -Infinity where there are none. */
function extentOf(tensors: readonly Tensor[]): readonly [least: number, greatest: number] {
  let [least, greatest] = [Infinity, -Infinity]
  for (const tensor of tensors) {
    const values = toNumbers(tensor)
    for (let index = 0; index < values.length; index++) {
      const value = values[index]!
      if (!Number.isFinite(value)) continue
      least = Math.min(least, value)
      greatest = Math.max(greatest, value)
    }
  }
  return [least, greatest]
}

/** Scores for each row; undefined where a run has no rows, or not as many scores for each. */
function classesOf({ shape, data }: Tensor, { hasRows }: Signature): number | undefined {
  const rows = hasRows || shape.length > 1 ? (shape[0] ?? 1) : 1
  const count = data.length / rows
  return rows > 0 && Number.isInteger(count) ? count : undefined
}

function invalid(source: string, message: string): SlipwayError {
  return new SlipwayError('SLW_PACKAGE_INVALID', `${source}: answer: ${message}`)
}
