import { createIds } from '../../core/ids.ts'
import { checkTensors } from '../../signature/tensors.ts'
import { copyTensor } from '../../tensor/tensor.ts'
import { infer } from '../inference.ts'
import type { SlipwayError } from '../../core/errors.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Answered, Caller, Prepared, Terms } from '../caller.ts'
import type { DataPlane } from '../data-plane.ts'
import type { Loaded } from '../variant.ts'

export interface StepCall {
  readonly endpoint: string
  readonly version: string | undefined
  /** Their memory is given away. */
  readonly inputs: readonly Tensor[]
  /** Names of the outputs that are wanted. */
  readonly outputs: readonly string[]
  readonly priority: number
  /** Monotonic milliseconds. */
  readonly deadlineMs: number
  /** @param shared whether the outputs are held by others too: they must not be given away */
  readonly done: (outputs: readonly Tensor[], shared: boolean) => void
  readonly failed: (error: SlipwayError) => void
}

const nextId = createIds()

/** Asks a model of this server for an ensemble. @returns a function that cancels the request */
export function callStep(dataPlane: DataPlane, call: StepCall): () => void {
  const caller = new StepCaller(call, dataPlane)
  infer(dataPlane, caller)
  return () => caller.cancel()
}

/** A step is a request like any other: it is routed, wakes its model, waits in its queue, and is counted. */
class StepCaller implements Caller<undefined> {
  readonly protocol = 'ensemble'
  readonly requestId: string
  readonly predictionId: string
  readonly startedMs: number
  readonly traceparent = undefined
  readonly keyName = undefined
  readonly #call: StepCall
  readonly #dataPlane: DataPlane
  #cancel: (() => void) | undefined
  #gone = false

  constructor(call: StepCall, dataPlane: DataPlane) {
    this.requestId = nextId()
    this.predictionId = this.requestId
    this.startedMs = dataPlane.clock.monotonicMs()
    this.#call = call
    this.#dataPlane = dataPlane
  }

  cancel(): void {
    this.#gone = true
    this.#cancel?.()
  }

  terms(): Terms {
    const { endpoint, version, priority, deadlineMs } = this.#call
    const timeoutMs = Number.isFinite(deadlineMs) ? Math.max(0, deadlineMs - this.startedMs) : undefined
    // The middle is what nobody asked for, and then the model's own default counts.
    return { endpoint, priority: priority === 0 ? undefined : priority, timeoutMs, ...(version !== undefined && { version }) }
  }

  collect(done: (error: undefined, body: undefined) => void): void {
    done(undefined, undefined)
  }

  prepare(_body: undefined, { signature, requestedOutputs }: Loaded): Prepared {
    const { endpoint, inputs, outputs } = this.#call
    // Where another variant may stand in for one that failed, it needs the tensors that the first has taken.
    const again = this.#dataPlane.endpoint(endpoint).routing.fallbacks !== undefined
    return { ...checkTensors(signature, again ? inputs.map(copyTensor) : inputs), outputs: requestedOutputs(outputs) }
  }

  onGone(cancel: () => void): void {
    this.#cancel = cancel
    if (this.#gone) cancel()
  }

  answer({ outputs, cache }: Answered): number {
    this.#call.done(outputs, cache !== undefined)
    return 200
  }

  fail(error: SlipwayError): number {
    this.#call.failed(error)
    return error.kind.http
  }
}
