import { podIssues, secretIssues } from './pod-issues.ts'
import { scalerOf } from './scaler.ts'
import type { EndpointSpec, ResolvedSpec } from '../contract/endpoint.ts'
import type { Issue } from '../core/errors.ts'

/** Rules of an HTTPRoute, and targets of a rule. */
const ROUTE_RULES_MAX = 16
/** Parts of an endpoint that Kubernetes cannot have as they are written, or that it misses. Paths begin with `spec.`. */
export function kubernetesIssues(spec: EndpointSpec, resolved: ResolvedSpec): Issue[] {
  return [
    ...imageIssues(spec, resolved),
    ...trafficIssues(spec, resolved),
    ...scalingIssues(spec, resolved),
    ...exposureIssues(spec),
    ...podIssues(spec),
    ...secretIssues(spec),
  ]
}

function imageIssues({ kubernetes = {} }: EndpointSpec, { variants }: ResolvedSpec): Issue[] {
  const { image, images = {}, model = { from: 'image' } } = kubernetes
  const issues: Issue[] = []
  const names = variants.map(({ name }) => name)
  const unknown = (path: string, given: object): void => {
    for (const name of Object.keys(given))
      if (!names.includes(name))
        issues.push({ path: `spec.kubernetes.${path}.${name}`, message: `there is no variant "${name}"; there are ${names.join(', ')}` })
  }
  unknown('images', images)
  if (model.from === 'volume') {
    unknown('model.images', model.images)
    for (const name of names.filter((one) => model.images[one] === undefined))
      issues.push({ path: `spec.kubernetes.model.images.${name}`, message: 'missing: the image of the model of this variant' })
  }
  if (model.from === 'control-plane') {
    if (image === undefined) issues.push({ path: 'spec.kubernetes.image', message: 'missing: the image that pods run' })
    if (Object.keys(images).length > 0)
      issues.push({
        path: 'spec.kubernetes.images',
        message: 'servers that follow a control plane serve every variant with one image: give `image` alone',
      })
    return issues
  }
  for (const name of names.filter((one) => images[one] === undefined && image === undefined))
    issues.push({ path: `spec.kubernetes.images.${name}`, message: 'missing: the image of this variant; `slipway build` makes one' })
  if (model.from === 'image' && image !== undefined && names.filter((name) => images[name] === undefined).length > 1)
    issues.push({ path: 'spec.kubernetes.images', message: 'variants with the model inside the image need an image each' })
  return issues
}

function trafficIssues({ kubernetes = {} }: EndpointSpec, { variants, units }: ResolvedSpec): Issue[] {
  const { traffic = 'service', model = { from: 'image' } } = kubernetes
  const issues: Issue[] = []
  const note = (path: string, message: string): void => void issues.push({ path: `spec.${path}`, message })
  if (model.from === 'control-plane') {
    if (traffic !== 'service')
      note(
        'kubernetes.traffic',
        'servers that follow a control plane share requests out by themselves: leave it out, or let each image have its model (`model.from: image` or `volume`)',
      )
    return issues
  }
  if (variants.length > 1 && traffic === 'service')
    note(
      'kubernetes.traffic',
      'a Service knows no shares: say who shares requests out (gateway, istio or linkerd), or let servers follow a control plane (`model.from: control-plane`)',
    )
  if (units.length > 0) note('units', `${traffic} keeps nobody with a variant by what requests say; servers that follow a control plane do`)
  for (const [index, { match = [], shadow = 0, fallback, weight }] of variants.entries()) {
    if (fallback === true) note(`variants[${index}].fallback`, 'is done by servers that follow a control plane, not by a mesh')
    if (shadow > 0 && traffic === 'linkerd')
      note(`variants[${index}].shadow`, 'Linkerd makes no copies of requests; Istio and the Gateway API do')
    if (match.length > 0 && traffic === 'linkerd')
      note(`variants[${index}].match`, 'not with Linkerd; Istio and the Gateway API match headers')
    for (const [at, audience] of match.entries()) {
      const conditions = 'all' in audience ? audience.all : [audience]
      for (const condition of conditions)
        if (!('header' in condition) || Array.isArray(condition.is))
          note(
            `variants[${index}].match[${at}]`,
            'a mesh matches one value of a header; the others need servers that follow a control plane',
          )
    }
    if (Math.abs(weight * 100 - Math.round(weight * 100)) > 1e-6)
      note(`variants[${index}].weight`, `${weight}: shares have steps of 0.01 percent`)
  }
  if (traffic === 'gateway' || kubernetes.expose?.by === 'gateway') issues.push(...routeIssues(variants))
  return issues
}

