import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { metricsAdapterObjects } from '../../src/kubernetes/components/metrics-adapter.ts'
import { renderEndpoint } from '../../src/kubernetes/render.ts'
import { slipway } from '../cli/slipway.ts'
import { keyOf } from '../../src/kubernetes/object.ts'
import type { EndpointDocument } from '../../src/contract/endpoint.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'

const IMAGE = 'registry.example/slipway@sha256:0000000000000000000000000000000000000000000000000000000000000000'
const PLANE = { url: 'https://slipway.example', environment: 'prod', keySecret: 'slipway-key' }

const of = (objects: readonly KubernetesObject[], kind: string): any[] => objects.filter((object) => object.kind === kind)
const argumentsOf = (objects: readonly KubernetesObject[]): string =>
  of(objects, 'Deployment')[0].spec.template.spec.containers[0].args.join(' ')

describe('The objects of the metrics adapter', () => {
  it('register the groups that it has numbers for, and leave the others to another adapter', () => {
    const services = (options: Partial<Parameters<typeof metricsAdapterObjects>[0]>): string[] =>
      of(metricsAdapterObjects({ image: IMAGE, ...options }), 'APIService').map(({ metadata }) => metadata.name)
    const custom = ['v1beta1.custom.metrics.k8s.io', 'v1beta2.custom.metrics.k8s.io']
    assert.deepEqual(services({}), custom)
    assert.deepEqual(services({ controlPlane: PLANE }), [...custom, 'v1beta1.external.metrics.k8s.io'])
    assert.deepEqual(services({ pods: false, controlPlane: PLANE }), ['v1beta1.external.metrics.k8s.io'])
    assert.throws(() => metricsAdapterObjects({ image: IMAGE, pods: false }), /nothing is left to serve/)
    const external = metricsAdapterObjects({ image: IMAGE, pods: false, controlPlane: PLANE })
    assert.deepEqual(of(external, 'ClusterRoleBinding'), [], 'who reads no pods needs no right to')
    assert.equal(
      argumentsOf(external),
      'metrics-adapter --port 6443 --no-pods --service-name slipway-metrics-adapter.slipway.svc --control-plane https://slipway.example --environment prod --key-file /etc/slipway/control-plane/key',
    )
  })

  it('say how the API server knows the certificate', () => {
    const own = metricsAdapterObjects({ image: IMAGE })
    assert.ok(of(own, 'APIService').every(({ spec }) => spec.insecureSkipTLSVerify === true && spec.caBundle === undefined))
    const managed = metricsAdapterObjects({ image: IMAGE, namespace: 'metrics', certificate: 'cert-manager' })
    assert.deepEqual(of(managed, 'Certificate')[0].spec.dnsNames, ['slipway-metrics-adapter.metrics.svc'])
    for (const { metadata, spec } of of(managed, 'APIService')) {
      assert.equal(metadata.annotations['cert-manager.io/inject-ca-from'], 'metrics/slipway-metrics-adapter')
      assert.equal(spec.insecureSkipTLSVerify, undefined)
    }
    const given = metricsAdapterObjects({ image: IMAGE, certificate: { secret: 'mine', caBundle: 'YQ==' } })
    assert.ok(of(given, 'APIService').every(({ spec }) => spec.caBundle === 'YQ=='))
    assert.match(argumentsOf(given), /--tls-cert \/etc\/slipway\/tls\/tls.crt --tls-key \/etc\/slipway\/tls\/tls.key/)
    assert.equal(of(given, 'Deployment')[0].spec.template.spec.volumes[0].secret.secretName, 'mine')
  })

  it('are each named once', () => {
    const keys = metricsAdapterObjects({ image: IMAGE, controlPlane: PLANE, certificate: 'cert-manager' }).map(keyOf)
    assert.equal(new Set(keys).size, keys.length)
  })

  it('are rendered by their command, which says what it lacks', async () => {
    const render = ['render', '--target', 'kubernetes', '--component', 'metrics-adapter']
    const { code, stdout, stderr } = await slipway([...render, '--image', IMAGE, '--namespace', 'metrics', '--json'])
    assert.equal(code, 0, stderr)
    assert.deepEqual(JSON.parse(stdout).items, JSON.parse(JSON.stringify(metricsAdapterObjects({ image: IMAGE, namespace: 'metrics' }))))
    const wrong: readonly [string[], RegExp][] = [
      [render, /--component needs --image/],
      [[...render, '--image', IMAGE, '--no-pods'], /nothing is left to serve/],
      [[...render, '--image', IMAGE, '--tls-secret', 'mine'], /--tls-secret and --tls-ca belong together/],
      [[...render, '--image', IMAGE, '--cert-manager', '--tls-secret', 'mine'], /comes from one of them/],
      [[...render.slice(0, 3), '--component', 'other'], /--component other: there is metrics-adapter/],
      [render.slice(0, 3), /name files of endpoint documents, or a component/],
    ]
    for (const [args, message] of wrong) {
      const refused = await slipway(args)
      assert.equal(refused.code, 2, refused.stderr)
      assert.match(refused.stderr, message)
    }
  })

  it('may reach the pods that scale by it, and no others', () => {
    const policyOf = (autoscaling: object): string => {
      const document = {
        apiVersion: 'slipway/v1',
        kind: 'Endpoint',
        metadata: { name: 'churn' },
        spec: { target: 'kubernetes', variants: [{ model: 'churn/1' }], autoscaling, kubernetes: { image: IMAGE } },
      }
      return JSON.stringify(of(renderEndpoint(document as EndpointDocument), 'NetworkPolicy')[0].spec.ingress)
    }
    assert.match(policyOf({ minReplicas: 1, maxReplicas: 3, metric: 'rps', targetValue: 5 }), /slipway-metrics-adapter/)
    assert.doesNotMatch(policyOf({ minReplicas: 1, maxReplicas: 3, metric: 'cpu' }), /slipway-metrics-adapter/)
  })
})
