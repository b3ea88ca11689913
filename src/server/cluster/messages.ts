import type { FeedbackItem } from '../../contract/feedback.ts'
import type { DesiredEndpoint } from '../../contract/desired-endpoint.ts'
import type { LiveEndpoint } from '../../serving/live.ts'
import type { FailedLoad, SwitchReport } from '../../serving/reconciler.ts'
import type { ServerConfig } from '../options.ts'
import type { WireFailure } from './channel.ts'

/** Message that comes with a socket of the primary. */
export interface SocketMessage {
  readonly slipway: 'socket'
  /** See `addressKey`. */
  readonly key: string
}

/** Message to a serving process at its start. */
export interface StartCall {
  readonly config: ServerConfig
  readonly logLevel: string
  /** Its share of the cores. */
  readonly cores: number
  /** State that a process which replaces another serves before it listens. */
  readonly documents: readonly DesiredEndpoint[] | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
}

export interface StartedAnswer {
  readonly port: number
  readonly url: string
  readonly urls: readonly string[]
  readonly grpc: string | undefined
}

/** Call `feedback`: labels that are to be kept for the control plane. */
export interface FeedbackCall {
  readonly items: readonly FeedbackItem[]
}

export interface RouteCall {
  readonly documents: readonly DesiredEndpoint[]
}

/** Call `prepare`, after which `commit` or `abort` names the endpoint. */
export interface PrepareCall {
  readonly endpoint: string
  /** Undefined takes it out of service. */
  readonly desired: DesiredEndpoint | undefined
}

export interface PreparedCall {
  readonly endpoint: string
}

/** State of the endpoints of a process, sent whenever it changes. */
export interface LiveCall {
  readonly endpoints: readonly LiveEndpoint[]
}

/** {@link FailedLoad} between processes. */
export type FailedLoadWire = Omit<FailedLoad, 'error'> & { readonly error: WireFailure }

export interface AppliedWire {
  /** Number by which `ended` asks for the reports of what this change replaced. */
  readonly change: number
  readonly failures: readonly FailedLoadWire[]
}

export interface EndedCall {
  readonly change: number
}

export type EndedAnswer = readonly SwitchReport[]
