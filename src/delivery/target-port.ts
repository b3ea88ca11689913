/**
 * Where an endpoint runs. A target says what of a spec it cannot do before anything is written, what making a declaration true would
 * change there, and how an endpoint is there. It has no call that makes it so: what is declared is at rest, and whoever brings it to a
 * target looks at that again and again (servers do), so that nothing is lost where a process is killed between a commit and a call.
 */
import type { EndpointSpec, ResolvedSpec, Target } from '../contract/endpoint.ts'
import type { Issue } from '../core/errors.ts'
import type { Condition } from './condition.ts'
import type { DeclaredEndpoint } from './read-endpoints.ts'
import type { ReportOf } from './servers.ts'

export interface TargetPort {
  readonly target: Target
  /** What a spec asks for and this target cannot do: by name, so that nothing is passed over. Paths begin with `spec.`. */
  issues(spec: EndpointSpec, resolved: ResolvedSpec): Issue[]
  /** What would change there, one line for people each; none where nothing would. */
  plan(before: DeclaredEndpoint | undefined, after: DeclaredEndpoint): string[]
  /** Whether it is there as declared. */
  status(endpoint: DeclaredEndpoint, reports: readonly ReportOf[]): Condition
}
