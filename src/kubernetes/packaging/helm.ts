/** A chart of Helm with the objects of an endpoint: without changed values it gives these objects and nothing else. */
import { stringify } from 'yaml'
import { CONFIG_FILE } from '../objects/config-map.ts'
import { shortNameOf } from '../manifest.ts'
import { labelValue } from '../names.ts'
import { renderEndpoint } from '../render.ts'
import { resolveKubernetes } from '../resolve.ts'
import { markEndpoint } from './chart-marks.ts'
import { configFileOf, ROUTES, sharesIn, templateOf, variantKey } from './chart-template.ts'
import { chartValues } from './chart-values-of.ts'
import { valuesFile, valuesSchema } from './chart-values.ts'
import { valueAt } from './places.ts'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'
import type { Package } from './files.ts'

/** The oldest release with everything that pods ask for: a pause before they end (`preStop.sleep`). */
const KUBERNETES = '>=1.30.0-0'

/**
 * Charts of Helm 3 and 4 (chart format v2): Chart.yaml, values.yaml with its schema, templates, notes, and a test that asks the endpoint.
 * @throws SLW_CONFIG_INVALID as `renderEndpoint`, and for names that cannot be exchanged
 */
export function helmChart(document: EndpointDocument): Package {
  const resolved = resolveKubernetes(document)
  const objects = renderEndpoint(document)
  const chart = resolved.name
  const marked = markEndpoint(document, chart)
  const weights = shareWeights(objects, resolved)
  const configs = configsOf(objects)
  const values = chartValues({ resolved, objects, weights, configs })
  const digests = new Map(
    resolved.workloads.map((workload) => [
      variantKey(workload),
      String(
        valueAt(
          objects.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === workload.name),
          ['spec', 'template', 'metadata', 'annotations', 'slipway.dev/config-digest'],
        ),
      ),
    ]),
  )
  const digits = Math.max(2, String(objects.length).length)
  return {
    files: new Map([
      ['Chart.yaml', chartFile(document, resolved)],
      ['values.yaml', valuesFile(values)],
      ['values.schema.json', valuesSchema(values)],
      ['.helmignore', '.git/\n*.orig\n*.tgz\n'],
      ['templates/_helpers.tpl', helpers(resolved, weights)],
      ['templates/NOTES.txt', notes(chart)],
      ...objects.map((object, index): [string, string] => [
        `templates/${String(index + 1).padStart(digits, '0')}-${shortNameOf(object)}.yaml`,
        templateOf(marked.objects[index]!, { chart, marked, digests }),
      ]),
      ['templates/tests/answers.yaml', testPod(chart, variantKey(resolved.workloads[0]!))],
      ...resolved.workloads.map((workload): [string, string] => [configFileOf(workload), configs.get(workload.name)!]),
    ]),
    notes: [],
  }
}

/** Server files by the workload that reads them. */
function configsOf(objects: readonly KubernetesObject[]): ReadonlyMap<string, string> {
  return new Map(
    objects.flatMap((object) => {
      const text = object.kind === 'ConfigMap' ? valueAt(object, ['data', CONFIG_FILE]) : undefined
      return typeof text === 'string' ? [[object.metadata.name.replace(/-config$/, ''), text] as const] : []
    }),
  )
}

/** Of the variants in their order, where a route shares requests out among them. */
function shareWeights(objects: readonly KubernetesObject[], { workloads }: ResolvedKubernetes): readonly number[] | undefined {
  if (workloads.length < 2) return undefined
  for (const object of objects) {
    const route = ROUTES[object.kind]
    const shares = route === undefined ? undefined : sharesIn(object, route)
    if (shares?.length === workloads.length) return shares.map(({ weight = 1 }) => weight)
  }
  return undefined
}

function chartFile({ metadata, spec }: EndpointDocument, { name, endpoint }: ResolvedKubernetes): string {
  return stringify(
    {
      apiVersion: 'v2',
      name,
      description: `Endpoint ${endpoint}, served by Slipway`,
      type: 'application',
      version: `1.0.${metadata.revision ?? metadata.generation ?? 0}`,
      appVersion: spec.variants.map(({ model }) => model).join(', '),
      kubeVersion: KUBERNETES,
    },
    { lineWidth: 0, version: '1.1' },
  )
}

function helpers({ name, endpoint }: ResolvedKubernetes, weights: readonly number[] | undefined): string {
  return `{{/* Name of all objects. */}}
{{- define "${name}.fullname" -}}
{{- default "${name}" .Values.fullnameOverride -}}
{{- end -}}

{{/* What tells the pods of two releases in one namespace apart. */}}
{{- define "${name}.instance" -}}
{{- default "${labelValue(endpoint)}" .Values.fullnameOverride -}}
{{- end -}}
${weights === undefined ? '' : checkWeights(name, weights)}`
}

function checkWeights(name: string, weights: readonly number[]): string {
  const sum = weights.reduce((total, weight) => total + weight, 0)
  return `
{{/* All requests have to go somewhere. */}}
{{- define "${name}.checkWeights" -}}
{{- $sum := 0 -}}
{{- range .Values.variants -}}{{- $sum = add $sum .weight -}}{{- end -}}
{{- if ne (int $sum) ${sum} -}}
{{- fail (printf "variants: the weights add up to %d, not to ${sum}" (int $sum)) -}}
{{- end -}}
{{- end -}}
`
}

function notes(chart: string): string {
  return `Endpoint {{ include "${chart}.instance" . }} in namespace {{ .Release.Namespace }}.

Whether its pods are ready:
  kubectl --namespace {{ .Release.Namespace }} rollout status deployment --selector app.kubernetes.io/instance={{ include "${chart}.instance" . }}
Whether it answers:
  helm test {{ .Release.Name }} --namespace {{ .Release.Namespace }}
Ask it from this machine:
  kubectl --namespace {{ .Release.Namespace }} port-forward service/{{ include "${chart}.fullname" . }} 8470:80
  curl http://127.0.0.1:8470/v2/health/ready
`
}

/** Asks the endpoint by its Service, as others in the cluster do. It has none of the labels by which the Service finds pods. */
function testPod(chart: string, variant: string): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: {{ include "${chart}.fullname" . }}-test
  namespace: {{ .Release.Namespace | quote }}
  labels:
    app.kubernetes.io/name: slipway-test
    app.kubernetes.io/managed-by: slipway
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: asks
      image: {{ (index .Values.variants "${variant}").image | quote }}
      args: ["inspect", "http://{{ include "${chart}.fullname" . }}.{{ .Release.Namespace }}"]
      resources:
        requests: {cpu: 50m, memory: 128Mi}
        limits: {memory: 256Mi}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        runAsNonRoot: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: tmp
          mountPath: /tmp
  volumes:
    - name: tmp
      emptyDir: {}
`
}
