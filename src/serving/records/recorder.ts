/**
 * Records keep what was asked and answered, of a sample of the predictions. A request pays for two copies of small tensors; what is in
 * them is written between requests, and dropped where that does not keep up.
 */
import { isSampled, RECORD_LINE_BYTES_MAX } from '../../contract/prediction-record.ts'
import { toJson } from '../../tensor/json-writer.ts'
import { tensorsBytes } from '../../tensor/tensor.ts'
import { inputFields, tensorFields } from './record-fields.ts'
import { digestOf, redactionsOf, unknownFields } from './redaction.ts'
import type { PredictionRecord } from '../../contract/prediction-record.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { Signature } from '../../signature/signature.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { RequestContext } from '../context.ts'
import type { DataPlane } from '../data-plane.ts'
import type { Subject } from '../observe/events.ts'
import type { Kept, Seen, TakeOutputs } from '../observe/taps.ts'
import type { Loaded, Variant } from '../variant.ts'
import type { RecordCounts } from './record-counts.ts'
import type { RecordSpool } from './record-spool.ts'
import type { Redactions } from './record-fields.ts'

export interface RecorderOptions {
  readonly dataPlane: Pick<DataPlane, 'taps' | 'variants' | 'watch'>
  readonly spool: Pick<RecordSpool, 'add' | 'closeFile'>
  readonly counts: RecordCounts
  /** Key of the digests that stand for marked values. */
  readonly hashKey: Uint8Array
  readonly clock: Clock
  readonly log: Logger
}

/** Recording of one version. */
interface Plan {
  readonly fraction: number
  readonly signature: Signature
  readonly redactions: Redactions
}

/** A sampled request. */
interface Sampled {
  readonly plan: Plan
  readonly context: RequestContext
  readonly subject: Subject
  readonly rows: number
  readonly isShadow: boolean
  readonly inputs: Kept
  /** Monotonic milliseconds after which no answer is expected. */
  readonly expiresMs: number
}

interface Answered extends Sampled {
  readonly outputs: Kept
  readonly time: number
  readonly durationMs: number
}

/** Larger predictions, inputs or outputs, have no record: pictures, say. Bytes. */
const TENSOR_BYTES_MAX = 64 * 1024
/** Predictions that wait for their answer, or to be written. */
const WAITING_MAX = 10_000
/** Longest stretch of writing between requests, milliseconds. */
const STRETCH_MS = 2
const EXPIRES_LATEST_MS = 600_000

/** Records a sample of the predictions of every version whose serving options say so. */
export class Recorder implements AsyncDisposable {
  readonly #options: RecorderOptions
  readonly #plans = new WeakMap<Subject, Plan>()
  /** What a version was loaded as when its plan was made. */
  readonly #planned = new WeakMap<Variant, Loaded>()
  readonly #unwatch: () => void
  #untap: (() => void) | undefined
  readonly #sampled = new Set<Sampled>()
  #answered: Answered[] = []
  #writing = false
  /** Monotonic milliseconds of the last look for requests that have expired. */
  #lookedMs = 0

  constructor(options: RecorderOptions) {
    this.#options = options
    this.#unwatch = options.dataPlane.watch(() => this.#look())
    this.#look()
  }

