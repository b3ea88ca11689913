import { UNREAD } from '../../../contract/audience.ts'
import { SlipwayError } from '../../../core/errors.ts'
import { checkRows } from '../../../signature/tensors.ts'
import { fieldOf } from '../../http/facts.ts'
import { termsOf } from '../../terms.ts'
import { classCountOf, classified, classNamesOf } from '../../v2/classification.ts'
import { runParameters } from '../../v2/parameters.ts'
import { refuseSharedMemory } from '../../v2/shared-memory.ts'
import { encodedOf } from './encoded.ts'
import { slowBytes } from './tensor-contents.ts'
import type { Facts } from '../../../contract/audience.ts'
import type { Encoded } from '../../../signature/encode.ts'
import type { Signature } from '../../../signature/signature.ts'
import type { Answered, Caller, Prepared, Terms } from '../../../serving/caller.ts'
import type { Loaded } from '../../../serving/variant.ts'
import type { BodyThreads } from '../../bodies/body-threads.ts'
import type { RequestLimits } from '../../limits.ts'
import type { Call } from '../call.ts'
import type { GivenRequest } from './infer-request.ts'
import type { InferAnswer } from './infer-response.ts'

/** The parts of a server that inference over gRPC uses. */
export interface CallerHost {
  readonly limits: RequestLimits
  readonly bodies: BodyThreads
}

/** How the answer of one request goes out. */
export interface Reply {
  /**
   * @param inParts whether parts have been sent; the answer then has no outputs
   * @returns the status as in HTTP
   */
  answer(answer: InferAnswer, answered: Answered, inParts: boolean): number | Promise<number>
  /** Sends one part of the answer of a model that answers in parts. Default: it comes as one. */
  readonly part?: ((answer: InferAnswer, answered: Answered) => void) | undefined
  fail(error: SlipwayError): number
}

export interface GrpcCallerOptions {
  readonly call: Call
  readonly host: CallerHost
  readonly message: Buffer
  readonly request: GivenRequest
  readonly predictionId: string
  readonly requestId: string
  readonly startedMs: number
  readonly reply: Reply
}

/** Requests whose texts and small numbers take this much are read in a thread. */
const SLOW_BYTES = 1024 * 1024

/** A request of gRPC as a caller: its terms come from the metadata of its call, its tensors from its message. */
export class GrpcCaller implements Caller<Buffer>, Facts {
  readonly protocol = 'grpc'
  readonly requestId: string
  readonly predictionId: string
  readonly startedMs: number
  /** Set once it is known that the model answers in parts: whoever takes parts shares no run. */
  part: ((part: Answered) => void) | undefined
  readonly #options: GrpcCallerOptions
  #signature: Signature | undefined
  #rows = 0
  #cancel: (() => void) | undefined
  /** Whether the message has been taken in, as far as routing may know. */
  #collected = false

  constructor(options: GrpcCallerOptions) {
    this.#options = options
    this.requestId = options.requestId
    this.predictionId = options.predictionId
    this.startedMs = options.startedMs
  }

  get traceparent(): string | undefined {
    return this.#options.call.header('traceparent')
  }

  get keyName(): string | undefined {
    return this.#options.call.caller?.name
  }

  terms(): Terms {
    const { call, request, requestId, predictionId } = this.#options
    if (request.model === '') throw new SlipwayError('SLW_BAD_REQUEST', 'model_name is missing')
    const terms = termsOf(this, { name: request.model, version: request.version }, { caller: call.caller, requestId, predictionId })
    // Where the client waits for a shorter time than it asks for, nobody waits for the answer after that.
    const waitsMs = call.timeoutMs
    if (waitsMs === undefined || (terms.timeoutMs !== undefined && terms.timeoutMs <= waitsMs)) return terms
    return { ...terms, timeoutMs: waitsMs }
  }

  header(name: string): string | undefined {
    return this.#options.call.header(name)
  }

  cookie(): undefined {
    return undefined
  }

  query(): undefined {
    return undefined
  }

  /** `id`, and parameters as `parameters.NAME`, as in a body of JSON. */
  field(path: string): string | undefined | typeof UNREAD {
    if (!this.#collected) return UNREAD
    const { id, parameters } = this.#options.request
    return fieldOf({ id, parameters }, path)
  }

  collect(done: (error: SlipwayError | undefined, body: Buffer) => void): void {
    this.#collected = true
    done(undefined, this.#options.message)
  }

  prepare(message: Buffer, loaded: Loaded): Prepared | Promise<Prepared> {
    const { request, host, reply } = this.#options
    const { signature } = loaded
    const { part } = reply
    this.#signature = signature
    this.part = loaded.inParts === true && part !== undefined ? (answered) => part(this.#answerOf(answered), answered) : undefined
    if (slowBytes(request) < SLOW_BYTES) return this.#prepared(encodedOf(request, signature, host.limits), loaded)
    const read = host.bodies.read('grpc', { body: message, header: undefined, signature, limits: host.limits })
    return read instanceof Promise ? read.then((encoded) => this.#prepared(encoded, loaded)) : this.#prepared(read, loaded)
  }

  #prepared({ inputs, rows, warnings }: Encoded, { requestedOutputs }: Loaded): Prepared {
    const { outputs, parameters } = this.#options.request
    this.#rows = rows
    for (const output of outputs ?? []) {
      refuseSharedMemory(output.parameters, `output "${output.name}"`)
      classCountOf(output.parameters, `output "${output.name}"`)
    }
    return { inputs, rows, warnings, outputs: requestedOutputs(outputs?.map(({ name }) => name)), ...runParameters(parameters) }
  }

  onGone(cancel: () => void): void {
    this.#forgetCancel()
    this.#cancel = cancel
    this.#options.call.onGone(cancel)
  }

  /** A stream outlives its requests. */
  #forgetCancel(): void {
    if (this.#cancel !== undefined) this.#options.call.offGone(this.#cancel)
  }

  answer(answered: Answered): number | Promise<number> {
    this.#forgetCancel()
    if (this.part === undefined) checkRows(this.#signature!, answered.outputs, this.#rows)
    return this.#options.reply.answer(this.#answerOf(answered), answered, this.part !== undefined)
  }

  #answerOf({ subject, outputs }: Answered): InferAnswer {
    const { id, outputs: asked, parameters } = this.#options.request
    const typed = parameters['binary_data_output'] === false
    const isOfClasses = asked?.some((output) => Object.hasOwn(output.parameters, 'classification')) === true
    return {
      model: subject.endpoint,
      version: subject.version,
      id,
      outputs: isOfClasses ? classified(outputs, { outputs: asked }, classNamesOf(this.#signature!)) : outputs,
      typed,
    }
  }

  fail(error: SlipwayError): number {
    this.#forgetCancel()
    return this.#options.reply.fail(error)
  }
}
