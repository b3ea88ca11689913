/**
 * Assignment of a request to its variant. `randomised`: by weight, so that the request counts as evidence; else why not: `version`, it
 * asked for one; `only`, one variant has all the traffic; `incomplete`, a variant that has a weight is not there yet.
 */
export type Assignment = 'randomised' | 'version' | 'only' | 'incomplete'

/** Choice of a request's variant: made once, before its body is read, and the same in its answer, event, log and trace. */
export interface Decision {
  readonly endpoint: string
  /** The variant that the request was assigned to. */
  readonly assigned: string
  /** The variant that answers: the assigned one, unless another has to step in. */
  readonly served: string
  /** Segment of the routing under which the choice was made. */
  readonly segment: number
  readonly assignment: Assignment
  /** Requests with the same unit get the same variant; undefined: each request is its own unit. */
  readonly unit: string | undefined
  /** Point of the unit, or a random one, in [0, 1); undefined where the choice needed none. */
  readonly point: number | undefined
}
