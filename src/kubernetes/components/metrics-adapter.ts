import { MANAGER, METRICS_ADAPTER } from '../labels.ts'
import { RESTRICTED_CONTAINER, RESTRICTED_POD } from '../objects/security-context.ts'
import type { KubernetesObject, ObjectMeta } from '../object.ts'

/** How the metrics adapter runs in a cluster. */
export interface MetricsAdapterObjects {
  /** Default: slipway. */
  readonly namespace?: string | undefined
  /** Whose entry point is `slipway`, best by digest. */
  readonly image: string
  readonly imagePullSecret?: string | undefined
  /** Whether it serves custom.metrics.k8s.io, from the pods. Default: true. */
  readonly pods?: boolean | undefined
  /** Secret whose key `key` has an API key of the scope metrics, for servers that ask for one. */
  readonly podsKeySecret?: string | undefined
  /** Whose windows it serves external.metrics.k8s.io from. Default: the group is not served. */
  readonly controlPlane?:
    | {
        readonly url: string
        readonly environment?: string | undefined
        /** Secret whose key `key` has an API key. */
        readonly keySecret?: string | undefined
      }
    | undefined
  /**
   * Its certificate. `self-signed`: it makes one, and the API server checks none; `cert-manager`: an Issuer and a Certificate come with it;
   * else the Secret (kubernetes.io/tls), and the authority that the API server checks it by, as PEM in base64. Default: self-signed.
   */
  readonly certificate?: 'self-signed' | 'cert-manager' | { readonly secret: string; readonly caBundle: string } | undefined
}

const NAME = METRICS_ADAPTER.name
const PORT = 6443
const SELECTOR = { 'app.kubernetes.io/name': NAME }
const LABELS = { ...SELECTOR, 'app.kubernetes.io/managed-by': MANAGER }
const CERTIFICATES = '/etc/slipway/tls'
const KEYS = '/etc/slipway/control-plane'
const PODS_KEYS = '/etc/slipway/pods'

/**
 * What the metrics adapter needs in a cluster: account and rights, Deployment, Service, NetworkPolicy, and the APIServices by which the API
 * server hands questions for the metrics on to it. A cluster has one APIService for each version of a group: where another adapter serves
 * custom.metrics.k8s.io, these would take it over, and `pods: false` leaves it alone.
 * @throws RangeError where nothing is left to serve
 */
export function metricsAdapterObjects(options: MetricsAdapterObjects): KubernetesObject[] {
  const { namespace = METRICS_ADAPTER.namespace, pods = true, controlPlane, certificate = 'self-signed' } = options
  if (!pods && controlPlane === undefined) throw new RangeError('nothing is left to serve: without pods, the adapter needs a control plane')
  const meta: ObjectMeta = { name: NAME, namespace, labels: LABELS }
  const everywhere: ObjectMeta = { name: NAME, labels: LABELS }
  const account = { kind: 'ServiceAccount', name: NAME, namespace }
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta, automountServiceAccountToken: false },
    ...(pods ? podReader(everywhere, account) : []),
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { ...meta, namespace: 'kube-system' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'extension-apiserver-authentication-reader' },
      subjects: [account],
    },
    metricReader(options),
    deployment(meta, options),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta,
      spec: { selector: SELECTOR, ports: [{ name: 'https', port: 443, targetPort: 'https', protocol: 'TCP' }] },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: meta,
      spec: { maxUnavailable: 1, selector: { matchLabels: SELECTOR } },
    },
    networkPolicy(meta),
    ...(certificate === 'cert-manager' ? certificates(meta) : []),
    ...groupsOf(options).map(([group, version]) => apiService({ group, version, namespace, certificate })),
  ]
}

/** Versions of the groups that it serves. */
function groupsOf({ pods = true, controlPlane }: MetricsAdapterObjects): [string, string][] {
  return [
    ...(pods ? (['v1beta1', 'v1beta2'].map((version) => ['custom.metrics.k8s.io', version]) as [string, string][]) : []),
    ...(controlPlane === undefined ? [] : [['external.metrics.k8s.io', 'v1beta1'] as [string, string]]),
  ]
}

function podReader(metadata: ObjectMeta, account: object): KubernetesObject[] {
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  return [
    { apiVersion, kind: 'ClusterRole', metadata, rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }] },
    {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: NAME },
      subjects: [account],
    },
  ]
}

/** Who may view a namespace may read its metrics. The controller of HorizontalPodAutoscalers may by a role that every cluster has. */
function metricReader(options: MetricsAdapterObjects): KubernetesObject {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'slipway-metrics-reader', labels: { ...LABELS, 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } },
    rules: [{ apiGroups: [...new Set(groupsOf(options).map(([group]) => group))], resources: ['*'], verbs: ['get', 'list'] }],
  }
}

