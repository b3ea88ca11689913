import type { VersionCondition } from '../contract/followed-state.ts'

/** What is followed: endpoints of a control plane, or single versions by reference. */
export interface Selection {
  /** Names of endpoints; undefined with `references`: none; `all`: every endpoint of the environment. */
  readonly endpoints?: readonly string[] | 'all'
  /** `churn@champion`, `churn/3`: each becomes an endpoint of its own, called after its model. */
  readonly references?: readonly string[]
}

/** Which control plane, and as whom. */
export interface ControlPlaneAddress {
  /** Without `/api/v1`. */
  readonly url: string
  /** Default: the first environment of the control plane. */
  readonly environment?: string | undefined
  /** PEM of authorities to believe beside those that the system believes. */
  readonly ca?: string | undefined
  /** What a key of our own is had for. Read anew each time, as it may have been replaced. */
  readonly joinToken?: (() => Promise<string | undefined>) | undefined
  /** An API key that is used as it is, instead of joining. */
  readonly apiKey?: string | (() => Promise<string>) | undefined
}

/** What is known of one endpoint that is followed. */
export interface EndpointState {
  readonly name: string
  /** The revision that was last heard of. */
  readonly revision: number
  /** Of the routing by which requests are shared; undefined until something is served. */
  readonly segment?: number
  readonly versions: readonly VersionCondition[]
}

/** How following goes. */
export interface FollowStatus {
  /** How long the control plane has not been heard of. */
  readonly staleSeconds: number
  /** What troubles it, the newest trouble; undefined where nothing does. */
  readonly trouble: string | undefined
  readonly endpoints: readonly EndpointState[]
}
