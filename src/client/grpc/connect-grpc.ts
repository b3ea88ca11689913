import { answered, instead } from '../answered.ts'
import { noBreaker } from '../breaker.ts'
import { SlipwayClientError } from '../client-error.ts'
import { deadlineOf, resolveOptions } from '../options.ts'
import { persist } from '../persist.ts'
import { standings } from '../standings.ts'
import { readInferResponse, readReady, writeInferRequest, writeModelReady } from './messages.ts'
import { grpcSession } from './session.ts'
import type { Fallback, Predicted, PredictOptions } from '../answered.ts'
import type { BreakerState } from '../breaker.ts'
import type { InferAnswer, InferRequest } from '../infer.ts'
import type { CallOptions, ClientOptions, Rules } from '../options.ts'
import type { Standing } from '../persist.ts'
import type { GrpcReply, GrpcSession, GrpcTls } from './session.ts'
import type { Part } from './wire.ts'

export interface GrpcClientOptions extends Omit<ClientOptions, 'fetch'> {
  readonly tls?: GrpcTls | undefined
}

/** A model over gRPC: tensors, as `Model.infer` has them. */
export interface GrpcModel {
  readonly name: string
  /** Tensors in, tensors out. @throws SlipwayClientError */
  infer(
    request: InferRequest,
    options?: PredictOptions & { readonly fallback?: Fallback<InferRequest, InferAnswer['outputs']> | undefined },
  ): Promise<Predicted<InferAnswer['outputs']>>
  /** Whether it can answer; false also where the server does not. */
  ready(options?: CallOptions): Promise<boolean>
}

export interface GrpcClient {
  model(name: string, options?: { readonly version?: string | undefined }): GrpcModel
  /** Whether the server is ready for all its models; false also where it does not answer. */
  ready(options?: CallOptions): Promise<boolean>
  /** State of the breaker of a model. */
  breakerOf(name: string): BreakerState
  /** Ends the connection once the calls on it are answered. */
  close(): void
}

/**
 * A client of the gRPC service of the Open Inference Protocol, in Node. Calls share one connection; what holds for calls of `connect` holds
 * for these.
 * @param url `http://127.0.0.1:8471`, or `https://` for TLS
 * @throws SLW_CONFIG_INVALID; SLW_NOT_IMPLEMENTED in browsers
 */
export function connectGrpc(url: string, { tls = {}, ...options }: GrpcClientOptions = {}): GrpcClient {
  const rules = resolveOptions(url, options)
  const standing = standings(rules)
  const session = grpcSession(rules.url, tls)
  return {
    model: (name, { version } = {}) => createGrpcModel(name, version, { rules, standing: standing(name), session }),
    ready: (call) => isReady({ rules, standing: standing(''), session }, { method: 'ServerReady', message: [], call }),
    breakerOf: (name) => standing(name).breaker.state(performance.now()),
    close: () => session.close(),
  }
}

interface GrpcHost {
  readonly rules: Rules
  readonly standing: Standing
  readonly session: GrpcSession
}

function createGrpcModel(name: string, version: string | undefined, host: GrpcHost): GrpcModel {
  const { rules, standing, session } = host
  return {
    name,
    async infer(request, options = {}) {
      const message = writeInferRequest(name, version, request)
      const { fallback } = options
      return await answered(
        async (headers, limit) => {
          const reply = await session.call({ method: 'ModelInfer', headers: { ...rules.headers, ...headers }, message }, limit)
          const { outputs, model, version: of } = readAnswer(reply)
          return { answer: outputs, model, version: of, headers: reply.headers }
        },
        {
          deadlineMs: rules.deadlineMs,
          standing,
          rest: { options, fallback: fallback === undefined ? undefined : (error) => instead(fallback, error, request) },
        },
      )
    },
    ready: (call) => isReady(host, { method: 'ModelReady', message: writeModelReady(name, version), call }),
  }
}

function readAnswer({ message, headers }: GrpcReply): InferAnswer {
  try {
    return readInferResponse(message)
  } catch (cause) {
    const requestId = headers.get('x-request-id') ?? undefined
    throw new SlipwayClientError('SLW_ANSWER_INVALID', `ModelInfer: ${(cause as Error).message}`, { cause, requestId })
  }
}

interface Question {
  readonly method: string
  readonly message: readonly Part[]
  readonly call: CallOptions | undefined
}

/** @throws SLW_CANCELLED */
async function isReady({ rules, standing, session }: GrpcHost, { method, message, call = {} }: Question): Promise<boolean> {
  const once: Standing = { ...standing, breaker: noBreaker(), rules: { ...rules, retry: { ...rules.retry, attempts: 1 } } }
  const headers = { ...rules.headers, ...call.headers }
  const { signal } = call
  const deadlineMs = deadlineOf(rules, call.deadlineMs)
  try {
    const { value } = await persist((limit) => session.call({ method, headers, message }, limit), once, { deadlineMs, signal })
    return readReady(value.message)
  } catch (error) {
    if (error instanceof SlipwayClientError && error.code === 'SLW_CANCELLED') throw error
    return false
  }
}
