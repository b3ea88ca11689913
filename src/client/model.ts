import { isOutage, SlipwayClientError } from './client-error.ts'
import { inferAnswer, inferBody } from './infer.ts'
import { writeExact } from './json.ts'
import { within } from './options.ts'
import { persist } from './persist.ts'
import { isReady } from './ready.ts'
import { invalidAnswer, jsonOf, send } from './send.ts'
import type { InferAnswer, InferRequest } from './infer.ts'
import type { CallOptions, Rules } from './options.ts'
import type { Done, Standing } from './persist.ts'
import type { Reply, Request } from './send.ts'

/** Takes the place of an answer that cannot be had: a value, or what makes one of the error and of what was asked. */
export type Fallback<Asked, Answer> = Answer | ((error: SlipwayClientError, asked: Asked) => Answer | Promise<Answer>)

export interface ModelOptions<Row, Answer> {
  /** Default: the version that the server chooses. */
  readonly version?: string | undefined
  /**
   * Answer for each row where the service is not there: it cannot be reached, fails, is too busy or too late, or the breaker is open. A
   * request that is wrong fails all the same. Default: none.
   */
  readonly fallback?: Fallback<Row, Answer> | undefined
}

export interface PredictOptions extends CallOptions {
  /** Whom the request is for: the same unit always meets the same variant. Default: nobody. */
  readonly unit?: string | undefined
  /** A tester's choice of a variant. Default: the server's. */
  readonly variant?: string | undefined
  /** From 1, the most urgent, to 9. Default: that of the server. */
  readonly priority?: number | undefined
  /** Id of the request in the log of the server, up to 128 printable characters. Default: one that is made up. */
  readonly requestId?: string | undefined
}

/** Where an answer comes from. */
export interface Provenance {
  /** Names the prediction in feedback; the rows of one request share one. Undefined where the server gives none. */
  readonly predictionId: string | undefined
  readonly requestId: string
  readonly model: string | undefined
  readonly version: string | undefined
  /** The variant that answered. */
  readonly variant: string | undefined
  /** The variant that was meant, where another one answered. */
  readonly assigned: string | undefined
  /** Undefined: the model has no cache. */
  readonly cache: 'hit' | 'miss' | 'shared' | undefined
  /** What guards have warned of. */
  readonly warnings: string | undefined
  /** Requests that were sent for it. */
  readonly attempts: number
  /** Whether a second request was answered while the first one was not. */
  readonly hedged: boolean
}

/** An answer of the service, or what takes its place: `fallback` says which, and then `reason` says why. */
export type Predicted<Answer> =
  | (Provenance & { readonly answer: Answer; readonly fallback: false; readonly reason: undefined })
  | (Provenance & { readonly answer: Answer; readonly fallback: true; readonly reason: SlipwayClientError })

export interface Model<Row, Answer> {
  readonly name: string
  /** One row in, its answer out. @throws SlipwayClientError */
  predict(row: Row, options?: PredictOptions): Promise<Predicted<Answer>>
  /** Rows in, an answer for each out, in their order. @throws SlipwayClientError */
  predictMany(rows: readonly Row[], options?: PredictOptions): Promise<Predicted<Answer[]>>
  /** Tensors in, tensors out, in binary. @throws SlipwayClientError */
  infer(
    request: InferRequest,
    options?: PredictOptions & { readonly fallback?: Fallback<InferRequest, InferAnswer['outputs']> | undefined },
  ): Promise<Predicted<InferAnswer['outputs']>>
  /** Whether it can answer; false also where the server does not. */
  ready(options?: CallOptions): Promise<boolean>
}

export interface ModelHost<Row, Answer> {
  readonly rules: Rules
  readonly standing: Standing
  readonly options: ModelOptions<Row, Answer>
}

