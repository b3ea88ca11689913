/** Library is the server's runtime without sockets, for applications that hold a model themselves. */
import { usableCores } from '../core/cores.ts'
import { systemClock } from '../core/clock.ts'
import { SlipwayError } from '../core/errors.ts'
import { silentLogger } from '../core/log.ts'
import { everythingTo } from '../contract/routing.ts'
import { API_VERSION } from '../contract/schema.ts'
import { findPackages } from '../model/layout.ts'
import { pictureRequest, prepareQuestion, requestOf } from '../signature/request.ts'
import { isPicture } from '../signature/image.ts'
import { checkTensors } from '../signature/tensors.ts'
import { DataPlane } from '../serving/data-plane.ts'
import { callModel } from './call-model.ts'
import { followModel, referenceOf } from './follow-model.ts'
import type { Prepare } from './call-model.ts'
import type { FollowStatus } from '../following/types.ts'
import type { ServingOptions } from '../contract/serving-options.ts'
import type { Logger } from '../core/log.ts'
import type { Answer } from '../signature/answer.ts'
import type { Question } from '../signature/request.ts'
import type { Signature } from '../signature/signature.ts'
import type { FollowedModel, FollowModelOptions } from './follow-model.ts'
import type { Loaded, Variant } from '../serving/variant.ts'
import type { Tensor } from '../tensor/tensor.ts'

export interface LoadModelOptions extends ServingOptions, Partial<FollowModelOptions> {
  /** Default: the name of the file or folder. */
  readonly name?: string
  /** A numbered version of a model folder. Default: the latest. */
  readonly version?: string
  readonly logger?: Logger
  /** Python interpreter with scikit-learn, in which a model that is a pickle runs, confined. Default: such a model is refused. */
  readonly sandboxPython?: string | undefined
  /** Ends the load: it then throws the reason of the signal, and leaves no process behind. */
  readonly signal?: AbortSignal | undefined
  /** Whether the processes of the model (`isolation: 'process'`) work at low priority, so that others on the machine come first. Default: false. */
  readonly background?: boolean
}

export interface CallOptions {
  /** Cancels the call: a waiting request is dropped, the result of a running one is discarded. */
  readonly signal?: AbortSignal
  /** Milliseconds the call may wait. Default: `requestTimeoutMs`. */
  readonly timeoutMs?: number
}

/** A model inside an application: the engine of the server without its sockets. */
export interface Model extends AsyncDisposable {
  readonly name: string
  /** The version that answers now: it changes as an alias moves, and so do `signature` and `details`. */
  readonly version: string
  readonly signature: Signature
  /** Results of the load: package, probe, resolved serving options. */
  readonly details: Pick<Loaded, 'package' | 'probe' | 'serving' | 'times'>
  /**
   * Answers people's rows: one row in, one answer out; a list in, a list out. PNG or JPEG bytes for models of pictures.
   * Concurrent calls share batches.
   * @throws SLW_INPUT_INVALID naming every wrong value; SLW_QUEUE_FULL, SLW_DEADLINE_EXCEEDED, ... as the server would
   */
  predict(rows: readonly unknown[], options?: CallOptions): Promise<Answer[]>
  predict(row: unknown, options?: CallOptions): Promise<Answer>
  /** Tensors in, tensors out. The memory of the inputs is taken over and must not be used afterwards. */
  infer(inputs: readonly Tensor[], options?: CallOptions & { readonly outputs?: readonly string[] }): Promise<readonly Tensor[]>
  /**
   * Looks up the alias that the model follows now, whatever `follow` says; does nothing for a model of files.
   * @throws SLW_UNREACHABLE, or the reason why the version that the alias points to is not served; the one before goes on answering
   */
  refresh(): Promise<void>
  /** State of following; undefined for a model of files. */
  readonly following: FollowStatus | undefined
  /** Ends the instances; calls in flight are answered first. Closing twice is fine. */
  close(): Promise<void>
}

/**
 * Loads a model file or package folder, or a version of a control plane (`models:/NAME@ALIAS` or `models:/NAME/NUMBER`): the version is
 * then kept in a local store, the next one is loaded beside it as the alias moves, and an outage of the control plane stops nothing.
 * @example await using model = await loadModel('churn.onnx')
 * @example await using model = await loadModel('models:/churn@champion', { controlPlane: 'http://127.0.0.1:8480' })
 * @throws what a server would say at start: SLW_PATH_NOT_FOUND, SLW_MODEL_INVALID, SLW_PACKAGE_INVALID, SLW_GOLDEN_FAILED, ...; and
 *   SLW_UNREACHABLE where a control plane does not answer and nothing was kept
 */
