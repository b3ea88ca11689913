/** The objects of an endpoint with a Canary of Flagger (flagger.app/v1beta1) that walks its Deployment to a new version. */
import { resolveRollout } from '../../contract/rollout.ts'
import { inputInvalid } from '../../core/errors.ts'
import { renderEndpoint } from '../render.ts'
import { resolveKubernetes } from '../resolve.ts'
import { comparisonQueries, verdictAddress } from './analysis.ts'
import { oneVersion } from './one-version.ts'
import { changed, valueAt } from './places.ts'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { ResolvedRollout } from '../../contract/rollout.ts'
import type { Issue } from '../../core/errors.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'
import type { DeliveryOptions } from './delivery-options.ts'
import type { Package } from './files.ts'

const API_VERSION = 'flagger.app/v1beta1'
/** Failed looks in a row until it goes back. */
const THRESHOLD = 5
const MORE_ERRORS_PERCENT = 1
/** By which Flagger tells its two Deployments apart: the first of its own list of labels. */
const APP_LABEL = 'app'
/** Objects in whose place Flagger has its own. */
const FLAGGERS = new Set(['HTTPRoute', 'VirtualService', 'DestinationRule', 'Service', 'ServiceProfile'])
const PROVIDERS = { service: 'kubernetes', gateway: 'gatewayapi:v1', linkerd: 'gatewayapi:v1', istio: 'istio' } as const
const SCALED = new Set(['HorizontalPodAutoscaler', 'ScaledObject'])

/**
 * A Canary, its MetricTemplates and alerts; the Deployment gets the label by which Flagger finds pods, and Services and routes are left to
 * Flagger.
 * @throws SLW_CONFIG_INVALID for what Flagger cannot do
 */
export function flagger(document: EndpointDocument, options: DeliveryOptions): Package {
  const resolved = resolveKubernetes(document)
  const workload = oneVersion(resolved, 'Flagger')
  const strategy = resolveRollout(document.spec.rollout ?? {})
  const issues = issuesOf(strategy, resolved)
  if (issues.length > 0) throw inputInvalid(issues)
  const all = renderEndpoint(document)
  const objects = all.flatMap((object) =>
    FLAGGERS.has(object.kind) && !(object.kind === 'HTTPRoute' && resolved.traffic === 'service')
      ? []
      : [object.kind === 'Deployment' ? labelled(object, workload.name) : withPrimary(object, workload.name)],
  )
  const templates = options.prometheus === undefined ? [] : metricTemplates(resolved, strategy, options.prometheus)
  return {
    objects: [
      ...templates,
      ...alertProviders(resolved, options),
      ...objects,
      canaryOf({ resolved, workload, strategy, all, templates, options }),
    ],
    notes: notesOf(strategy, options),
  }
}

function issuesOf({ stages, audience }: ResolvedRollout, { traffic, options }: ResolvedKubernetes): Issue[] {
  const issues: Issue[] = []
  const note = (path: string, message: string): void => void issues.push({ path: `spec.${path}`, message })
  if (audience.length > 0) note('rollout.audience', 'a Canary of Flagger shares by weights: leave the audience out')
  if (stages.some(({ shadow }) => shadow > 0))
    note('rollout.strategy', 'shadow-then-canary: Flagger copies requests only before it exchanges all at once; canary has the same steps')
  for (const { weight } of stages) if (!Number.isInteger(weight)) note('rollout.steps', `${weight}: a Canary of Flagger has whole percents`)
  if (traffic === 'service' && stages.length > 0)
    note('kubernetes.traffic', 'a Service knows no shares: say who has them (gateway, istio or linkerd), or make the strategy blue-green')
  if (options.expose?.by === 'gateway' && (traffic === 'istio' || traffic === 'linkerd'))
    note(
      'kubernetes.expose',
      `the routes of a Gateway know nothing of the shares that Flagger moves in ${traffic}: let the Gateway have them (traffic: gateway)`,
    )
  if (options.monitoring !== undefined && options.monitoring !== false && options.monitoring.by === 'service')
    note('kubernetes.monitoring.by', 'Flagger makes the Services, without labels of ours: say pods')
  if (options.expose?.by === 'ingress')
    note('kubernetes.expose', 'an Ingress points to the Service that Flagger makes: use the Gateway API')
  return issues
}

function notesOf({ stages, freeze }: ResolvedRollout, options: DeliveryOptions): string[] {
  const address = verdictAddress(options)
  return [
    ...(address !== undefined
      ? ['Flagger sends no credentials with a webhook: something before the control plane has to add the token for this address']
      : []),
    ...(address === undefined && options.prometheus === undefined
      ? ['nothing judges the new version: give --prometheus URL, or --control-plane URL and --rollout ID']
      : []),
    ...(new Set(stages.map(({ bakeMs }) => bakeMs)).size > 1
      ? ['spec.rollout.steps: steps of a Canary last equally long, here as long as the longest']
      : []),
    ...(stages.some(({ approve }) => approve)
      ? ['spec.rollout.steps: `approve` is asked by webhooks of your own with Flagger (confirm-traffic-increase)']
      : []),
    ...(freeze.length > 0 ? ['spec.rollout.freeze: Flagger has no times at which no step is taken'] : []),
  ]
}

/** Pods of one endpoint alone: the labels that all pods of ours have would select those of others. */
function labelled(deployment: KubernetesObject, value: string): KubernetesObject {
  const add = (labels: unknown): object => ({ ...(labels as object), [APP_LABEL]: value })
  return changed(
    changed(deployment, ['spec', 'selector', 'matchLabels'], add),
    ['spec', 'template', 'metadata', 'labels'],
    add,
  ) as KubernetesObject
}

