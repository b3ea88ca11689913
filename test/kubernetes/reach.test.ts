import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { renderEndpoint } from '../../src/kubernetes/render.ts'
import { IMAGE } from './specs.ts'
import type { EndpointSpec } from '../../src/contract/endpoint.ts'
import type { KubernetesOptions } from '../../src/contract/kubernetes.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'

// Objects are plain JSON of many kinds: tests look into them by path.
// oxlint-disable-next-line typescript/no-explicit-any
type Any = any

const TWO: EndpointSpec['variants'] = [
  { name: 'main', model: 'churn/1', weight: 90 },
  { name: 'next', model: 'churn/2', weight: 10 },
]
const IMAGES = { main: IMAGE, next: IMAGE.replaceAll('a', 'b') }

function rendered(kubernetes: KubernetesOptions, spec: Partial<EndpointSpec> = {}): KubernetesObject[] {
  const variants = spec.variants ?? [{ model: 'churn/1' }]
  return renderEndpoint({
    apiVersion: 'slipway/v1',
    kind: 'Endpoint',
    metadata: { name: 'churn' },
    spec: { ...spec, variants, kubernetes: { ...(variants.length === 1 ? { image: IMAGE } : { images: IMAGES }), ...kubernetes } },
  })
}
const find = (objects: readonly KubernetesObject[], kind: string, name?: string): Any =>
  objects.find((object) => object.kind === kind && (name === undefined || object.metadata.name === name))
const namespace = (name: string): object => ({ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } } })

describe('the network policy lets in', () => {
  const ingress = (kubernetes: KubernetesOptions, spec?: Partial<EndpointSpec>): Any[] =>
    find(rendered(kubernetes, spec), 'NetworkPolicy').spec.ingress

  it('the own namespace and the way in, and none else', () => {
    assert.deepEqual(ingress({})[0].from, [namespace('default')])
    assert.deepEqual(ingress({ expose: { by: 'ingress', host: 'churn.example' } })[0].from, [
      namespace('default'),
      namespace('ingress-nginx'),
    ])
    assert.deepEqual(
      ingress({ expose: { by: 'gateway', host: 'churn.example', gateway: { name: 'public', namespace: 'edge' } } })[0].from.at(-1),
      namespace('edge'),
    )
  })

  it('clients of a load balancer, which are in no namespace', () => {
    for (const service of ['LoadBalancer', 'NodePort'] as const) {
      const [predictions, metrics] = ingress({ service })
      assert.equal('from' in predictions, false)
      assert.deepEqual(metrics.from, [namespace('monitoring')])
      assert.deepEqual(ingress({ service, networkPolicy: { from: ['shop'] } })[0].from, [namespace('shop')])
    }
  })

  it('the metrics adapter where an HPA needs what it tells', () => {
    const autoscaling = { minReplicas: 1, maxReplicas: 5 }
    const adapter = {
      ...namespace('slipway'),
      podSelector: { matchLabels: { 'app.kubernetes.io/name': 'slipway-metrics-adapter' } },
    }
    assert.deepEqual(ingress({}, { autoscaling: { ...autoscaling, metric: 'queue', targetValue: 4 } })[1].from, [
      namespace('monitoring'),
      adapter,
    ])
    assert.deepEqual(ingress({}, { autoscaling })[1].from, [namespace('monitoring')])
  })
})

describe('the network policy lets out', () => {
  it('to a mesh, without which its proxies let nothing through, and to the control plane', () => {
    const egress = (kubernetes: KubernetesOptions, spec?: Partial<EndpointSpec>): Any[] =>
      find(rendered(kubernetes, spec), 'NetworkPolicy').spec.egress
    assert.equal(egress({}).length, 1)
    assert.deepEqual(egress({ traffic: 'istio' }, { variants: TWO }).at(-1), { to: [namespace('istio-system')] })
    assert.deepEqual(egress({ traffic: 'linkerd' }, { variants: TWO }).at(-1), { to: [namespace('linkerd')] })
    const follows = (address: string): Any => egress({ model: { from: 'control-plane', address, joinToken: 'join' } }).at(-1)
    assert.deepEqual(follows('https://slipway.example'), { ports: [{ protocol: 'TCP', port: 443 }] })
    assert.deepEqual(follows('http://slipway:8480'), { to: [namespace('default')] })
    assert.deepEqual(follows('http://[fd00::1]:8480'), { ports: [{ protocol: 'TCP', port: 8480 }] })
  })
})

