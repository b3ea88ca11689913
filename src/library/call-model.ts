import { createIds } from '../core/ids.ts'
import { infer } from '../serving/inference.ts'
import type { SlipwayError } from '../core/errors.ts'
import type { Answered, Caller, Prepared, Terms } from '../serving/caller.ts'
import type { DataPlane } from '../serving/data-plane.ts'
import type { Loaded } from '../serving/variant.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Makes tensors for the version that answers. @throws what is wrong with what was given */
export type Prepare = (loaded: Loaded) => Prepared | Promise<Prepared>

export interface Call {
  readonly endpoint: string
  readonly prepare: Prepare
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

const nextId = createIds()

/** Runs a prediction within this process. @throws as the server would answer, and as `prepare` */
export function callModel(dataPlane: DataPlane, call: Call): Promise<readonly Tensor[]> {
  return new Promise((resolve, reject) => infer(dataPlane, new LibraryCaller(call, dataPlane.clock.monotonicMs(), { resolve, reject })))
}

interface Outcome {
  readonly resolve: (outputs: readonly Tensor[]) => void
  readonly reject: (error: SlipwayError) => void
}

/** A call of an application. Its inputs are at hand: nothing has to be collected. */
class LibraryCaller implements Caller<undefined> {
  readonly protocol = 'library'
  readonly requestId: string
  readonly predictionId: string
  readonly startedMs: number
  readonly traceparent = undefined
  readonly keyName = undefined
  readonly #call: Call
  readonly #outcome: Outcome
  #stopListening: (() => void) | undefined

  constructor(call: Call, startedMs: number, outcome: Outcome) {
    this.requestId = nextId()
    this.predictionId = this.requestId
    this.startedMs = startedMs
    this.#call = call
    this.#outcome = outcome
  }

  terms(): Terms {
    // An application may wait longer than the model's own limit.
    return { endpoint: this.#call.endpoint, priority: undefined, timeoutMs: this.#call.timeoutMs, patient: true }
  }

  collect(done: (error: undefined, body: undefined) => void): void {
    done(undefined, undefined)
  }

  prepare(_body: undefined, loaded: Loaded): Prepared | Promise<Prepared> {
    return this.#call.prepare(loaded)
  }

  onGone(cancel: () => void): void {
    const { signal } = this.#call
    if (signal?.aborted === true) cancel()
    else if (signal !== undefined) {
      signal.addEventListener('abort', cancel, { once: true })
      this.#stopListening = () => signal.removeEventListener('abort', cancel)
    }
  }

  answer({ outputs }: Answered): number {
    this.#stopListening?.()
    this.#outcome.resolve(outputs)
    return 200
  }

  fail(error: SlipwayError): number {
    this.#stopListening?.()
    this.#outcome.reject(error)
    return error.kind.http
  }
}