export function createModel<Row, Answer>(name: string, host: ModelHost<Row, Answer>): Model<Row, Answer> {
  const { version, fallback } = host.options
  const at = `/models/${encodeURIComponent(name)}${version === undefined ? '' : `/versions/${encodeURIComponent(version)}`}`
  const path = `${at}/predict`
  const ask = <T>(request: Omit<Request, 'method'>, read: (reply: Reply) => Read<T>, rest: Asking<T>): Promise<Predicted<T>> =>
    answered(host, { request: { method: 'POST', ...request }, read, rest })
  return {
    name,
    predict: async (row, options = {}) =>
      await ask(
        // A list alone would be taken for many rows.
        { path, headers: JSON_TYPE, body: writeExact(isObject(row) ? row : { inputs: [row] }) },
        (reply) => ({ answer: (isObject(row) ? jsonOf(reply, path) : predictionsOf(reply, path, 1)[0]) as Answer }),
        { options, fallback: fallback === undefined ? undefined : (error) => instead(fallback, error, row) },
      ),
    predictMany: async (rows, options = {}) =>
      await ask(
        { path, headers: JSON_TYPE, body: writeExact(rows) },
        (reply) => ({ answer: predictionsOf(reply, path, rows.length) as Answer[] }),
        {
          options,
          fallback: fallback === undefined ? undefined : (error) => Promise.all(rows.map((row) => instead(fallback, error, row))),
        },
      ),
    async infer(request, options = {}) {
      const inferPath = `/v2${at}/infer`
      const { fallback: own } = options
      const { headers, body } = inferBody(request)
      const read = (reply: Reply): Read<InferAnswer['outputs']> => {
        const { outputs, model, version: of } = inferAnswer(reply, inferPath)
        return { answer: outputs, model, version: of }
      }
      return await ask({ path: inferPath, headers, body }, read, {
        options,
        fallback: own === undefined ? undefined : (error) => instead(own, error, request),
      })
    },
    ready: (call) => isReady(host.rules, host.standing, { path: `/v2${at}/ready`, call }),
  }
}

const JSON_TYPE = { 'content-type': 'application/json' } as const

const isObject = (value: unknown): boolean => value !== null && typeof value === 'object' && !Array.isArray(value)

/** @throws SLW_ANSWER_INVALID where there is not one answer for each row */
function predictionsOf(reply: Reply, path: string, count: number): unknown[] {
  const body = jsonOf(reply, path) as { readonly predictions?: unknown } | null
  const predictions = body?.predictions
  if (Array.isArray(predictions) && predictions.length === count) return predictions
  throw invalidAnswer(`${path}: expected ${count} predictions`, reply)
}

async function instead<Asked, Answer>(fallback: Fallback<Asked, Answer>, error: SlipwayClientError, asked: Asked): Promise<Answer> {
  return typeof fallback === 'function'
    ? await (fallback as (error: SlipwayClientError, asked: Asked) => Answer | Promise<Answer>)(error, asked)
    : fallback
}

/** An answer; what is missing is in the headers. */
interface Read<T> {
  readonly answer: T
  readonly model?: string | undefined
  readonly version?: string | undefined
}

interface Asking<T> {
  readonly options: PredictOptions
  readonly fallback: ((error: SlipwayClientError) => Promise<T>) | undefined
}

async function answered<T, Row, Answer>(
  { rules, standing }: ModelHost<Row, Answer>,
  { request, read, rest }: { readonly request: Request; readonly read: (reply: Reply) => Read<T>; readonly rest: Asking<T> },
): Promise<Predicted<T>> {
  const { options, fallback } = rest
  // One id for all requests of a call: where no unit is named it decides the variant, which a repeat should meet again.
  const requestId = options.requestId ?? idOf()
  const headers = { ...request.headers, ...headersOf(options), 'x-request-id': requestId }
  const deadlineMs = within('deadlineMs', options.deadlineMs ?? rules.deadlineMs, 1, 2_147_483_647)
  try {
    const done = await persist(
      async (limit) => {
        const reply = await send(rules, { ...request, headers }, limit)
        return { ...read(reply), headers: reply.headers }
      },
      standing,
      { deadlineMs, signal: options.signal },
    )
    const { answer, headers: given, model, version } = done.value
    const from = provenance(given, requestId, done)
    return { ...from, model: model ?? from.model, version: version ?? from.version, answer, fallback: false, reason: undefined }
  } catch (error) {
    if (fallback === undefined || !(error instanceof SlipwayClientError) || !isOutage(error)) throw error
    const { attempts } = error
    const nothing = provenance(new Headers(), requestId, { attempts, hedged: false })
    return { ...nothing, answer: await fallback(error), fallback: true, reason: error }
  }
}

function headersOf({ unit, variant, priority, headers }: PredictOptions): Record<string, string> {
  return {
    ...headers,
    ...(unit !== undefined && { 'slipway-unit': unit }),
    ...(variant !== undefined && { 'slipway-variant': variant }),
    ...(priority !== undefined && { 'slipway-priority': String(priority) }),
  }
}

function provenance(headers: Headers, requestId: string, { attempts, hedged }: Omit<Done<unknown>, 'value'>): Provenance {
  const header = (name: string): string | undefined => headers.get(name) ?? undefined
  return {
    predictionId: header('slipway-prediction-id'),
    requestId: header('x-request-id') ?? requestId,
    model: header('slipway-model'),
    version: header('slipway-version'),
    variant: header('slipway-variant'),
    assigned: header('slipway-assigned'),
    cache: header('slipway-cache') as Provenance['cache'],
    warnings: header('slipway-warnings'),
    attempts,
    hedged,
  }
}

/** A random id of 128 bits. Pages that did not come over TLS have no `crypto.randomUUID`. */
function idOf(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
