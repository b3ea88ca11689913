import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import { readYaml } from '../../src/contract/read-yaml.ts'
import { check } from '../../src/contract/schema.ts'
import { EndpointDocument } from '../../src/contract/endpoint.ts'
import { isSlipwayError } from '../../src/core/errors.ts'
import { manifestFiles, manifestOf } from '../../src/kubernetes/manifest.ts'
import { keyOf } from '../../src/kubernetes/object.ts'
import { renderEndpoint } from '../../src/kubernetes/render.ts'
import { ServerOptions } from '../../src/server/options.ts'
import { IMAGE, KUBERNETES_ENDPOINTS } from './specs.ts'
import { validate } from './validate.ts'
import type { EndpointSpec } from '../../src/contract/endpoint.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'

interface Pod {
  readonly metadata: { readonly labels: Record<string, string> }
  readonly spec: {
    readonly terminationGracePeriodSeconds: number
    readonly volumes: readonly { readonly name: string }[]
    readonly nodeSelector?: object
    readonly tolerations?: readonly object[]
    readonly affinity?: object
    readonly containers: readonly {
      readonly image: string
      readonly args?: readonly string[]
      readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: object }[]
      readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
      readonly resources: { readonly requests: Record<string, string>; readonly limits: Record<string, string> }
      readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
      readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } }
      readonly startupProbe: {
        readonly periodSeconds: number
        readonly failureThreshold: number
        readonly httpGet: { readonly path: string }
      }
      readonly livenessProbe: { readonly httpGet: { readonly path: string; readonly port: string } }
      readonly readinessProbe: { readonly httpGet: { readonly path: string; readonly port: string } }
    }[]
  }
}

// Objects are plain JSON of many kinds: tests look into them by path.
// oxlint-disable-next-line typescript/no-explicit-any
type Any = any

const endpoint = (spec: EndpointSpec, name = 'churn'): EndpointDocument => ({
  apiVersion: 'slipway/v1',
  kind: 'Endpoint',
  metadata: { name },
  spec,
})
const rendered = (what: string): KubernetesObject[] => {
  const document = KUBERNETES_ENDPOINTS.get(what)
  assert.ok(document !== undefined, what)
  return renderEndpoint(document)
}
const ofKind = (objects: readonly KubernetesObject[], kind: string): Any[] => objects.filter((object) => object.kind === kind)
const only = (objects: readonly KubernetesObject[], kind: string): Any => {
  const [found, ...others] = ofKind(objects, kind)
  assert.ok(found !== undefined && others.length === 0, `one ${kind} of ${objects.map(keyOf).join(', ')}`)
  return found
}
const podOf = (deployment: KubernetesObject): Pod => (deployment as Any).spec.template as Pod
const holds = (selector: Record<string, string>, labels: Record<string, string>): boolean =>
  Object.entries(selector).every(([name, value]) => labels[name] === value)

describe('every kind of endpoint', () => {
  assert.ok(KUBERNETES_ENDPOINTS.size >= 40)
  for (const [what, document] of KUBERNETES_ENDPOINTS)
    it(`${what}: is a document, and its objects have the types and ranges of their kinds`, async () => {
      assert.ok('value' in check(EndpointDocument, document), JSON.stringify(check(EndpointDocument, document)))
      const objects = renderEndpoint(document)
      for (const object of objects)
        await validate(object).catch((error: Error) =>
          assert.fail(`${keyOf(object)}: ${error.message}\n${JSON.stringify(object, null, 2)}`),
        )
      assert.equal(new Set(objects.map(keyOf)).size, objects.length, 'no object comes twice')
    })
})

it('a wrong type, a missing field and an unknown kind would be noticed', async () => {
  const [scaler] = ofKind(rendered('scaled by times'), 'ScaledObject')
  await assert.rejects(validate({ ...scaler, spec: { ...scaler.spec, minReplicaCount: 'none' } }), /minReplicaCount/)
  await assert.rejects(validate({ ...scaler, spec: { scaleTargetRef: scaler.spec.scaleTargetRef } }), /triggers/)
  await assert.rejects(validate({ ...scaler, kind: 'ScaledObjekt' }), /has no ScaledObjekt/)
})

