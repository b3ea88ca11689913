/** The objects of an endpoint with a Rollout of Argo (argoproj.io/v1alpha1) in the place of its Deployment. */
import { resolveRollout } from '../../contract/rollout.ts'
import { inputInvalid } from '../../core/errors.ts'
import { renderEndpoint } from '../render.ts'
import { resolveKubernetes } from '../resolve.ts'
import { analysisOf, VERDICT_SECRET, verdictAddress } from './analysis.ts'
import { changed, valueAt } from './places.ts'
import { oneVersion } from './one-version.ts'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { ResolvedRollout, Stage } from '../../contract/rollout.ts'
import type { Issue } from '../../core/errors.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'
import type { Analysis } from './analysis.ts'
import type { DeliveryOptions } from './delivery-options.ts'
import type { Package } from './files.ts'

const API_VERSION = 'argoproj.io/v1alpha1'
const GATEWAY_PLUGIN = 'argoproj-labs/gatewayAPI'
const MIRROR = 'slipway-mirror'
const SUBSETS = ['stable', 'canary'] as const

interface Walk {
  readonly resolved: ResolvedKubernetes
  readonly workload: Workload
  readonly strategy: ResolvedRollout
  readonly analysis: Analysis
}

/**
 * A Rollout whose steps are those of `spec.rollout`, Services and routes for the two versions, and AnalysisTemplates.
 * @throws SLW_CONFIG_INVALID for what Argo Rollouts cannot do
 */
export function argoRollouts(document: EndpointDocument, options: DeliveryOptions): Package {
  const resolved = resolveKubernetes(document)
  const workload = oneVersion(resolved, 'Argo Rollouts')
  const strategy = resolveRollout(document.spec.rollout ?? {})
  const issues = issuesOf(strategy, resolved)
  if (issues.length > 0) throw inputInvalid(issues)
  const walk: Walk = { resolved, workload, strategy, analysis: analysisOf(resolved, workload, { strategy, options }) }
  const objects = renderEndpoint(document).flatMap((object) => walked(object, walk))
  return { objects: [...walk.analysis.templates, ...objects], notes: notesOf(walk, options) }
}

/** What a stage says that has no word there. */
function issuesOf({ strategy, stages, audience }: ResolvedRollout, { traffic, options }: ResolvedKubernetes): Issue[] {
  const issues: Issue[] = []
  const note = (path: string, message: string): void => void issues.push({ path: `spec.rollout.${path}`, message })
  if (options.expose?.by === 'gateway' && (traffic === 'istio' || traffic === 'linkerd'))
    issues.push({
      path: 'spec.kubernetes.expose',
      message: `the routes of a Gateway know nothing of the shares that Argo Rollouts moves in ${traffic}: let the Gateway have them (traffic: gateway)`,
    })
  if (audience.length > 0) note('audience', 'a Rollout of Argo shares by weights: leave the audience out')
  for (const { weight } of stages) if (!Number.isInteger(weight)) note('steps', `${weight}: a Rollout of Argo has whole percents`)
  if (strategy === 'shadow-then-canary' && traffic !== 'istio' && traffic !== 'gateway')
    note('strategy', 'copies of requests need Istio or the Gateway API (`spec.kubernetes.traffic`)')
  return issues
}

function notesOf({ strategy, analysis }: Walk, options: DeliveryOptions): string[] {
  return [
    ...(verdictAddress(options) === undefined
      ? []
      : [`the Secret ${VERDICT_SECRET} has to have the key "token": a token that may read rollouts`]),
    ...(analysis.beside === undefined
      ? ['nothing judges the new version: give --prometheus URL, or --control-plane URL and --rollout ID']
      : []),
    ...(strategy.freeze.length > 0 ? ['spec.rollout.freeze: Argo Rollouts has no times at which no step is taken'] : []),
    ...(strategy.gates.length > 0 ? ['spec.rollout.gates: ask them before you apply (slipway gate)'] : []),
    ...(strategy.baseline ? ['spec.rollout.baseline: the new version is compared with the pods that are there'] : []),
  ]
}

