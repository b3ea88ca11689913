/**
 * How a request came to its variant. `randomised`: by weight, so that the request counts as evidence; else why not: `matched`, a rule is
 * for its audience; `forced`, a tester asked for the variant; `version`, it asked for a version; `only`, one variant has all the traffic;
 * `incomplete`, a variant that has a weight is not there yet, or was taken out.
 */
export const ASSIGNMENTS = ['randomised', 'matched', 'forced', 'version', 'only', 'incomplete'] as const
export type Assignment = (typeof ASSIGNMENTS)[number]

/** Choice of a request's variant: made once, and the same in its answer, event, log and trace. */
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
  /** Milliseconds: how many requests take longer is counted. */
  readonly edges: readonly number[] | undefined
}
