import { lineError } from '../../model/triton/text-format.ts'
import { formatShape } from '../../tensor/tensor.ts'
import type { EnsembleStep } from '../../model/triton/ensemble.ts'
import type { Signature } from '../../signature/signature.ts'
import type { TensorSpec } from '../../tensor/tensor.ts'

/** A step with what its model takes and gives. */
export interface Part {
  readonly step: EnsembleStep
  readonly signature: Pick<Signature, 'inputs' | 'outputs' | 'defaults'>
}

/** Steps whose tensors go from one to the next. */
export interface Graph {
  readonly steps: readonly EnsembleStep[]
  /** How often each tensor is used: as an input of a step, or as an output of the whole. */
  readonly uses: ReadonlyMap<string, number>
}

interface Source {
  readonly spec: TensorSpec
  readonly what: string
}

/**
 * Checks that the tensors of an ensemble fit together: each is made once and before it is used, and is of the type and shape that its users take.
 * @param source the configuration, for messages
 * @throws SLW_PACKAGE_INVALID with the line
 */
export function planGraph(parts: readonly Part[], inputs: readonly TensorSpec[], outputs: readonly TensorSpec[], source: string): Graph {
  const made = new Map<string, Source>(inputs.map((spec) => [spec.name, { spec, what: `input "${spec.name}"` }]))
  for (const { step, signature } of parts)
    for (const { name, tensor, line } of step.outputs) {
      const spec = requireTensor(signature.outputs, name, { source, line, what: `output_map: model "${step.model}" has no output` })
      const other = made.get(tensor)
      if (other !== undefined) throw lineError(source, line, `output_map: tensor "${tensor}" is ${other.what} already`)
      made.set(tensor, { spec, what: `output "${name}" of model "${step.model}"` })
    }
  const uses = new Map<string, number>()
  const use = (tensor: string, taker: TensorSpec, what: string, line: number | undefined): void => {
    const from = made.get(tensor)
    const fail = (message: string): never => {
      throw lineError(source, line ?? 1, message)
    }
    if (from === undefined) return fail(`${what} takes tensor "${tensor}", which is no input of the ensemble and no output of a step`)
    if (from.spec.datatype !== taker.datatype)
      fail(`${what} is ${taker.datatype}, and tensor "${tensor}", ${from.what}, is ${from.spec.datatype}`)
    if (!shapesMeet(from.spec, taker))
      fail(`${what} has shape ${formatShape(taker.shape)}, and tensor "${tensor}", ${from.what}, has ${formatShape(from.spec.shape)}`)
    uses.set(tensor, (uses.get(tensor) ?? 0) + 1)
  }
  for (const { step, signature } of parts) {
    for (const { name, tensor, line } of step.inputs) {
      const spec = requireTensor(signature.inputs, name, { source, line, what: `input_map: model "${step.model}" has no input` })
      use(tensor, spec, `input "${name}" of model "${step.model}"`, line)
    }
    const missing = signature.inputs.find(({ name }) => !signature.defaults.has(name) && !step.inputs.some((each) => each.name === name))
    if (missing !== undefined)
      throw lineError(source, step.line, `input_map: nothing goes to input "${missing.name}" of model "${step.model}"`)
  }
  for (const spec of outputs) use(spec.name, spec, `output "${spec.name}" of the ensemble`, undefined)
  requireOrder(parts, inputs, source)
  return { steps: parts.map(({ step }) => step), uses }
}

function requireTensor(
  specs: readonly TensorSpec[],
  name: string,
  { source, line, what }: { readonly source: string; readonly line: number; readonly what: string },
): TensorSpec {
  const spec = specs.find((each) => each.name === name)
  if (spec !== undefined) return spec
  throw lineError(source, line, `${what} "${name}"; it has ${specs.map((each) => each.name).join(', ')}`)
}

/** Whether a tensor of one can be one of the other. */
function shapesMeet(a: TensorSpec, b: TensorSpec): boolean {
  if (a.anyRank === true || b.anyRank === true) return true
  return a.shape.length === b.shape.length && a.shape.every((dim, axis) => dim === -1 || b.shape[axis] === -1 || dim === b.shape[axis])
}

/** @throws SLW_PACKAGE_INVALID where steps wait for each other */
function requireOrder(parts: readonly Part[], inputs: readonly TensorSpec[], source: string): void {
  const there = new Set(inputs.map(({ name }) => name))
  let waiting = parts.map(({ step }) => step)
  while (waiting.length > 0) {
    const ready = waiting.filter((step) => step.inputs.every(({ tensor }) => there.has(tensor)))
    const [first] = waiting
    if (ready.length === 0 && first !== undefined)
      throw lineError(
        source,
        first.line,
        `ensemble_scheduling: the steps of ${waiting.map(({ model }) => `"${model}"`).join(', ')} wait for each other`,
      )
    for (const { outputs } of ready) for (const { tensor } of outputs) there.add(tensor)
    waiting = waiting.filter((step) => !ready.includes(step))
  }
}
