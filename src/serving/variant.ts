import { SlipwayError, isSlipwayError, toSlipwayError } from '../core/errors.ts'
import { predictUs } from '../engine/cost.ts'
import { openInline } from '../engine/inline.ts'
import { openProcess } from '../engine/process.ts'
import { probe } from '../engine/probe.ts'
import { InstanceSlot } from '../engine/slot.ts'
import { openThread } from '../engine/thread.ts'
import { resolveServing } from '../contract/serving-options.ts'
import { readPackage } from '../model/package.ts'
import { buildSignature } from '../signature/signature.ts'
import { checkGolden } from '../signature/golden.ts'
import { prepareQuestion } from '../signature/request.ts'
import { sampleOf } from '../signature/example.ts'
import { generateSample } from '../tensor/sample.ts'
import { allocate, elementCount, formatShape } from '../tensor/tensor.ts'
import { Scheduler } from './scheduler/scheduler.ts'
import type { VariantPhase, VariantSpec } from '../contract/endpoint.ts'
import type { Serving, ServingOptions } from '../contract/serving-options.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/log.ts'
import type { Instance, InstanceSpec } from '../engine/instance.ts'
import type { Probe } from '../engine/probe.ts'
import type { SlotStatus } from '../engine/slot.ts'
import type { ModelPackage } from '../model/package.ts'
import type { Sample } from '../signature/example.ts'
import type { Signature } from '../signature/signature.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Observer, Subject } from './observe/events.ts'
import type { Cancel, Settle, WorkResult } from './scheduler/scheduler.ts'

export interface VariantOptions {
  readonly endpoint: string
  readonly spec: VariantSpec
  /** What the server file, environment and flags say: over those of the package. */
  readonly servingOverrides: ServingOptions
  readonly cores: number
  readonly clock: Clock
  readonly log: Logger
  readonly observer: Required<Observer>
}

/** A model that runs, with everything that was found out about it. */
export interface Loaded {
  readonly package: ModelPackage
  readonly signature: Signature
  readonly serving: Serving
  readonly probe: Probe
  readonly scheduler: Scheduler
  readonly slots: readonly InstanceSlot[]
  readonly inline: boolean
  readonly loadMs: number
}

export interface VariantStatus {
  readonly endpoint: string
  readonly variant: string
  readonly model: string
  readonly version: string
  readonly weight: number
  readonly phase: VariantPhase
  readonly ready: boolean
  /** Why it is not ready. */
  readonly reason: string | undefined
  readonly instances: readonly SlotStatus[]
}

export interface InferRequest {
  /** In the order of the signature, checked. */
  readonly inputs: readonly Tensor[]
  readonly rows: number
  readonly outputs: readonly string[]
  readonly priority: number
  readonly deadlineMs: number
  /** Request parameters that change a run; requests with different ones never share it. */
  readonly parametersKey?: string | undefined
}

/** One version inside an endpoint: loads it, keeps its instances, and runs requests through its scheduler. */
export class Variant {
  readonly subject: Subject
  readonly spec: VariantSpec
  readonly #options: VariantOptions
  #phase: VariantPhase = 'waiting'
  #reason: string | undefined
  #loaded: Loaded | undefined
  #closing: Promise<void> | undefined
  /** Requested outputs, all of them, in order: the usual case needs no list of its own. */
  #allOutputs: readonly string[] = []
  #shapesVary = true

  constructor(options: VariantOptions) {
    const { spec, endpoint } = options
    this.#options = options
    this.spec = spec
    this.subject = { endpoint, variant: spec.name, model: spec.model, version: spec.version }
  }

  /** Reads, loads, probes, warms and checks the model. @throws why it cannot be served; `status` then says so too */
  async load(): Promise<void> {
    this.#phase = 'loading'
    try {
      this.#loaded = await this.#open()
      this.#phase = 'ready'
    } catch (error) {
      this.#phase = 'failed'
      const failure = toSlipwayError(error, 'SLW_LOAD_FAILED')
      this.#reason = failure.message
      const { endpoint, version } = this.subject
      throw new SlipwayError(failure.code, `model "${endpoint}" version ${version}: ${failure.message}`, {
        cause: failure,
        ...(failure.issues !== undefined && { issues: failure.issues }),
      })
    }
  }

