import { answered, instead } from './answered.ts'
import { inferAnswer, inferBody } from './infer.ts'
import { writeExact } from './json.ts'
import { isReady } from './ready.ts'
import { invalidAnswer, jsonOf, send } from './send.ts'
import type { Asking, Fallback, Predicted, PredictOptions, Read } from './answered.ts'
import type { InferAnswer, InferRequest } from './infer.ts'
import type { CallOptions, Rules } from './options.ts'
import type { Standing } from './persist.ts'
import type { Reply, Request } from './send.ts'

export interface ModelOptions<Row, Answer> {
  /** Default: the version that the server chooses. */
  readonly version?: string | undefined
  /**
   * Answer for each row where the service is not there: it cannot be reached, fails, is too busy or too late, or the breaker is open. A
   * request that is wrong fails all the same. Default: none.
   */
  readonly fallback?: Fallback<Row, Answer> | undefined
}

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
  const { rules, standing } = host
  const { version, fallback } = host.options
  const at = `/models/${encodeURIComponent(name)}${version === undefined ? '' : `/versions/${encodeURIComponent(version)}`}`
  const path = `${at}/predict`
  const ask = <T>(request: Omit<Request, 'method'>, read: (reply: Reply) => Read<T>, rest: Asking<T>): Promise<Predicted<T>> =>
    answered(
      async (headers, limit) => {
        const reply = await send(rules, { method: 'POST', ...request, headers: { ...request.headers, ...headers } }, limit)
        return { ...read(reply), headers: reply.headers }
      },
      { deadlineMs: rules.deadlineMs, standing, rest },
    )
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
    ready: (call) => isReady(rules, standing, { path: `/v2${at}/ready`, call }),
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
