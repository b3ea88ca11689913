/** The targets that this release can run endpoints on. A new one is a file and a line here. */
import { resolveSpec } from '../contract/endpoint.ts'
import { kubernetesTarget } from './kubernetes-target.ts'
import { localTarget } from './local-target.ts'
import type { EndpointSpec, ResolvedSpec, Target } from '../contract/endpoint.ts'
import type { Issue } from '../core/errors.ts'
import type { DeclaredEndpoint } from './read-endpoints.ts'
import type { TargetPort } from './target-port.ts'

const TARGETS: ReadonlyMap<string, TargetPort> = new Map([localTarget, kubernetesTarget].map((target) => [target.target, target]))

export function targetOf(name: string): TargetPort | undefined {
  return TARGETS.get(name)
}

/** Parts of a spec that this release does not support, each by name, so that none is ignored. */
export function unsupported(spec: EndpointSpec, resolved: ResolvedSpec): Issue[] {
  const { target: name } = resolved
  const issues: Issue[] = []
  const note = (path: string, message: string): void => void issues.push({ path: `spec.${path}`, message })
  const target = targetOf(name)
  if (target === undefined)
    note('target', `"${name}" is no target that this release can run an endpoint on; it has: ${[...TARGETS.keys()].join(', ')}`)
  return [...issues, ...(target?.issues(spec, resolved) ?? []), ...otherTargets(spec, name)]
}

/** What the targets of the other overlays would refuse, so that a document is refused when it is written, not when its target changes. */
function otherTargets(spec: EndpointSpec, used: string): Issue[] {
  return Object.keys(spec.overlays ?? {})
    .filter((name) => name !== used)
    .flatMap((name) => targetOf(name)?.issues(spec, resolveSpec({ ...spec, target: name as Target })) ?? [])
}

/** Changes that a declaration makes at its target. */
export function planOf(before: DeclaredEndpoint | undefined, after: DeclaredEndpoint): string[] {
  return targetOf(resolveSpec(after.spec).target)?.plan(before, after) ?? []
}
