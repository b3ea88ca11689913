import assert from 'node:assert/strict'
import { it } from 'node:test'
import { isSlipwayError } from '../../src/core/errors.ts'
import { renderEndpoint } from '../../src/kubernetes/render.ts'
import { slipway } from '../cli/slipway.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { IMAGE } from './specs.ts'
import type { EndpointSpec } from '../../src/contract/endpoint.ts'
import type { KubernetesOptions } from '../../src/contract/kubernetes.ts'
import type { Issue } from '../../src/core/errors.ts'

const IMAGES = { main: IMAGE, next: IMAGE.replaceAll('a', 'b') }

function issuesOf(kubernetes: KubernetesOptions, spec: Partial<EndpointSpec> = {}, labels: Record<string, string> = {}): readonly Issue[] {
  const variants = spec.variants ?? [{ model: 'churn/1' }]
  try {
    renderEndpoint({
      apiVersion: 'slipway/v1',
      kind: 'Endpoint',
      metadata: { name: 'churn', labels },
      spec: { ...spec, variants, kubernetes: { ...(variants.length === 1 ? { image: IMAGE } : { images: IMAGES }), ...kubernetes } },
    })
  } catch (error) {
    assert.ok(isSlipwayError(error) && error.code === 'SLW_CONFIG_INVALID', String(error))
    const { issues = [] } = error
    for (const { path, message } of issues) assert.ok(error.message.includes(`${path}: ${message}`))
    return issues
  }
  return []
}
const paths = (...args: Parameters<typeof issuesOf>): string[] => issuesOf(...args).map(({ path }) => path)

it('what pods cannot have is refused with its place', () => {
  assert.deepEqual(paths({}), [])
  assert.deepEqual(paths({ rollingUpdate: { maxSurge: 0, maxUnavailable: '0%' } }), ['spec.kubernetes.rollingUpdate'])
  assert.deepEqual(paths({ rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } }), [])
  assert.deepEqual(paths({ resources: { cpu: '1500m', cpuLimit: '1' } }), ['spec.kubernetes.resources.cpuLimit'])
  assert.deepEqual(paths({ resources: { cpuLimit: '500m' } }), ['spec.kubernetes.resources.cpuLimit'])
  assert.deepEqual(paths({ resources: { cpu: '500m', cpuLimit: '1' } }), [])
  assert.deepEqual(paths({ gpu: { count: 2, timeSlicing: 4 } }), ['spec.kubernetes.gpu.count'])
  assert.deepEqual(paths({ gpu: { mig: '1g.10gb', timeSlicing: 4 } }), ['spec.kubernetes.gpu.timeSlicing'])
  assert.deepEqual(paths({ model: { from: 'control-plane', address: 'slipway:8480', joinToken: 'join' } }), [
    'spec.kubernetes.model.address',
  ])
  assert.deepEqual(paths({ environment: { 'A B': '', SLIPWAY_CONFIG: '/x' } }), [
    'spec.kubernetes.environment.A B',
    'spec.kubernetes.environment.SLIPWAY_CONFIG',
  ])
})

it('labels that the API server would refuse, or that selectors need, are refused before', () => {
  assert.deepEqual(paths({}, {}, { 'a/b/c': 'x', team: 'two words' }), ['metadata.labels.a/b/c', 'metadata.labels.team'])
  assert.deepEqual(paths({ labels: { 'app.kubernetes.io/name': 'mine', 'example.com/team': 'ml' } }), [
    'spec.kubernetes.labels.app.kubernetes.io/name',
  ])
  assert.deepEqual(paths({ nodeSelector: { disk: '-' }, annotations: { '': 'x' } }), [
    'spec.kubernetes.nodeSelector.disk',
    'spec.kubernetes.annotations.',
  ])
})

