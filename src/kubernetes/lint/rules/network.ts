import { containersOf } from '../pod-templates.ts'
import { serviceSelector } from '../manifests.ts'
import { at, isBeside, listAt, mapAt, noneAmong, numberAt, selects, textAt, wordOf } from '../values.ts'
import type { KubernetesObject } from '../../object.ts'
import type { PodTemplate } from '../pod-templates.ts'
import type { Manifests } from '../manifests.ts'
import type { Break, Rule } from '../rule.ts'
import type { Path } from '../values.ts'

const SERVICE_DOC = 'https://kubernetes.io/docs/concepts/services-networking/service/'
const POLICY_DOC = 'https://kubernetes.io/docs/concepts/services-networking/network-policies/'
const INGRESS_DOC = 'https://kubernetes.io/docs/concepts/services-networking/ingress/'
const DNS_PORT = 53
/** Prefix of annotations that ingress-nginx reads. */
const NGINX = 'nginx.ingress.kubernetes.io/'
/** Of its annotations, those that limit. */
const NGINX_LIMITS = [
  'limit-rps',
  'limit-rpm',
  'limit-connections',
  'limit-rate',
  'limit-rate-after',
  'limit-burst-multiplier',
  'limit-whitelist',
  'limit-allowlist',
  'global-rate-limit',
]

function podsOfService(service: KubernetesObject, { podsOf }: Manifests): readonly PodTemplate[] {
  const selector = serviceSelector(service)
  return selector === undefined ? [] : podsOf(service, selector)
}

const portsOf = (pod: PodTemplate): unknown[] => containersOf(pod).flatMap(({ container }) => [...listAt(container, 'ports')])

/** Ports of Services that none of the pods behind them has. */
function* unansweredPorts(manifests: Manifests, type: 'string' | 'number'): Generator<Break> {
  for (const object of manifests.ofKind('Service')) {
    const ports = podsOfService(object, manifests).flatMap(portsOf)
    if (ports.length === 0) continue
    for (const [index, port] of listAt(object, 'spec', 'ports').entries()) {
      const target = at(port, 'targetPort') ?? at(port, 'port')
      if (typeof target !== type) continue
      const field = type === 'string' ? 'name' : 'containerPort'
      if (ports.some((one) => at(one, field) === target)) continue
      const known = [...new Set(ports.map((one) => `${textAt(one, 'name') ?? '-'} (${wordOf(at(one, 'containerPort'))})`))].join(', ')
      yield {
        object,
        path: ['spec', 'ports', index, at(port, 'targetPort') === undefined ? 'port' : 'targetPort'],
        message: `no pod behind it has a port ${wordOf(target)}; they have ${known}`,
      }
    }
  }
}

interface Backend {
  readonly object: KubernetesObject
  readonly path: Path
  readonly name: string
  readonly port: unknown
}

function* backendsOf({ objects }: Manifests): Generator<Backend> {
  for (const object of objects) {
    if (object.kind === 'Ingress') {
      const backend = (value: unknown, path: Path): Backend | undefined => {
        const name = textAt(value, 'service', 'name')
        const port = at(value, 'service', 'port', 'number') ?? at(value, 'service', 'port', 'name')
        return name === undefined ? undefined : { object, path: [...path, 'service'], name, port }
      }
      const found = [backend(at(object, 'spec', 'defaultBackend'), ['spec', 'defaultBackend'])]
      for (const [index, rule] of listAt(object, 'spec', 'rules').entries())
        for (const [place, path] of listAt(rule, 'http', 'paths').entries())
          found.push(backend(at(path, 'backend'), ['spec', 'rules', index, 'http', 'paths', place, 'backend']))
      for (const one of found) if (one !== undefined) yield one
    }
    if (/^(HTTP|GRPC|TCP|TLS)Route$/.test(object.kind))
      for (const [index, rule] of listAt(object, 'spec', 'rules').entries())
        for (const [place, reference] of listAt(rule, 'backendRefs').entries()) {
          const name = textAt(reference, 'name')
          const isService = (textAt(reference, 'kind') ?? 'Service') === 'Service' && at(reference, 'namespace') === undefined
          if (name !== undefined && isService)
            yield { object, path: ['spec', 'rules', index, 'backendRefs', place], name, port: at(reference, 'port') }
        }
  }
}

/** Policies that hold for a pod in one direction. */
function policiesOf(pod: PodTemplate, direction: 'Ingress' | 'Egress', manifests: Manifests): KubernetesObject[] {
  return manifests.policiesOf(pod).filter((policy) => holdsFor(policy, direction))
}

/** Where no types are named a policy is one of ingress, and of egress where it has rules for it. */
function holdsFor(policy: KubernetesObject, direction: 'Ingress' | 'Egress'): boolean {
  const types = listAt(policy, 'spec', 'policyTypes')
  if (types.length > 0) return types.includes(direction)
  return direction === 'Ingress' || at(policy, 'spec', 'egress') !== undefined
}

