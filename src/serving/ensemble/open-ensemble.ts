/** Ensembles: models of this server whose tensors go from one to the next, answered as one. */
import { resolveServing } from '../../contract/serving-options.ts'
import { SlipwayError } from '../../core/errors.ts'
import { LOAD_TIMEOUT_MS } from '../../engine/instance.ts'
import { readPackage } from '../../model/package.ts'
import { lineError } from '../../model/triton/text-format.ts'
import { buildSignature } from '../../signature/signature.ts'
import { instances } from '../backend.ts'
import { planGraph } from './graph.ts'
import { runGraph } from './run-graph.ts'
import type { Clock } from '../../core/clock.ts'
import type { EnsembleStep } from '../../model/triton/ensemble.ts'
import type { Signature } from '../../signature/signature.ts'
import type { Backend } from '../backend.ts'
import type { DataPlane } from '../data-plane.ts'
import type { LoadOptions, OpenModel, Slot } from '../load.ts'
import type { Variant } from '../variant.ts'
import type { Part } from './graph.ts'

/** Requests of an ensemble that are on their way at a time; the others wait in its queue. */
const IN_FLIGHT_MAX = 256
/** Time for a model to be known at all: those of one start are made known one after the other. */
const KNOWN_MS = 2000
const LOOK_MS = 20

/** Instances on this machine, and ensembles of what they serve. */
export function withEnsembles(dataPlane: DataPlane): Backend {
  return { open: (options) => (options.spec.parts === undefined ? instances.open(options) : openEnsemble(dataPlane, options)) }
}

/**
 * Waits until the models of an ensemble are there, and checks that its tensors fit together. It takes no memory, and no turn among those
 * that load.
 * @throws SLW_PACKAGE_INVALID with the line; SLW_MODEL_NOT_READY where a model of it is not served
 */
async function openEnsemble(dataPlane: DataPlane, options: LoadOptions): Promise<OpenModel> {
  const { spec, subject, cores, clock, servingOverrides } = options
  const started = clock.monotonicMs()
  const model = await readPackage({ name: spec.model, version: spec.version, path: spec.path })
  const { triton } = model
  if (triton?.ensemble === undefined) throw new SlipwayError('SLW_PACKAGE_INVALID', `${spec.path} is no ensemble any more`)
  const source = triton.path
  const parts: Part[] = []
  for (const step of triton.ensemble.steps) {
    const variant = await new PartSearch(dataPlane, options, source).find(step)
    parts.push({ step, signature: await dataPlane.signatureOf(variant) })
  }
  const built = buildSignature({ file: model.file, document: model.document, source: spec.path })
  // Nothing has been run that would show whether scores are probabilities.
  const isGuess = built.answer.task === 'classification' && !built.answer.declared
  const signature: Signature = isGuess ? { ...built, answer: { task: 'tensors' } } : built
  const graph = planGraph(parts, signature.inputs, signature.outputs, source)
  const resolved = resolveServing(cores, model.document.serving, servingOverrides, spec.serving)
  const unready = (): string | undefined => {
    const step = graph.steps.find((each) => partOf(dataPlane, each)?.ready !== true)
    return step === undefined ? undefined : `model "${step.model}" of the ensemble is not ready`
  }
  let inFlight = 0
  const name = `${subject.endpoint}/${subject.variant}#0`
  const follow: NonNullable<Slot['follow']> = async (inputs, outputs, terms) => {
    const began = clock.monotonicMs()
    inFlight++
    try {
      return { outputs: await runGraph(dataPlane, graph, { inputs, outputs, terms }), computeUs: (clock.monotonicMs() - began) * 1000 }
    } finally {
      inFlight--
    }
  }
  const slot: Slot = {
    get state() {
      return unready() === undefined ? 'ready' : 'backing off'
    },
    get reason() {
      return unready()
    },
    get available() {
      return inFlight < IN_FLIGHT_MAX
    },
    follow,
    run: (inputs, outputs) => follow(inputs, outputs, { priority: 0, deadlineMs: Number.POSITIVE_INFINITY, onGone: () => {} }),
    stream: async (inputs, outputs, onPart) => {
      const result = await slot.run(inputs, outputs)
      onPart(result.outputs)
      return { ...result, outputs: [] }
    },
    poll: () => {},
    status() {
      const { state } = this
      return { name, state, failures: 0, timeouts: 0, lastFailure: undefined, retryAt: undefined, memoryBytes: undefined }
    },
  }
  return {
    package: model,
    signature,
    // Its models form batches, each its own.
    serving: { ...resolved, instances: 1, batching: 'off', inlineMaxUs: 0 },
    probe: { batchable: false, reason: 'each model of an ensemble forms batches of its own', cost: undefined, rowShapes: new Map() },
    slots: [slot],
    inline: undefined,
    shapesVary: true,
    padding: undefined,
    memoryBytes: 0,
    remarks: triton.remark === undefined ? [] : [triton.remark],
    times: { loadMs: clock.monotonicMs() - started, warmUpMs: 0 },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

/** The version that a step goes to at present. */
function partOf({ endpoints }: DataPlane, { model, version }: EnsembleStep): Variant | undefined {
  const endpoint = endpoints.get(model)
  return version === undefined ? endpoint?.main : endpoint?.variants.find(({ subject }) => subject.version === version)
}

/** Waits for the models of an ensemble. */
class PartSearch {
  readonly #dataPlane: DataPlane
  readonly #options: LoadOptions
  readonly #source: string

  constructor(dataPlane: DataPlane, options: LoadOptions, source: string) {
    this.#dataPlane = dataPlane
    this.#options = options
    this.#source = source
  }

  async find(step: EnsembleStep): Promise<Variant> {
    const { clock, signal, subject } = this.#options
    const began = clock.monotonicMs()
    const { model, version, line } = step
    const notReady = (why: string): SlipwayError =>
      new SlipwayError('SLW_MODEL_NOT_READY', `${this.#source}: line ${line}: model "${model}" of the ensemble ${why}`, {
        retryAfterMs: 1000,
      })
    for (;;) {
      if (signal?.aborted === true) throw new SlipwayError('SLW_CLOSED', 'it was closed while it loaded')
      if (this.#leadsTo(model, subject.endpoint, new Set()))
        throw lineError(this.#source, line, `model "${model}" is, or has in it, the ensemble itself`)
      const variant = partOf(this.#dataPlane, step)
      if (variant?.phase === 'ready' || variant?.phase === 'unloaded') return variant
      if (variant?.phase === 'failed') throw notReady(`cannot be served: ${variant.reason ?? ''}`)
      const waitedMs = clock.monotonicMs() - began
      const isComing = variant !== undefined || (this.#dataPlane.endpoints.get(model)?.loading.length ?? 0) > 0
      if (waitedMs > (isComing ? LOAD_TIMEOUT_MS : KNOWN_MS))
        throw notReady(isComing ? 'takes too long to load' : `${version === undefined ? '' : `, version ${version}, `}is not served here`)
      await passed(clock, LOOK_MS)
    }
  }

  /** Whether the models of an ensemble, and those of ensembles in it, have one among them. */
  #leadsTo(from: string, wanted: string, seen: Set<string>): boolean {
    if (from === wanted) return true
    if (seen.has(from)) return false
    seen.add(from)
    const { variants = [], loading = [] } = this.#dataPlane.endpoints.get(from) ?? {}
    return [...variants, ...loading].some(({ spec }) => spec.parts?.some((part) => this.#leadsTo(part, wanted, seen)) === true)
  }
}

function passed(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => clock.after(ms, resolve))
}
