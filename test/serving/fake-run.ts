import { SlipwayError } from '../../src/core/errors.ts'
import type { Clock } from '../../src/core/clock.ts'
import type { CacheableRequest } from '../../src/serving/cache/response-cache.ts'
import type { Cancel, Settle, WorkResult } from '../../src/serving/scheduler/scheduler.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

/** A run that goes on until a test ends it, or its request's time is over. */
export class RunningRequest {
  readonly request: CacheableRequest
  readonly #settle: Settle
  readonly #cancelTimer: (() => void) | undefined
  how: 'answered' | 'failed' | 'cancelled' | undefined

  constructor(request: CacheableRequest, settle: Settle, clock: Clock) {
    this.request = request
    this.#settle = settle
    const leftMs = request.deadlineMs - clock.monotonicMs()
    if (Number.isFinite(leftMs))
      this.#cancelTimer = clock.after(leftMs, () => this.fail(new SlipwayError('SLW_DEADLINE_EXCEEDED', 'waited too long in the queue')))
  }

  answer(): void {
    this.#end('answered', undefined, { outputs: answerTo(this.request), queueMs: 1, batchWaitMs: 2, computeMs: 3 })
  }

  fail(error: SlipwayError): void {
    this.#end('failed', error, undefined)
  }

  cancel(): void {
    this.#end('cancelled', new SlipwayError('SLW_CANCELLED', 'the caller went away'), undefined)
  }

  #end(how: RunningRequest['how'], error: SlipwayError | undefined, result: WorkResult | undefined): void {
    if (this.how !== undefined) return
    this.how = how
    this.#cancelTimer?.()
    this.#settle(error, result)
  }
}

/** What a cache has behind it in place of a scheduler: every run is ended by the test. */
export class FakeRun {
  readonly #clock: Clock
  readonly runs: RunningRequest[] = []
  /** Thrown in place of the next runs, as a full queue does. */
  refusal: ((request: CacheableRequest) => SlipwayError | undefined) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get going(): RunningRequest[] {
    return this.runs.filter((run) => run.how === undefined)
  }

  readonly run = (request: CacheableRequest, settle: Settle): Cancel => {
    const refusal = this.refusal?.(request)
    if (refusal !== undefined) throw refusal
    const run = new RunningRequest(request, settle, this.#clock)
    this.runs.push(run)
    return () => run.cancel()
  }
}

/** What was asked, in words: an answer that was meant for another request cannot look like one's own. */
export function answerTo({ inputs, outputs, parametersKey }: CacheableRequest): Tensor[] {
  const asked = inputs.map(({ datatype, shape, data }) => `${datatype}[${shape.join()}]=${[...data].join()}`).join(' ')
  const text = `${parametersKey ?? '-'} ${asked}`
  return outputs.map((name) => ({ name, datatype: 'BYTES', shape: [1], data: [`${name}: ${text}`] }))
}
