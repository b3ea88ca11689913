import type { DesiredEndpoint } from '../../contract/desired-endpoint.ts'
import type { LiveEndpoint } from '../../serving/live.ts'
import type { FailedLoad, SwitchReport } from '../../serving/reconciler.ts'
import type { ServerConfig } from '../options.ts'
import type { WireFailure } from './channel.ts'

/** What a serving process is told at its start. */
export interface StartCall {
  readonly config: ServerConfig
  readonly logLevel: string
  /** Its share of the cores. */
  readonly cores: number
  /** Of one that takes the place of another: it serves this before it listens. */
  readonly documents: readonly DesiredEndpoint[] | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
}

export interface StartedAnswer {
  readonly port: number
  readonly url: string
  readonly urls: readonly string[]
}

export interface PrepareCall {
  readonly documents: readonly DesiredEndpoint[]
}

/** What has become of the endpoints of a process, whenever it changes. */
export interface LiveCall {
  readonly endpoints: readonly LiveEndpoint[]
}

/** {@link FailedLoad} between processes. */
export type FailedLoadWire = Omit<FailedLoad, 'error'> & { readonly error: WireFailure }

export interface AppliedWire {
  /** By which `ended` asks for what becomes of what was replaced. */
  readonly change: number
  readonly failures: readonly FailedLoadWire[]
}

export interface EndedCall {
  readonly change: number
}

export type EndedAnswer = readonly SwitchReport[]