it('a variable that two would set, and a Secret that nobody would fill whole', () => {
  const external = { store: 'vault', key: 'prod/churn' }
  assert.deepEqual(
    paths({
      environment: { A: '1' },
      secrets: [
        { variable: 'A', secret: 'one', key: 'a' },
        { variable: 'B', secret: 'one', key: 'b' },
        { variable: 'B', secret: 'one', key: 'c' },
      ],
    }),
    ['spec.kubernetes.secrets[0].variable', 'spec.kubernetes.secrets[2].variable'],
  )
  assert.deepEqual(
    paths({
      secrets: [
        { variable: 'A', secret: 'one', key: 'a', external },
        { variable: 'B', secret: 'one', key: 'b' },
        { variable: 'C', secret: 'one', key: 'c', external: { ...external, store: 'aws' } },
        { variable: 'D', secret: 'two', key: 'd', external: { ...external, store: 'aws' } },
      ],
    }),
    ['spec.kubernetes.secrets[1].external', 'spec.kubernetes.secrets[2].external.store'],
  )
})

it('monitors of servers with keys need one', () => {
  const secrets = [{ variable: 'SLIPWAY_API_KEYS', secret: 'churn', key: 'keys' }]
  assert.deepEqual(paths({ secrets, monitoring: {} }), ['spec.kubernetes.monitoring.keySecret'])
  assert.deepEqual(paths({ secrets, monitoring: false }), [])
  const objects = renderEndpoint({
    apiVersion: 'slipway/v1',
    kind: 'Endpoint',
    metadata: { name: 'churn' },
    spec: { variants: [{ model: 'churn/1' }], kubernetes: { image: IMAGE, secrets, monitoring: { keySecret: 'scrape' } } },
  })
  const monitor = objects.find(({ kind }) => kind === 'PodMonitor')!['spec'] as { readonly podMetricsEndpoints: readonly object[] }
  assert.deepEqual(
    monitor.podMetricsEndpoints.map((one) => (one as { authorization: object }).authorization),
    [{ type: 'Bearer', credentials: { name: 'scrape', key: 'key' } }],
  )
})

it('routes that a gateway would understand otherwise, or not take', () => {
  const variants = (...matches: NonNullable<EndpointSpec['variants'][number]['match']>[]): EndpointSpec['variants'] => [
    { name: 'main', model: 'churn/1' },
    ...matches.map((match, index) => ({ name: index === 0 ? 'next' : 'last', model: `churn/${index + 2}`, match })),
  ]
  const images = { ...IMAGES, last: IMAGE.replaceAll('a', 'c') }
  const one = [{ header: 'x-tester', is: 'yes' }]
  const both = [
    {
      all: [
        { header: 'x-team', is: 'ml' },
        { header: 'x-site', is: 'eu' },
      ],
    },
  ]
  assert.deepEqual(paths({ traffic: 'gateway', images }, { variants: variants(one, both) }), ['spec.variants[2].match[0]'])
  assert.deepEqual(paths({ traffic: 'gateway', images }, { variants: variants(both, one) }), [])
  assert.deepEqual(paths({ traffic: 'istio', images }, { variants: variants(one, both) }), [])
  const many = Array.from({ length: 16 }, (_, at) => ({ header: 'x-user', is: String(at) }))
  assert.deepEqual(paths({ traffic: 'gateway' }, { variants: variants(many) }), ['spec.variants'])
  assert.deepEqual(paths({ traffic: 'gateway' }, { variants: variants(many.slice(1)) }), [])
  assert.deepEqual(paths({ traffic: 'gateway', expose: { by: 'ingress', host: 'churn.example' } }, { variants: variants(one) }), [
    'spec.kubernetes.expose.by',
  ])
})

it('two endpoints that would have one object are refused together', async () => {
  await using folder = await temporaryFolder()
  const document = (name: string, variants: string): string =>
    `apiVersion: slipway/v1\nkind: Endpoint\nmetadata: { name: ${name} }\nspec:\n  variants: ${variants}\n  kubernetes: { traffic: gateway, image: ${IMAGE} }\n`
  const [one, other] = [
    await folder.write('one.yaml', document('churn', '[{ name: next, model: churn/1 }]')),
    await folder.write('other.yaml', document('churn-next', '[{ model: churn/1 }]')),
  ]
  const { code, stderr } = await slipway(['render', '--target', 'kubernetes', one, other])
  assert.equal(code, 2)
  assert.match(stderr, /two endpoints have Service churn-next/)
})
