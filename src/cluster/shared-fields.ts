/** Fields that others set while we apply the rest: replicas, by whoever scales, and weights, by whoever rolls out. */
import { changesBetween, isObject, ownersOf } from './fields.ts'
import { MANAGER } from '../kubernetes/labels.ts'
import type { KubernetesObject } from '../kubernetes/object.ts'
import type { Cluster, LiveObject } from './cluster.ts'

/** Manager of the weights of a mesh. */
export const WEIGHTS_MANAGER = 'slipway-weights'
/** Whoever keeps replicas that we have set before, until somebody scales. */
export const SCALING_MANAGER = 'slipway-scaling'

/** Where routes have their weights: one list, which Kubernetes lets one manager set as a whole. */
const ROUTES: Readonly<Record<string, readonly [list: string, targets: string]>> = {
  HTTPRoute: ['rules', 'backendRefs'],
  GRPCRoute: ['rules', 'backendRefs'],
  VirtualService: ['http', 'route'],
}

/** Groups and kinds of routes whose weights rollouts move. */
export const WEIGHED_KINDS = [
  ['gateway.networking.k8s.io', 'HTTPRoute'],
  ['policy.linkerd.io', 'HTTPRoute'],
  ['networking.istio.io', 'VirtualService'],
] as const

type Target = Readonly<Record<string, unknown>> & { readonly weight?: number }
type Rule = Readonly<Record<string, unknown>>

/**
 * A route with other weights. @param weight of a target, one `of` so many in its rule; undefined leaves it
 * @returns undefined where the object is no route
 */
export function withWeights(
  object: KubernetesObject,
  weight: (target: Target, at: { readonly rule: number; readonly of: number; readonly sum: number }) => number | undefined,
): KubernetesObject | undefined {
  const [list, targets] = ROUTES[object.kind] ?? []
  const spec = object['spec']
  if (list === undefined || targets === undefined || !isObject(spec) || !Array.isArray(spec[list])) return undefined
  const rules = (spec[list] as readonly Rule[]).map((rule, ruleIndex) => {
    const refs = rule[targets]
    if (!Array.isArray(refs)) return rule
    const sum = (refs as readonly Target[]).reduce((all, { weight: one = 1 }) => all + one, 0)
    const weighed = (refs as readonly Target[]).map((target) => {
      const set = weight(target, { rule: ruleIndex, of: refs.length, sum })
      return set === undefined ? target : { ...target, weight: set }
    })
    return { ...rule, [targets]: weighed }
  })
  return { ...object, spec: { ...spec, [list]: rules } }
}

/**
 * An object as it is to be applied beside others: a route whose weights a rollout moves keeps those that it has now. Targets are the same
 * where they are so in all but the weight.
 */
export function besideOthers(object: KubernetesObject, live: LiveObject | undefined): KubernetesObject {
  if (live === undefined || !weightsAreMoved(live)) return object
  const present = new Map<string, number>()
  withWeights(live, (target, { rule }) => {
    if (target.weight !== undefined) present.set(identityOf(target, rule), target.weight)
    return undefined
  })
  return withWeights(object, (target, { rule }) => present.get(identityOf(target, rule))) ?? object
}

/** Gives the list with the weights to their manager, as it is in an object: who applies that object then has it beside them, not instead. */
export async function keepWeights(cluster: Cluster, object: KubernetesObject): Promise<void> {
  const { apiVersion, kind, metadata } = object
  const { name, namespace } = metadata
  const [list = ''] = ROUTES[kind] ?? []
  const spec = object['spec'] as Readonly<Record<string, unknown>>
  const hosts = kind === 'VirtualService' ? { hosts: spec['hosts'] } : {}
  const own = { name, ...(namespace !== undefined && { namespace }) }
  await cluster.apply(
    { apiVersion, kind, metadata: own, spec: { ...hosts, [list]: spec[list] } },
    { manager: WEIGHTS_MANAGER, force: true },
  )
}

/** Whether a rollout moves the weights of a route. */
export function weightsAreMoved({ metadata, kind }: LiveObject): boolean {
  return ROUTES[kind] !== undefined && metadata.managedFields?.some(({ manager }) => manager === WEIGHTS_MANAGER) === true
}

/** The API server fills in defaults, such as the kind and group of a Service: those say nothing of which one it is. */
function identityOf({ name, namespace, port, destination }: Target, rule: number): string {
  return JSON.stringify([rule, name, namespace, port, destination])
}

/**
 * Replicas that are left out now and were ours before: what is to be handed over to a manager of their own first, as the API server would set
 * what nobody sets any more to 1 in the moment between us and whoever scales.
 */
export function replicasToHandOver(object: KubernetesObject, live: LiveObject | undefined): number | undefined {
  if (live === undefined || object.kind !== 'Deployment') return undefined
  const [wanted, present] = [object['spec'], live['spec']]
  if (!isObject(wanted) || !isObject(present) || wanted['replicas'] !== undefined) return undefined
  const owners = ownersOf(live, ['spec', 'replicas'])
  return owners.length === 1 && owners[0] === MANAGER ? Number(present['replicas']) : undefined
}

export async function handOverReplicas(
  cluster: Cluster,
  { apiVersion, kind, metadata }: KubernetesObject,
  replicas: number,
): Promise<void> {
  const { name, namespace } = metadata
  const scaled = { apiVersion, kind, metadata: { name, ...(namespace !== undefined && { namespace }) }, spec: { replicas } }
  await cluster.apply(scaled, { manager: SCALING_MANAGER })
}

/** As it will be once its replicas are handed over. */
export function withReplicas(object: KubernetesObject, replicas: number): KubernetesObject {
  const { spec } = object as KubernetesObject & { readonly spec: object }
  return { ...object, spec: { ...spec, replicas } }
}

/** Whether two objects differ beyond what the API server writes into them. */
export function differ(live: LiveObject, next: LiveObject): boolean {
  return changesBetween(declared(live), declared(next)).length > 0
}

/** An object without what the API server alone writes. */
export function declared({ metadata, ...rest }: LiveObject): object {
  const { managedFields: _, resourceVersion: __, uid: ___, generation: ____, creationTimestamp: _____, ...own } = metadata
  const { status: ______, ...fields } = rest
  return { ...fields, metadata: own }
}
