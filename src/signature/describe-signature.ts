import type { SignatureDocument, TensorDocument } from '../contract/signature-document.ts'
import type { TensorSpec } from '../tensor/tensor.ts'
import type { Signature } from './signature.ts'

/** A signature as a document that can be kept and compared. */
export function describeSignature(signature: Signature): SignatureDocument {
  const { inputs, outputs, features, image, answer, defaults } = signature
  const labels = answer.task === 'classification' || answer.task === 'ranking' ? answer.labels : undefined
  return {
    inputs: inputs.map((spec) => ({ ...tensorOf(spec), ...(defaults.has(spec.name) && { optional: true }) })),
    outputs: outputs.map(tensorOf),
    ...(features !== undefined && { features: features.map(({ spec }) => spec) }),
    ...(image !== undefined && { image: true }),
    task: answer.task,
    ...(labels !== undefined && { labels: [...labels] }),
  }
}

function tensorOf({ name, datatype, shape, anyRank }: TensorSpec): TensorDocument {
  return { name, datatype, shape: [...shape], ...(anyRank === true && { anyRank }) }
}
