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
import { tryFirst } from './first-load.ts'
import { reshaping, withShapes } from './reshaping.ts'
import { probePadding } from './padding-probe.ts'
import { fingerprintOf } from '../model/fingerprint.ts'
import { readPackage } from '../model/package.ts'
import { unreadConfig } from '../model/triton/config.ts'
import { lineError } from '../model/triton/text-format.ts'
import { warmupTensors } from '../model/triton/warmup.ts'
import { fitAnswer } from '../signature/fit-answer.ts'
import { buildSignature } from '../signature/signature.ts'
import { sampleOf } from '../signature/example.ts'
import { checkTensors } from '../signature/tensors.ts'
import { isWide } from '../tensor/datatype.ts'
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
import type { WarmupSample } from '../model/triton/warmup.ts'
import type { Sample } from '../signature/example.ts'
import type { Signature } from '../signature/signature.ts'
import type { Subject } from './observe/events.ts'
import type { Runner } from './scheduler/scheduler.ts'
import type { ProbedPadding } from './padding-probe.ts'
import type { RowPadding } from './scheduler/ragged.ts'

export interface LoadOptions {
  readonly subject: Subject
  readonly spec: VariantSpec
  /** Settings of the server file, environment and flags: they override those of the package. */
  readonly servingOverrides: ServingOptions
  readonly cores: number
  readonly clock: Clock
  readonly log: Logger
  readonly spares: SpareThreads
  /** Interpreter in which Python models run, confined. Undefined: such models are refused. */
  readonly sandboxPython: string | undefined
  /** Ends the load, as far as its instances are processes. */
  readonly signal?: AbortSignal | undefined
  /** Whether processes work at low priority. Default: false. */
  readonly background?: boolean | undefined
  /** Whether others serve meanwhile: the instances are then opened one after the other instead of all at once. */
  readonly gentle: boolean
  /** Whether memory is measured: the instances are then opened one after the other, so that each has its own figure. */
  readonly measured: boolean
  /** An instance may have become able to run. */
  readonly onAvailable: () => void
  readonly onInstanceFailure: (instance: string, end: InstanceEnd) => void
  /** An instance that ended has been replaced. */
  readonly onInstanceRecovered?: () => void
}

/** Durations of the parts of a load, in milliseconds. */
export interface LoadTimes {
  /** Reading the package and opening the instances. */
  readonly loadMs: number
  /** First runs of every instance and the probe, and the pauses between them. */
  readonly warmUpMs: number
}

/** A slot in which an instance runs: the part that the scheduler uses, and the status. */
export interface Slot extends Pick<InstanceSlot, 'state' | 'available' | 'run' | 'stream' | 'poll' | 'status'>, Pick<Runner, 'follow'> {
  /** Why it is not ready, where its own state does not say it. */
  readonly reason?: string | undefined
}

/** A model that runs: its instances, and everything that was found out about it. Its opener closes it. */
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
  /** Whether instances answer in several parts: see `Instance.stream`. Default: at once. */
  readonly inParts?: boolean
  /** How texts of different lengths share runs. Undefined for models that take none. */
  readonly padding: RowPadding | undefined
  /** Bytes that the instances took when they were opened. */
  readonly memoryBytes: number
  /** What people should know about the package, and could change in it. */
  readonly remarks: readonly string[]
  readonly times: LoadTimes
}

/**
 * Reads a model package, opens and warms its instances, and probes the model by running it. When a step fails, everything
 * that was opened is closed again.
 * @throws what is wrong with the package, or what the runtime says
 */
