/** Objects of Argo CD (argoproj.io/v1alpha1) that keep an endpoint in a cluster as a repository of Git has it. */
import { SlipwayError } from '../../core/errors.ts'
import { resolveKubernetes } from '../resolve.ts'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'
import type { Package } from './files.ts'

export interface ArgoCdOptions {
  /** Address of the repository with what was rendered. */
  readonly repository?: string
  /** Branch, tag or commit. Default: HEAD. */
  readonly revision?: string
  /** Folder in the repository, such as `deploy/churn`. Default: the name of the endpoint. */
  readonly path?: string
  /** Environments, each an overlay of Kustomize in `overlays`. Default: none, and one Application for the folder itself. */
  readonly environments?: readonly string[]
}

const API_VERSION = 'argoproj.io/v1alpha1'
/** Where Argo CD itself lies. */
const NAMESPACE = 'argocd'
const ROUTES = 'gateway.networking.k8s.io'
const ISTIO = 'networking.istio.io'
/** By which Argo Rollouts tells the pods of two versions apart. */
const HASH_LABEL = 'rollouts-pod-template-hash'
const CLUSTER = 'https://kubernetes.default.svc'

/**
 * An AppProject that allows what the endpoint consists of, and an Application; with environments an ApplicationSet, which has one for each.
 * @throws SLW_USAGE without a repository
 */
export function argoCd(document: EndpointDocument, { repository, revision = 'HEAD', path, environments = [] }: ArgoCdOptions): Package {
  if (repository === undefined)
    throw new SlipwayError('SLW_USAGE', 'Argo CD reads what was rendered from a repository: give its address with --repository URL')
  const resolved = resolveKubernetes(document)
  const { name, namespace, labels } = resolved
  const folder = path ?? name
  const metadata = { name, namespace: NAMESPACE, labels }
  const application = (source: string, destination: string): object => ({
    project: name,
    source: { repoURL: repository, targetRevision: revision, path: source },
    destination: { server: CLUSTER, namespace: destination },
    syncPolicy: {
      automated: { prune: true, selfHeal: true },
      syncOptions: ['CreateNamespace=true', 'ServerSideApply=true', 'PruneLast=true', 'RespectIgnoreDifferences=true'],
      retry: { limit: 5, backoff: { duration: '5s', factor: 2, maxDuration: '3m' } },
    },
    ...ignoredOf(resolved, document),
  })
  const project: KubernetesObject = {
    apiVersion: API_VERSION,
    kind: 'AppProject',
    metadata,
    spec: {
      description: `Endpoint ${resolved.endpoint}`,
      sourceRepos: [repository],
      destinations: (environments.length === 0 ? [namespace] : environments).map((one) => ({ server: CLUSTER, namespace: one })),
      // Nothing of the cluster as a whole but the namespace.
      clusterResourceWhitelist: [{ group: '', kind: 'Namespace' }],
    },
  }
  // Ended with everything that it made, in the order that Argo CD finds.
  const finalizers = ['resources-finalizer.argocd.argoproj.io']
  const single: KubernetesObject = {
    apiVersion: API_VERSION,
    kind: 'Application',
    metadata: { ...metadata, finalizers } as KubernetesObject['metadata'],
    spec: application(folder, namespace),
  }
  const set: KubernetesObject = {
    apiVersion: API_VERSION,
    kind: 'ApplicationSet',
    metadata,
    spec: {
      goTemplate: true,
      goTemplateOptions: ['missingkey=error'],
      generators: [{ list: { elements: environments.map((environment) => ({ environment })) } }],
      template: {
        metadata: { name: `${name}-{{ .environment }}`, labels, finalizers },
        spec: application(`${folder}/overlays/{{ .environment }}`, '{{ .environment }}'),
      },
    },
  }
  return { objects: [project, environments.length === 0 ? single : set], notes: [] }
}

/** What others change and nobody is to put back: pods where something scales, shares where something rolls out. */
function ignoredOf({ scaler, traffic, options }: ResolvedKubernetes, { spec }: EndpointDocument): object {
  const rollsOut = spec.rollout !== undefined
  const pods = [
    { group: 'apps', kind: 'Deployment' },
    { group: 'argoproj.io', kind: 'Rollout' },
  ]
  const ignoreDifferences = [
    ...(scaler === undefined ? [] : pods.map((kind) => ({ ...kind, jsonPointers: ['/spec/replicas'] }))),
    ...(rollsOut && (traffic === 'gateway' || traffic === 'linkerd' || options.expose?.by === 'gateway')
      ? [{ group: ROUTES, kind: 'HTTPRoute', jqPathExpressions: ['.spec.rules[].backendRefs[].weight'] }]
      : []),
    ...(rollsOut && traffic === 'istio'
      ? [
          { group: ISTIO, kind: 'VirtualService', jqPathExpressions: ['.spec.http[].route[].weight'] },
          { group: ISTIO, kind: 'DestinationRule', jqPathExpressions: [`.spec.subsets[].labels["${HASH_LABEL}"]`] },
        ]
      : []),
    ...(rollsOut ? [{ group: '', kind: 'Service', jqPathExpressions: [`.spec.selector["${HASH_LABEL}"]`] }] : []),
  ]
  return ignoreDifferences.length === 0 ? {} : { ignoreDifferences }
}
