import { has, lineOf, numberOf, partOf, partsOf, textOf } from './message.ts'
import { lineError } from './text-format.ts'
import type { Message } from './text-format.ts'

/** A tensor of an ensemble that an input of a step takes, or that an output of it is. */
interface Mapped {
  /** Of the model of the step. */
  readonly name: string
  /** Of the ensemble. */
  readonly tensor: string
  readonly line: number
}

/** One model of an ensemble. */
export interface EnsembleStep {
  readonly line: number
  readonly model: string
  /** Undefined: the one that requests without a version go to. */
  readonly version: string | undefined
  readonly inputs: readonly Mapped[]
  readonly outputs: readonly Mapped[]
}

/** Models whose tensors go from one to the next. */
export interface Ensemble {
  readonly steps: readonly EnsembleStep[]
}

const STEPS_MAX = 256

/** @throws SLW_PACKAGE_INVALID */
export function readEnsemble(message: Message, source: string): Ensemble {
  const scheduling = partOf(message, 'ensemble_scheduling')!
  const steps = partsOf(scheduling, 'step').map((step): EnsembleStep => {
    const model = textOf(step, 'model_name')
    if (model === '') throw lineError(source, step.line, 'ensemble_scheduling: a step has no model_name')
    if (has(step, 'model_namespace'))
      throw lineError(
        source,
        lineOf(step, 'model_namespace'),
        'ensemble_scheduling: model_namespace: models have one name on a server here',
      )
    const version = has(step, 'model_version') ? numberOf(step, 'model_version') : -1
    const mapped = (field: string): Mapped[] =>
      partsOf(step, field).map((entry) => ({ name: textOf(entry, 'key'), tensor: textOf(entry, 'value'), line: entry.line }))
    return {
      line: step.line,
      model,
      version: version < 0 ? undefined : String(version),
      inputs: mapped('input_map'),
      outputs: mapped('output_map'),
    }
  })
  if (steps.length === 0) throw lineError(source, scheduling.line, 'ensemble_scheduling: it has no step')
  if (steps.length > STEPS_MAX)
    throw lineError(source, scheduling.line, `ensemble_scheduling: it has ${steps.length} steps, ${STEPS_MAX} are allowed`)
  return { steps }
}
