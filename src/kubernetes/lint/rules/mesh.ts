import { at, hasLabels, isBeside, listAt, mapAt, noneAmong, numberAt, textAt, wordOf } from '../values.ts'
import type { KubernetesObject } from '../../object.ts'
import type { Manifests } from '../manifests.ts'
import type { Rule } from '../rule.ts'
import type { Path } from '../values.ts'

const VIRTUAL_SERVICE_DOC = 'https://istio.io/latest/docs/reference/config/networking/virtual-service/'
const PROFILE_DOC = 'https://linkerd.io/2/reference/service-profiles/'
/** Name of a Service that a ServiceProfile stands for, as a mesh sees it. */
const SERVICE_FQDN = /^[a-z0-9-]+\.[a-z0-9-]+\.svc\.[a-z0-9.-]+$/

interface Weighted {
  readonly object: KubernetesObject
  readonly path: Path
  readonly weights: readonly number[]
}

/** Lists of destinations between which requests are shared. */
function* sharesOf(manifests: Manifests): Generator<Weighted> {
  for (const object of manifests.ofKind('VirtualService'))
    for (const kind of ['http', 'tcp', 'tls'])
      for (const [index, rule] of listAt(object, 'spec', kind).entries())
        yield {
          object,
          path: ['spec', kind, index, 'route'],
          weights: listAt(rule, 'route').map((one) => numberAt(one, 'weight') ?? 0),
        }
  for (const object of manifests.objects.filter(({ kind }) => /^(HTTP|GRPC)Route$/.test(kind)))
    for (const [index, rule] of listAt(object, 'spec', 'rules').entries())
      yield {
        object,
        path: ['spec', 'rules', index, 'backendRefs'],
        weights: listAt(rule, 'backendRefs').map((one) => numberAt(one, 'weight') ?? 1),
      }
}

/** Name of a Service in a host: `churn`, `churn.prod`, `churn.prod.svc.cluster.local`. */
function serviceIn(host: string): { readonly name: string; readonly namespace: string | undefined } | undefined {
  const match = /^([a-z0-9-]+)(?:\.([a-z0-9-]+)(?:\.svc(?:\.cluster\.local)?)?)?$/.exec(host)
  return match === null ? undefined : { name: match[1]!, namespace: match[2] }
}

function isSameHost(one: string, other: string): boolean {
  const [a, b] = [serviceIn(one), serviceIn(other)]
  if (a === undefined || b === undefined) return one === other
  return a.name === b.name && (a.namespace === undefined || b.namespace === undefined || a.namespace === b.namespace)
}

interface Destination {
  readonly object: KubernetesObject
  readonly path: Path
  readonly host: string
  readonly subset: string | undefined
}

function* destinationsOf(manifests: Manifests): Generator<Destination> {
  for (const object of manifests.ofKind('VirtualService'))
    for (const kind of ['http', 'tcp', 'tls'])
      for (const [index, rule] of listAt(object, 'spec', kind).entries()) {
        const places: (readonly [value: unknown, path: Path])[] = listAt(rule, 'route').map((one, place) => [
          at(one, 'destination'),
          ['spec', kind, index, 'route', place, 'destination'],
        ])
        for (const [place, one] of listAt(rule, 'mirrors').entries())
          places.push([at(one, 'destination'), ['spec', kind, index, 'mirrors', place, 'destination']])
        if (at(rule, 'mirror') !== undefined) places.push([at(rule, 'mirror'), ['spec', kind, index, 'mirror']])
        for (const [value, path] of places) {
          const host = textAt(value, 'host')
          if (host !== undefined) yield { object, path, host, subset: textAt(value, 'subset') }
        }
      }
}

