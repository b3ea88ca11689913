import { relative } from 'node:path'
import { SlipwayError, isSlipwayError, toSlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { resolveServing } from '../contract/serving-options.ts'
import { predictUs } from '../engine/cost.ts'
import { openInline } from '../engine/inline.ts'
import { openProcess } from '../engine/process.ts'
import { probe } from '../engine/probe.ts'
import { openSandbox } from '../engine/sandbox.ts'
import { InstanceSlot } from '../engine/slot.ts'
import { openThread } from '../engine/thread.ts'
import { fingerprintOf } from '../model/fingerprint.ts'
import { readPackage } from '../model/package.ts'
import { buildSignature } from '../signature/signature.ts'
import { sampleOf } from '../signature/example.ts'
import { generateSample } from '../tensor/sample.ts'
import { copyTensor } from '../tensor/tensor.ts'
import type { VariantSpec } from '../contract/desired-endpoint.ts'
import type { Serving, ServingOptions } from '../contract/serving-options.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/log.ts'
import type { Instance, InstanceEnd, InstanceSpec, PythonObject } from '../engine/instance.ts'
import type { Probe } from '../engine/probe.ts'
import type { SpareThreads } from '../engine/thread.ts'
import type { PythonCall } from '../model/formats/format.ts'
import type { ModelPackage } from '../model/package.ts'
import type { Sample } from '../signature/example.ts'
import type { Signature } from '../signature/signature.ts'
import type { Subject } from './observe/events.ts'

export interface LoadOptions {
  readonly subject: Subject
  readonly spec: VariantSpec
  /** What the server file, environment and flags say: over those of the package. */
  readonly servingOverrides: ServingOptions
  readonly cores: number
  readonly clock: Clock
  readonly log: Logger
  readonly spares: SpareThreads
  /** The interpreter in which models of Python run, confined. Undefined: such models are refused. */
  readonly sandboxPython: string | undefined
  /** Others serve meanwhile: the instances are opened one after the other instead of all at once. */
  readonly gentle: boolean
  /** Memory counts: the instances are opened one after the other, so that what each takes can be told. */
  readonly measured: boolean
  /** An instance may have become able to run. */
  readonly onAvailable: () => void
  readonly onInstanceFailure: (instance: string, end: InstanceEnd) => void
  /** Another has taken the place of an instance that ended. */
  readonly onInstanceRecovered?: () => void
}

/** How long the parts of a load took, milliseconds. */
export interface LoadTimes {
  /** Reading the package and opening the instances. */
  readonly loadMs: number
  /** First runs of every instance and the probe, and the rests between them. */
  readonly warmUpMs: number
}

/** A place in which a model runs: what the scheduler needs of it, and how it is. */
export type Slot = Pick<InstanceSlot, 'state' | 'available' | 'run' | 'stream' | 'poll' | 'status'>

/** A model that runs: its instances, and everything that was found out about it. Whoever opens it closes it. */
export interface OpenModel extends AsyncDisposable {
  readonly package: ModelPackage
  readonly signature: Signature
  readonly serving: Serving
  readonly probe: Probe
  readonly slots: readonly Slot[]
  /** An instance on this thread, for runs that are known to be short. */
  readonly inline: Instance | undefined
  /** Whether a request's shapes beyond its rows are free, so that requests of one model may not fit into one batch. */
  readonly shapesVary: boolean
  /** Bytes that its instances took when they were opened. */
  readonly memoryBytes: number
  readonly times: LoadTimes
}

/**
 * Reads a model package, opens and warms its instances, and finds out by running what it is like. When a step fails,
 * everything that was opened is closed again.
 * @throws what is wrong with the package, or what the runtime says
 */
export async function openModel(options: LoadOptions): Promise<OpenModel> {
  const { spec, cores, clock } = options
  const started = clock.monotonicMs()
  await faultPoint('load.begin')
  // Taken before anything is read: what changes while it is being read is a change too.
  const fingerprint = spec.fingerprint === undefined ? undefined : await fingerprintOf(spec.path)
  const model = await readPackage({ name: spec.model, version: spec.version, path: spec.path })
  const resolved = resolveServing(cores, model.document.serving, options.servingOverrides, spec.serving)
  const { python } = model.file
  const serving = python === undefined ? resolved : requireSandbox(model, resolved, options.sandboxPython)
  const signature = buildSignature({ file: model.file, document: model.document, source: spec.path, nanPolicy: serving.nanPolicy })
  const opening = new Opening(options, { model, serving, signature, sample: sampleOf(signature), fingerprint })
  await faultPoint('load.read')
  await using opened = new AsyncDisposableStack()
  const slots = Array.from({ length: serving.instances }, (_, index) => opening.slot(index))
  for (const slot of slots) opened.defer(() => slot.close())
  if (options.gentle || options.measured) for (const slot of slots) await slot.start()
  else await Promise.all(slots.map((slot) => slot.start()))
  await faultPoint('load.warmed')
  const probing = clock.monotonicMs()
  const found = await probe({
    instance: opening.resting(slots[0]!, options.gentle),
    inputs: signature.inputs,
    outputs: opening.outputs,
    sample: opening.parts.sample.rows,
    maxBatchSize: serving.maxBatchSize,
    gentle: options.gentle,
  })
  // One that turned out not to answer row by row refuses everything: its answers would be wrong.
  if (python !== undefined && !found.batchable) await requireAnswers(slots[0]!, opening)
  opening.warmUpMs += clock.monotonicMs() - probing
  for (const slot of slots) slot.serve()
  const shapesVary = signature.inputs.some((input) => input.anyRank === true || input.shape.slice(signature.hasRows ? 1 : 0).includes(-1))
  const inline = await opening.openInline(found, shapesVary)
  if (inline !== undefined) opened.defer(() => inline.close())
  const held = opened.move()
  const { warmUpMs } = opening
  return {
    package: model,
    signature,
    serving,
    probe: found,
    slots,
    inline,
    shapesVary,
    memoryBytes: slots.reduce((sum, slot) => sum + (slot.status().memoryBytes ?? 0), inline?.memoryBytes() ?? 0),
    times: { loadMs: clock.monotonicMs() - started - warmUpMs, warmUpMs },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** Of an instance in the sandbox, where nothing else was said: Python with scikit-learn takes a tenth of it. */
const SANDBOX_MEMORY_MB = 2048

/** How a model that runs code when it is loaded is served, where the server has a sandbox for it. @throws SLW_MODEL_UNSAFE where it has none */
function requireSandbox({ modelPath, folder, file }: ModelPackage, serving: Serving, sandboxPython: string | undefined): Serving {
  if (sandboxPython !== undefined) return { ...serving, isolation: 'process', memoryLimitMb: serving.memoryLimitMb ?? SANDBOX_MEMORY_MB }
  throw new SlipwayError(
    'SLW_MODEL_UNSAFE',
    `${relative(folder, modelPath)} is ${file.python?.format === 'skops' ? 'a skops archive' : 'a pickle'} of scikit-learn, which runs code when it is loaded: convert the model to ONNX, or start the server with --sandbox-python PYTHON, an interpreter in which such models run confined`,
  )
}

/** @throws SLW_LOAD_FAILED where the model fails; what it refuses may be the fault of values that were made up */
async function requireAnswers(slot: InstanceSlot, { parts, outputs }: Opening): Promise<void> {
  try {
    await slot.run(parts.sample.rows(1), outputs)
  } catch (error) {
    if (isSlipwayError(error) && error.code === 'SLW_RUN_REJECTED') return
    throw new SlipwayError('SLW_LOAD_FAILED', toSlipwayError(error).message)
  }
}

/** What a worker is told of it beside what it takes and gives. */
function objectOf({ format, method, columns, sklearnVersion }: PythonCall): PythonObject {
  return { format, method, columns, sklearnVersion }
}

interface Parts {
  readonly model: ModelPackage
  readonly serving: Serving
  readonly signature: Signature
  readonly sample: Sample
  /** Of the files when they were read; undefined where nobody watches them. */
  readonly fingerprint: string | undefined
}

/** A larger model would hold up every request while it is loaded a second time, on the thread that serves them. */
const INLINE_MODEL_BYTES_MAX = 16 * 1024 * 1024

/** How long a load that is gentle rests after a run that warms or probes: in times of the run, at most, and at most in all. */
const REST_RATIO = 3
const REST_MAX_MS = 50
const REST_IN_ALL_MS = 1000

/** What the steps of one load share. */
class Opening {
  readonly parts: Parts
  readonly outputs: readonly string[]
  readonly #options: LoadOptions
  readonly #spec: InstanceSpec
  warmUpMs = 0
  /** What is left of the time to rest. */
  #restMs = REST_IN_ALL_MS

  constructor(options: LoadOptions, parts: Parts) {
    const { subject } = options
    const { file, modelPath } = parts.model
    this.#options = options
    this.parts = parts
    this.outputs = parts.signature.outputs.map((output) => output.name)
    this.#spec = {
      name: `${subject.endpoint}/${subject.variant}`,
      source: file.rewrittenBytes === undefined ? { path: modelPath } : { bytes: file.rewrittenBytes },
      inputs: file.inputs,
      outputs: file.outputs,
      threads: parts.serving.threads,
      ...(file.python !== undefined && { python: objectOf(file.python) }),
    }
  }

  slot(index: number): InstanceSlot {
    const { clock, onAvailable, onInstanceFailure, onInstanceRecovered } = this.#options
    // One that is started again is wanted at once.
    let { gentle } = this.#options
    let first = true
    const spec = { ...this.#spec, name: `${this.#spec.name}#${index}` }
    return new InstanceSlot({
      name: spec.name,
      clock,
      open: async () => {
        if (!first) await this.#requireSameFiles()
        first = false
        const instance = await this.#open(spec, gentle)
        const started = clock.monotonicMs()
        try {
          await this.#warm(this.resting(instance, gentle))
        } catch (error) {
          await instance.close()
          throw error
        }
        gentle = false
        const tookMs = clock.monotonicMs() - started
        this.warmUpMs = this.#options.gentle || this.#options.measured ? this.warmUpMs + tookMs : Math.max(this.warmUpMs, tookMs)
        return instance
      },
      onAvailable,
      onFailure: (end) => onInstanceFailure(spec.name, end),
      ...(onInstanceRecovered !== undefined && { onRecovered: onInstanceRecovered }),
    })
  }

  #open(spec: InstanceSpec, gentle: boolean): Promise<Instance> {
    const { serving } = this.parts
    const { sandboxPython, spares } = this.#options
    if (spec.python !== undefined)
      return openSandbox(spec, {
        runTimeoutMs: serving.runTimeoutMs,
        memoryLimitMb: serving.memoryLimitMb!,
        python: sandboxPython!,
      })
    if (serving.isolation === 'process') return openProcess(spec, serving)
    return openThread(spec, { runTimeoutMs: serving.runTimeoutMs, gentle, spares })
  }

  /**
   * A version answers as it did when it was loaded, or not at all: what lies at its path since then is another one. A model
   * that was rewritten is started again from memory.
   * @throws SLW_LOAD_FAILED
   */
  async #requireSameFiles(): Promise<void> {
    const { spec } = this.#options
    const { fingerprint, model } = this.parts
    if (fingerprint === undefined || !('path' in this.#spec.source) || (await fingerprintOf(spec.path)) === fingerprint) return
    throw new SlipwayError(
      'SLW_LOAD_FAILED',
      `${model.modelPath}: the files of version ${spec.version} have changed since it was loaded; it starts again when they are back, and what they are now is served once the folder is polled, or on SIGHUP`,
    )
  }

  /** Runs before the first request, so that no client pays for lazy initialisation. */
  async #warm(instance: Pick<Instance, 'run'>): Promise<void> {
    const { model, signature, sample } = this.parts
    const runs = model.document.warmup?.runs ?? 3
    const from = model.document.warmup?.from
    const values = from === 'random' ? generateSample(signature.inputs, 1, signature.ranges) : sample.rows(1)
    if (from === 'zeros') for (const tensor of values) if (!Array.isArray(tensor.data)) tensor.data.fill(0 as never)
    for (let run = 0; run < runs; run++) {
      try {
        // What a run is given is gone with it.
        await instance.run(values.map(copyTensor), this.outputs)
      } catch (error) {
        // Values made up for warm-up may be nonsense to the model; its own examples may not.
        if ((sample.trusted && from !== 'random' && from !== 'zeros') || !isSlipwayError(error) || error.code === 'SLW_INSTANCE_FAILED')
          throw new SlipwayError('SLW_LOAD_FAILED', `warm-up failed: ${toSlipwayError(error).message}`)
        this.#options.log.warn(
          { ...this.#options.subject },
          `warm-up with generated inputs was refused (${error.message}); "examples" in slipway.yaml give it real ones`,
        )
        return
      }
    }
  }

  /** Where others serve meanwhile it leaves the cores to them after each run: the runs of a load in a row would be felt. */
  resting(instance: Pick<Instance, 'run'>, gentle: boolean): Pick<Instance, 'run'> {
    if (!gentle) return instance
    const { clock } = this.#options
    return {
      run: async (inputs, outputs) => {
        const began = clock.monotonicMs()
        const result = await instance.run(inputs, outputs)
        const restMs = Math.min(REST_MAX_MS, REST_RATIO * (clock.monotonicMs() - began), this.#restMs)
        this.#restMs -= restMs
        if (restMs > 0) await new Promise<void>((resolve) => clock.after(restMs, resolve))
        return result
      },
    }
  }

  /**
   * Only where the measured cost tells the cost of every request: it knows rows, not other sizes. An inline run has no time
   * limit and blocks the server.
   */
  async openInline(found: Probe, shapesVary: boolean): Promise<Instance | undefined> {
    const { serving, signature } = this.parts
    if (serving.isolation === 'process' || serving.inlineMaxUs === 0 || found.cost === undefined) return undefined
    const sizesVary = shapesVary || signature.inputs.some((input) => input.datatype === 'BYTES')
    if (sizesVary || (signature.hasRows && !found.batchable)) return undefined
    if (this.parts.model.modelBytes > INLINE_MODEL_BYTES_MAX) return undefined
    return predictUs(found.cost, 1) < serving.inlineMaxUs ? openInline(this.#spec) : undefined
  }
}
