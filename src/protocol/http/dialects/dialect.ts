/**
 * A dialect is one value: the way in which clients of one kind talk to the server over HTTP. It translates and decides nothing: between
 * a body and its answer stands `serving/inference`.
 */
import type { Administration } from '../admin.ts'
import type { SlipwayError } from '../../../core/errors.ts'
import type { Answered, Prepared } from '../../../serving/caller.ts'
import type { DataPlane } from '../../../serving/data-plane.ts'
import type { ProcessCounts } from '../../../serving/observe/merge.ts'
import type { TracingConfig } from '../../../serving/observe/tracing/options.ts'
import type { Family } from '../../../serving/observe/exposition.ts'
import type { Loaded } from '../../../serving/variant.ts'
import type { RequestLimits } from '../../limits.ts'
import type { BodyThreads } from '../../bodies/body-threads.ts'
import type { ErrorForm } from '../error-form.ts'
import type { Exchange } from '../exchange.ts'
import type { HttpLimits } from '../options.ts'
import type { Params, Route } from '../routes.ts'

/** The parts of a server that dialects use. */
export interface DialectHost {
  readonly dataPlane: DataPlane
  readonly limits: RequestLimits & Pick<HttpLimits, 'bodyBytes'>
  readonly bodies: BodyThreads
  /** Model of requests that name none. */
  readonly defaultModel: string | undefined
  readonly administration: Administration
  /** What the whole server has counted, in all of its processes. */
  readonly counts: () => Promise<ProcessCounts>
  /** How the server was told to trace. */
  readonly tracing: TracingConfig
  /** File of the log; undefined: standard error. */
  readonly logFile: string | undefined
  /** Default: those that Vertex AI has where it says nothing. */
  readonly vertex?: { readonly healthRoute: string; readonly predictRoute: string } | undefined
  /** The metrics of the server, for dialects with an address of their own for them. */
  readonly metrics: () => Promise<readonly Family[]>
}

export interface Dialect {
  /** Its name in `--dialects`, and that of its requests in metrics and traces. */
  readonly name: string
  /** Whose dialect it is, as people know it: "TorchServe". Default: its name. */
  readonly of?: string
  /** Whether a server speaks it unless it is told what to speak. Default: it does not. */
  readonly byDefault?: boolean
  /** One line, for people who choose dialects. */
  readonly description: string
  /** What clients of the original find otherwise here, a sentence each. Default: nothing that is known. */
  readonly differences?: readonly string[]
  /** Beginning of its paths; errors at unknown paths below it have its form, too. Default: none of its own. */
  readonly prefix?: string
  /** Whether the platform that starts the server manages its models without credentials: such a server listens on its own container alone. */
  readonly managedByPlatform?: boolean
  readonly error: ErrorForm
  routes(host: DialectHost): readonly DialectRoute[]
}

/** A route of a dialect: one that predicts, or any other. */
export type DialectRoute = Route | PredictRoute

/** The model that a request is for. */
export interface ModelAddress {
  readonly name: string
  readonly version: string | undefined
}

/** What a conversation may see of its request beside the body. */
export type Asking = Pick<Exchange, 'header' | 'query'>

export interface PredictRoute {
  readonly method: Route['method']
  readonly path: string
  /** @throws what of the address cannot be understood */
  target(params: Params): ModelAddress
  /** Begins the conversation of one request. */
  converse(request: Asking): Conversation
}

/** One request in its dialect. */
export interface Conversation {
  /** Makes tensors of the body. @throws what the client is told */
  prepare(body: Buffer, loaded: Loaded): Prepared | Promise<Prepared>
  /** Writes the answer; a large one takes a while. */
  answer(answered: Answered): Answer | Promise<Answer>
  /** Form of an answer that comes in several parts. Default: it comes as one. */
  readonly stream?: Streaming | undefined
}

export interface Answer {
  readonly type: string
  readonly body: string | Buffer
  readonly headers?: Record<string, string>
}

export interface Streaming {
  readonly type: string
  part(part: Answered): string | Buffer
  /** Text after the last part. Default: none. */
  end?(answered: Answered): string
  /** Text of an error after the first part, which then ends the answer. Default: the connection breaks off. */
  error?(error: SlipwayError): string
}
