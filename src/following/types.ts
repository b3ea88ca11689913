import type { VersionCondition } from '../contract/followed-state.ts'

/** The endpoints of a control plane, or single versions by reference, that are followed. */
export interface Selection {
  /** Names of endpoints; undefined with `references`: none; `all`: every endpoint of the environment. */
  readonly endpoints?: readonly string[] | 'all'
  /** `churn@champion`, `churn/3`: each becomes an endpoint of its own, called after its model. */
  readonly references?: readonly string[]
}

/** Address of a control plane, and the credentials for it. */
export interface ControlPlaneAddress {
  /** Without `/api/v1`. */
  readonly url: string
  /** Default: the first environment of the control plane. */
  readonly environment?: string | undefined
  /** PEM of certificate authorities to trust beside the root certificates of Node. */
  readonly ca?: string | undefined
  /** Join token that a key is obtained with. Read anew each time, as it may have been replaced. */
  readonly joinToken?: (() => Promise<string | undefined>) | undefined
  /** An API key that is used as it is, instead of joining. */
  readonly apiKey?: string | (() => Promise<string>) | undefined
}

/** State of one endpoint that is followed. */
export interface EndpointState {
  readonly name: string
  /** The latest revision received. */
  readonly revision: number
  /** Segment of the routing in force; undefined until something is served. */
  readonly segment?: number
  readonly versions: readonly VersionCondition[]
}

/** Status of following. */
export interface FollowStatus {
  /** Identity of the database that is followed; undefined before the first document, and of an earlier release. */
  readonly source?: string
  /** Time since the last answer of the control plane. */
  readonly staleSeconds: number
  /** The newest problem; undefined where there is none. */
  readonly trouble: string | undefined
  /** Records that the control plane refused, and that were given up. */
  readonly recordsRefused?: number
  readonly endpoints: readonly EndpointState[]
}