  async #open(): Promise<Loaded> {
    const { spec, cores, clock, observer } = this.#options
    const started = clock.monotonicMs()
    const model = await readPackage({ name: spec.model, version: spec.version, path: spec.path })
    const serving = resolveServing(cores, model.document.serving, this.#options.servingOverrides, spec.serving)
    const signature = buildSignature({ onnx: model.onnx, document: model.document, source: spec.path, nanPolicy: serving.nanPolicy })
    const sample = sampleOf(signature)
    const instanceSpec = this.#instanceSpec(model, serving)
    const wakers: (() => void)[] = []
    const slots = Array.from({ length: serving.instances }, (_, index) =>
      this.#slot(index, { model, serving, signature, sample, instanceSpec, wakers }),
    )
    await using opened = new AsyncDisposableStack()
    for (const slot of slots) opened.defer(() => slot.close())
    await Promise.all(slots.map((slot) => slot.start()))
    const first = slots[0]!
    const outputs = signature.outputs.map((output) => output.name)
    const found = await probe({
      instance: first,
      inputs: signature.inputs,
      outputs,
      sample: sample.rows,
      maxBatchSize: serving.maxBatchSize,
    })
    const batchable = serving.batching === 'on' || (serving.batching === 'auto' && found.batchable)
    this.#shapesVary = signature.inputs.some((input) => input.anyRank === true || input.shape.slice(signature.hasRows ? 1 : 0).includes(-1))
    const inline = await this.#openInline(instanceSpec, { serving, signature, found })
    if (inline !== undefined) opened.defer(() => inline.close())
    const scheduler = new Scheduler({
      name: `${this.subject.endpoint}/${this.subject.variant}`,
      runners: slots,
      inline: inline === undefined ? undefined : inlineRunner(inline),
      batchable,
      cost: found.cost,
      serving,
      clock,
      onBatch: (batch) => observer.batch({ subject: this.subject, ...batch }),
    })
    wakers.push(() => scheduler.wake())
    this.#allOutputs = outputs
    const loaded: Loaded = {
      package: model,
      signature,
      serving,
      probe: found,
      scheduler,
      slots,
      inline: inline !== undefined,
      loadMs: clock.monotonicMs() - started,
    }
    await this.#checkGolden(loaded)
    const held = opened.move()
    this.#release = () => held.disposeAsync()
    return { ...loaded, loadMs: clock.monotonicMs() - started }
  }

  #release: () => Promise<void> = () => Promise.resolve()

