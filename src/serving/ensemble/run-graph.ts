import { SlipwayError } from '../../core/errors.ts'
import { copyTensor } from '../../tensor/tensor.ts'
import { callStep } from './call-step.ts'
import type { EnsembleStep } from '../../model/triton/ensemble.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { DataPlane } from '../data-plane.ts'
import type { WorkTerms } from '../scheduler/scheduler.ts'
import type { Graph } from './graph.ts'

/** A tensor that was made, and its users to come. */
interface Made {
  readonly tensor: Tensor
  /** Whether somebody outside holds it too. */
  readonly shared: boolean
  uses: number
}

/**
 * Runs the steps of an ensemble for one request, each as soon as its inputs are there. Tensors go from step to step by reference: the last
 * user takes the memory, those before get a copy of it.
 * @param terms priority and deadline of the request, and where its end is heard of
 * @throws the error of the first step that fails, named; the others are then cancelled
 */
export function runGraph(
  dataPlane: DataPlane,
  graph: Graph,
  { inputs, outputs, terms }: { readonly inputs: readonly Tensor[]; readonly outputs: readonly string[]; readonly terms: WorkTerms },
): Promise<Tensor[]> {
  const { promise, resolve, reject } = Promise.withResolvers<Tensor[]>()
  const made = new Map<string, Made>()
  const running = new Map<EnsembleStep, () => void>()
  const waiting = new Set(graph.steps)
  let ended = false
  const end = (error: SlipwayError): void => {
    if (ended) return
    ended = true
    for (const cancel of running.values()) cancel()
    reject(error)
  }
  const keep = (tensor: Tensor, shared: boolean): void => {
    const uses = graph.uses.get(tensor.name)
    if (uses !== undefined) made.set(tensor.name, { tensor, shared, uses })
  }
  const take = (name: string, as: string): Tensor => {
    const one = made.get(name)!
    const isLast = --one.uses === 0 && !one.shared
    if (one.uses === 0) made.delete(name)
    return { ...(isLast ? one.tensor : copyTensor(one.tensor)), name: as }
  }
  const begin = (step: EnsembleStep): void => {
    const failed = (error: SlipwayError): void => {
      running.delete(step)
      end(named(error, step, graph))
    }
    const done = (results: readonly Tensor[], shared: boolean): void => {
      running.delete(step)
      if (ended) return
      for (const { name, tensor } of step.outputs) keep({ ...results.find((each) => each.name === name)!, name: tensor }, shared)
      advance()
    }
    let answered = false
    const cancel = callStep(dataPlane, {
      endpoint: step.model,
      version: step.version,
      inputs: step.inputs.map(({ name, tensor }) => take(tensor, name)),
      outputs: step.outputs.map(({ name }) => name),
      priority: terms.priority,
      deadlineMs: terms.deadlineMs,
      done: (...result) => {
        answered = true
        done(...result)
      },
      failed: (error) => {
        answered = true
        failed(error)
      },
    })
    // What is known at once is answered before the call returns.
    if (!answered) running.set(step, cancel)
  }
  const advance = (): void => {
    const ready = [...waiting].filter((step) => step.inputs.every(({ tensor }) => made.has(tensor)))
    for (const step of ready) waiting.delete(step)
    for (const step of ready) if (!ended) begin(step)
    if (ended || waiting.size > 0 || running.size > 0) return
    ended = true
    resolve(
      outputs.map((name) => {
        const { tensor, shared } = made.get(name)!
        return shared ? copyTensor(tensor) : tensor
      }),
    )
  }
  for (const tensor of inputs) keep(tensor, false)
  terms.onGone(() => end(new SlipwayError('SLW_CANCELLED', 'the caller went away')))
  advance()
  return promise
}

function named(error: SlipwayError, step: EnsembleStep, { steps }: Graph): SlipwayError {
  const { code, message, retryAfterMs, issues } = error
  return new SlipwayError(code, `step ${steps.indexOf(step) + 1} of the ensemble, model "${step.model}": ${message}`, {
    cause: error,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(issues !== undefined && { issues }),
  })
}