describe('objects that belong together', () => {
  for (const what of KUBERNETES_ENDPOINTS.keys())
    it(`${what}: selectors find pods, ports have names, volumes are there, and nothing scales twice`, () => {
      const objects = rendered(what)
      const pods = ofKind(objects, 'Deployment').map((deployment: Any) => {
        const pod = podOf(deployment)
        assert.ok(holds(deployment.spec.selector.matchLabels, pod.metadata.labels), 'a Deployment finds its pods')
        return pod
      })
      for (const service of ofKind(objects, 'Service')) {
        const found = pods.filter((pod) => holds(service.spec.selector, pod.metadata.labels))
        assert.ok(found.length > 0, `${service.metadata.name} finds pods`)
        for (const { targetPort } of service.spec.ports)
          for (const pod of found) assert.ok(pod.spec.containers[0]!.ports.some(({ name }) => name === targetPort))
      }
      for (const pod of pods) {
        const [server] = pod.spec.containers
        assert.deepEqual(server!.volumeMounts.map(({ name }) => name).toSorted(), pod.spec.volumes.map(({ name }) => name).toSorted())
        assert.ok(pod.spec.terminationGracePeriodSeconds > (server!.lifecycle?.preStop.sleep.seconds ?? 0))
        assert.notEqual(server!.livenessProbe.httpGet.path, server!.readinessProbe.httpGet.path)
        assert.equal(server!.resources.requests['memory'], server!.resources.limits['memory'])
        assert.ok(holds({ 'app.kubernetes.io/managed-by': 'slipway' }, pod.metadata.labels))
      }
      const targets = [...ofKind(objects, 'HorizontalPodAutoscaler'), ...ofKind(objects, 'ScaledObject')].map(
        (scaler: Any) => scaler.spec.scaleTargetRef.name as string,
      )
      assert.equal(new Set(targets).size, targets.length)
      for (const deployment of ofKind(objects, 'Deployment'))
        assert.equal('replicas' in deployment.spec, !targets.includes(deployment.metadata.name), 'replicas belong to whoever scales')
      const names = new Set(ofKind(objects, 'Service').map((service: Any) => service.metadata.name as string))
      for (const route of ofKind(objects, 'HTTPRoute'))
        for (const { backendRefs } of route.spec.rules) for (const { name } of backendRefs) assert.ok(names.has(name), name)
    })

  it('the configuration of pods is one that the server reads, and a change of it changes the pods', () => {
    for (const what of ['options of serving', 'servers that follow', 'small resources']) {
      const map = ofKind(rendered(what), 'ConfigMap')[0]
      const read = readYaml(map.data['slipway.server.yaml'] as string, ServerOptions)
      assert.ok('value' in read, JSON.stringify(read))
    }
    const digestOf = (spec: EndpointSpec): string => {
      const template = only(renderEndpoint(endpoint(spec)), 'Deployment').spec.template
      return template.metadata.annotations['slipway.dev/config-digest'] as string
    }
    const spec = (threads: number): EndpointSpec => ({
      variants: [{ model: 'churn/1', serving: { threads } }],
      kubernetes: { image: IMAGE },
    })
    assert.notEqual(digestOf(spec(1)), digestOf(spec(2)))
    assert.equal(digestOf(spec(2)), digestOf(spec(2)))
  })
})

