/**
 * Shadows get copies of requests after these were answered. Nobody waits for them, nobody sees what they answer, and they are the first that
 * a server under load leaves out.
 */
import { toSlipwayError } from '../core/errors.ts'
import { disagree } from '../signature/disagreement.ts'
import { copyTensor } from '../tensor/tensor.ts'
import { outcomeOf } from './observe/outcome.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { RequestContext } from './context.ts'
import type { Kept, Taps } from './observe/taps.ts'
import type { Observer, ShadowEvent, ShadowResult } from './observe/events.ts'
import type { Endpoint } from './endpoint.ts'
import type { Variant } from './variant.ts'

/** Copies that a shadow is busy with at most. */
const BUSY_MAX = 16
/** After everything that somebody waits for: a priority is worth waiting time. */
const LAST = 1_000_000

export interface Shadowed {
  readonly endpoint: Endpoint
  /** The variant that answers. */
  readonly base: Variant
  /** Of the request that is copied: records of both answers have its id. */
  readonly context: RequestContext
  /** Lent, as to taps. */
  readonly inputs: readonly Tensor[]
  readonly rows: number
  readonly lengths: readonly number[] | undefined
  readonly outputs: readonly string[]
  readonly parametersKey: string | undefined
  readonly timeoutMs: number
}

/** Copies of one request, which leave once it has been answered. */
export interface Copies {
  /** @param outputs what the base answered, which is lent; undefined where it failed */
  answered(outputs: readonly Tensor[] | undefined): void
  /** Nobody was answered, for no fault of the version. */
  drop(): void
}

export interface ShadowsOptions {
  readonly taps: Taps
  readonly observer: Required<Observer>
  readonly random: () => number
  readonly monotonicMs: () => number
}

export class Shadows {
  readonly #options: ShadowsOptions
  readonly #busy = new WeakMap<Variant, number>()

  constructor(options: ShadowsOptions) {
    this.#options = options
  }

  /** Copies a request for the shadows that are to get it. @returns undefined where there are none, which is nearly always so */
  copy(shadowed: Shadowed): Copies | undefined {
    const { endpoint, base, inputs } = shadowed
    const shares = endpoint.routing.shadows
    if (shares === undefined) return undefined
    const chosen = endpoint.variants.filter(
      (variant) =>
        variant !== base && this.#options.random() * 100 < (shares[variant.spec.name] ?? 0) && !endpoint.tripped.has(variant.spec.name),
    )
    const free = chosen.filter((variant) => {
      const room = this.#hasRoom(variant, base)
      if (!room) this.#tell(shadowed, variant, 'dropped')
      return room
    })
    if (free.length === 0) return undefined
    const kept = this.#options.taps.keep(inputs)
    if (kept === undefined) {
      for (const variant of free) this.#tell(shadowed, variant, 'dropped')
      return undefined
    }
    for (const variant of free) this.#busy.set(variant, (this.#busy.get(variant) ?? 0) + 1)
    return {
      answered: (outputs) => {
        const copied = outputs?.map(copyTensor)
        setImmediate(() => this.#run({ ...shadowed, inputs: kept.tensors }, free, copied, kept))
      },
      drop: () => {
        kept[Symbol.dispose]()
        for (const variant of free) this.#end(variant)
      },
    }
  }

  #hasRoom(variant: Variant, base: Variant): boolean {
    const { loaded } = variant
    if (loaded === undefined || !variant.ready || variant.dormant || variant.retired) return false
    if ((this.#busy.get(variant) ?? 0) >= BUSY_MAX) return false
    // Under load, requests wait: a copy would make them wait longer.
    return loaded.scheduler.queued === 0 && (base.loaded?.scheduler.queued ?? 0) === 0
  }

  #run(shadowed: Shadowed, free: readonly Variant[], answer: readonly Tensor[] | undefined, kept: Kept): void {
    let left = free.length
    // A run takes its inputs with it: each shadow has some of its own.
    const inputs = free.map((_, index) => (index === 0 ? shadowed.inputs : shadowed.inputs.map(copyTensor)))
    for (const [index, variant] of free.entries())
      this.#ask(variant, { ...shadowed, inputs: inputs[index]! }, (outputs, gone) => {
        this.#end(variant)
        if (--left === 0) kept[Symbol.dispose]()
        this.#tell(shadowed, variant, gone ? 'dropped' : resultOf(shadowed, answer, outputs))
      })
  }

  #ask(variant: Variant, shadowed: Shadowed, done: (outputs: readonly Tensor[] | undefined, gone: boolean) => void): void {
    const { context, inputs, rows, lengths, outputs, parametersKey, timeoutMs } = shadowed
    const { taps } = this.#options
    // What is answered is kept beside what was, under the same id.
    const take = taps.any ? taps.open({ context, subject: variant.subject, inputs, rows, isShadow: true }) : undefined
    const deadlineMs = this.#options.monotonicMs() + timeoutMs
    try {
      variant.submit({ inputs, rows, lengths, outputs, priority: LAST, deadlineMs, parametersKey }, (error, result) => {
        if (result !== undefined) take?.(result.outputs)
        // What had no place or no time says nothing of the version: copies come last.
        done(result?.outputs, error !== undefined && outcomeOf(toSlipwayError(error).code) !== 'failed')
      })
    } catch {
      done(undefined, true)
    }
  }

  #end(variant: Variant): void {
    this.#busy.set(variant, (this.#busy.get(variant) ?? 1) - 1)
  }

  #tell({ context, base }: Shadowed, variant: Variant, result: ShadowResult): void {
    const { predictionId, decision } = context
    const event: ShadowEvent = { predictionId, subject: variant.subject, base: base.subject, segment: decision.segment, result }
    this.#options.observer.shadow(event)
  }
}

function resultOf({ base, rows }: Shadowed, answer: readonly Tensor[] | undefined, outputs: readonly Tensor[] | undefined): ShadowResult {
  if (answer === undefined) return outputs === undefined ? 'both failed' : 'better'
  if (outputs === undefined) return 'worse'
  const signature = base.signature
  return signature === undefined || !disagree(signature, answer, outputs, rows) ? 'same' : 'different'
}
