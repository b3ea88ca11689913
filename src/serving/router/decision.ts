/**
 * How a request came to its variant. `randomised`: by its weight, so that it counts as evidence; else why it did not: `version`, it asked
 * for one; `only`, one variant has all the traffic; `incomplete`, a variant that has a weight is not there yet.
 */
export type Assignment = 'randomised' | 'version' | 'only' | 'incomplete'

/** Which variant a request is for: made once, before its body is read, and the same in its answer, event, log and trace. */
export interface Decision {
  readonly endpoint: string
  /** The variant that it fell to. */
  readonly assigned: string
  /** The variant that answers: the assigned one, unless another has to step in. */
  readonly served: string
  /** Of the routing under which it was decided. */
  readonly segment: number
  readonly assignment: Assignment
  /** Whoever shares a unit gets the same variant; undefined: each request is its own unit. */
  readonly unit: string | undefined
  /** Where it lies in [0, 1); undefined where no chance was needed. */
  readonly point: number | undefined
}
