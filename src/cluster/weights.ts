import { setTimeout as pause } from 'node:timers/promises'
import { messageOf } from '../core/errors.ts'
import { VARIANT_LABEL } from '../kubernetes/labels.ts'
import { applySetId, PART_OF } from './apply-set.ts'
import { deploymentState } from './rollout.ts'
import { WEIGHED_KINDS, WEIGHTS_MANAGER, withWeights } from './shared-fields.ts'
import type { KubernetesObject } from '../kubernetes/object.ts'
import type { Cluster, LiveObject } from './cluster.ts'
import type { EndpointSet } from './revisions.ts'
import type { Destination } from './status.ts'

/** Weights of routes are whole numbers, and shares may be fractions of a percent: then all of them count in thousandths. */
const FRACTION = 1000

/** What a pass came to, in words; undefined where all was as it should be. */
export type WeightsPass = { readonly moved: boolean; readonly line: string | undefined }

/**
 * Gives the routes of an endpoint the weights of its variants, once. Routes are applied under a manager of their own, as a whole list: a mesh
 * has lists that one manager sets. No variant gets more than it has before its Deployment has pods that are available.
 * @param shares percent by variant; they add up to 100
 */
export async function weigh(cluster: Cluster, set: EndpointSet, shares: Readonly<Record<string, number>>): Promise<WeightsPass> {
  const member = { namespace: set.namespace, selector: `${PART_OF}=${applySetId(set)}` }
  const targets = await variantsOfServices(cluster, member)
  const ready = await readyVariants(cluster, member)
  const factor = Object.values(shares).every(Number.isInteger) ? 1 : FRACTION
  let moved = false
  const lines: string[] = []
  for (const [group, kind] of WEIGHED_KINDS) {
    const apiVersion = await cluster.versionOf(group, kind)
    if (apiVersion === undefined) continue
    for (const route of await cluster.list({ apiVersion, kind, ...member })) {
      const { next, problem, text } = nextOf(route, { shares, targets, ready, factor })
      const what = `${kind} ${route.metadata.name}`
      if (problem !== undefined) lines.push(`${what}: ${problem}`)
      else if (next !== undefined) {
        await cluster.apply(next, { manager: WEIGHTS_MANAGER, force: true })
        moved = true
        lines.push(`${what}: ${text}`)
      }
    }
  }
  return { moved, line: lines.length === 0 ? undefined : lines.join('; ') }
}

interface Pass {
  readonly shares: Readonly<Record<string, number>>
  /** Variants by the name of their Service. */
  readonly targets: ReadonlyMap<string, string>
  readonly ready: ReadonlySet<string>
  readonly factor: number
}

function nextOf(
  route: LiveObject,
  { shares, targets, ready, factor }: Pass,
): { readonly next?: KubernetesObject; readonly problem?: string; readonly text?: string } {
  // Parts of their rule: weights of before may count in percent, and those of after in thousandths.
  const seen = new Map<string, { readonly before: number; readonly after: number }>()
  let differs = false
  const weighed = withWeights(route, (target, { of, sum }) => {
    // A rule with one target, such as that of an audience, shares nothing out.
    if (of < 2) return undefined
    const variant = variantOf(target, targets)
    if (variant === undefined) return undefined
    // What the routing does not name gets nothing.
    const share = shares[variant] ?? 0
    const { weight = 1 } = target
    const after = Math.round(share * factor)
    differs ||= weight !== after
    const part = sum === 0 ? 0 : weight / sum
    seen.set(variant, { before: Math.min(part, seen.get(variant)?.before ?? 1), after: share / 100 })
    return after
  })
  const lost = Object.entries(shares).filter(([variant, share]) => share > 0 && !seen.has(variant))
  if (weighed === undefined || seen.size === 0 || Object.keys(shares).length === 0) return {}
  if (lost.length > 0) return { problem: `no target is of variant ${lost.map(([variant]) => variant).join(', ')}; its weights stay` }
  if (!differs) return {}
  const unready = [...seen].filter(([variant, { before, after }]) => after > 0 && after > before + 1e-5 && !ready.has(variant))
  if (unready.length > 0)
    return { problem: `waits for pods of ${unready.map(([variant]) => variant).join(', ')}, of which none is available` }
  const { name, namespace } = route.metadata
  const { apiVersion, kind } = route
  const [list] = kind === 'VirtualService' ? ['http'] : ['rules']
  const spec = weighed['spec'] as Readonly<Record<string, unknown>>
  const text = [...seen].map(([variant, { after }]) => `${variant} ${Math.round(after * 100 * factor) / factor}%`).join(', ')
  // Of the route that was read: one that was applied meanwhile is looked at again.
  const metadata = { name, ...(namespace !== undefined && { namespace }), resourceVersion: route.metadata.resourceVersion }
  // A VirtualService without hosts is refused, and they are a list that the renderer sets too, to the same.
  const hosts = kind === 'VirtualService' ? { hosts: spec['hosts'] } : {}
  return { next: { apiVersion, kind, metadata, spec: { ...hosts, [list ?? 'rules']: spec[list ?? 'rules'] } }, text }
}

function variantOf(target: Readonly<Record<string, unknown>>, targets: ReadonlyMap<string, string>): string | undefined {
  const { name, destination } = target as { readonly name?: string; readonly destination?: Destination }
  if (destination !== undefined) return destination.subset ?? targets.get(destination.host.split('.')[0] ?? '')
  return name === undefined ? undefined : targets.get(name)
}

type Member = { readonly namespace: string; readonly selector: string }

async function variantsOfServices(cluster: Cluster, member: Member): Promise<ReadonlyMap<string, string>> {
  const services = await cluster.list({ apiVersion: 'v1', kind: 'Service', ...member })
  const pairs = services.flatMap(({ metadata, spec }): [string, string][] => {
    const { selector = {} } = spec as { readonly selector?: Readonly<Record<string, string>> }
    const variant = selector[VARIANT_LABEL]
    return variant === undefined ? [] : [[metadata.name, variant]]
  })
  return new Map(pairs)
}

async function readyVariants(cluster: Cluster, member: Member): Promise<ReadonlySet<string>> {
  const deployments = await cluster.list({ apiVersion: 'apps/v1', kind: 'Deployment', ...member })
  return new Set(
    deployments.flatMap((deployment) => {
      const { selector } = deployment['spec'] as { readonly selector: { readonly matchLabels?: Readonly<Record<string, string>> } }
      const variant = selector.matchLabels?.[VARIANT_LABEL]
      return variant !== undefined && deploymentState(deployment).available > 0 ? [variant] : []
    }),
  )
}

interface FollowOptions {
  /** Shares of the variants now, in percent. */
  readonly read: (signal: AbortSignal) => Promise<Readonly<Record<string, number>>>
  /** Between two looks, which is also the fastest that weights are moved. */
  readonly intervalMs: number
  readonly signal: AbortSignal
  readonly told: (line: string) => void
}

/** Moves weights as the routing of an endpoint moves, until the signal. What cannot be reached for a while leaves the weights as they are. */
export async function followWeights(cluster: Cluster, set: EndpointSet, { read, intervalMs, signal, told }: FollowOptions): Promise<void> {
  let last: string | undefined
  while (!signal.aborted) {
    const line = await read(signal)
      .then((shares) => weigh(cluster, set, shares))
      .then((pass) => pass.line)
      .catch((error: unknown) => `the weights stay as they are: ${messageOf(error)}`)
    if (line !== undefined && line !== last && !signal.aborted) told(line)
    last = line
    await pause(intervalMs, undefined, { signal }).catch(() => {})
  }
}