function allowsPort(rule: unknown, port: number, name?: string, protocol = 'TCP'): boolean {
  const ports = listAt(rule, 'ports')
  return (
    ports.length === 0 ||
    ports.some((one) => {
      if ((textAt(one, 'protocol') ?? 'TCP') !== protocol) return false
      const from = at(one, 'port')
      const to = numberAt(one, 'endPort')
      return (
        from === undefined || from === port || from === name || (typeof from === 'number' && to !== undefined && from <= port && port <= to)
      )
    })
  )
}

/** The port at which Prometheus reads a pod, where somebody tells it to. */
function metricsPortOf(pod: PodTemplate, manifests: Manifests): { readonly port: number; readonly name?: string } | undefined {
  if (wordOf(pod.annotations['prometheus.io/scrape']) === 'true') {
    const port = Number(pod.annotations['prometheus.io/port'] ?? at(portsOf(pod)[0], 'containerPort'))
    return Number.isInteger(port) ? { port } : undefined
  }
  const named = (name: string | undefined): { readonly port: number; readonly name?: string } | undefined => {
    const port = portsOf(pod).find((one) => textAt(one, 'name') === name)
    return name === undefined || port === undefined ? undefined : { port: numberAt(port, 'containerPort') ?? 0, name }
  }
  for (const monitor of manifests.ofKind('PodMonitor'))
    if (isBeside(monitor, pod.object) && selects(at(monitor, 'spec', 'selector'), pod.labels))
      return named(textAt(monitor, 'spec', 'podMetricsEndpoints', 0, 'port'))
  return undefined
}

/** Whether a peer can be one of another namespace. */
function reachesOut(peer: unknown): boolean {
  return at(peer, 'namespaceSelector') !== undefined || at(peer, 'ipBlock') !== undefined
}