export const MESH_RULES: readonly Rule[] = [
  {
    id: 'weights-sum',
    severity: 'warning',
    what: 'Weights of a VirtualService add up to 100, or to 1000 or 10000 where shares are finer.',
    why: 'They are shares of their sum: 90 and 20 are 82 and 18 percent. Argo Rollouts and people take them for percents.',
    readMore: VIRTUAL_SERVICE_DOC,
    *check(manifests) {
      for (const { object, path, weights } of sharesOf(manifests)) {
        const sum = weights.reduce((all, weight) => all + weight, 0)
        if (object.kind === 'VirtualService' && weights.length > 1 && ![0, 100, 1000, 10_000].includes(sum))
          yield {
            object,
            path,
            message: `the weights add up to ${sum}: of 100 requests the first gets ${Math.round((weights[0]! / sum) * 100)}`,
          }
      }
    },
  },
  {
    id: 'weights-zero',
    severity: 'error',
    what: 'One of the destinations has a weight.',
    why: 'Where all weights are 0 nobody is left to answer: every request gets 500, or the object is refused.',
    readMore: 'https://gateway-api.sigs.k8s.io/guides/traffic-splitting/',
    *check(manifests) {
      for (const { object, path, weights } of sharesOf(manifests)) {
        const isShared = object.kind === 'VirtualService' ? weights.length > 1 : weights.length > 0
        if (isShared && weights.every((weight) => weight === 0))
          yield { object, path, message: 'all destinations have the weight 0: no request is answered' }
      }
    },
  },
  {
    id: 'subset-missing',
    severity: 'error',
    what: 'A subset that is sent to is one of a DestinationRule of the host.',
    why: 'A VirtualService with a subset that nobody defines is accepted, and its share of the requests gets 503.',
    readMore: 'https://istio.io/latest/docs/reference/config/networking/destination-rule/#Subset',
    *check(manifests) {
      for (const { object, path, host, subset } of destinationsOf(manifests)) {
        if (subset === undefined) continue
        const rules = manifests.ofKind('DestinationRule').filter((one) => isSameHost(textAt(one, 'spec', 'host') ?? '', host))
        const names = rules.flatMap((rule) => listAt(rule, 'spec', 'subsets').map((one) => textAt(one, 'name')))
        // What stands in other files is not known.
        if (manifests.ofKind('DestinationRule').length > 0 && !names.includes(subset))
          yield {
            object,
            path: [...path, 'subset'],
            message:
              rules.length === 0
                ? `no DestinationRule among the manifests has the host ${host}, so nobody defines the subset ${subset}`
                : `the DestinationRule of ${host} has no subset ${subset}, but ${names.join(', ') || 'none'}`,
          }
      }
    },
  },
  {
    id: 'subset-empty',
    severity: 'warning',
    what: 'A subset has pods.',
    why: 'A subset is a Service and labels: where no pod has both, its share of the requests gets 503.',
    readMore: 'https://istio.io/latest/docs/reference/config/networking/destination-rule/#Subset',
    *check(manifests) {
      for (const object of manifests.ofKind('DestinationRule')) {
        const host = textAt(object, 'spec', 'host') ?? ''
        const service = manifests.ofKind('Service').find((one) => isBeside(one, object) && isSameHost(one.metadata.name, host))
        const selector = mapAt(service, 'spec', 'selector')
        const pods = manifests.pods.filter(({ object: owner, labels }) => isBeside(owner, object) && hasLabels(labels, selector))
        if (service === undefined || Object.keys(selector).length === 0 || pods.length === 0) continue
        for (const [index, subset] of listAt(object, 'spec', 'subsets').entries())
          if (!pods.some(({ labels }) => hasLabels(labels, mapAt(subset, 'labels'))))
            yield {
              object,
              path: ['spec', 'subsets', index],
              message: `no pod behind Service ${service.metadata.name} has the labels of subset ${textAt(subset, 'name') ?? wordOf(index)}`,
            }
      }
    },
  },
  {
    id: 'virtual-service-host',
    severity: 'warning',
    what: 'A VirtualService is for hosts that somebody asks for: a Service, or a name at a Gateway.',
    why: 'Without `gateways` it holds for calls inside of the mesh alone, and there by the name of the Service: for any other host it is accepted, and never used.',
    readMore: VIRTUAL_SERVICE_DOC,
    *check(manifests) {
      for (const object of manifests.ofKind('VirtualService')) {
        const gateways = listAt(object, 'spec', 'gateways').filter((name) => name !== 'mesh')
        const services = manifests.ofKind('Service').filter((one) => isBeside(one, object))
        if (gateways.length > 0 || services.length === 0) continue
        for (const [index, host] of listAt(object, 'spec', 'hosts').entries()) {
          const isKnown =
            typeof host === 'string' && (host.startsWith('*') || services.some(({ metadata }) => isSameHost(metadata.name, host)))
          if (!isKnown)
            yield {
              object,
              path: ['spec', 'hosts', index],
              message: `${wordOf(host)} is no Service among the manifests, and the VirtualService hangs on no Gateway: nobody asks for that host`,
            }
        }
      }
    },
  },
  {
    id: 'destination-missing',
    severity: 'warning',
    what: 'A VirtualService sends to Services that there are.',
    why: 'Requests to a host that the mesh does not know get 503.',
    readMore: VIRTUAL_SERVICE_DOC,
    *check(manifests) {
      for (const { object, path, host } of destinationsOf(manifests)) {
        const services = manifests.ofKind('Service').filter((one) => isBeside(one, object))
        if (services.length > 0 && serviceIn(host) !== undefined && !services.some(({ metadata }) => isSameHost(metadata.name, host)))
          yield {
            object,
            path: [...path, 'host'],
            message: noneAmong('Service', host, services),
          }
      }
    },
  },
  {
    id: 'profile-name',
    severity: 'error',
    what: 'A ServiceProfile has the full name of its Service: NAME.NAMESPACE.svc.cluster.local.',
    why: 'Linkerd finds a profile by that name alone: under any other it is accepted, and nobody reads it.',
    readMore: PROFILE_DOC,
    *check(manifests) {
      for (const object of manifests.ofKind('ServiceProfile')) {
        const { name, namespace = 'NAMESPACE' } = object.metadata
        if (!SERVICE_FQDN.test(name) && /^[a-z0-9-]+$/.test(name))
          yield { object, path: ['metadata', 'name'], message: `nobody looks for ${name}: name it ${name}.${namespace}.svc.cluster.local` }
        else if (!SERVICE_FQDN.test(name) && /\.svc$|^[a-z0-9-]+\.[a-z0-9-]+$/.test(name))
          yield { object, path: ['metadata', 'name'], message: `nobody looks for ${name}: the name ends in .svc.cluster.local` }
      }
    },
  },
  {
    id: 'profile-split',
    severity: 'error',
    what: 'A ServiceProfile that shares requests out has an authority and a weight for each destination, and nothing else tries to.',
    why: 'Routes of a profile have timeouts and retries, no destinations: without `dstOverrides` with weights all requests go on to the same pods, and a canary gets none.',
    readMore: PROFILE_DOC,
    *check(manifests) {
      for (const object of manifests.ofKind('ServiceProfile')) {
        for (const [index, one] of listAt(object, 'spec', 'dstOverrides').entries()) {
          const missing = ['authority', 'weight'].filter((field) => at(one, field) === undefined)
          if (missing.length > 0)
            yield { object, path: ['spec', 'dstOverrides', index], message: `the destination has no ${missing.join(' and no ')}` }
        }
        for (const [index, route] of listAt(object, 'spec', 'routes').entries())
          for (const field of ['weight', 'backends', 'backend', 'destination', 'service'])
            if (at(route, field) !== undefined)
              yield {
                object,
                path: ['spec', 'routes', index, field],
                message: `routes of a ServiceProfile have no ${field}: share requests out by an HTTPRoute, or by dstOverrides`,
              }
      }
    },
  },
]