/** Limits of one HTTPRoute, and its own order of rules (Gateway API v1, HTTPRouteRule): the one with the most headers comes first. */
function routeIssues(variants: ResolvedSpec['variants']): Issue[] {
  const issues: Issue[] = []
  const rules = variants.flatMap(({ name, match = [] }, index) =>
    match.map((audience, at) => ({
      name,
      headers: 'all' in audience ? audience.all.length : 1,
      path: `spec.variants[${index}].match[${at}]`,
    })),
  )
  if (rules.length >= ROUTE_RULES_MAX)
    issues.push({
      path: 'spec.variants',
      message: `${rules.length} audiences: an HTTPRoute has ${ROUTE_RULES_MAX} rules, one of which is for all others; servers that follow a control plane have no such limit`,
    })
  if (variants.length > ROUTE_RULES_MAX)
    issues.push({ path: 'spec.variants', message: `${variants.length}: an HTTPRoute shares requests between ${ROUTE_RULES_MAX} at most` })
  for (const [index, { name, headers, path }] of rules.entries()) {
    const before = rules.slice(0, index).find((earlier) => earlier.name !== name && earlier.headers < headers)
    if (before !== undefined)
      issues.push({
        path,
        message: `an HTTPRoute takes the rule with the most headers first, and "${before.name}" has one with fewer before it: put this variant first`,
      })
  }
  return issues
}

function scalingIssues({ kubernetes = {}, autoscaling, replicas }: EndpointSpec, resolved: ResolvedSpec): Issue[] {
  const { scaling = {} } = kubernetes
  const issues: Issue[] = []
  const note = (path: string, message: string): void => void issues.push({ path: `spec.${path}`, message })
  const scale = resolved.autoscaling
  if (scale === undefined) {
    if (kubernetes.scaling !== undefined)
      note('kubernetes.scaling', 'says who scales, and `autoscaling` is missing: give minReplicas and maxReplicas')
    return issues
  }
  if (autoscaling !== undefined && replicas !== undefined)
    note('replicas', 'whoever scales owns the number of pods: leave it out beside `autoscaling`')
  const { metric = 'cpu', targetValue, minReplicas } = scale
  if (metric !== 'cpu' && targetValue === undefined) note('autoscaling.targetValue', `missing: what each pod is to have of ${metric}`)
  if (metric === 'cpu' && targetValue !== undefined && (targetValue > 100 || targetValue < 1))
    note('autoscaling.targetValue', `${targetValue}: of cpu it is percent of what pods ask for`)
  if (scaling.by === 'hpa')
    for (const key of ['schedule', 'kafka', 'prometheus'] as const)
      if (scaling[key] !== undefined) note(`kubernetes.scaling.${key}`, 'is done by KEDA: leave `by` out, or say keda')
  if (minReplicas === 0) {
    if (scaling.by === 'hpa') note('autoscaling.minReplicas', '0: an HPA keeps one pod at least')
    if (scaling.kafka === undefined && scaling.schedule === undefined)
      note(
        'autoscaling.minReplicas',
        '0: nobody would hold the first request while a pod starts. Slipway has no such activator; KEDA scales to zero by messages (`kubernetes.scaling.kafka`) or by times (`schedule`), and its HTTP add-on for requests is described in the guide on Kubernetes',
      )
  }
  const by = scalerOf(scale, kubernetes)
  if (by === 'keda' && metric !== 'cpu' && scaling.prometheus === undefined)
    note('kubernetes.scaling.prometheus', `missing: KEDA asks a Prometheus for ${metric}`)
  if (by === 'keda' && scaling.external !== undefined)
    note('kubernetes.scaling.external', 'is done by an HPA; KEDA has a trigger of its own for most sources')
  return issues
}

function exposureIssues({ kubernetes: { expose, gpu, traffic } = {} }: EndpointSpec): Issue[] {
  const issues: Issue[] = []
  const note = (path: string, message: string): void => void issues.push({ path: `spec.kubernetes.${path}`, message })
  if (expose?.by === 'gateway') {
    if (expose.gateway === undefined) note('expose.gateway', 'missing: the Gateway that the route hangs on')
    for (const key of ['class', 'tlsSecret', 'requestsPerSecond'] as const)
      if (expose[key] !== undefined) note(`expose.${key}`, 'belongs to an Ingress; with the Gateway API the Gateway has it')
  }
  if (expose?.by === 'ingress' && traffic === 'gateway')
    note('expose.by', 'an Ingress goes around the HTTPRoute that shares requests out: say `gateway`')
  if (expose?.by === 'ingress' && expose.gateway !== undefined) note('expose.gateway', 'belongs to the Gateway API: say `by: gateway`')
  if (gpu?.timeSlicing !== undefined && (gpu.count ?? 1) > 1)
    note('gpu.count', `${gpu.count}: of devices that are shared by turns the plugin gives a pod one`)
  if (gpu?.mig !== undefined && gpu.timeSlicing !== undefined)
    note('gpu.timeSlicing', 'parts of a device (`mig`) are not shared by turns here: give one of them')
  return issues
}