const SCALED = new Set(['HorizontalPodAutoscaler', 'ScaledObject'])

function walked(object: KubernetesObject, walk: Walk): KubernetesObject[] {
  const { resolved, workload, strategy } = walk
  const { traffic } = resolved
  if (object.kind === 'Deployment') return [rolloutOf(object, walk)]
  if (SCALED.has(object.kind))
    return [
      changed(object, ['spec', 'scaleTargetRef'], () => ({
        apiVersion: API_VERSION,
        kind: 'Rollout',
        name: workload.name,
      })) as KubernetesObject,
    ]
  const active = activeOf(resolved, workload)
  if (object.kind === 'Service' && object.metadata.name === active) {
    if (strategy.strategy === 'blue-green') return [object, renamed(object, `${active}-preview`)]
    return usesServices(traffic) ? [object, renamed(object, `${active}-canary`)] : [object]
  }
  if (strategy.strategy === 'blue-green') return [object]
  if (object.kind === 'HTTPRoute' && usesServices(traffic)) return [sharedRoute(object, walk)]
  if (object.kind === 'DestinationRule') return [subsets(object)]
  return [object.kind === 'VirtualService' ? sharedHost(object) : object]
}

/** The Service that clients and routes come to: Istio's subsets are among the pods of the endpoint's own. */
function activeOf({ traffic, name }: ResolvedKubernetes, workload: Workload): string {
  return usesServices(traffic) ? workload.name : name
}

/** Istio tells versions apart by subsets, the Gateway API by Services. */
const usesServices = (traffic: ResolvedKubernetes['traffic']): boolean => traffic === 'gateway' || traffic === 'linkerd'

function renamed(object: KubernetesObject, name: string): KubernetesObject {
  return { ...object, metadata: { ...object.metadata, name } }
}

function rolloutOf(deployment: KubernetesObject, walk: Walk): KubernetesObject {
  const { replicas, revisionHistoryLimit, progressDeadlineSeconds, selector, template } = deployment['spec'] as Record<string, unknown>
  const rolling = valueAt(deployment, ['spec', 'strategy', 'rollingUpdate']) as object
  const constraints = (valueAt(template, ['spec', 'topologySpreadConstraints']) ?? []) as readonly object[]
  return {
    apiVersion: API_VERSION,
    kind: 'Rollout',
    metadata: deployment.metadata,
    spec: {
      ...(replicas !== undefined && { replicas }),
      revisionHistoryLimit,
      progressDeadlineSeconds,
      // Pods that never get ready are taken back, not waited for.
      progressDeadlineAbort: true,
      selector,
      template: changed(template, ['spec', 'topologySpreadConstraints'], () =>
        constraints.map((constraint) => ({ ...constraint, matchLabelKeys: ['rollouts-pod-template-hash'] })),
      ),
      strategy: walk.strategy.strategy === 'blue-green' ? { blueGreen: blueGreen(walk) } : { canary: canary(walk, rolling) },
    },
  }
}

const seconds = (ms: number): number => Math.ceil(ms / 1000)

function blueGreen({ resolved, workload, strategy, analysis }: Walk): object {
  const active = activeOf(resolved, workload)
  return {
    activeService: active,
    previewService: `${active}-preview`,
    autoPromotionEnabled: true,
    // The version before is there at once if it has to come back.
    scaleDownDelaySeconds: Math.max(30, seconds(strategy.bakeAfterMs)),
    ...(analysis.beside !== undefined && { postPromotionAnalysis: analysis.beside }),
  }
}

