/** AnalysisTemplates of Argo Rollouts: what decides nothing (no data, not yet) is neither a pass nor a failure. */
import { SlipwayError } from '../../core/errors.ts'
import type { ResolvedRollout } from '../../contract/rollout.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'
import type { DeliveryOptions } from './delivery-options.ts'

const INTERVAL_SECONDS = 30
/** As often as there is time for: an analysis beside a rollout ends with it. */
const ALWAYS = 1_000_000
/** Secret with the key `token`: who may read the verdict. */
export const VERDICT_SECRET = 'slipway-verdict'
/** What a version may fail more than the one before it, of all requests. */
const MORE_ERRORS = 0.01
const RANGE = '5m'

export interface Analysis {
  readonly templates: readonly KubernetesObject[]
  /** What runs beside all steps, and ends the rollout where something fails. */
  readonly beside: object | undefined
  /** The step that waits until a version passes. */
  readonly pass: object | undefined
}

/** @throws SLW_USAGE for a control plane without a rollout, and the other way round */
export function verdictAddress({ controlPlane, rollout }: DeliveryOptions): string | undefined {
  if ((controlPlane === undefined) !== (rollout === undefined))
    throw new SlipwayError(
      'SLW_USAGE',
      'the verdict of the control plane is that on a rollout: give --control-plane URL and --rollout ID together',
    )
  return controlPlane === undefined ? undefined : `${controlPlane.replace(/\/$/, '')}/api/v1/rollouts/${rollout!}/verdict`
}

export function analysisOf(
  resolved: ResolvedKubernetes,
  workload: Workload,
  { strategy, options }: { readonly strategy: ResolvedRollout; readonly options: DeliveryOptions },
): Analysis {
  const address = verdictAddress(options)
  const { prometheus } = options
  const deadlineMs = Math.max(0, ...strategy.stages.map((stage) => stage.deadlineMs))
  const template = (suffix: string, spec: object): KubernetesObject => ({
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'AnalysisTemplate',
    metadata: { name: `${workload.name}-${suffix}`, namespace: resolved.namespace, labels: resolved.labels },
    spec,
  })
  const verdict = (limits: object): object => ({
    args: [{ name: 'token', valueFrom: { secretKeyRef: { name: VERDICT_SECRET, key: 'token' } } }],
    metrics: [
      {
        name: 'verdict',
        interval: `${INTERVAL_SECONDS}s`,
        successCondition: 'result.verdict == "pass"',
        failureCondition: 'result.verdict == "fail"',
        failureLimit: 0,
        ...limits,
        provider: {
          web: {
            url: address,
            headers: [{ key: 'Authorization', value: 'Bearer {{args.token}}' }],
            timeoutSeconds: 10,
            jsonPath: '{$.data}',
          },
        },
      },
    ],
  })
  const templates = [
    ...(address === undefined
      ? []
      : [
          template('verdict', verdict({ inconclusiveLimit: ALWAYS, consecutiveErrorLimit: 20 })),
          template(
            'verdict-pass',
            verdict({
              consecutiveSuccessLimit: 1,
              inconclusiveLimit: Math.ceil(deadlineMs / 1000 / INTERVAL_SECONDS),
              consecutiveErrorLimit: 20,
            }),
          ),
        ]),
    ...(prometheus === undefined ? [] : [template('prometheus', prometheusSpec(resolved, workload, { strategy, address: prometheus }))]),
  ]
  const beside = [...(address === undefined ? [] : ['verdict']), ...(prometheus === undefined ? [] : ['prometheus'])]
  const templateName = (suffix: string): object => ({ templateName: `${workload.name}-${suffix}` })
  return {
    templates,
    beside:
      beside.length === 0
        ? undefined
        : {
            templates: beside.map(templateName),
            ...(prometheus !== undefined && {
              args: [
                { name: 'canary', valueFrom: { podTemplateHashValue: 'Latest' } },
                { name: 'stable', valueFrom: { podTemplateHashValue: 'Stable' } },
              ],
            }),
          },
    pass: address === undefined ? undefined : { templates: [templateName('verdict-pass')] },
  }
}

/**
 * Failed requests of the new pods, less those of the pods before, as shares; and how much longer one in a hundred takes. No value where too
 * few were asked: an empty answer decides nothing.
 */
export function comparisonQueries(
  pods: (version: 'canary' | 'stable') => string,
  sample: number,
): { readonly errors: string; readonly latency: string } {
  const count = (selector: string): string => `slipway_request_duration_seconds_count{${selector}}`
  const asked = `sum(increase(${count(pods('canary'))}[${RANGE}])) >= ${Math.max(1, sample)}`
  const failed = (version: 'canary' | 'stable'): string => {
    const all = `sum(rate(${count(pods(version))}[${RANGE}]))`
    // No series of failures is no failure; no series of requests is no answer.
    return `(sum(rate(${count(`${pods(version)},code=~"5.."`)}[${RANGE}])) or 0 * ${all}) / (${all} > 0)`
  }
  const slowest = (version: 'canary' | 'stable'): string =>
    `histogram_quantile(0.99, sum by (le) (rate(slipway_request_duration_seconds_bucket{${pods(version)}}[${RANGE}])))`
  return {
    errors: `(${failed('canary')} - (${failed('stable')} or vector(0))) and ${asked}`,
    latency: `${slowest('canary')} / ${slowest('stable')} and ${asked}`,
  }
}

function prometheusSpec(
  { namespace }: ResolvedKubernetes,
  { name }: Workload,
  { strategy, address }: { readonly strategy: ResolvedRollout; readonly address: string },
): object {
  const queries = comparisonQueries(
    (version) => `namespace="${namespace}",pod=~"${name}-{{args.${version}}}-[a-z0-9]+"`,
    strategy.minimumSample,
  )
  const metric = (title: string, query: string, most: number): object => ({
    name: title,
    interval: `${INTERVAL_SECONDS}s`,
    successCondition: `len(result) > 0 && !isNaN(result[0]) && result[0] <= ${most}`,
    failureCondition: `len(result) > 0 && !isNaN(result[0]) && result[0] > ${most}`,
    failureLimit: 2,
    inconclusiveLimit: ALWAYS,
    consecutiveErrorLimit: 20,
    provider: { prometheus: { address, query } },
  })
  return {
    args: [{ name: 'canary' }, { name: 'stable' }],
    metrics: [
      metric('errors', queries.errors, MORE_ERRORS),
      ...(strategy.latency === undefined ? [] : [metric('latency', queries.latency, strategy.latency.tolerate ?? 1)]),
    ],
  }
}