function deployment(metadata: ObjectMeta, options: MetricsAdapterObjects): KubernetesObject {
  const { image, imagePullSecret, controlPlane, podsKeySecret, certificate = 'self-signed' } = options
  const secret = certificate === 'self-signed' ? undefined : certificate === 'cert-manager' ? NAME : certificate.secret
  const keySecret = controlPlane?.keySecret
  const mounts = [
    ...(secret === undefined ? [] : [{ name: 'tls', mountPath: CERTIFICATES, secret }]),
    ...(keySecret === undefined ? [] : [{ name: 'control-plane', mountPath: KEYS, secret: keySecret }]),
    ...(podsKeySecret === undefined ? [] : [{ name: 'pods', mountPath: PODS_KEYS, secret: podsKeySecret }]),
  ]
  const probe = (path: string): object => ({ httpGet: { path, port: 'https', scheme: 'HTTPS' }, periodSeconds: 10, timeoutSeconds: 5 })
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: {
      replicas: 2,
      selector: { matchLabels: SELECTOR },
      template: {
        metadata: { labels: LABELS },
        spec: {
          serviceAccountName: NAME,
          automountServiceAccountToken: true,
          ...(imagePullSecret !== undefined && { imagePullSecrets: [{ name: imagePullSecret }] }),
          securityContext: RESTRICTED_POD,
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: 'kubernetes.io/hostname',
              whenUnsatisfiable: 'ScheduleAnyway',
              labelSelector: { matchLabels: SELECTOR },
            },
          ],
          containers: [
            {
              name: 'metrics-adapter',
              image,
              args: argumentsOf(options, secret !== undefined),
              ports: [{ name: 'https', containerPort: PORT, protocol: 'TCP' }],
              livenessProbe: { ...probe('/livez'), failureThreshold: 3 },
              readinessProbe: { ...probe('/readyz'), failureThreshold: 3 },
              resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '256Mi' } },
              securityContext: RESTRICTED_CONTAINER,
              ...(mounts.length > 0 && { volumeMounts: mounts.map(({ name, mountPath }) => ({ name, mountPath, readOnly: true })) }),
            },
          ],
          ...(mounts.length > 0 && { volumes: mounts.map((mount) => ({ name: mount.name, secret: { secretName: mount.secret } })) }),
        },
      },
    },
  }
}

function argumentsOf(
  { namespace = METRICS_ADAPTER.namespace, pods = true, podsKeySecret, controlPlane }: MetricsAdapterObjects,
  certificateFiles: boolean,
): string[] {
  return [
    'metrics-adapter',
    '--port',
    String(PORT),
    ...(pods ? [] : ['--no-pods']),
    ...(podsKeySecret === undefined ? [] : ['--pods-key-file', `${PODS_KEYS}/key`]),
    ...(certificateFiles
      ? ['--tls-cert', `${CERTIFICATES}/tls.crt`, '--tls-key', `${CERTIFICATES}/tls.key`]
      : ['--service-name', `${NAME}.${namespace}.svc`]),
    ...(controlPlane === undefined ? [] : ['--control-plane', controlPlane.url]),
    ...(controlPlane?.environment === undefined ? [] : ['--environment', controlPlane.environment]),
    ...(controlPlane?.keySecret === undefined ? [] : ['--key-file', `${KEYS}/key`]),
  ]
}

/** Everybody may knock, as the API server is in no namespace; whoever has not its certificate is sent away. */
function networkPolicy(metadata: ObjectMeta): KubernetesObject {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata,
    spec: {
      podSelector: { matchLabels: SELECTOR },
      policyTypes: ['Ingress'],
      ingress: [{ ports: [{ port: 'https', protocol: 'TCP' }] }],
    },
  }
}

function certificates(metadata: ObjectMeta): KubernetesObject[] {
  const { namespace = '' } = metadata
  return [
    { apiVersion: 'cert-manager.io/v1', kind: 'Issuer', metadata, spec: { selfSigned: {} } },
    {
      apiVersion: 'cert-manager.io/v1',
      kind: 'Certificate',
      metadata,
      spec: {
        secretName: NAME,
        dnsNames: [`${NAME}.${namespace}.svc`],
        issuerRef: { kind: 'Issuer', name: NAME },
        privateKey: { algorithm: 'ECDSA', size: 256, rotationPolicy: 'Always' },
      },
    },
  ]
}

interface ApiServiceOf {
  readonly group: string
  readonly version: string
  readonly namespace: string
  readonly certificate: NonNullable<MetricsAdapterObjects['certificate']>
}

function apiService({ group, version, namespace, certificate }: ApiServiceOf): KubernetesObject {
  const annotations = { 'cert-manager.io/inject-ca-from': `${namespace}/${NAME}` }
  return {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: `${version}.${group}`, labels: LABELS, ...(certificate === 'cert-manager' && { annotations }) },
    spec: {
      group,
      version,
      groupPriorityMinimum: 100,
      versionPriority: version === 'v1beta2' ? 200 : 100,
      service: { name: NAME, namespace, port: 443 },
      ...(certificate === 'self-signed' && { insecureSkipTLSVerify: true }),
      ...(typeof certificate === 'object' && { caBundle: certificate.caBundle }),
    },
  }
}