describe('what is rendered', () => {
  it('threads and copies of the model follow the cores of the pod', () => {
    const served = (cpu: string, threads: number): number => {
      const spec = { variants: [{ model: 'churn/1', serving: { threads } }], kubernetes: { image: IMAGE, resources: { cpu } } }
      const file = only(renderEndpoint(endpoint(spec)), 'ConfigMap').data['slipway.server.yaml'] as string
      return (parse(file) as { serving: { instances: number } }).serving.instances
    }
    assert.deepEqual([served('4', 1), served('4', 2), served('500m', 1), served('2500m', 1)], [4, 2, 1, 2])
  })

  it('a device is asked for and limited alike, and makes no pod more than there are devices', () => {
    const deployment = only(rendered('a part of a device'), 'Deployment')
    const [server] = podOf(deployment).spec.containers
    for (const side of [server!.resources.requests, server!.resources.limits]) assert.equal(side['nvidia.com/mig-1g.10gb'], '1')
    assert.deepEqual(deployment.spec.strategy.rollingUpdate, { maxSurge: 0, maxUnavailable: 1 })
    assert.match(
      ofKind(rendered('a device shared by turns'), 'ConfigMap')
        .map(({ data }) => Object.values(data))
        .join('\n'),
      /replicas: 4/,
    )
  })

  it('the variant with the largest share stays off nodes that may go, the other prefers them', () => {
    const [main, next] = ofKind(rendered('nodes of GKE that may go'), 'Deployment').map(podOf)
    assert.match(JSON.stringify(main!.spec.affinity), /required.*NotIn/)
    assert.equal(main!.spec.tolerations, undefined)
    assert.match(JSON.stringify(next!.spec.affinity), /preferred.*"In"/)
    assert.equal(next!.spec.tolerations?.length, 1)
  })

  it('shares are whole numbers that keep every step of a hundredth of a percent', () => {
    const weights = (what: string, kind: string): number[] => {
      const { spec } = only(rendered(what), kind)
      return kind === 'HTTPRoute'
        ? spec.rules.at(-1).backendRefs.map(({ weight }: Any) => weight)
        : spec.http.at(-1).route.map(({ weight }: Any) => weight)
    }
    assert.deepEqual(weights('shares inside the cluster', 'HTTPRoute'), [90, 10])
    assert.deepEqual(weights('shares of a quarter of a percent', 'HTTPRoute'), [9975, 25])
    assert.deepEqual(weights('fine shares by Istio', 'VirtualService'), [9975, 25])
    assert.deepEqual(weights('shares by Linkerd', 'HTTPRoute'), [90, 10])
  })

  it('testers come before shares, and shadows get copies', () => {
    const route = only(rendered('testers by a gateway'), 'HTTPRoute')
    assert.deepEqual(
      route.spec.rules.map(({ matches }: Any) => matches[0].headers?.length ?? 0),
      [1, 2, 0],
    )
    const mirror = only(rendered('a shadow by a gateway'), 'HTTPRoute').spec.rules[0].filters[0].requestMirror
    assert.deepEqual(mirror.fraction, { numerator: 1250, denominator: 10_000 })
    assert.equal(only(rendered('a shadow by Istio'), 'VirtualService').spec.http[0].mirrors[0].percentage.value, 12.5)
  })

  it('the HPA asks for the metric of our adapter; KEDA asks what it is told to', () => {
    const [metric] = only(rendered('scaled by requests'), 'HorizontalPodAutoscaler').spec.metrics
    assert.deepEqual(metric.pods, { metric: { name: 'slipway_requests_per_second' }, target: { type: 'AverageValue', averageValue: '50' } })
    const fraction = only(rendered('scaled by requests in flight'), 'HorizontalPodAutoscaler').spec.metrics[0].pods.target
    assert.equal(fraction.averageValue, '2500m')
    assert.equal(ofKind(rendered('scaled by KEDA and a Prometheus'), 'HorizontalPodAutoscaler').length, 0)
    const times = only(rendered('scaled by times'), 'ScaledObject').spec
    assert.deepEqual([times.minReplicaCount, times.triggers.map(({ type }: Any) => type)], [0, ['cron']])
  })

  it('a pod of one is never held on its node, pods of several go one by one', () => {
    assert.equal(ofKind(rendered('one pod'), 'PodDisruptionBudget').length, 0)
    assert.equal(only(rendered('three pods'), 'PodDisruptionBudget').spec.maxUnavailable, 1)
  })

  it('a ServiceMonitor finds each pod once', () => {
    for (const [what, count] of [
      ['monitors of the Service', 1],
      ['monitors of the Services of variants', 2],
    ] as const) {
      const objects = rendered(what)
      const { matchLabels, matchExpressions } = only(objects, 'ServiceMonitor').spec.selector
      const [{ key, operator }] = matchExpressions
      const found = ofKind(objects, 'Service').filter(
        ({ metadata: { labels } }) => holds(matchLabels, labels) && key in labels === (operator === 'Exists'),
      )
      assert.equal(found.length, count)
      for (const deployment of ofKind(objects, 'Deployment'))
        assert.equal(found.filter(({ spec }) => holds(spec.selector, podOf(deployment).metadata.labels)).length, 1)
    }
  })

  it('values of secrets stand nowhere', () => {
    const objects = rendered('secrets of Vault')
    const env = podOf(only(objects, 'Deployment')).spec.containers[0]!.env
    assert.deepEqual(env.find(({ name }) => name === 'TOKEN')?.valueFrom, { secretKeyRef: { name: 'shared', key: 'token' } })
    assert.equal(ofKind(objects, 'Secret').length, 0)
    assert.equal(only(objects, 'ExternalSecret').spec.data[0].remoteRef.key, 'prod/churn')
  })

  it('servers that follow a control plane may reach it, and are known by the names of their pods', () => {
    const objects = rendered('servers that follow')
    const [server] = podOf(only(objects, 'Deployment')).spec.containers
    assert.deepEqual(server!.args, ['serve', '--endpoint', KUBERNETES_ENDPOINTS.get('servers that follow')!.metadata.name])
    const egress = only(objects, 'NetworkPolicy').spec.egress.at(-1)
    assert.deepEqual(egress, {
      to: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'slipway' } } }],
    })
  })

  it('names of endpoints become names of objects, each its own', () => {
    const names = ['one pod', 'three pods', 'shares by Istio'].map((what) => ofKind(rendered(what), 'Service')[0].metadata.name as string)
    for (const name of names) assert.match(name, /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/)
    const service = (name: string): string =>
      ofKind(renderEndpoint(endpoint({ variants: [{ model: 'a/1' }], kubernetes: { image: IMAGE } }, name)), 'Service')[0].metadata.name
    assert.equal(service('churn'), 'churn')
    assert.notEqual(service('Churn'), service('churn'))
    assert.notEqual(service('a.b'), service('a-b'))
  })

  it('files are in the order of application, and read as they were', () => {
    const objects = rendered('monitors and alarms')
    const files = manifestFiles(objects)
    assert.equal(
      [...files.keys()][0],
      '01-configmap-churn-48-main-config.yaml'.replace(/churn-\d+/, KUBERNETES_ENDPOINTS.get('monitors and alarms')!.metadata.name),
    )
    assert.deepEqual(
      [...files.values()].map((text) => parse(text) as unknown),
      JSON.parse(JSON.stringify(objects)),
    )
    const documents = parseAllDocuments(manifestOf(objects))
    assert.equal(documents.length, objects.length)
  })
})