export const NETWORK_RULES: readonly Rule[] = [
  {
    id: 'target-port-name',
    severity: 'error',
    what: 'A port that a Service names has a container behind it that names it, too.',
    why: 'A name that no container has is no error: the Service has no endpoint at that port, and every connection is refused.',
    readMore: SERVICE_DOC,
    check: (manifests) => unansweredPorts(manifests, 'string'),
  },
  {
    id: 'target-port-number',
    severity: 'warning',
    what: 'The number of a port that a Service sends to is among the ports of the containers.',
    why: 'Container ports are but a note, so nothing refuses it; where the note is right, connections are refused.',
    readMore: SERVICE_DOC,
    check: (manifests) => unansweredPorts(manifests, 'number'),
  },
  {
    id: 'backend-missing',
    severity: 'warning',
    what: 'Routes and Ingresses send to Services that there are.',
    why: 'A route to a Service that does not exist is accepted and answers 500 or 503 for its share of the requests.',
    readMore: 'https://gateway-api.sigs.k8s.io/api-types/httproute/',
    *check(manifests) {
      for (const { object, path, name } of backendsOf(manifests)) {
        const services = manifests.ofKind('Service').filter((one) => isBeside(one, object))
        if (services.length > 0 && !services.some(({ metadata }) => metadata.name === name))
          yield {
            object,
            path,
            message: noneAmong('Service', name, services),
          }
      }
    },
  },
  {
    id: 'backend-port',
    severity: 'error',
    what: 'Routes and Ingresses name a port that the Service has.',
    why: 'They name the port of the Service, not that of the container: the wrong one is accepted and answers 500 or 503.',
    readMore: INGRESS_DOC,
    *check(manifests) {
      for (const { object, path, name, port } of backendsOf(manifests)) {
        const service = manifests.ofKind('Service').find((one) => one.metadata.name === name && isBeside(one, object))
        const ports = listAt(service, 'spec', 'ports')
        if (service === undefined || port === undefined || ports.length === 0) continue
        if (!ports.some((one) => at(one, 'port') === port || at(one, 'name') === port))
          yield {
            object,
            path,
            message: `Service ${name} has no port ${wordOf(port)}; it has ${ports.map((one) => wordOf(at(one, 'port'))).join(', ')}`,
          }
      }
    },
  },
  {
    id: 'ingress-tls',
    severity: 'advice',
    what: 'An Ingress has a certificate.',
    why: 'Keys of the API and what people send go over the network as they are, unless something in front of it ends TLS.',
    readMore: `${INGRESS_DOC}#tls`,
    *check(manifests) {
      for (const object of manifests.ofKind('Ingress'))
        if (listAt(object, 'spec', 'tls').length === 0)
          yield { object, path: ['spec'], message: 'it has no tls: whoever is in between reads what clients send' }
    },
  },
  {
    id: 'rate-limit-unread',
    severity: 'error',
    what: 'Annotations for limits are some that ingress-nginx reads.',
    why: 'Annotations are free text: one that nobody reads, such as rate-limit, limits nothing and says nothing.',
    readMore: 'https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/#rate-limiting',
    *check(manifests) {
      for (const object of manifests.ofKind('Ingress'))
        for (const key of Object.keys(mapAt(object, 'metadata', 'annotations'))) {
          const name = key.startsWith(NGINX) ? key.slice(NGINX.length) : ''
          if (/^(rate-?limit|limit-|requests?-per|global-rate)/.test(name) && !NGINX_LIMITS.some((known) => name.startsWith(known)))
            yield {
              object,
              path: ['metadata', 'annotations', key],
              message: `ingress-nginx reads no annotation ${name}: it limits by limit-rps, limit-rpm and limit-connections`,
            }
        }
    },
  },
  {
    id: 'load-balancer-open',
    severity: 'advice',
    what: 'A load balancer says who may reach it.',
    why: 'Type LoadBalancer gets a public address in most clouds, and a model server behind it answers whoever finds it.',
    readMore: `${SERVICE_DOC}#loadbalancer`,
    *check(manifests) {
      for (const object of manifests.ofKind('Service')) {
        const isInternal = Object.entries(mapAt(object, 'metadata', 'annotations')).some(([key, value]) =>
          /internal/i.test(`${key} ${wordOf(value)}`),
        )
        if (
          textAt(object, 'spec', 'type') === 'LoadBalancer' &&
          listAt(object, 'spec', 'loadBalancerSourceRanges').length === 0 &&
          !isInternal
        )
          yield {
            object,
            path: ['spec', 'type'],
            message: 'anybody may reach it: set loadBalancerSourceRanges, make it internal, or use an Ingress',
          }
      }
    },
  },
  {
    id: 'policy-none',
    severity: 'advice',
    what: 'A network policy says who may reach pods.',
    why: 'Without one every pod of the cluster may ask the model, and the model may ask every address: whoever gets into one pod is past all others.',
    readMore: POLICY_DOC,
    *check(manifests) {
      for (const pod of manifests.pods.filter(({ isServing }) => isServing))
        if (policiesOf(pod, 'Ingress', manifests).length === 0)
          yield {
            object: pod.object,
            path: [...pod.path, 'spec'],
            message: 'no NetworkPolicy among the manifests selects its pods: every pod of the cluster may reach them',
          }
    },
  },
  {
    id: 'policy-dns',
    severity: 'warning',
    what: 'Pods whose connections outward are limited may ask DNS.',
    why: 'Without port 53 no name is found: neither the registry, nor the object store, nor the collector, and the errors speak of timeouts.',
    readMore: POLICY_DOC,
    *check(manifests) {
      const seen = new Set<KubernetesObject>()
      for (const pod of manifests.pods) {
        const policies = policiesOf(pod, 'Egress', manifests)
        const allows = policies.some((policy) => listAt(policy, 'spec', 'egress').some((rule) => allowsPort(rule, DNS_PORT, 'dns', 'UDP')))
        const object = policies.find((one) => listAt(one, 'spec', 'egress').length > 0) ?? policies[0]
        if (object === undefined || allows || seen.has(object)) continue
        seen.add(object)
        yield {
          object,
          path: ['spec', at(object, 'spec', 'egress') === undefined ? 'policyTypes' : 'egress'],
          message: `pods of ${pod.object.kind} ${pod.object.metadata.name} cannot ask DNS: allow port 53 by UDP and TCP`,
        }
      }
    },
  },
  {
    id: 'policy-metrics',
    severity: 'warning',
    what: 'Who reads the metrics of pods may reach them.',
    why: 'Prometheus runs in a namespace of its own: a policy that lets in the own namespace alone makes the pods look down, and what scales or judges by their metrics has none.',
    readMore: POLICY_DOC,
    *check(manifests) {
      for (const pod of manifests.pods) {
        const metrics = metricsPortOf(pod, manifests)
        const policies = policiesOf(pod, 'Ingress', manifests)
        const object = policies[0]
        if (metrics === undefined || object === undefined) continue
        const rules = policies.flatMap((policy) => [...listAt(policy, 'spec', 'ingress')])
        const allows = rules.some(
          (rule) =>
            allowsPort(rule, metrics.port, metrics.name) && (listAt(rule, 'from').length === 0 || listAt(rule, 'from').some(reachesOut)),
        )
        if (!allows)
          yield {
            object,
            path: ['spec', at(object, 'spec', 'ingress') === undefined ? 'podSelector' : 'ingress'],
            message: `no other namespace reaches port ${metrics.port} of the pods of ${pod.object.kind} ${pod.object.metadata.name}, where Prometheus is told to read: add its namespace`,
          }
      }
    },
  },
]