  #instanceSpec(model: ModelPackage, serving: Serving): InstanceSpec {
    const { onnx } = model
    return {
      name: `${this.subject.endpoint}/${this.subject.variant}`,
      source: onnx.rewrittenBytes === undefined ? { path: model.modelPath } : { bytes: onnx.rewrittenBytes },
      inputs: onnx.inputs,
      outputs: onnx.outputs,
      threads: serving.threads,
    }
  }

  #slot(
    index: number,
    parts: {
      model: ModelPackage
      serving: Serving
      signature: Signature
      sample: Sample
      instanceSpec: InstanceSpec
      wakers: readonly (() => void)[]
    },
  ): InstanceSlot {
    const { clock, log, observer } = this.#options
    const { serving } = parts
    const spec = { ...parts.instanceSpec, name: `${parts.instanceSpec.name}#${index}` }
    return new InstanceSlot({
      name: spec.name,
      clock,
      open: async () => {
        const instance = serving.isolation === 'process' ? await openProcess(spec, serving) : await openThread(spec, serving.runTimeoutMs)
        try {
          await this.#warm(instance, parts)
        } catch (error) {
          await instance.close()
          throw error
        }
        return instance
      },
      onAvailable: () => parts.wakers.forEach((wake) => wake()),
      onFailure: (end) => {
        log.error({ ...this.subject, instance: spec.name, reason: end.reason }, `instance ended: ${end.message}`)
        this.#loaded?.scheduler.dropInline()
        observer.instanceFailure({ subject: this.subject, reason: end.reason, message: end.message })
      },
    })
  }

  /** Runs before the first request, so that no client pays for lazy initialisation. */
  async #warm(
    instance: Instance,
    { model, signature, sample }: { model: ModelPackage; signature: Signature; sample: Sample },
  ): Promise<void> {
    const runs = model.document.warmup?.runs ?? 3
    const from = model.document.warmup?.from
    const outputs = signature.outputs.map((output) => output.name)
    for (let run = 0; run < runs; run++) {
      const inputs = from === 'random' ? generateSample(signature.inputs, 1, signature.ranges) : sample.rows(1)
      if (from === 'zeros') for (const tensor of inputs) if (!Array.isArray(tensor.data)) tensor.data.fill(0 as never)
      try {
        await instance.run(inputs, outputs)
      } catch (error) {
        // Values made up for warm-up may be nonsense to the model; its own examples may not.
        if ((sample.trusted && from !== 'random' && from !== 'zeros') || !isSlipwayError(error) || error.code === 'SLW_INSTANCE_FAILED')
          throw new SlipwayError('SLW_LOAD_FAILED', `warm-up failed: ${toSlipwayError(error).message}`)
        this.#options.log.warn(
          { ...this.subject },
          `warm-up with generated inputs was refused (${error.message}); "examples" in slipway.yaml give it real ones`,
        )
        return
      }
    }
  }

  /**
   * Only where the measured cost tells the cost of every request: it knows rows, not other sizes. An inline run has no time
   * limit and blocks the server.
   */
  async #openInline(spec: InstanceSpec, known: { serving: Serving; signature: Signature; found: Probe }): Promise<Instance | undefined> {
    const { serving, signature, found } = known
    if (serving.isolation === 'process' || serving.inlineMaxUs === 0 || found.cost === undefined) return undefined
    const sizesVary = this.#shapesVary || signature.inputs.some((input) => input.datatype === 'BYTES')
    if (sizesVary || (signature.hasRows && !found.batchable)) return undefined
    return predictUs(found.cost, 1) < serving.inlineMaxUs ? openInline(spec) : undefined
  }

  async #checkGolden(loaded: Loaded): Promise<void> {
    const { document, folder } = loaded.package
    await checkGolden(document.golden ?? [], loaded.signature, folder, async (request) => {
      const question = await prepareQuestion(loaded.signature, request)
      const result = await settled((settle) =>
        this.#submit(loaded, { ...question, priority: 0, deadlineMs: Number.POSITIVE_INFINITY }, settle),
      )
      return question.answer(result.outputs)
    })
  }

  get ready(): boolean {
    return this.#phase === 'ready' && this.#loaded !== undefined && this.#loaded.slots.some((slot) => slot.state === 'ready')
  }

  get phase(): VariantPhase {
    return this.#phase
  }

  get reason(): string | undefined {
    if (this.#phase !== 'ready') return this.#reason ?? `the model is ${this.#phase}`
    return this.ready ? undefined : 'no instance is ready: each has ended and is backing off'
  }

  /** Undefined until the model has loaded. */
  get loaded(): Loaded | undefined {
    return this.#loaded
  }

  /** @throws SLW_MODEL_NOT_READY with the reason */
  requireReady(): Loaded {
    if (this.#loaded !== undefined && this.ready) return this.#loaded
    const { endpoint, version } = this.subject
    throw new SlipwayError('SLW_MODEL_NOT_READY', `model "${endpoint}" version ${version} is not ready: ${this.reason}`, {
      retryAfterMs: this.#retryAfterMs(),
    })
  }

  #retryAfterMs(): number {
    const times = this.#loaded?.slots.map((slot) => slot.status().retryAt).filter((at) => at !== undefined) ?? []
    if (times.length === 0) return 1000
    return Math.max(1000, Math.min(...times.map((at) => Date.parse(at))) - this.#options.clock.epochMs())
  }

  /** All outputs in the model's order, or those asked for. @throws SLW_BAD_REQUEST for an unknown or repeated name */
  requestedOutputs(names: readonly string[] | undefined): readonly string[] {
    if (names === undefined || names.length === 0) return this.#allOutputs
    for (const [index, name] of names.entries()) {
      if (!this.#allOutputs.includes(name))
        throw new SlipwayError(
          'SLW_BAD_REQUEST',
          `outputs[${index}]: the model has no output "${name}"; it has ${this.#allOutputs.join(', ')}`,
        )
      if (names.indexOf(name) !== index) throw new SlipwayError('SLW_BAD_REQUEST', `outputs[${index}]: "${name}" is asked for twice`)
    }
    return names
  }

  /** @throws SLW_MODEL_NOT_READY, SLW_QUEUE_FULL at once; the rest goes to `settle` */
  submit(request: InferRequest, settle: Settle): Cancel {
    return this.#submit(this.requireReady(), request, settle)
  }

  /** The same as a promise. */
  infer(request: InferRequest, signal?: AbortSignal): Promise<WorkResult> {
    let cancel: Cancel | undefined
    const abort = (): void => cancel?.()
    return settled((settle) => {
      cancel = this.submit(request, settle)
      signal?.addEventListener('abort', abort, { once: true })
    }).finally(() => signal?.removeEventListener('abort', abort))
  }

  #submit(loaded: Loaded, request: InferRequest, settle: Settle): Cancel {
    if (request.rows === 0 && loaded.probe.batchable) {
      settle(undefined, emptyResult(loaded, request.outputs))
      return () => {}
    }
    const { inputs, outputs, rows, priority, deadlineMs } = request
    return loaded.scheduler.enqueue(
      { inputs, outputs, rows, key: this.#batchKey(request, loaded.signature.hasRows), priority, deadlineMs },
      settle,
    )
  }

  #batchKey(request: InferRequest, hasRows: boolean): string {
    let key = request.parametersKey ?? ''
    if (request.outputs !== this.#allOutputs) key += `|${request.outputs.join()}`
    if (this.#shapesVary)
      for (const tensor of request.inputs) key += `|${hasRows ? tensor.shape.slice(1).join('x') : tensor.shape.join('x')}`
    return key
  }

  status(): VariantStatus {
    return {
      ...this.subject,
      weight: this.spec.weight,
      phase: this.#phase,
      ready: this.ready,
      reason: this.reason,
      instances: this.#loaded?.slots.map((slot) => slot.status()) ?? [],
    }
  }

  /** Takes no new requests and resolves when those accepted are answered. */
  async drain(): Promise<void> {
    await this.#loaded?.scheduler.drain()
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#loaded?.scheduler.close()
      await this.#release()
      this.#phase = 'waiting'
      this.#reason = 'closed'
    })()
    return this.#closing
  }
}

/** A callback's end as a promise. */
function settled(start: (settle: Settle) => unknown): Promise<WorkResult> {
  return new Promise((resolve, reject) => {
    start((error, result) =>
      result === undefined ? reject(error ?? new SlipwayError('SLW_INTERNAL', 'a work ended with nothing')) : resolve(result),
    )
  })
}

function inlineRunner(instance: Instance): { readonly available: boolean; run: Instance['run'] } {
  return {
    get available() {
      return !instance.busy
    },
    run: (inputs, outputs) => instance.run(inputs, outputs),
  }
}

/** Zero rows in, zero rows out: nothing is run, as few operators are made for it. */
function emptyResult(loaded: Loaded, outputs: readonly string[]): WorkResult {
  const specs = new Map(loaded.signature.outputs.map((output) => [output.name, output]))
  return {
    outputs: outputs.map((name) => {
      const { datatype } = specs.get(name)!
      const shape = [0, ...(loaded.probe.rowShapes.get(name) ?? [])]
      return { name, datatype, shape, data: allocate(datatype, elementCount(shape)) }
    }),
    queueMs: 0,
    batchWaitMs: 0,
    computeMs: 0,
  }
}

/** `x FP32 [-1, 20]`, as people read it. */
export function describeSpec(spec: { name: string; datatype: string; shape: readonly number[]; anyRank?: boolean }): string {
  return `${spec.name} ${spec.datatype} ${spec.anyRank === true ? '[any shape]' : formatShape(spec.shape)}`
}
