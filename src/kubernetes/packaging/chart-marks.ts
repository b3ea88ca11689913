/** An endpoint under names that occur nowhere else, so that every place that a name of a release comes to is found. */
import { SlipwayError } from '../../core/errors.ts'
import { labelValue, objectName } from '../names.ts'
import { renderEndpoint } from '../render.ts'
import { resolveKubernetes } from '../resolve.ts'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'
import type { Token } from './template.ts'

/** A value of a label and no label of DNS, so that the endpoint is told from the objects that are named after it. */
const ENDPOINT = 'Zq_x'
const NAME = objectName(ENDPOINT)
const NAMESPACE = 'zq-namespace'
const HOST = 'zq-host.invalid'

export const INSTANCE_LABEL = 'app.kubernetes.io/instance'

/** The objects, and what stands in their texts for what a release has. */
export interface Marked {
  readonly objects: readonly KubernetesObject[]
  readonly resolved: ResolvedKubernetes
  readonly tokens: readonly Token[]
}

/** @throws SLW_CONFIG_INVALID where names are so long that they are cut */
export function markEndpoint(document: EndpointDocument, chart: string): Marked {
  const { kubernetes = {} } = document.spec
  const marked: EndpointDocument = {
    ...document,
    metadata: { ...document.metadata, name: ENDPOINT },
    spec: {
      ...document.spec,
      kubernetes: {
        ...kubernetes,
        namespace: NAMESPACE,
        ...(kubernetes.expose !== undefined && { expose: { ...kubernetes.expose, host: HOST } }),
      },
    },
  }
  const objects = renderEndpoint(marked)
  const { endpoint, name, namespace } = resolveKubernetes(document)
  const places: [mark: string, real: string, action: string][] = [
    [`"${INSTANCE_LABEL}":"${ENDPOINT}"`, `"${INSTANCE_LABEL}":"${labelValue(endpoint)}"`, ''],
    [NAME, name, `{{ include "${chart}.fullname" . }}`],
    [NAME.replaceAll('-', '_'), name.replaceAll('-', '_'), `{{ include "${chart}.fullname" . | replace "-" "_" }}`],
    [ENDPOINT, endpoint, endpoint],
    [NAMESPACE, namespace, '{{ .Release.Namespace }}'],
    [HOST, kubernetes.expose?.host ?? '', '{{ .Values.host }}'],
  ]
  const named = places.reduce((text, [mark, real]) => text.replaceAll(mark, real), comparable(objects))
  if (named !== comparable(renderEndpoint(document)))
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `no chart can be made of endpoint "${endpoint}": names of objects have a limit, and would be cut elsewhere under another name. Give its variants shorter names`,
    )
  return {
    objects,
    resolved: resolveKubernetes(marked),
    tokens: places.slice(1).map(([text, , action]) => ({ text, action })),
  }
}

/** The digest is that of a text with the name of the endpoint. */
function comparable(objects: readonly KubernetesObject[]): string {
  return JSON.stringify(objects).replaceAll(/"slipway\.dev\/config-digest":"[0-9a-f]+"/g, '')
}