describe('whoever goes around the shares', () => {
  it('comes to the variant with the largest one, except with Istio, whose subsets are among the pods of one Service', () => {
    const selected = (traffic: KubernetesOptions['traffic']): string | undefined =>
      find(rendered({ traffic: traffic! }, { variants: TWO }), 'Service', 'churn').spec.selector['slipway.dev/variant']
    assert.equal(selected('gateway'), 'main')
    assert.equal(selected('linkerd'), 'main')
    assert.equal(selected('istio'), undefined)
  })

  it('is nobody who comes through an Ingress: the proxy beside its controller makes the shares', () => {
    const annotations = find(
      rendered({ traffic: 'linkerd', expose: { by: 'ingress', host: 'churn.example' } }, { variants: TWO }),
      'Ingress',
    ).metadata.annotations
    assert.equal(annotations['nginx.ingress.kubernetes.io/service-upstream'], 'true')
    assert.equal(annotations['nginx.ingress.kubernetes.io/upstream-vhost'], 'churn.default.svc.cluster.local')
  })

  it('is nobody who comes through a Gateway: its route has the shares of the mesh', () => {
    const expose = { by: 'gateway', host: 'churn.example', gateway: { name: 'public' } } as const
    for (const traffic of ['gateway', 'istio'] as const) {
      const route = find(rendered({ traffic, expose }, { variants: TWO }), 'HTTPRoute')
      assert.deepEqual(
        route.spec.rules.at(-1).backendRefs.map(({ name, weight }: Any) => [name, weight]),
        [
          ['churn-main', 90],
          ['churn-next', 10],
        ],
      )
    }
  })
})

it('Istio asks once whichever rule a request comes by, and copies to every shadow', () => {
  const variants: EndpointSpec['variants'] = [
    { name: 'main', model: 'churn/1' },
    { name: 'next', model: 'churn/2', shadow: 10, match: [{ header: 'x-tester', is: 'yes' }] },
    { name: 'last', model: 'churn/3', shadow: 0.5 },
  ]
  const { http } = find(
    rendered({ traffic: 'istio', images: { ...IMAGES, last: IMAGE.replaceAll('a', 'c') } }, { variants }),
    'VirtualService',
  ).spec
  for (const rule of http) assert.equal(rule.retries.attempts, 0)
  assert.deepEqual(
    http.at(-1).mirrors.map(({ destination, percentage }: Any) => [destination.subset, percentage.value]),
    [
      ['next', 10],
      ['last', 0.5],
    ],
  )
})

it('names that are too long or have another form are cut to ones that no two share', () => {
  const names = (name: string, variant: string): [string, string, string] => {
    const objects = renderEndpoint({
      apiVersion: 'slipway/v1',
      kind: 'Endpoint',
      metadata: { name },
      spec: { variants: [{ name: variant, model: 'churn/1' }], kubernetes: { image: IMAGE } },
    })
    const { metadata, spec } = find(objects, 'Deployment')
    return [metadata.name, spec.selector.matchLabels['app.kubernetes.io/instance'], find(objects, 'Service').metadata.name]
  }
  const long = 'x'.repeat(100)
  const [one, other] = [names(long, `${'v'.repeat(50)}a`), names(long, `${'v'.repeat(50)}b`)]
  assert.notEqual(one[0], other[0])
  assert.notEqual(names(`${long}y`, 'main')[2], one[2])
  for (const name of [...one, ...other, ...names('Churn.', 'main')]) assert.match(name, /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/)
  assert.deepEqual(names('Churn_v2', 'main')[1], 'Churn_v2', 'what a label can hold stays as it is')
})