describe('what Kubernetes cannot have is refused with its place', () => {
  const refused = (spec: EndpointSpec, ...expected: RegExp[]): void => {
    assert.throws(
      () => renderEndpoint(endpoint(spec)),
      (error: unknown) => {
        assert.ok(isSlipwayError(error) && error.code === 'SLW_CONFIG_INVALID', String(error))
        for (const pattern of expected) assert.match(error.message, pattern)
        return true
      },
    )
  }
  const TWO: EndpointSpec['variants'] = [
    { name: 'main', model: 'a/1', weight: 90 },
    { name: 'next', model: 'a/2', weight: 10 },
  ]
  const ONE: EndpointSpec['variants'] = [{ model: 'a/1' }]

  it('images', () => {
    refused({ variants: ONE }, /spec\.kubernetes\.images\.main: missing.*slipway build/)
    refused({ variants: ONE, kubernetes: { images: { mian: IMAGE } } }, /images\.mian: there is no variant "mian"/)
    refused(
      { variants: TWO, kubernetes: { image: IMAGE, traffic: 'gateway' } },
      /variants with the model inside the image need an image each/,
    )
  })

  it('shares without anybody who makes them', () => {
    refused({ variants: TWO, kubernetes: { images: { main: IMAGE, next: IMAGE } } }, /kubernetes\.traffic: a Service knows no shares/)
    const shadowed: EndpointSpec['variants'] = [
      { name: 'main', model: 'a/1' },
      { name: 'next', model: 'a/2', shadow: 5 },
    ]
    refused(
      { variants: shadowed, kubernetes: { images: { main: IMAGE, next: IMAGE }, traffic: 'linkerd' } },
      /variants\[1\]\.shadow: Linkerd/,
    )
    const byField: EndpointSpec['variants'] = [
      { name: 'main', model: 'a/1' },
      { name: 'next', model: 'a/2', match: [{ field: 'country', is: 'de' }] },
    ]
    refused(
      { variants: byField, kubernetes: { images: { main: IMAGE, next: IMAGE }, traffic: 'istio' } },
      /variants\[1\]\.match\[0\]: a mesh matches/,
    )
  })

  it('scale to zero by requests, with the reason and what does it instead', () => {
    refused(
      { variants: ONE, autoscaling: { minReplicas: 0, maxReplicas: 5, metric: 'rps', targetValue: 5 }, kubernetes: { image: IMAGE } },
      /autoscaling\.minReplicas: 0: nobody would hold the first request.*HTTP add-on/,
    )
  })

  it('numbers of pods that two would set, and targets without a value', () => {
    refused(
      { variants: ONE, replicas: 3, autoscaling: { minReplicas: 2, maxReplicas: 5 }, kubernetes: { image: IMAGE } },
      /spec\.replicas: whoever scales/,
    )
    refused(
      { variants: ONE, autoscaling: { minReplicas: 2, maxReplicas: 5, metric: 'rps' }, kubernetes: { image: IMAGE } },
      /targetValue: missing/,
    )
  })
})