function canary(walk: Walk, rolling: object): object {
  const { resolved, workload, strategy, analysis } = walk
  const stages = strategy.stages.flatMap((stage) => stepsOf(stage, walk))
  const steps = stages.length === 0 ? [{ setWeight: 100 }] : stages
  const mirrors = strategy.stages.some(({ shadow }) => shadow > 0)
  return {
    ...rolling,
    ...(usesServices(resolved.traffic) && { stableService: workload.name, canaryService: `${workload.name}-canary` }),
    ...(resolved.traffic !== 'service' && {
      trafficRouting: {
        ...(mirrors && { managedRoutes: [{ name: MIRROR }] }),
        ...(resolved.traffic === 'istio'
          ? {
              istio: {
                virtualService: { name: resolved.name, routes: [PRIMARY] },
                destinationRule: { name: resolved.name, stableSubsetName: 'stable', canarySubsetName: 'canary' },
              },
            }
          : { plugins: { [GATEWAY_PLUGIN]: { httpRoute: resolved.name, namespace: resolved.namespace } } }),
      },
      // Requests that a pod has when its share becomes nothing are answered.
      scaleDownDelaySeconds: Math.max(30, resolved.requestSeconds + resolved.drainSeconds),
    }),
    ...(analysis.beside !== undefined && stages.length > 0 && { analysis: { ...analysis.beside, startingStep: 1 } }),
    steps,
  }
}

const PRIMARY = 'primary'

function stepsOf({ weight, shadow, bakeMs, approve, needs }: Stage, { analysis }: Walk): object[] {
  const pause = { pause: { duration: `${seconds(bakeMs)}s` } }
  if (shadow > 0)
    return [
      { setCanaryScale: { replicas: 1 } },
      {
        setMirrorRoute: {
          name: MIRROR,
          percentage: Math.max(1, Math.round(shadow)),
          match: [{ method: { exact: 'POST' }, path: { prefix: '/' } }],
        },
      },
      pause,
      { setMirrorRoute: { name: MIRROR } },
      { setCanaryScale: { matchTrafficWeight: true } },
    ]
  return [
    { setWeight: weight },
    pause,
    ...(needs === 'pass' && analysis.pass !== undefined ? [{ analysis: analysis.pass }] : []),
    // Without a duration: until somebody promotes it.
    ...(approve ? [{ pause: {} }] : []),
  ]
}

/** The Gateway API: both versions' Services, whose weights the plugin sets. */
function sharedRoute(route: KubernetesObject, { workload }: Walk): KubernetesObject {
  const rules = valueAt(route, ['spec', 'rules']) as readonly object[]
  const backendRefs = [workload.name, `${workload.name}-canary`].map((name, index) => ({
    group: '',
    kind: 'Service',
    name,
    port: 80,
    weight: index === 0 ? 100 : 0,
  }))
  return {
    ...route,
    // Linkerd reads routes of the Gateway API too, and the plugin changes these alone.
    apiVersion: 'gateway.networking.k8s.io/v1',
    spec: {
      ...(route['spec'] as object),
      parentRefs: (valueAt(route, ['spec', 'parentRefs']) as readonly { readonly group?: string }[]).map((parent) =>
        parent.group === 'core' ? { ...parent, group: '' } : parent,
      ),
      rules: rules.map((rule, index) => (index === rules.length - 1 ? { ...rule, backendRefs } : rule)),
    },
  }
}

function subsets(rule: KubernetesObject): KubernetesObject {
  const [first] = valueAt(rule, ['spec', 'subsets']) as readonly { readonly labels: object }[]
  return changed(rule, ['spec', 'subsets'], () => SUBSETS.map((name) => ({ name, labels: first!.labels }))) as KubernetesObject
}

function sharedHost(service: KubernetesObject): KubernetesObject {
  const http = valueAt(service, ['spec', 'http']) as readonly object[]
  const host = valueAt(http.at(-1), ['route', 0, 'destination', 'host'])
  return changed(service, ['spec', 'http', http.length - 1], (route) => ({
    name: PRIMARY,
    ...(route as object),
    route: SUBSETS.map((subset, index) => ({ destination: { host, subset }, weight: index === 0 ? 100 : 0 })),
  })) as KubernetesObject
}
