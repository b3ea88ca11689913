import { conditions } from './condition.ts'
import type { Issue } from '../core/errors.ts'
import type { Condition } from './condition.ts'
import type { DeclaredEndpoint } from './read-endpoints.ts'
import type { ReportOf } from './servers.ts'
import type { TargetPort } from './target-port.ts'

/** Servers that people start and that follow the endpoint: each of them is one replica. */
export const localTarget: TargetPort = {
  target: 'local',

  issues(spec, { replicas, autoscaling }) {
    const issues: Issue[] = []
    const note = (key: 'replicas' | 'autoscaling', message: string): void => {
      const path = spec.overlays?.local?.[key as 'replicas'] === undefined ? key : `overlays.local.${key}`
      issues.push({ path: `spec.${path}`, message })
    }
    if (replicas !== 1)
      note('replicas', `${replicas}: servers of the target "local" are started by people, and each of them that follows is one`)
    if (autoscaling !== undefined) note('autoscaling', 'servers of the target "local" are started by people')
    return issues
  },

  plan(before, after) {
    const earlier = new Map(before?.revision.variants.map((variant) => [variant.name, variant]))
    const steps: string[] = []
    for (const { name, model, version, digest, size } of after.revision.variants) {
      const was = earlier.get(name)
      earlier.delete(name)
      if (was?.digest === digest && was.model === model && was.version === version) continue
      const place = was === undefined ? '' : ` in the place of ${was.model}/${was.version}`
      steps.push(`each server that follows loads ${model}/${version} (${(size / 1e6).toFixed(1)} MB)${place}`)
    }
    for (const { model, version } of earlier.values()) steps.push(`each server that follows ends ${model}/${version}`)
    return steps
  },

  status(endpoint, reports) {
    return ready(endpoint, reports)
  },
}

function ready({ revision }: DeclaredEndpoint, reports: readonly ReportOf[]): Condition {
  const condition = conditions('Ready')
  const live = reports.filter((report) => report.live)
  if (live.length === 0)
    return reports.length === 0
      ? condition('Unknown', 'NoServer', 'no server follows it yet')
      : condition('Unknown', 'ServersSilent', `none of the ${reports.length} servers that followed it has been heard of lately`)
  const wanted = new Map(revision.variants.map(({ name, digest }) => [name, digest]))
  const serves = (report: ReportOf): boolean =>
    report.revision === revision.number &&
    [...wanted].every(([variant, digest]) => report.versions.some((one) => one.variant === variant && one.digest === digest && one.serves))
  const done = live.filter(serves)
  if (done.length === live.length)
    return condition('True', 'Served', `${live.length} of ${live.length} servers serve revision ${revision.number}`)
  const failed = live
    .flatMap(({ server, versions }) => versions.map((version) => ({ server, ...version })))
    .find(({ variant, digest, state }) => state === 'failed' && wanted.get(variant) === digest)
  const counted = `${done.length} of ${live.length} servers serve revision ${revision.number}`
  if (failed !== undefined) return condition('False', 'LoadFailed', `${counted}; ${failed.server}: ${failed.reason ?? 'failed'}`)
  return condition('False', 'Progressing', counted)
}