export async function openModel(options: LoadOptions): Promise<OpenModel> {
  const { spec, cores, clock } = options
  const started = clock.monotonicMs()
  await faultPoint('load.begin')
  // The fingerprint is taken before anything is read: files that change during the reading count as changed.
  const fingerprint = spec.fingerprint === undefined ? undefined : await fingerprintNow(spec)
  if (spec.checked === true && fingerprint !== spec.fingerprint)
    throw new SlipwayError(
      'SLW_LOAD_FAILED',
      `${spec.path}: the files of version ${spec.version} have changed since they were checked, and are loaded once they are mended: when the server starts again, or the version is declared anew`,
    )
  const model = await readPackage({ name: spec.model, version: spec.version, path: spec.path })
  const { python } = model.file
  if (model.triton?.ensemble !== undefined)
    throw new SlipwayError(
      'SLW_PACKAGE_INVALID',
      `${model.triton.path}: an ensemble is served from a repository, beside the models that it consists of`,
    )
  const confined = confinedByDefault(model)
  const resolved = resolveServing(cores, confined?.serving, model.document.serving, options.servingOverrides, spec.serving)
  const serving = python === undefined ? resolved : requireSandbox(model, resolved, options.sandboxPython)
  const declared = buildSignature({
    file: model.file,
    document: model.document,
    columns: model.columns,
    source: spec.path,
    nanPolicy: serving.nanPolicy,
    text: model.text,
  })
  const opening = new Opening(options, { model, serving, signature: declared, sample: sampleOf(declared), fingerprint })
  await faultPoint('load.read')
  await opening.tryFirst()
  await using opened = new AsyncDisposableStack()
  const slots = Array.from({ length: serving.instances }, (_, index) => opening.slot(index))
  for (const slot of slots) opened.defer(() => slot.close())
  if (options.gentle || options.measured) for (const slot of slots) await slot.start()
  else await Promise.all(slots.map((slot) => slot.start()))
  await opening.requireUnchanged()
  await faultPoint('load.warmed')
  const probing = clock.monotonicMs()
  const { seen, ...found } = await probe({
    instance: opening.resting(slots[0]!, options.gentle),
    inputs: declared.inputs,
    outputs: opening.outputs,
    sample: opening.parts.sample.rows,
    maxBatchSize: serving.maxBatchSize,
    coupling: model.file.rowCoupling,
    gentle: options.gentle,
  })
  // A Python model that turned out not to answer row by row refuses every run: its answers would be wrong.
  if (python !== undefined && !found.batchable) await requireAnswers(slots[0]!, opening)
  const filling = await probePadding(opening.resting(slots[0]!, options.gentle), declared, opening.outputs, found)
  opening.warmUpMs += clock.monotonicMs() - probing
  const { signature, mended } = fitAnswer(declared, seen, spec.path)
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
    padding: filling?.padding,
    memoryBytes: slots.reduce((sum, slot) => sum + (slot.status().memoryBytes ?? 0), inline?.memoryBytes() ?? 0),
    remarks: [
      model.triton?.remark,
      await unreadConfig(spec.path),
      mended,
      declared.remark,
      remarkOn(filling),
      serving.isolation === 'process' ? confined?.remark : undefined,
    ].filter((remark) => remark !== undefined),
    times: { loadMs: clock.monotonicMs() - started - warmUpMs, warmUpMs },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

function remarkOn(filling: ProbedPadding | undefined): string | undefined {
  if (filling?.reason === undefined) return undefined
  return `texts of different lengths share no run: ${filling.reason}`
}

/** Memory that a model whose runs values can draw out may take beyond its weights. */
const OPEN_MEMORY_MB = 2048

/** A run that need not end, may ask for all memory, or ends the process, is kept where that harms nobody else: unless somebody says otherwise. */
function confinedByDefault({ file, modelBytes }: ModelPackage): { readonly serving: ServingOptions; readonly remark: string } | undefined {
  const { end, size, trap } = file.openEnded
  const why = end ?? size ?? trap
  if (why === undefined) return undefined
  const risk = why === trap ? 'ends the server with it' : 'holds up the server where a run does not end'
  return {
    serving: { isolation: 'process', memoryLimitMb: OPEN_MEMORY_MB + Math.ceil((2 * modelBytes) / 1024 / 1024) },
    remark: `${why}: it is served in processes of its own, which can be ended; isolation: thread in slipway.yaml is faster, and ${risk}`,
  }
}

/** Of the files of a variant; files that were checked may be replaced by equal ones. */
function fingerprintNow({ path, checked = false }: VariantSpec): Promise<string> {
  return fingerprintOf(path, { inodes: !checked })
}

/** Default memory limit of an instance in the sandbox: Python with scikit-learn takes a tenth of it. */
const SANDBOX_MEMORY_MB = 2048

/** Settings of a model that runs code when it is loaded: it is served in the sandbox. @throws SLW_MODEL_UNSAFE where there is none */
function requireSandbox({ modelPath, folder, file }: ModelPackage, serving: Serving, sandboxPython: string | undefined): Serving {
  if (sandboxPython !== undefined) return { ...serving, isolation: 'process', memoryLimitMb: serving.memoryLimitMb ?? SANDBOX_MEMORY_MB }
  throw new SlipwayError(
    'SLW_MODEL_UNSAFE',
    `${relative(folder, modelPath)} is ${file.python?.format === 'skops' ? 'a skops archive' : 'a pickle'} of scikit-learn, which runs code when it is loaded: convert the model to ONNX, or start the server with --sandbox-python PYTHON, an interpreter in which such models run confined`,
  )
}

/** @throws SLW_LOAD_FAILED where the model fails; a run that it rejects may be the fault of generated values */
async function requireAnswers(slot: InstanceSlot, { parts, outputs }: Opening): Promise<void> {
  try {
    await slot.run(parts.sample.rows(1), outputs)
  } catch (error) {
    if (isSlipwayError(error) && error.code === 'SLW_RUN_REJECTED') return
    throw new SlipwayError('SLW_LOAD_FAILED', toSlipwayError(error).message)
  }
}

/** Description of a Python model for its worker, beside inputs and outputs. */
function objectOf({ format, method, columns, sklearnVersion }: PythonCall): PythonObject {
  return { format, method, columns, sklearnVersion }
}

interface Parts {
  readonly model: ModelPackage
  readonly serving: Serving
  readonly signature: Signature
  readonly sample: Sample
  /** Fingerprint of the files when they were read; undefined where they are not watched. */
  readonly fingerprint: string | undefined
}

/** Size limit of inline models: they are loaded a second time, on the serving thread, and hold up every request meanwhile. */
const INLINE_MODEL_BYTES_MAX = 16 * 1024 * 1024

/** Pause of a gentle load after a run that warms or probes: as a multiple of the run, at most each time, and at most in all. */
const REST_RATIO = 3
const REST_MAX_MS = 50
const REST_IN_ALL_MS = 1000

/** State that the steps of one load share. */
class Opening {
  readonly parts: Parts
  readonly outputs: readonly string[]
  readonly #options: LoadOptions
  readonly #spec: InstanceSpec
  warmUpMs = 0
  /** Time left for pauses. */
  #restMs = REST_IN_ALL_MS

  constructor(options: LoadOptions, parts: Parts) {
    const { subject } = options
    const { file, modelPath } = parts.model
    this.#options = options
    this.parts = parts
    this.outputs = parts.signature.outputs.map((output) => output.name)
    this.#spec = {
      name: `${subject.endpoint}/${subject.variant}`,
      source: {
        ...(file.rewrittenBytes === undefined ? { path: modelPath } : { bytes: file.rewrittenBytes }),
        external: file.externalFiles,
      },
      inputs: file.inputs,
      outputs: file.outputs,
      threads: parts.serving.threads,
      outputBytesMax: parts.serving.maxOutputBytes,
      ...(file.python !== undefined && { python: objectOf(file.python) }),
    }
  }

  slot(index: number): InstanceSlot {
    const { clock, log, subject, onAvailable, onInstanceFailure, onInstanceRecovered } = this.#options
    let first = true
    const spec = { ...this.#spec, name: `${this.#spec.name}#${index}` }
    return new InstanceSlot({
      name: spec.name,
      clock,
      open: async ({ gently }) => {
        // An instance that is started again is needed at once.
        const gentle = first ? this.#options.gentle : gently
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
        const tookMs = clock.monotonicMs() - started
        this.warmUpMs = this.#options.gentle || this.#options.measured ? this.warmUpMs + tookMs : Math.max(this.warmUpMs, tookMs)
        return instance
      },
      onAvailable,
      onFailure: (end) => onInstanceFailure(spec.name, end),
      onRenewed: (heldBytes) =>
        log.info({ ...subject }, `${spec.name} was opened anew: large runs had left ${Math.round(heldBytes / 1e6)} MB in it`),
      ...(onInstanceRecovered !== undefined && { onRecovered: onInstanceRecovered }),
    })
  }

  async #open(spec: InstanceSpec, gentle: boolean): Promise<Instance> {
    return reshaping(await this.#openItself(spec, gentle), this.parts.model.file.reshapes)
  }

  #openItself(spec: InstanceSpec, gentle: boolean): Promise<Instance> {
    const { serving } = this.parts
    const { sandboxPython, spares, signal, background } = this.#options
    if (spec.python !== undefined)
      return openSandbox(spec, {
        runTimeoutMs: serving.runTimeoutMs,
        memoryLimitMb: serving.memoryLimitMb!,
        python: sandboxPython!,
        signal,
        background,
      })
    if (serving.isolation === 'process') return openProcess(spec, { ...serving, signal, background })
    return openThread(spec, { runTimeoutMs: serving.runTimeoutMs, gentle, spares })
  }

  /**
   * A version answers as it did when it was loaded, or not at all: changed files at its path are another version. A model
   * that was rewritten is started again from memory.
   * @throws SLW_LOAD_FAILED
   */
  async #requireSameFiles(): Promise<void> {
    const { spec } = this.#options
    const { fingerprint, model } = this.parts
    const { source } = this.#spec
    const fromMemory = 'bytes' in source && source.external?.length === 0
    if (fingerprint === undefined || fromMemory || (await fingerprintNow(spec)) === fingerprint) return
    throw new SlipwayError(
      'SLW_LOAD_FAILED',
      `${model.modelPath}: the files of version ${spec.version} have changed since it was loaded; it starts again when they are back, and what they are now is served once the folder is polled, or on SIGHUP`,
    )
  }

  /** A model that may end the process is tried where that harms nobody. @throws SLW_LOAD_FAILED */
  async tryFirst(): Promise<void> {
    const { model, serving, sample } = this.parts
    if (serving.isolation === 'process' || this.#spec.python !== undefined) return
    const paths = [model.modelPath, ...model.file.externalFiles.map(({ path }) => path)]
    const { outputs } = this
    const { signal } = this.#options
    const inputs = withShapes(sample.rows(1).map(copyTensor), model.file.reshapes?.inputs ?? new Map())
    await tryFirst({ spec: this.#spec, paths, inputs, outputs, runTimeoutMs: serving.runTimeoutMs, signal })
  }

  /** Files that were written to while they were read may have given parts of two versions. @throws SLW_LOAD_FAILED */
  async requireUnchanged(): Promise<void> {
    const { spec } = this.#options
    const { fingerprint, model } = this.parts
    if (fingerprint === undefined || (await fingerprintNow(spec)) === fingerprint) return
    throw new SlipwayError(
      'SLW_LOAD_FAILED',
      `${model.modelPath}: the files of version ${spec.version} changed while they were read; it is read again once they rest`,
    )
  }

  /** Runs before the first request, so that no client pays for lazy initialisation. */
  async #warm(instance: Pick<Instance, 'run'>): Promise<void> {
    const { model, signature, sample } = this.parts
    const samples = model.document.warmup === undefined ? (model.triton?.warmup ?? []) : []
    if (samples.length > 0) {
      for (const each of samples) await this.#warmBy(each, instance)
      return
    }
    const runs = model.document.warmup?.runs ?? 3
    const from = model.document.warmup?.from
    const values = from === 'random' ? generateSample(signature.inputs, 1, signature.ranges) : sample.rows(1)
    if (from === 'zeros')
      for (const tensor of values) if (!Array.isArray(tensor.data)) tensor.data.fill((isWide(tensor.datatype) ? 0n : 0) as never)
    for (let run = 0; run < runs; run++) {
      try {
        // A run takes ownership of its inputs.
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

  /** Runs what a config.pbtxt says that an instance is warmed by. @throws SLW_LOAD_FAILED, SLW_PACKAGE_INVALID */
  async #warmBy(sample: WarmupSample, instance: Pick<Instance, 'run'>): Promise<void> {
    const { model, signature } = this.parts
    const given = await warmupTensors(sample, model.triton!.path)
    try {
      const { inputs } = checkTensors(signature, given)
      for (let run = 0; run < sample.count; run++) await instance.run(inputs.map(copyTensor), this.outputs)
    } catch (error) {
      throw lineError(model.triton!.path, sample.line, `model_warmup "${sample.name}" failed: ${toSlipwayError(error).message}`)
    }
  }

  /** The instance with a pause after each run of a gentle load: runs without pauses would slow down variants that serve. */
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
   * Opens an inline instance, only where the measured cost holds for every request: it depends on rows, not on other sizes.
   * An inline run has no time limit and blocks the server.
   */
  async openInline(found: Probe, shapesVary: boolean): Promise<Instance | undefined> {
    const { serving, signature } = this.parts
    if (serving.isolation === 'process' || serving.inlineMaxUs === 0 || found.cost === undefined) return undefined
    // A run that values can draw out would hold up liveness, every other model, and the end of the server.
    const { duration, size, trap } = this.parts.model.file.openEnded
    if (duration !== undefined || size !== undefined || trap !== undefined) return undefined
    const sizesVary = shapesVary || signature.inputs.some((input) => input.datatype === 'BYTES')
    if (sizesVary || (signature.hasRows && !found.batchable)) return undefined
    if (this.parts.model.modelBytes > INLINE_MODEL_BYTES_MAX) return undefined
    return predictUs(found.cost, 1) < serving.inlineMaxUs
      ? reshaping(await openInline(this.#spec), this.parts.model.file.reshapes)
      : undefined
  }
}
