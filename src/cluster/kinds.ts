import { SlipwayError } from '../core/errors.ts'

/** How the API names the objects of a kind. */
export interface Resource {
  readonly plural: string
  readonly namespaced: boolean
}

/** Who brings the kinds of an API group. */
const PROJECTS: Readonly<Record<string, string>> = {
  'gateway.networking.k8s.io': 'the Gateway API',
  'inference.networking.k8s.io': 'the Gateway API Inference Extension',
  'networking.istio.io': 'Istio',
  'security.istio.io': 'Istio',
  'linkerd.io': 'Linkerd',
  'policy.linkerd.io': 'Linkerd',
  'keda.sh': 'KEDA',
  'http.keda.sh': "KEDA's HTTP add-on",
  'monitoring.coreos.com': 'the Prometheus operator',
  'external-secrets.io': 'the External Secrets Operator',
  'argoproj.io': 'Argo CD or Argo Rollouts',
  'flagger.app': 'Flagger',
  'serving.kserve.io': 'KServe',
}

export function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
}

/** Folder of an API version in the address of the API server. */
export function apiPath(apiVersion: string): string {
  return apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
}

export function kindMissing({ apiVersion, kind }: { readonly apiVersion: string; readonly kind: string }, where: string): SlipwayError {
  const project = PROJECTS[groupOf(apiVersion)]
  const brought =
    project === undefined ? 'a definition of it has to be installed first' : `${project} brings it, and has to be installed first`
  return new SlipwayError('SLW_KIND_MISSING', `${where} knows no ${kind} of ${apiVersion}: ${brought}`)
}
