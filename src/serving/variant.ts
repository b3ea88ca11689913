import { backoffMs } from '../core/backoff.ts'
import { orLate } from '../core/clock.ts'
import { SlipwayError, toSlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { checkGolden } from '../signature/golden.ts'
import { OutputSizes } from './output-sizes.ts'
import { prepareQuestion } from '../signature/request.ts'
import { allocate, elementCount, formatShape } from '../tensor/tensor.ts'
import { filesAreToBlame } from './load-failures.ts'
import { ResponseCache } from './cache/response-cache.ts'
import { MemoryStore } from './cache/store.ts'
import { Scheduler } from './scheduler/scheduler.ts'
import type { VariantPhase, VariantSpec } from '../contract/desired-endpoint.ts'
import type { Serving, ServingOptions } from '../contract/serving-options.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/log.ts'
import type { Instance, InstanceEnd } from '../engine/instance.ts'
import type { SlotStatus } from '../engine/slot.ts'
import type { SpareThreads } from '../engine/thread.ts'
import type { Signature } from '../signature/signature.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { CacheStore } from './cache/store.ts'
import type { Backend } from './backend.ts'
import type { LoadOptions, LoadTimes, OpenModel } from './load.ts'
import type { Observer, Subject } from './observe/events.ts'
import type { Cancel, OnPart, Settle, WorkResult } from './scheduler/scheduler.ts'

/** Time that waiting requests of a variant being unloaded have for an instance to come back. */
const STRANDED_MS = 1000

/** Manner of a load: see `LoadOptions`. */
export type LoadManner = Pick<LoadOptions, 'gentle' | 'measured'>

export interface VariantOptions {
  readonly endpoint: string
  readonly spec: VariantSpec
  /** Settings of the server file, environment and flags: they override those of the package. */
  readonly servingOverrides: ServingOptions
  readonly cores: number
  readonly clock: Clock
  readonly log: Logger
  readonly spares: SpareThreads
  /** See `LoadOptions`. */
  readonly sandboxPython: string | undefined
  /** See `LoadOptions`. */
  readonly background?: boolean | undefined
  readonly observer: Required<Observer>
  readonly backend: Backend
}

/** A model that runs, and the queue in front of it. */
export interface Loaded extends Omit<OpenModel, typeof Symbol.asyncDispose | 'inline'> {
  readonly scheduler: Scheduler
  readonly inline: boolean
  readonly cache: CacheStore | undefined
  readonly outputSizes: OutputSizes
  /** All outputs in the model's order, or those asked for. @throws SLW_BAD_REQUEST for an unknown or repeated name */
  readonly requestedOutputs: (names: readonly string[] | undefined) => readonly string[]
}

/** Why a load did not succeed, and when. */
export interface LoadFailure {
  readonly code: SlipwayError['code']
  readonly message: string
  /** ISO 8601. */
  readonly at: string
}

export interface VariantStatus {
  readonly endpoint: string
  readonly variant: string
  readonly model: string
  readonly version: string
  readonly path: string
  readonly phase: VariantPhase
  readonly ready: boolean
  /** Why it is not ready. */
  readonly reason: string | undefined
  readonly failure: LoadFailure | undefined
  /** Bytes that loading the version took, as measured. */
  readonly memoryBytes: number | undefined
  readonly instances: readonly SlotStatus[]
}

export interface InferRequest {
  /** In the order of the signature, checked. */
  readonly inputs: readonly Tensor[]
  readonly rows: number
  /** Of texts: the tokens of each row. */
  readonly lengths?: readonly number[] | undefined
  readonly outputs: readonly string[]
  readonly priority: number
  readonly deadlineMs: number
  /** Request parameters that change a run; requests with different ones never share it. */
  readonly parametersKey?: string | undefined
  /** Takes the answer in parts, as they come. */
  readonly onPart?: OnPart | undefined
}

/** One version inside an endpoint: loads it, keeps its instances, and runs requests through its scheduler. */
export class Variant {
  readonly subject: Subject
  readonly spec: VariantSpec
  readonly #options: VariantOptions
  #phase: VariantPhase = 'waiting'
  #failure: LoadFailure | undefined
  #loaded: Loaded | undefined
  #release: () => Promise<void> = () => Promise.resolve()
  #cache: ResponseCache<InferRequest> | undefined
  #closing: Promise<void> | undefined
  /** Ends the load in progress. */
  #opening: AbortController | undefined
  #retired = false
  /** Whether the variant has been unloaded before: a request may then load it, whatever its phase. */
  #onDemand = false
  #signature: Signature | undefined
  #loadFailures = 0
  #retryAtMs = 0
  #streams = 0
  /** All outputs in order: the usual request shares this list and needs none of its own. */
  #allOutputs: readonly string[] = []
  /** Bytes that loading the version took, as measured; set by `Residency`. */
  memoryBytes: number | undefined

  constructor(options: VariantOptions) {
    const { spec, endpoint } = options
    this.#options = options
    this.spec = spec
    this.subject = { endpoint, variant: spec.name, model: spec.model, version: spec.version }
  }

  /**
   * Reads, loads, warms, probes and checks the model. A variant that was unloaded can be loaded again.
   * @throws why the model cannot be served; `status` then says so too
   */
  async load(how: LoadManner): Promise<LoadTimes> {
    const { subject } = this
    const { clock, observer } = this.#options
    this.#phase = 'loading'
    this.#opening = new AbortController()
    try {
      const times = await this.#open(how)
      this.#phase = 'ready'
      this.#failure = undefined
      this.#loadFailures = 0
      observer.load({ subject, error: undefined, ...times })
      return times
    } catch (error) {
      this.#phase = 'failed'
      const failure = toSlipwayError(error, 'SLW_LOAD_FAILED')
      const { code, message, issues } = failure
      this.#failure = this.#failureOf(failure)
      this.#retryAtMs = clock.monotonicMs() + backoffMs(this.#loadFailures++)
      observer.load({ subject, error: code, loadMs: 0, warmUpMs: 0 })
      throw new SlipwayError(code, `model "${subject.endpoint}" version ${subject.version}: ${message}`, {
        cause: failure,
        exitCode: failure.exitCode,
        ...(issues !== undefined && { issues }),
      })
    } finally {
      this.#opening = undefined
    }
  }

  #failureOf({ code, message }: SlipwayError): LoadFailure {
    return { code, message, at: new Date(this.#options.clock.epochMs()).toISOString() }
  }

  async #open(how: LoadManner): Promise<LoadTimes> {
    const { spec, observer, clock, log, cores, spares, sandboxPython, background, servingOverrides, backend } = this.#options
    let scheduler: Scheduler | undefined
    let isChecked = false
    await using opened = new AsyncDisposableStack()
    const model = opened.use(
      await backend.open({
        subject: this.subject,
        spec,
        servingOverrides,
        sandboxPython,
        background,
        signal: this.#opening?.signal,
        cores,
        clock,
        log,
        spares,
        ...how,
        onAvailable: () => scheduler?.wake(),
        onInstanceFailure: (instance, end) => this.#onInstanceFailure(instance, end),
        onInstanceRecovered: () => observer.instanceRecovered({ subject: this.subject }),
      }),
    )
    const { serving, signature, probe, inline } = model
    // A model that was unloaded and is loaded again has been spoken of.
    if (this.#signature === undefined) for (const remark of model.remarks) log.warn({ ...this.subject }, remark)
    scheduler = new Scheduler({
      name: `${this.subject.endpoint}/${this.subject.variant}`,
      runners: model.slots,
      inline: inline === undefined ? undefined : inlineRunner(inline),
      batchable: serving.batching === 'on' || (serving.batching === 'auto' && probe.batchable),
      cost: probe.cost,
      serving,
      clock,
      onBatch: (batch) => {
        // Runs of golden examples are nobody's requests.
        if (isChecked) observer.batch({ subject: this.subject, ...batch })
      },
    })
    const allOutputs = signature.outputs.map((output) => output.name)
    this.#allOutputs = allOutputs
    const loaded: Loaded = {
      ...model,
      inline: inline !== undefined,
      scheduler,
      cache: this.#openCache(serving),
      outputSizes: new OutputSizes(signature.inputs, signature.outputs, serving.maxOutputBytes),
      requestedOutputs: (names) => requestedOf(allOutputs, names),
    }
    const checking = clock.monotonicMs()
    await this.#checkGolden(loaded)
    isChecked = true
    await faultPoint('load.checked')
    if (this.#closing !== undefined) throw new SlipwayError('SLW_CLOSED', 'it was closed while it loaded')
    const held = opened.move()
    this.#release = () => held.disposeAsync()
    const times = { loadMs: model.times.loadMs, warmUpMs: model.times.warmUpMs + clock.monotonicMs() - checking }
    this.#loaded = { ...loaded, times }
    this.#signature = signature
    return times
  }

  #openCache({ cacheMb, cacheTtlMs }: Serving): CacheStore | undefined {
    this.#cache = undefined
    if (cacheMb === 0) return undefined
    const { clock } = this.#options
    const store = new MemoryStore({ maxBytes: cacheMb * 1024 * 1024, ttlMs: cacheTtlMs, clock })
    this.#cache = new ResponseCache(store, clock, (request, settle) => this.#enqueue(this.requireReady(), request, settle))
    return store
  }

  #onInstanceFailure(instance: string, end: InstanceEnd): void {
    const { log, observer } = this.#options
    log.error({ ...this.subject, instance, reason: end.reason }, `instance ended: ${end.message}`)
    this.#loaded?.scheduler.dropInline()
    observer.instanceFailure({ subject: this.subject, reason: end.reason, message: end.message })
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

  /** Whether a request would be answered: an instance is ready, or the model would be loaded for it. */
  get ready(): boolean {
    if (this.#phase === 'unloaded' || (this.#phase === 'loading' && this.#onDemand)) return true
    return this.#phase === 'ready' && this.#loaded !== undefined && this.#loaded.slots.some((slot) => slot.state === 'ready')
  }

  get phase(): VariantPhase {
    return this.#phase
  }

  get reason(): string | undefined {
    if (this.#phase === 'unloaded') return this.#failure?.message ?? 'unloaded to save memory: the next request loads it'
    if (this.#phase !== 'ready') return this.#failure?.message ?? `the model is ${this.#phase}`
    if (this.ready) return undefined
    const own = this.#loaded?.slots.find(({ reason }) => reason !== undefined)?.reason
    return own ?? 'no instance is ready: each has ended and is backing off'
  }

  /** Kept after an unload; undefined before the first load, and after a failed one. */
  get signature(): Signature | undefined {
    return this.#loaded?.signature ?? (this.#phase === 'unloaded' ? this.#signature : undefined)
  }

  /** Undefined until the model has loaded, and after it was unloaded. */
  get loaded(): Loaded | undefined {
    return this.#loaded
  }

  /** Whether the variant is not in memory and a request may load it. */
  get dormant(): boolean {
    if (!this.#onDemand || this.#phase === 'ready') return false
    return this.#phase !== 'failed' || this.#options.clock.monotonicMs() >= this.#retryAtMs
  }

  /** Whether a load that failed for a passing cause is due for another try, which no request will start. */
  get retryDue(): boolean {
    if (this.#phase !== 'failed' || this.#onDemand || this.#failure === undefined) return false
    return !filesAreToBlame(this.#failure.code) && this.#options.clock.monotonicMs() >= this.#retryAtMs
  }

  /** Whether the variant has been unloaded before: requests load it, whatever its phase. */
  get onDemand(): boolean {
    return this.#onDemand
  }

  /** Whether the variant is out of use, replaced or not: accepted requests are still answered, new ones go elsewhere. */
  get retired(): boolean {
    return this.#retired
  }

  /** Whether no request runs, waits or holds a place. */
  get idle(): boolean {
    const scheduler = this.#loaded?.scheduler
    return scheduler === undefined || (scheduler.inFlight === 0 && scheduler.reserved === 0)
  }

  /** Monotonic milliseconds of the last request. */
  get lastUsedMs(): number {
    return this.#loaded?.scheduler.lastUsedMs ?? 0
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

  /** @throws SLW_MODEL_NOT_READY, SLW_QUEUE_FULL, SLW_OUTPUT_TOO_LARGE at once; the rest goes to `settle` */
  submit(request: InferRequest, settle: Settle): Cancel {
    return this.#submit(this.requireReady(), request, settle)
  }

  #submit(loaded: Loaded, request: InferRequest, settle: Settle): Cancel {
    if (request.rows === 0 && loaded.probe.batchable) {
      const empty = emptyResult(loaded, request.outputs)
      request.onPart?.(empty.outputs)
      settle(undefined, request.onPart === undefined ? empty : { ...empty, outputs: [] })
      return () => {}
    }
    // Golden examples are asked before the version is ready: runs must answer them, not the cache.
    // Answers in parts are not cached.
    if (this.#cache !== undefined && this.#phase === 'ready' && request.onPart === undefined) return this.#cache.submit(request, settle)
    return this.#enqueue(loaded, request, settle)
  }

  #enqueue(loaded: Loaded, request: InferRequest, settle: Settle): Cancel {
    const { inputs, outputs, rows, priority, deadlineMs, onPart, lengths } = request
    loaded.outputSizes.require(inputs, outputs)
    const { padding } = loaded
    const ragged = lengths === undefined || padding === undefined || onPart !== undefined ? undefined : { lengths, padding }
    const key = this.#batchKey(request, loaded, ragged !== undefined)
    return loaded.scheduler.enqueue({ inputs, outputs, rows, key, priority, deadlineMs, onPart, ragged }, settle)
  }

  #batchKey(request: InferRequest, { shapesVary, signature }: Loaded, isRagged: boolean): string {
    // An answer in parts goes to one request only.
    if (request.onPart !== undefined) return `parts ${this.#streams++}`
    let key = request.parametersKey ?? ''
    if (request.outputs !== this.#allOutputs) key += `|${request.outputs.join()}`
    if (shapesVary && !isRagged)
      for (const tensor of request.inputs) key += `|${signature.hasRows ? tensor.shape.slice(1).join('x') : tensor.shape.join('x')}`
    return key
  }

  status(): VariantStatus {
    return {
      ...this.subject,
      path: this.spec.path,
      phase: this.#phase,
      ready: this.ready,
      reason: this.reason,
      failure: this.#failure,
      memoryBytes: this.memoryBytes,
      instances: this.#loaded?.slots.map((slot) => slot.status()) ?? [],
    }
  }

  /** Takes the variant out of use: new requests go elsewhere. */
  retire(): void {
    this.#retired = true
  }

  /**
   * Takes no new requests and resolves when those accepted are answered. Where all instances have ended and none is back within a
   * second, waiting requests are refused with a time to retry: else a load that needs the memory, say, would wait for long.
   */
  async drain(): Promise<void> {
    const loaded = this.#loaded
    if (loaded === undefined) return
    const { scheduler, slots } = loaded
    const drained = scheduler.drain()
    while ((await orLate(this.#options.clock, STRANDED_MS, drained)) === 'late') {
      if (slots.some(({ state }) => state === 'ready' || state === 'starting')) continue
      const { endpoint, version } = this.subject
      scheduler.giveUpWaiting(
        new SlipwayError('SLW_INSTANCE_FAILED', `the instances of "${endpoint}" version ${version} have ended, and it is to be unloaded`, {
          retryAfterMs: 1000,
        }),
      )
    }
  }

  /**
   * Answers the accepted requests and frees the memory; the next request loads the variant again.
   * @param refusal why the variant cannot be in memory, where it is not unloaded to make room for others
   */
  async unload(refusal?: SlipwayError): Promise<void> {
    this.#phase = 'unloaded'
    if (refusal !== undefined) this.#failure = this.#failureOf(refusal)
    this.#onDemand = true
    await this.drain()
    await this.#end()
  }

  async #end(): Promise<void> {
    const loaded = this.#loaded
    const release = this.#release
    this.#loaded = undefined
    this.#cache = undefined
    this.#release = () => Promise.resolve()
    loaded?.scheduler.close()
    {
      await using held = new AsyncDisposableStack()
      held.defer(release)
      await faultPoint('unload.begin')
    }
    await faultPoint('unload.done')
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#retired = true
      this.#opening?.abort()
      if (this.#phase !== 'failed') this.#phase = 'waiting'
      await this.#end()
    })()
    return this.#closing
  }
}

/** Result of a settle callback as a promise. */
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

/** Zero rows in, zero rows out: nothing is run, as few operators support zero rows. */
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

function requestedOf(all: readonly string[], names: readonly string[] | undefined): readonly string[] {
  if (names === undefined || names.length === 0) return all
  for (const [index, name] of names.entries()) {
    if (!all.includes(name))
      throw new SlipwayError('SLW_BAD_REQUEST', `outputs[${index}]: the model has no output "${name}"; it has ${all.join(', ')}`)
    if (names.indexOf(name) !== index) throw new SlipwayError('SLW_BAD_REQUEST', `outputs[${index}]: "${name}" is asked for twice`)
  }
  return names
}

/** Text of a tensor's spec: `x FP32 [-1, 20]`. */
export function describeSpec(spec: { name: string; datatype: string; shape: readonly number[]; anyRank?: boolean }): string {
  return `${spec.name} ${spec.datatype} ${spec.anyRank === true ? '[any shape]' : formatShape(spec.shape)}`
}
