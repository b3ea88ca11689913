/** Client is for applications that call a server: in Node and in browsers, with nothing beside it, and made for the server's absence. */
import { SlipwayClientError } from './client-error.ts'
import { writeExact } from './json.ts'
import { createModel } from './model.ts'
import { deadlineOf, resolveOptions } from './options.ts'
import { persist } from './persist.ts'
import { isReady } from './ready.ts'
import { jsonOf, send } from './send.ts'
import { standings } from './standings.ts'
import type { BreakerState } from './breaker.ts'
import type { Model, ModelOptions } from './model.ts'
import type { CallOptions, ClientOptions } from './options.ts'

/** What was true of a prediction. */
export interface Feedback {
  /** `predictionId` of the answer. */
  readonly id: string
  readonly label: string | number | boolean
  /** When it was known, UTC epoch milliseconds. Default: when it arrives. */
  readonly time?: number | undefined
  /** Default: 1. */
  readonly weight?: number | undefined
}

export interface FeedbackAnswer {
  readonly accepted: number
  /** Those that the server did not sign, by their place in what was sent. */
  readonly refused: readonly { readonly index: number; readonly message: string }[]
}

/** A server. Its calls share one budget of repeats, and those of a model one breaker. */
export interface Client {
  /** A model of the server. Nothing is sent. */
  model<Row = Readonly<Record<string, unknown>>, Answer = unknown>(name: string, options?: ModelOptions<Row, Answer>): Model<Row, Answer>
  /** Tells what was true. The same again changes nothing, so it is repeated as predictions are. @throws SlipwayClientError */
  feedback(labels: Feedback | readonly Feedback[], options?: CallOptions): Promise<FeedbackAnswer>
  /** Whether the server is ready for all its models; false also where it does not answer. */
  ready(options?: CallOptions): Promise<boolean>
  /** State of the breaker of a model. */
  breakerOf(name: string): BreakerState
}

/** Labels of one request. */
const LABELS_MAX = 10_000

/**
 * A client of a server. Nothing is sent before the first call, and nothing needs to be closed.
 * @param url of the server: `http://127.0.0.1:8470`; a path at its end is that of a proxy in front of it
 * @throws SLW_CONFIG_INVALID
 */
export function connect(url: string, options: ClientOptions = {}): Client {
  const rules = resolveOptions(url, options)
  const standing = standings(rules)
  return {
    model: (name, modelOptions = {}) => createModel(name, { rules, standing: standing(name), options: modelOptions }),
    async feedback(labels, { deadlineMs, signal, headers = {} } = {}) {
      const list = Array.isArray(labels) ? (labels as readonly Feedback[]) : [labels as Feedback]
      if (list.length === 0) return { accepted: 0, refused: [] }
      if (list.length > LABELS_MAX)
        throw new SlipwayClientError('SLW_CONFIG_INVALID', `feedback: ${list.length} labels; a call takes up to ${LABELS_MAX}`)
      const body = writeExact({ feedback: list })
      const path = '/feedback'
      const { value } = await persist(
        async (limit) => {
          const request = { method: 'POST', path, headers: { 'content-type': 'application/json', ...headers }, body } as const
          return jsonOf(await send(rules, request, limit), path) as FeedbackAnswer
        },
        standing(''),
        { deadlineMs: deadlineOf(rules, deadlineMs), signal },
      )
      return value
    },
    ready: (call) => isReady(rules, standing(''), { path: '/v2/health/ready', call }),
    breakerOf: (name) => standing(name).breaker.state(performance.now()),
  }
}
