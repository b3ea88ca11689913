/**
 * Taps see requests and their answers: to keep records, follow drift, copy to a shadow. No tap holds a request up, and nothing is copied
 * unless a tap asks for it.
 */
import { copyTensor, tensorsBytes } from '../../tensor/tensor.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { RequestContext } from '../context.ts'
import type { Subject } from './events.ts'

/** A request about to run. Its tensors are lent: they must not be used after the call returns. */
export interface Seen {
  readonly context: RequestContext
  readonly subject: Subject
  /** As the model takes them. */
  readonly inputs: readonly Tensor[]
  readonly rows: number
  /** Whether it is a copy of a request, which a shadow answers: nobody sees its outputs. Default: false. */
  readonly isShadow?: boolean
  /** Copies tensors, to keep them; undefined where too much is kept already: the tap then skips this request. */
  readonly copy: (tensors: readonly Tensor[]) => Kept | undefined
}

/** Copies of tensors, until they are disposed of. */
export interface Kept extends Disposable {
  readonly tensors: readonly Tensor[]
}

/** Gets the outputs, which are lent too; where an answer comes in parts, those of each part. Not called for a request that fails. */
export type TakeOutputs = (outputs: readonly Tensor[]) => void

/** Called once for each request, on its thread: a tap does little and never throws. @returns undefined where outputs are not wanted */
export type Tap = (seen: Seen) => TakeOutputs | undefined

/** Limit of the bytes that all taps together may keep. */
const KEPT_BYTES_MAX = 64 * 1024 * 1024

export class Taps {
  readonly #taps = new Set<Tap>()
  readonly #keptBytesMax: number
  #keptBytes = 0
  /** Copies that were not made, as too much was kept. */
  dropped = 0

  constructor(keptBytesMax: number = KEPT_BYTES_MAX) {
    this.#keptBytesMax = keptBytesMax
  }

  /** @returns a function that removes the tap */
  add(tap: Tap): () => void {
    this.#taps.add(tap)
    return () => void this.#taps.delete(tap)
  }

  /** Whether there are taps. */
  get any(): boolean {
    return this.#taps.size > 0
  }

  /** Shows a request to all taps. @returns undefined where none wants the outputs */
  open(seen: Omit<Seen, 'copy'>): TakeOutputs | undefined {
    const shown = { ...seen, copy: (tensors: readonly Tensor[]) => this.keep(tensors) }
    const takers = [...this.#taps].map((tap) => tap(shown)).filter((take) => take !== undefined)
    return takers.length === 0 ? undefined : (outputs) => takers.forEach((take) => take(outputs))
  }

  /** Copies tensors, to keep them; undefined where too much is kept already. */
  keep(tensors: readonly Tensor[]): Kept | undefined {
    const bytes = tensorsBytes(tensors)
    if (this.#keptBytes + bytes > this.#keptBytesMax) {
      this.dropped++
      return undefined
    }
    this.#keptBytes += bytes
    let held = true
    return {
      tensors: tensors.map(copyTensor),
      [Symbol.dispose]: () => {
        if (held) this.#keptBytes -= bytes
        held = false
      },
    }
  }
}