/** Alerts hold for the pods that answer, too: between rollouts those are the primary's alone. */
function withPrimary(object: KubernetesObject, name: string): KubernetesObject {
  if (object.kind !== 'PrometheusRule') return object
  return JSON.parse(JSON.stringify(object).replaceAll(`pod=~\\"(${name})-`, `pod=~\\"(${name}|${name}-primary)-`)) as KubernetesObject
}

/** Flagger's count of pods: `NAME-HASH-SUFFIX` are the new ones, `NAME-primary-HASH-SUFFIX` those before. */
function metricTemplates({ name, namespace, labels }: ResolvedKubernetes, strategy: ResolvedRollout, address: string): KubernetesObject[] {
  const pods = (version: 'canary' | 'stable'): string =>
    `namespace="{{ namespace }}",pod=~"{{ target }}-${version === 'stable' ? 'primary-' : ''}[a-z0-9]+-[a-z0-9]+"`
  const { errors, latency } = comparisonQueries(pods, strategy.minimumSample)
  const template = (suffix: string, query: string): KubernetesObject => ({
    apiVersion: API_VERSION,
    kind: 'MetricTemplate',
    metadata: { name: `${name}-${suffix}`, namespace, labels },
    spec: { provider: { type: 'prometheus', address }, query },
  })
  // Flagger counts an empty answer as a failed look. Nothing that was shown is nothing that failed.
  return [
    template('errors', `100 * (${errors}) or vector(0)`),
    ...(strategy.latency === undefined ? [] : [template('latency', `(${latency}) or vector(0)`)]),
  ]
}

function alertProviders({ name, namespace, labels }: ResolvedKubernetes, { alertSecret }: DeliveryOptions): KubernetesObject[] {
  if (alertSecret === undefined) return []
  return [
    {
      apiVersion: API_VERSION,
      kind: 'AlertProvider',
      metadata: { name, namespace, labels },
      spec: { type: 'slack', username: 'flagger', secretRef: { name: alertSecret } },
    },
  ]
}

interface CanarySource {
  readonly resolved: ResolvedKubernetes
  readonly workload: Workload
  readonly strategy: ResolvedRollout
  readonly all: readonly KubernetesObject[]
  readonly templates: readonly KubernetesObject[]
  readonly options: DeliveryOptions
}

function canaryOf({ resolved, workload, strategy, all, templates, options }: CanarySource): KubernetesObject {
  const { name, namespace, labels, traffic, requestSeconds } = resolved
  const scaler = all.find(({ kind }) => SCALED.has(kind))
  const route = all.find(({ kind }) => kind === 'HTTPRoute')
  const bakeMs = Math.max(10_000, ...strategy.stages.map((stage) => stage.bakeMs))
  return {
    apiVersion: API_VERSION,
    kind: 'Canary',
    metadata: { name: workload.name, namespace, labels },
    spec: {
      provider: PROVIDERS[traffic],
      targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: workload.name },
      ...(scaler !== undefined && { autoscalerRef: { apiVersion: scaler.apiVersion, kind: scaler.kind, name: scaler.metadata.name } }),
      progressDeadlineSeconds: valueAt(
        all.find(({ kind }) => kind === 'Deployment'),
        ['spec', 'progressDeadlineSeconds'],
      ),
      service: {
        name,
        port: 80,
        targetPort: 'http',
        portName: 'http',
        appProtocol: 'http',
        portDiscovery: true,
        timeout: `${requestSeconds + 5}s`,
        ...(PROVIDERS[traffic] === 'gatewayapi:v1' && {
          gatewayRefs: (valueAt(route, ['spec', 'parentRefs']) as readonly { readonly group?: string }[]).map((parent) =>
            parent.group === 'core' ? { ...parent, group: '' } : parent,
          ),
          ...(resolved.options.expose !== undefined && { hosts: [resolved.options.expose.host] }),
        }),
        // A prediction is not asked for twice.
        ...(traffic === 'istio' && { retries: { attempts: 0 } }),
      },
      analysis: {
        interval: `${Math.ceil(bakeMs / 1000)}s`,
        threshold: THRESHOLD,
        ...(strategy.stages.length === 0 ? { iterations: 1 } : { stepWeights: strategy.stages.map(({ weight }) => weight) }),
        metrics: templates.map((template) => ({
          name: template.metadata.name,
          templateRef: { name: template.metadata.name, namespace },
          thresholdRange: { max: template.metadata.name.endsWith('-errors') ? MORE_ERRORS_PERCENT : (strategy.latency?.tolerate ?? 1) },
          interval: '1m',
        })),
        ...webhooks(options),
        ...(options.alertSecret !== undefined && { alerts: [{ name, severity: 'info', providerRef: { name, namespace } }] }),
      },
    },
  }
}

/** Flagger takes an answer of 2xx for yes, and so goes back by a hook of its own that says yes once the verdict is to fail. */
function webhooks(options: DeliveryOptions): object {
  const url = verdictAddress(options)
  if (url === undefined) return {}
  return {
    webhooks: [
      { name: 'not-failing', type: 'confirm-traffic-increase', url, timeout: '10s' },
      { name: 'passes', type: 'confirm-promotion', url: `${url}?needs=pass`, timeout: '10s' },
      { name: 'fails', type: 'rollback', url: `${url}?needs=fail`, timeout: '10s' },
    ],
  }
}