  /** Makes plans for what is loaded. Without one there is no tap, and requests cost nothing more. */
  #look(): void {
    const { dataPlane } = this.#options
    let any = false
    for (const variant of dataPlane.variants()) {
      const { loaded, subject } = variant
      if (loaded !== undefined && this.#planned.get(variant) !== loaded) {
        this.#planned.set(variant, loaded)
        const plan = this.#planOf(loaded, subject)
        if (plan === undefined) this.#plans.delete(subject)
        else this.#plans.set(subject, plan)
      }
      any ||= this.#plans.has(subject)
    }
    if (any) this.#untap ??= dataPlane.taps.add((seen) => this.#see(seen))
    else {
      this.#untap?.()
      this.#untap = undefined
    }
  }

  /** Undefined where nothing is recorded. A name that no field has may be a slip for one that must be redacted. */
  #planOf(loaded: Loaded, { endpoint, version }: Subject): Plan | undefined {
    const { hashKey: key, log } = this.#options
    const { serving, signature } = loaded
    if (serving.records === 0) return undefined
    const unknown = unknownFields(loaded)
    if (unknown.length === 0) return { fraction: serving.records, signature, redactions: { of: redactionsOf(loaded), key } }
    log.error(
      { endpoint, version },
      `nothing is recorded: recordsDrop and recordsHash name ${unknown.join(', ')}, which are no features, inputs or outputs of the model`,
    )
    return undefined
  }

  #see({ context, subject, inputs, rows, isShadow = false, copy }: Seen): TakeOutputs | undefined {
    const plan = this.#plans.get(subject)
    if (plan === undefined || !isSampled(context.predictionId, plan.fraction)) return undefined
    this.#letGoExpired()
    const kept = this.#keep(inputs, copy)
    if (kept === undefined) return undefined
    const latestMs = this.#options.clock.monotonicMs() + EXPIRES_LATEST_MS
    const sampled = { plan, context, subject, rows, isShadow, inputs: kept, expiresMs: Math.min(context.deadlineMs + 1000, latestMs) }
    this.#sampled.add(sampled)
    return (outputs) => this.#answer(sampled, outputs, copy)
  }

  #keep(tensors: readonly Tensor[], copy: Seen['copy']): Kept | undefined {
    const { counts } = this.#options
    if (tensorsBytes(tensors) > TENSOR_BYTES_MAX) counts.drop('too_large')
    else if (this.#sampled.size + this.#answered.length >= WAITING_MAX) counts.drop('busy')
    else {
      const kept = copy(tensors)
      if (kept === undefined) counts.drop('memory')
      return kept
    }
    return undefined
  }

  /** Of an answer in parts, the first is recorded. */
  #answer(sampled: Sampled, outputs: readonly Tensor[], copy: Seen['copy']): void {
    const { clock } = this.#options
    if (!this.#sampled.delete(sampled)) return
    const kept = this.#keep(outputs, copy)
    if (kept === undefined) {
      sampled.inputs[Symbol.dispose]()
      return
    }
    const durationMs = clock.monotonicMs() - sampled.context.startedMs
    this.#answered.push({ ...sampled, outputs: kept, durationMs, time: Math.round(clock.epochMs() - durationMs) })
    this.#writeLater()
  }

  /** Nobody says that a request has failed: its inputs are let go once it cannot be answered any more. */
  #letGoExpired(): void {
    const now = this.#options.clock.monotonicMs()
    if (now - this.#lookedMs < 1000) return
    this.#lookedMs = now
    for (const sampled of this.#sampled) {
      if (sampled.expiresMs > now) continue
      this.#sampled.delete(sampled)
      sampled.inputs[Symbol.dispose]()
    }
  }

  #writeLater(): void {
    if (this.#writing) return
    this.#writing = true
    setImmediate(() => {
      this.#writing = false
      this.#write(STRETCH_MS)
      if (this.#answered.length > 0) this.#writeLater()
    })
  }

  #write(limitMs: number): void {
    const { clock, spool, counts } = this.#options
    const untilMs = clock.monotonicMs() + limitMs
    let written = 0
    for (const answered of this.#answered) {
      const line = toJson(recordOf(answered))
      answered.inputs[Symbol.dispose]()
      answered.outputs[Symbol.dispose]()
      if (Buffer.byteLength(line) > RECORD_LINE_BYTES_MAX) counts.drop('too_large')
      else spool.add(line)
      written++
      if (clock.monotonicMs() > untilMs) break
    }
    this.#answered = this.#answered.slice(written)
  }

  /** Writes everything that was answered, to be sent at once. */
  async flush(): Promise<void> {
    this.#write(Infinity)
    await this.#options.spool.closeFile()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unwatch()
    this.#untap?.()
    for (const { inputs } of this.#sampled) inputs[Symbol.dispose]()
    this.#sampled.clear()
    await this.flush()
  }
}

/** The unit; where it is the value of a field that is kept out, it is kept out in the same way. */
function redactedUnit(
  unit: string | undefined,
  { signature, redactions }: Plan,
  { inputs, rows }: { readonly inputs: readonly Tensor[]; readonly rows: number },
): { readonly unit?: string } {
  if (unit === undefined) return {}
  if (redactions.of.size === 0) return { unit }
  const fields = inputFields(signature, inputs, rows, { ...redactions, of: new Map() })
  const [redaction] = [...redactions.of]
    .filter(([name]) => [fields[name]].flat(2).some((value) => String(value) === unit))
    .map(([, how]) => how)
  if (redaction === undefined) return { unit }
  return redaction === 'drop' ? {} : { unit: digestOf(unit, redactions.key) }
}

function recordOf({ plan, context, subject, rows, isShadow, inputs, outputs, time, durationMs }: Answered): PredictionRecord {
  const { decision, predictionId } = context
  const { assigned, segment, assignment, unit } = decision
  const { endpoint, model, version, variant } = subject
  return {
    id: predictionId,
    time,
    endpoint,
    model,
    version,
    variant,
    assigned,
    segment,
    assignment: isShadow ? 'shadow' : assignment,
    ...redactedUnit(unit, plan, { inputs: inputs.tensors, rows }),
    rows,
    inputs: inputFields(plan.signature, inputs.tensors, rows, plan.redactions),
    outputs: tensorFields(outputs.tensors, plan.redactions),
    durationMs: Math.round(durationMs * 1000) / 1000,
    weight: 1 / plan.fraction,
  }
}
