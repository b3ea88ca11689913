import { usableCores } from '../core/cores.ts'
import { systemClock } from '../core/clock.ts'
import { SlipwayError } from '../core/errors.ts'
import { silentLogger } from '../core/log.ts'
import { API_VERSION } from '../contract/schema.ts'
import { findPackages } from '../model/layout.ts'
import { pictureRequest, prepareQuestion, requestOf } from '../signature/request.ts'
import { isPicture } from '../signature/image.ts'
import { checkTensors } from '../signature/tensors.ts'
import { DataPlane } from '../serving/data-plane.ts'
import type { ServingOptions } from '../contract/serving-options.ts'
import type { Logger } from '../core/log.ts'
import type { Answer } from '../signature/answer.ts'
import type { Signature } from '../signature/signature.ts'
import type { Loaded, Variant } from '../serving/variant.ts'
import type { Tensor } from '../tensor/tensor.ts'

export interface LoadModelOptions extends ServingOptions {
  /** Default: the name of the file or folder. */
  readonly name?: string
  /** A numbered version of a model folder. Default: the latest. */
  readonly version?: string
  readonly logger?: Logger
}

export interface CallOptions {
  /** Gives the call up: what waits is dropped, what runs is thrown away. */
  readonly signal?: AbortSignal
  /** Milliseconds the call may wait. Default: `requestTimeoutMs`. */
  readonly timeoutMs?: number
}

/** A model inside an application: the engine of the server without its sockets. */
export interface Model extends AsyncDisposable {
  readonly name: string
  readonly version: string
  readonly signature: Signature
  /** What was found out at load: package, probe, resolved serving options. */
  readonly details: Pick<Loaded, 'package' | 'probe' | 'serving' | 'times'>
  /**
   * Answers people's rows: one row in, one answer out; a list in, a list out. PNG or JPEG bytes for models of pictures.
   * Concurrent calls share batches.
   * @throws SLW_INPUT_INVALID naming every wrong value; SLW_QUEUE_FULL, SLW_DEADLINE_EXCEEDED, ... as the server would
   */
  predict(rows: readonly unknown[], options?: CallOptions): Promise<Answer[]>
  predict(row: unknown, options?: CallOptions): Promise<Answer>
  /** Tensors in, tensors out. Their memory is taken over and must not be used afterwards. */
  infer(inputs: readonly Tensor[], options?: CallOptions & { readonly outputs?: readonly string[] }): Promise<readonly Tensor[]>
  /** Ends the instances; calls in flight are answered first. Closing twice is fine. */
  close(): Promise<void>
}

/**
 * Loads a model file or package folder.
 * @example await using model = await loadModel('churn.onnx')
 * @throws what a server would say at start: SLW_PATH_NOT_FOUND, SLW_MODEL_INVALID, SLW_PACKAGE_INVALID, SLW_GOLDEN_FAILED, ...
 */
export async function loadModel(path: string, options: LoadModelOptions = {}): Promise<Model> {
  const { name, version, logger = silentLogger, ...serving } = options
  const found = await findPackages({ path, name, versions: version === undefined ? 'latest' : [version] })
  const [location] = found
  if (location === undefined || found.length > 1)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `${path} holds ${found.length} models (${found.map((model) => model.name).join(', ')}); load one of its folders`,
    )
  const dataPlane = new DataPlane({ cores: usableCores().count, clock: systemClock, log: logger, observers: [], servingFor: () => serving })
  const variantSpec = { name: `v${location.version}`, model: location.name, version: location.version, path: location.path, weight: 100 }
  const {
    failures: [failure],
  } = await dataPlane.apply([
    { apiVersion: API_VERSION, kind: 'Endpoint', metadata: { name: location.name, generation: 1 }, spec: { variants: [variantSpec] } },
  ])
  if (failure !== undefined) throw failure.error
  return new LoadedModel(dataPlane, dataPlane.endpoint(location.name).route(undefined, undefined))
}

class LoadedModel implements Model {
  readonly name: string
  readonly version: string
  readonly #dataPlane: DataPlane
  readonly #variant: Variant
  readonly #loaded: Loaded
  #closing: Promise<void> | undefined

  constructor(dataPlane: DataPlane, variant: Variant) {
    this.#dataPlane = dataPlane
    this.#variant = variant
    this.#loaded = variant.requireReady()
    this.name = variant.subject.endpoint
    this.version = variant.subject.version
  }

  get signature(): Signature {
    return this.#loaded.signature
  }

  get details(): Pick<Loaded, 'package' | 'probe' | 'serving' | 'times'> {
    return this.#loaded
  }

  predict(rows: readonly unknown[], options?: CallOptions): Promise<Answer[]>
  predict(row: unknown, options?: CallOptions): Promise<Answer>
  async predict(value: unknown, options: CallOptions = {}): Promise<Answer | Answer[]> {
    const { signature } = this
    const request = value instanceof Uint8Array && isPicture(value) ? pictureRequest(value, 'picture') : requestOf(value, signature)
    const question = await prepareQuestion(signature, request)
    const answers = question.answer(await this.#run(question.inputs, question.rows, question.outputs, options))
    return request.many ? answers : answers[0]!
  }

  async infer(given: readonly Tensor[], options: CallOptions & { readonly outputs?: readonly string[] } = {}): Promise<readonly Tensor[]> {
    const { inputs, rows } = checkTensors(this.signature, given)
    return this.#run(inputs, rows, this.#variant.requestedOutputs(options.outputs), options)
  }

  async #run(inputs: readonly Tensor[], rows: number, outputs: readonly string[], options: CallOptions): Promise<readonly Tensor[]> {
    if (this.#closing !== undefined) throw new SlipwayError('SLW_CLOSED', `model "${this.name}" is closed`)
    options.signal?.throwIfAborted()
    const deadlineMs = this.#dataPlane.clock.monotonicMs() + (options.timeoutMs ?? this.#loaded.serving.requestTimeoutMs)
    const result = await this.#variant.infer({ inputs, rows, outputs, priority: 0, deadlineMs }, options.signal)
    return result.outputs
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#dataPlane.drain()
      await this.#dataPlane.close()
    })()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
