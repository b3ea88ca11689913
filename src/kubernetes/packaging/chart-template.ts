/** From an object to its template: which places are values of the chart. */
import { VARIANT_LABEL } from '../labels.ts'
import { CONFIG_FILE } from '../objects/config-map.ts'
import { INSTANCE_LABEL } from './chart-marks.ts'
import { changed, valueAt } from './places.ts'
import { openTemplate, optional } from './template.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes, Workload } from '../resolve.ts'
import type { Marked } from './chart-marks.ts'
import type { Template } from './template.ts'

/** Where the values of one Deployment stand. */
export const variantKey = ({ variant }: Workload): string => variant?.name ?? 'all'
export const configFileOf = (workload: Workload): string => `files/${variantKey(workload)}.${CONFIG_FILE}`
const valuesOf = (workload: Workload): string => `(index .Values.variants "${variantKey(workload)}")`

/** Kinds whose last rule shares requests out, and where the weights are. */
export const ROUTES: Readonly<Record<string, RouteKind>> = {
  HTTPRoute: { rules: 'rules', shares: 'backendRefs' },
  VirtualService: { rules: 'http', shares: 'route' },
}
export const SCALERS: Readonly<Record<string, readonly [least: string, most: string]>> = {
  HorizontalPodAutoscaler: ['minReplicas', 'maxReplicas'],
  ScaledObject: ['minReplicaCount', 'maxReplicaCount'],
}

/** Labels of all our objects, which no value changes. */
export const FIXED_LABELS: readonly string[] = ['name', 'instance', 'managed-by', 'component'].map((name) => `app.kubernetes.io/${name}`)

interface Place {
  readonly chart: string
  readonly marked: Marked
  /** Digest of the configuration as it was rendered, by variant. */
  readonly digests: ReadonlyMap<string, string>
}

/** The text of a file in `templates`. */
export function templateOf(object: KubernetesObject, place: Place): string {
  const { marked, chart } = place
  const template = openTemplate()
  const { resolved } = marked
  const workload = resolved.workloads.find(
    ({ variant }) => variant === undefined || object.metadata.labels?.[VARIANT_LABEL] === variant.name,
  )
  let result: unknown = withLabels(object, ['metadata', 'labels'], { resolved, template })
  if (workload !== undefined && object.kind === 'Deployment') result = deploymentTemplate(result, workload, { ...place, template })
  if (workload !== undefined && object.kind === 'ConfigMap' && valueAt(object, ['data', CONFIG_FILE]) !== undefined)
    result = { ...(result as object), data: { [CONFIG_FILE]: template.value(configAction(workload)) } }
  if (object.kind === 'Service' && object.metadata.name === resolved.name)
    result = changed(result, ['spec', 'type'], () => template.value('{{ .Values.service.type }}'))
  const scaler = SCALERS[object.kind]
  if (scaler !== undefined) result = scalerTemplate(result, scaler, template)
  const route = ROUTES[object.kind]
  const shares = route !== undefined && sharesIn(object, route)?.length === resolved.workloads.length && resolved.workloads.length > 1
  if (shares) result = routeTemplate(result, route, { resolved, template })
  result = instances(result, template, chart)
  const text = template.text(result as object, marked.tokens)
  if (scaler !== undefined) return `{{- if .Values.autoscaling.enabled }}\n${text}{{- end }}\n`
  return shares ? `{{- include "${chart}.checkWeights" . }}\n${text}` : text
}

/** Labels that people chose are a value; ours stay. */
function withLabels(
  object: unknown,
  path: readonly string[],
  { resolved, template }: { resolved: ResolvedKubernetes; template: Template },
): unknown {
  const chosen = chosenLabels(resolved)
  return changed(object, path, (labels) => {
    const all = Object.entries(labels as Record<string, string>)
    const own = all.filter(([name, value]) => chosen[name] !== value)
    const kept = own.flatMap(([name]) => (name in chosen ? [`"${name}"`] : []))
    return {
      ...Object.fromEntries(own),
      ...template.entries(optional(kept.length === 0 ? '.Values.labels' : `(omit .Values.labels ${kept.join(' ')})`)),
    }
  })
}

/** Labels of the document, beside those that every object has. */
export function chosenLabels({ labels, selector }: ResolvedKubernetes): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([name]) => !(name in selector) && !FIXED_LABELS.includes(name)))
}

/** What tells the pods of two releases apart. */
function instances(object: unknown, template: Template, chart: string): unknown {
  if (Array.isArray(object)) return object.map((one) => instances(one, template, chart))
  if (typeof object !== 'object' || object === null) return object
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [
      key,
      key === INSTANCE_LABEL ? template.value(`{{ include "${chart}.instance" . | quote }}`) : instances(value, template, chart),
    ]),
  )
}

/** A block, whatever the text begins with. */
function configAction(workload: Workload): string {
  return `|2\n{{ ${valuesOf(workload)}.config | trimSuffix "\\n" | indent 4 }}`
}

