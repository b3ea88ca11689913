/**
 * A target is where an endpoint runs. It reports what it does not support of a spec before anything is written, what a declaration would
 * change there, and the status of an endpoint. It has no call that applies a declaration: declarations are stored, and the processes that
 * apply them (servers) read them again and again, so that nothing is lost if a process is killed between a commit and a call.
 */
import type { EndpointSpec, ResolvedSpec, Target } from '../contract/endpoint.ts'
import type { Issue } from '../core/errors.ts'
import type { Condition } from './condition.ts'
import type { DeclaredEndpoint } from './read-endpoints.ts'
import type { ReportOf } from './servers.ts'

export interface TargetPort {
  readonly target: Target
  /** Parts of a spec that this target does not support, each by name, so that none is ignored. Paths begin with `spec.`. */
  issues(spec: EndpointSpec, resolved: ResolvedSpec): Issue[]
  /** Changes that a declaration would make at the target, one line for people each; empty if there are none. */
  plan(before: DeclaredEndpoint | undefined, after: DeclaredEndpoint): string[]
  /** Whether the endpoint runs as declared. */
  status(endpoint: DeclaredEndpoint, reports: readonly ReportOf[]): Condition
}