export async function loadModel(path: string, options: LoadModelOptions = {}): Promise<Model> {
  const {
    name,
    version,
    logger = silentLogger,
    sandboxPython,
    signal,
    background,
    controlPlane,
    follow,
    store,
    storeMb,
    ...serving
  } = options
  signal?.throwIfAborted()
  const dataPlane = new DataPlane({
    cores: usableCores().count,
    clock: systemClock,
    log: logger,
    observers: [],
    servingFor: () => serving,
    sandboxPython,
    background,
  })
  const abort = (): void => void dataPlane.close()
  signal?.addEventListener('abort', abort, { once: true })
  const reference = referenceOf(path)
  try {
    if (reference === undefined) {
      if (controlPlane !== undefined)
        throw new SlipwayError(
          'SLW_CONFIG_INVALID',
          `controlPlane says nothing for ${path}; expected models:/NAME@ALIAS or models:/NAME/NUMBER`,
        )
      const loaded = await loadFiles(dataPlane, path, { name, version })
      signal?.throwIfAborted()
      return new LoadedModel(dataPlane, loaded)
    }
    if (controlPlane === undefined)
      throw new SlipwayError(
        'SLW_CONFIG_INVALID',
        `${path} is known to a control plane: name it with { controlPlane: 'http://127.0.0.1:8480' }`,
      )
    const following = {
      controlPlane,
      ...(follow !== undefined && { follow }),
      ...(store !== undefined && { store }),
      ...(storeMb !== undefined && { storeMb }),
    }
    const followed = await followModel(reference, following, { dataPlane, log: logger })
    if (signal?.aborted === true) await followed[Symbol.asyncDispose]()
    signal?.throwIfAborted()
    return new LoadedModel(dataPlane, followed.name, followed)
  } catch (error) {
    // Idle threads would keep the process alive.
    await dataPlane.close()
    throw signal?.aborted === true ? signal.reason : error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

/** @returns the name of the endpoint */
async function loadFiles(
  dataPlane: DataPlane,
  path: string,
  { name, version }: { name: string | undefined; version: string | undefined },
): Promise<string> {
  const found = await findPackages({ path, name, versions: version === undefined ? 'latest' : [version] })
  const [location] = found
  if (location === undefined || found.length > 1)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `${path} holds ${found.length} models (${found.map((model) => model.name).join(', ')}); load one of its folders`,
    )
  const variantSpec = { name: `v${location.version}`, model: location.name, version: location.version, path: location.path }
  const {
    failures: [failure],
  } = await dataPlane.apply([
    {
      apiVersion: API_VERSION,
      kind: 'Endpoint',
      metadata: { name: location.name, generation: 1 },
      spec: { variants: [variantSpec] },
      routing: everythingTo(variantSpec.name, location.name),
    },
  ])
  if (failure !== undefined) throw failure.error
  return location.name
}

class LoadedModel implements Model {
  readonly name: string
  readonly #dataPlane: DataPlane
  readonly #followed: FollowedModel | undefined
  #closing: Promise<void> | undefined

  constructor(dataPlane: DataPlane, name: string, followed?: FollowedModel) {
    this.#dataPlane = dataPlane
    this.#followed = followed
    this.name = name
  }

  get #variant(): Variant {
    return this.#dataPlane.endpoint(this.name).requireMain()
  }

  get version(): string {
    return this.#variant.subject.version
  }

  get signature(): Signature {
    return this.#variant.requireReady().signature
  }

  get details(): Pick<Loaded, 'package' | 'probe' | 'serving' | 'times'> {
    return this.#variant.requireReady()
  }

  get following(): FollowStatus | undefined {
    return this.#followed?.status()
  }

  async refresh(): Promise<void> {
    await this.#followed?.refresh()
  }

  predict(rows: readonly unknown[], options?: CallOptions): Promise<Answer[]>
  predict(row: unknown, options?: CallOptions): Promise<Answer>
  async predict(value: unknown, options: CallOptions = {}): Promise<Answer | Answer[]> {
    let question: Question
    let many = false
    const outputs = await this.#call(options, async ({ signature }) => {
      const request = value instanceof Uint8Array && isPicture(value) ? pictureRequest(value, 'picture') : requestOf(value, signature)
      many = request.many
      question = await prepareQuestion(signature, request)
      return question
    })
    const answers = question!.answer(outputs)
    return many ? answers : answers[0]!
  }

  async infer(given: readonly Tensor[], options: CallOptions & { readonly outputs?: readonly string[] } = {}): Promise<readonly Tensor[]> {
    return await this.#call(options, ({ signature, requestedOutputs }) => {
      const { inputs, rows, warnings } = checkTensors(signature, given)
      return { inputs, rows, warnings, outputs: requestedOutputs(options.outputs) }
    })
  }

  async #call(options: CallOptions, prepare: Prepare): Promise<readonly Tensor[]> {
    options.signal?.throwIfAborted()
    if (this.#closing !== undefined) throw new SlipwayError('SLW_CLOSED', `model "${this.name}" is closed`)
    return await callModel(this.#dataPlane, { ...options, endpoint: this.name, prepare })
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#followed?.[Symbol.asyncDispose]()
      await this.#dataPlane.drain()
      await this.#dataPlane.close()
    })()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