function deploymentTemplate(deployment: unknown, workload: Workload, place: Place & { readonly template: Template }): unknown {
  const { marked, template, digests } = place
  const { resolved } = marked
  const values = valuesOf(workload)
  const pod = ['spec', 'template', 'spec']
  const container = [...pod, 'containers', 0]
  const chosen = (resolved.options.environment ?? {}) as Readonly<Record<string, string>>
  const digest = digests.get(variantKey(workload))!
  let result = withLabels(deployment, ['spec', 'template', 'metadata', 'labels'], { resolved, template })
  result = changed(result, ['spec'], (spec) => {
    const { replicas: _, ...rest } = spec as Record<string, unknown>
    return resolved.scaler === undefined
      ? { replicas: template.value(`{{ ${values}.replicas }}`), ...rest }
      : {
          ...template.entries(() => ['{{- if not .Values.autoscaling.enabled }}', `replicas: {{ ${values}.replicas }}`, '{{- end }}']),
          ...rest,
        }
  })
  result = changed(result, ['spec', 'template', 'metadata', 'annotations'], () => ({
    'slipway.dev/config-digest': template.value(
      `{{ if eq ${values}.config (.Files.Get "${configFileOf(workload)}") }}"${digest}"{{ else }}{{ ${values}.config | sha256sum | trunc 16 | quote }}{{ end }}`,
    ),
    ...template.entries(optional('.Values.podAnnotations')),
  }))
  result = changed(result, [...container, 'image'], () => template.value(`{{ ${values}.image | quote }}`))
  result = changed(result, [...container, 'resources'], () =>
    template.entries((indent) => [`{{- toYaml .Values.resources | nindent ${indent} }}`]),
  )
  result = changed(result, [...container, 'env'], (env) => {
    const own = (env as readonly { readonly name: string; readonly value?: string }[]).filter(
      ({ name, value }) => value === undefined || chosen[name] !== value,
    )
    const first = own.findIndex(({ value }) => value === undefined)
    const at = first === -1 ? own.length : first
    const more = template.item((indent) => ['{{- with .Values.env }}', `{{- toYaml . | nindent ${indent} }}`, '{{- end }}'])
    return [...own.slice(0, at), more, ...own.slice(at)]
  })
  result = changed(result, pod, (spec) => {
    const {
      nodeSelector: _1,
      tolerations: _2,
      imagePullSecrets: _3,
      serviceAccountName: _4,
      priorityClassName: _5,
      ...rest
    } = spec as Record<string, unknown>
    return {
      ...rest,
      ...template.entries(optional('.Values.nodeSelector', 'nodeSelector')),
      ...template.entries(optional(`${values}.tolerations`, 'tolerations')),
      ...template.entries(optional('.Values.imagePullSecrets', 'imagePullSecrets')),
      ...template.entries(() => ['{{- with .Values.serviceAccountName }}', 'serviceAccountName: {{ . | quote }}', '{{- end }}']),
      ...template.entries(() => ['{{- with .Values.priorityClassName }}', 'priorityClassName: {{ . | quote }}', '{{- end }}']),
    }
  })
  if (workload.modelImage === undefined) return result
  return changed(result, [...pod, 'volumes'], (volumes) =>
    (volumes as readonly object[]).map((volume) =>
      'image' in volume ? changed(volume, ['image', 'reference'], () => template.value(`{{ ${values}.modelImage | quote }}`)) : volume,
    ),
  )
}

function scalerTemplate(scaler: unknown, [least, most]: readonly [string, string], template: Template): unknown {
  const bounds = changed(
    changed(scaler, ['spec', least], () => template.value('{{ .Values.autoscaling.minReplicas }}')),
    ['spec', most],
    () => template.value('{{ .Values.autoscaling.maxReplicas }}'),
  )
  const resource = changed(bounds, ['spec', 'metrics', 0, 'resource', 'target', 'averageUtilization'], () =>
    template.value('{{ .Values.autoscaling.target }}'),
  )
  return changed(resource, ['spec', 'metrics', 0, 'pods', 'target', 'averageValue'], () =>
    template.value('{{ .Values.autoscaling.target | quote }}'),
  )
}

interface RouteKind {
  readonly rules: string
  readonly shares: string
}

/** Who shares the requests that no other rule has taken. */
export function sharesIn(route: unknown, { rules, shares }: RouteKind): readonly { readonly weight?: number }[] | undefined {
  const all = valueAt(route, ['spec', rules]) as readonly unknown[]
  return valueAt(all.at(-1), [shares]) as readonly { readonly weight?: number }[] | undefined
}

function routeTemplate(
  route: unknown,
  { rules, shares }: RouteKind,
  { resolved, template }: { readonly resolved: ResolvedKubernetes; readonly template: Template },
): unknown {
  const all = valueAt(route, ['spec', rules]) as readonly unknown[]
  return changed(route, ['spec', rules, all.length - 1, shares], (list) =>
    (list as readonly object[]).map((share, index) => ({
      ...share,
      weight: template.value(`{{ ${valuesOf(resolved.workloads[index]!)}.weight }}`),
    })),
  )
}
