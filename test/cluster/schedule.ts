import { amountOf } from './pod-spec.ts'
import type { Pod, Taint } from './pod-spec.ts'

/** A node as the tests declare it. */
export interface FakeNode {
  readonly name: string
  readonly labels?: Readonly<Record<string, string>>
  readonly taints?: readonly Taint[]
  /** Default: 8 cores, 16 GiB, 50 pods. */
  readonly allocatable?: Readonly<Record<string, string>>
}

export interface LiveNode {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> }
  readonly spec?: { readonly unschedulable?: boolean; readonly taints?: readonly Taint[] }
  readonly status: { readonly allocatable: Readonly<Record<string, string>> }
}

/** The node with the fewest pods on which one fits, or why there is none, in the scheduler's words. */
export function nodeFor(pod: Pod, nodes: readonly LiveNode[], pods: readonly Pod[]): { readonly node: string } | { readonly why: string } {
  const reasons = new Map<string, number>()
  const fitting: { readonly name: string; readonly pods: number }[] = []
  for (const node of nodes) {
    const present = pods.filter(({ spec, status }) => spec.nodeName === node.metadata.name && !isOver(status?.phase))
    const why = unfit(pod, node, present)
    if (why === undefined) fitting.push({ name: node.metadata.name, pods: present.length })
    else reasons.set(why, (reasons.get(why) ?? 0) + 1)
  }
  const [best] = fitting.toSorted((a, b) => a.pods - b.pods)
  if (best !== undefined) return { node: best.name }
  const told = [...reasons].map(([why, count]) => `${count} ${why}`).join(', ')
  return { why: `0/${nodes.length} nodes are available: ${told}.` }
}

function isOver(phase: string | undefined): boolean {
  return phase === 'Succeeded' || phase === 'Failed'
}

function unfit(pod: Pod, node: LiveNode, present: readonly Pod[]): string | undefined {
  if (node.spec?.unschedulable === true) return 'node(s) were unschedulable'
  const labels = node.metadata.labels ?? {}
  if (Object.entries(pod.spec.nodeSelector ?? {}).some(([key, value]) => labels[key] !== value))
    return "node(s) didn't match Pod's node affinity/selector"
  const hard = (node.spec?.taints ?? []).filter(({ effect }) => effect !== 'PreferNoSchedule')
  const untolerated = hard.find((taint) => !tolerates(pod, taint))
  if (untolerated !== undefined) return `node(s) had untolerated taint {${untolerated.key}: ${untolerated.value ?? ''}}`
  const asked = requestsOf(pod)
  const taken = present.map(requestsOf)
  for (const [resource, amount] of asked) {
    const used = taken.reduce((sum, requests) => sum + (requests.get(resource) ?? 0), 0)
    if (used + amount > amountOf(node.status.allocatable[resource] ?? '0')) return `Insufficient ${resource}`
  }
  return undefined
}

function tolerates({ spec }: Pod, taint: Taint): boolean {
  return (spec.tolerations ?? []).some(
    ({ key, operator = 'Equal', value, effect }) =>
      (key === undefined || key === taint.key) &&
      (effect === undefined || effect === taint.effect) &&
      (operator === 'Exists' || value === taint.value),
  )
}

function requestsOf({ spec }: Pod): Map<string, number> {
  const sum = new Map<string, number>([['pods', 1]])
  for (const { resources = {} } of spec.containers)
    for (const [resource, quantity] of Object.entries({ ...resources.limits, ...resources.requests }))
      sum.set(resource, (sum.get(resource) ?? 0) + amountOf(quantity))
  return sum
}
