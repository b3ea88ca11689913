import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isSlipwayError } from '../../../src/core/errors.ts'
import { packageEndpoint } from '../../../src/kubernetes/packaging/packaging.ts'
import { renderEndpoint } from '../../../src/kubernetes/render.ts'
import { offences } from '../definitions.ts'
import { IMAGE, KUBERNETES_ENDPOINTS } from '../specs.ts'
import { validate } from '../validate.ts'
import type { EndpointDocument, EndpointSpec } from '../../../src/contract/endpoint.ts'
import type { KubernetesOptions } from '../../../src/contract/kubernetes.ts'
import type { Rollout } from '../../../src/contract/rollout.ts'
import type { KubernetesObject } from '../../../src/kubernetes/object.ts'
import type { Form, PackagingOptions } from '../../../src/kubernetes/packaging/packaging.ts'

const OPTIONS: PackagingOptions = {
  prometheus: 'http://prometheus.monitoring:9090',
  controlPlane: 'https://slipway.example/',
  rollout: 'ro-17',
  alertSecret: 'slack',
  repository: 'https://git.example/team/serving.git',
}

function endpoint(kubernetes: KubernetesOptions, rollout?: Rollout, rest: Partial<EndpointSpec> = {}): EndpointDocument {
  return {
    apiVersion: 'slipway/v1',
    kind: 'Endpoint',
    metadata: { name: 'churn' },
    spec: {
      variants: [{ model: 'churn@champion' }],
      target: 'kubernetes',
      ...(rollout !== undefined && { rollout }),
      kubernetes: { image: IMAGE, ...kubernetes },
      ...rest,
    },
  }
}

function objectsOf(document: EndpointDocument, form: Form, options: PackagingOptions = OPTIONS): KubernetesObject[] {
  const made = packageEndpoint(document, form, options)
  assert.ok('objects' in made)
  return JSON.parse(JSON.stringify(made.objects)) as KubernetesObject[]
}

const GROUPS_WITH_DEFINITIONS =
  /^(argoproj\.io|flagger\.app|keda\.sh|gateway\.networking\.k8s\.io|networking\.istio\.io|monitoring\.coreos\.com|external-secrets\.io|serving\.kserve\.io)\//

/** Against the definitions of its project, unknown fields included, or the types of Kubernetes. */
async function sound(objects: readonly KubernetesObject[]): Promise<void> {
  for (const object of objects) {
    if (GROUPS_WITH_DEFINITIONS.test(object.apiVersion)) assert.deepEqual(offences(object), [], `${object.kind} ${object.metadata.name}`)
    else await validate(object)
  }
}

function specOf<T>(objects: readonly KubernetesObject[], kind: string, name?: string): T {
  const found = objects.filter((object) => object.kind === kind && (name === undefined || object.metadata.name === name))
  assert.equal(found.length, 1, `${found.length} of ${kind}`)
  return found[0]!['spec'] as T
}

const refused = (message: RegExp) => (error: unknown) => isSlipwayError(error) && message.test(error.message)

const CANARY: Rollout = { steps: [5, { weight: 50, bake: '10m', approve: true }], bake: '2m', minimumSample: 200 }
const TRAFFIC = ['service', 'gateway', 'istio', 'linkerd'] as const

describe('definitions of others', () => {
  it('have every field of all rendered objects', () => {
    let held = 0
    for (const [name, document] of KUBERNETES_ENDPOINTS)
      for (const object of JSON.parse(JSON.stringify(renderEndpoint(document))) as KubernetesObject[])
        if (GROUPS_WITH_DEFINITIONS.test(object.apiVersion)) {
          assert.deepEqual(offences(object), [], `${name}: ${object.kind}`)
          held += 1
        }
    assert.ok(held > 20, String(held))
  })

  it('refuse what they do not have', () => {
    const object = objectsOf(endpoint({}, CANARY), 'argo-rollouts').find(({ kind }) => kind === 'Rollout')
    const spec = object!['spec'] as Record<string, unknown>
    assert.deepEqual(offences({ ...object!, spec: { ...spec, replica: 3 } }), ['.spec.replica: unknown'])
    assert.deepEqual(offences({ ...object!, spec: { ...spec, replicas: 'three' } }), ['.spec.replicas: is no integer'])
  })
})

describe('a Rollout of Argo', () => {
  it('is sound with every kind of traffic and every strategy', async () => {
    const strategies: Rollout[] = [
      CANARY,
      {},
      { strategy: 'linear', stepWeight: 25 },
      { strategy: 'blue-green' },
      { strategy: 'all-at-once' },
      { strategy: 'ab', share: 50, duration: '2d' },
    ]
    for (const traffic of TRAFFIC)
      for (const rollout of strategies)
        for (const rest of [{ replicas: 3 }, { autoscaling: { minReplicas: 2, maxReplicas: 9 } }])
          await sound(objectsOf(endpoint({ traffic }, rollout, rest), 'argo-rollouts'))
    for (const traffic of ['gateway', 'istio'] as const)
      await sound(objectsOf(endpoint({ traffic }, { strategy: 'shadow-then-canary' }), 'argo-rollouts'))
  })

  it('takes the place of the Deployment, under the same scaler', () => {
    const document = endpoint({}, CANARY, { autoscaling: { minReplicas: 2, maxReplicas: 9 } })
    const objects = objectsOf(document, 'argo-rollouts')
    assert.equal(
      objects.some(({ kind }) => kind === 'Deployment'),
      false,
    )
    const { selector, template, replicas } = specOf<{ selector: unknown; template: { spec: object }; replicas?: number }>(
      objects,
      'Rollout',
    )
    const before = specOf<{ selector: unknown; template: { spec: object } }>(renderEndpoint(document), 'Deployment')
    assert.equal(replicas, undefined)
    assert.deepEqual(selector, before.selector)
    assert.deepEqual(
      { ...template.spec, topologySpreadConstraints: [] },
      JSON.parse(JSON.stringify({ ...before.template.spec, topologySpreadConstraints: [] })),
    )
    assert.deepEqual(specOf<{ scaleTargetRef: unknown }>(objects, 'HorizontalPodAutoscaler').scaleTargetRef, {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Rollout',
      name: 'churn-main',
    })
  })

  it('has the steps of the strategy, waits for a pass before the last, and for a person where one has to approve', () => {
    const { strategy } = specOf<{ strategy: { canary: { steps: unknown[]; analysis: { startingStep: number } } } }>(
      objectsOf(endpoint({ traffic: 'gateway' }, CANARY), 'argo-rollouts'),
      'Rollout',
    )
    assert.deepEqual(strategy.canary.steps, [
      { setWeight: 5 },
      { pause: { duration: '120s' } },
      { setWeight: 50 },
      { pause: { duration: '600s' } },
      { analysis: { templates: [{ templateName: 'churn-main-verdict-pass' }] } },
      { pause: {} },
    ])
    assert.equal(strategy.canary.analysis.startingStep, 1)
  })

  it('has its routes, Services and subsets by the names that are there', () => {
    for (const traffic of ['gateway', 'linkerd'] as const) {
      const objects = objectsOf(endpoint({ traffic }, CANARY), 'argo-rollouts')
      const services = objects.filter(({ kind }) => kind === 'Service').map(({ metadata }) => metadata.name)
      assert.deepEqual(services, ['churn', 'churn-main', 'churn-main-canary'])
      const { canary } = specOf<{ strategy: { canary: { stableService: string; canaryService: string; trafficRouting: unknown } } }>(
        objects,
        'Rollout',
      ).strategy
      assert.deepEqual([canary.stableService, canary.canaryService], ['churn-main', 'churn-main-canary'])
      assert.deepEqual(canary.trafficRouting, { plugins: { 'argoproj-labs/gatewayAPI': { httpRoute: 'churn', namespace: 'default' } } })
      const { rules } = specOf<{ rules: { backendRefs: { name: string; weight: number }[] }[] }>(objects, 'HTTPRoute')
      assert.deepEqual(
        rules.at(-1)!.backendRefs.map(({ name, weight }) => [name, weight]),
        [
          ['churn-main', 100],
          ['churn-main-canary', 0],
        ],
      )
    }
    const objects = objectsOf(endpoint({ traffic: 'istio' }, CANARY), 'argo-rollouts')
    const { trafficRouting } = specOf<{ strategy: { canary: { trafficRouting: unknown } } }>(objects, 'Rollout').strategy.canary
    assert.deepEqual(trafficRouting, {
      istio: {
        virtualService: { name: 'churn', routes: ['primary'] },
        destinationRule: { name: 'churn', stableSubsetName: 'stable', canarySubsetName: 'canary' },
      },
    })
    const [route] = specOf<{ http: { name: string; route: { destination: { subset: string }; weight: number }[] }[] }>(
      objects,
      'VirtualService',
    ).http
    assert.equal(route!.name, 'primary')
    assert.deepEqual(
      route!.route.map(({ destination, weight }) => [destination.subset, weight]),
      [
        ['stable', 100],
        ['canary', 0],
      ],
    )
    assert.deepEqual(
      specOf<{ subsets: { name: string }[] }>(objects, 'DestinationRule').subsets.map(({ name }) => name),
      ['stable', 'canary'],
    )
  })

  it('asks the verdict with a token of a Secret', () => {
    const objects = objectsOf(endpoint({}, CANARY), 'argo-rollouts')
    const { args, metrics } = specOf<{ args: unknown; metrics: { provider: { web: { url: string; headers: unknown } } }[] }>(
      objects,
      'AnalysisTemplate',
      'churn-main-verdict',
    )
    assert.deepEqual(args, [{ name: 'token', valueFrom: { secretKeyRef: { name: 'slipway-verdict', key: 'token' } } }])
    assert.equal(metrics[0]!.provider.web.url, 'https://slipway.example/api/v1/rollouts/ro-17/verdict')
    assert.deepEqual(metrics[0]!.provider.web.headers, [{ key: 'Authorization', value: 'Bearer {{args.token}}' }])
  })

  it('is refused where Argo cannot do it', () => {
    const make =
      (document: EndpointDocument, options = OPTIONS) =>
      () =>
        packageEndpoint(document, 'argo-rollouts', options)
    assert.throws(make(KUBERNETES_ENDPOINTS.get('shares by a gateway')!), refused(/2 variants/))
    assert.throws(make(KUBERNETES_ENDPOINTS.get('servers that follow')!), refused(/follow a control plane/))
    assert.throws(make(endpoint({}, { steps: [0.5, 50] })), refused(/spec\.rollout\.steps.*whole percents/))
    assert.throws(make(endpoint({}, { strategy: 'shadow-then-canary' })), refused(/Istio or the Gateway API/))
    assert.throws(make(endpoint({}, CANARY), { controlPlane: 'http://a' }), refused(/--control-plane URL and --rollout ID/))
    assert.match(packageEndpoint(endpoint({}, CANARY), 'argo-rollouts').notes.join(), /nothing judges the new version/)
  })
})

describe('a Canary of Flagger', () => {
  it('is sound with every kind of traffic', async () => {
    for (const traffic of ['gateway', 'istio', 'linkerd'] as const)
      for (const rest of [{ replicas: 3 }, { autoscaling: { minReplicas: 2, maxReplicas: 9 } }])
        await sound(objectsOf(endpoint({ traffic }, CANARY, rest), 'flagger'))
    await sound(objectsOf(endpoint({}, { strategy: 'blue-green' }), 'flagger'))
  })

  it('finds its own pods by a label that no other endpoint has', () => {
    const objects = objectsOf(endpoint({ traffic: 'istio' }, CANARY), 'flagger')
    const { selector, template } = specOf<{
      selector: { matchLabels: Record<string, string> }
      template: { metadata: { labels: Record<string, string> } }
    }>(objects, 'Deployment')
    // Flagger takes the first of app, name and app.kubernetes.io/name.
    assert.equal(selector.matchLabels['app'], 'churn-main')
    assert.equal(template.metadata.labels['app'], 'churn-main')
    assert.equal(
      objects.some(({ kind }) => ['Service', 'VirtualService', 'DestinationRule', 'HTTPRoute'].includes(kind)),
      false,
    )
  })

  it('has the steps, and goes back by a hook that says yes only to a failure', () => {
    const { analysis, provider } = specOf<{
      provider: string
      analysis: { stepWeights: number[]; interval: string; webhooks: { type: string; url: string }[]; metrics: unknown[] }
    }>(objectsOf(endpoint({ traffic: 'gateway' }, CANARY), 'flagger'), 'Canary')
    assert.equal(provider, 'gatewayapi:v1')
    assert.deepEqual([analysis.stepWeights, analysis.interval, analysis.metrics.length], [[5, 50], '600s', 2])
    const address = 'https://slipway.example/api/v1/rollouts/ro-17/verdict'
    assert.deepEqual(
      analysis.webhooks.map(({ type, url }) => [type, url]),
      [
        ['confirm-traffic-increase', address],
        ['confirm-promotion', `${address}?needs=pass`],
        ['rollback', `${address}?needs=fail`],
      ],
    )
  })

  it('is refused where Flagger cannot do it', () => {
    const make = (document: EndpointDocument) => () => packageEndpoint(document, 'flagger', OPTIONS)
    assert.throws(make(endpoint({}, CANARY)), refused(/a Service knows no shares/))
    assert.throws(make(endpoint({ traffic: 'istio' }, { strategy: 'shadow-then-canary' })), refused(/copies requests/))
    assert.throws(make(KUBERNETES_ENDPOINTS.get('shares by Istio')!), refused(/2 variants/))
  })
})

describe('Argo CD', () => {
  it('keeps an endpoint as its repository has it, but for what others change', async () => {
    const document = endpoint({ traffic: 'gateway' }, CANARY, { autoscaling: { minReplicas: 2, maxReplicas: 9 } })
    const objects = objectsOf(document, 'argo-cd')
    await sound(objects)
    for (const object of objects) await validate(object)
    const { source, syncPolicy, ignoreDifferences } = specOf<{
      source: object
      syncPolicy: { automated: object; syncOptions: string[] }
      ignoreDifferences: { kind: string }[]
    }>(objects, 'Application')
    assert.deepEqual(source, { repoURL: OPTIONS.repository, targetRevision: 'HEAD', path: 'churn' })
    assert.deepEqual(syncPolicy.automated, { prune: true, selfHeal: true })
    for (const option of ['CreateNamespace=true', 'ServerSideApply=true', 'RespectIgnoreDifferences=true'])
      assert.ok(syncPolicy.syncOptions.includes(option))
    assert.deepEqual(
      ignoreDifferences.map(({ kind }) => kind),
      ['Deployment', 'Rollout', 'HTTPRoute', 'Service'],
    )
    assert.equal('ignoreDifferences' in specOf<object>(objectsOf(endpoint({}), 'argo-cd'), 'Application'), false)
  })

  it('has an Application for each environment', async () => {
    const objects = objectsOf(endpoint({}), 'argo-cd', { ...OPTIONS, path: 'deploy/churn', environments: ['staging', 'production'] })
    await sound(objects)
    const { generators, template } = specOf<{
      generators: { list: { elements: unknown } }[]
      template: { spec: { source: { path: string }; destination: { namespace: string } } }
    }>(objects, 'ApplicationSet')
    assert.deepEqual(generators[0]!.list.elements, [{ environment: 'staging' }, { environment: 'production' }])
    assert.equal(template.spec.source.path, 'deploy/churn/overlays/{{ .environment }}')
    assert.equal(template.spec.destination.namespace, '{{ .environment }}')
    assert.throws(() => packageEndpoint(endpoint({}), 'argo-cd'), refused(/--repository URL/))
  })
})

describe('KServe', () => {
  it('runs a server of ours for a model that it brings, or an image with the model inside', async () => {
    const brought = objectsOf(endpoint({}, undefined, { replicas: 2 }), 'kserve', { storageUri: 'oci://images.example/churn-model:3' })
    await sound(brought)
    const { model } = specOf<{ predictor: { model: Record<string, unknown> } }>(brought, 'InferenceService').predictor
    assert.deepEqual(model, {
      modelFormat: { name: 'onnx' },
      runtime: 'churn-main',
      protocolVersion: 'v2',
      storageUri: 'oci://images.example/churn-model:3',
    })
    const runtime = specOf<{ multiModel: boolean; containers: { name: string; args: string[]; ports: object[] }[] }>(
      brought,
      'ServingRuntime',
    )
    assert.equal(runtime.multiModel, false)
    assert.deepEqual([runtime.containers[0]!.name, runtime.containers[0]!.args], ['kserve-container', ['serve', 'churn-main=/mnt/models']])
    assert.deepEqual(runtime.containers[0]!.ports, [{ name: 'http1', containerPort: 8470, protocol: 'TCP' }])

    const inside = objectsOf(
      endpoint({}, undefined, { autoscaling: { minReplicas: 2, maxReplicas: 9, metric: 'rps', targetValue: 40 } }),
      'kserve',
    )
    await sound(inside)
    const { predictor } = specOf<{ predictor: Record<string, unknown> }>(inside, 'InferenceService')
    assert.deepEqual(
      [predictor['minReplicas'], predictor['maxReplicas'], predictor['scaleMetric'], predictor['scaleTarget']],
      [2, 9, 'rps', 40],
    )
    assert.equal(
      inside.some(({ kind }) => kind === 'ServingRuntime'),
      false,
    )

    const volume = objectsOf(KUBERNETES_ENDPOINTS.get('the model in a volume')!, 'kserve')
    await sound(volume)
    assert.match(JSON.stringify(volume), /"storageUri":"oci:\/\//)
  })

  it('shares requests by revisions with Knative, and by a graph between variants', async () => {
    const shares = objectsOf(endpoint({}, CANARY), 'kserve', { serverless: true })
    assert.equal(specOf<{ predictor: { canaryTrafficPercent: number } }>(shares, 'InferenceService').predictor.canaryTrafficPercent, 5)
    await sound(shares)
    const two = objectsOf(KUBERNETES_ENDPOINTS.get('shares by a gateway')!, 'kserve')
    await sound(two)
    const { nodes } = specOf<{ nodes: { root: { steps: { serviceName: string; weight: number }[] } } }>(two, 'InferenceGraph')
    assert.deepEqual(
      nodes.root.steps.map(({ weight }) => weight),
      [90, 10],
    )
    assert.equal(two.filter(({ kind }) => kind === 'InferenceService').length, 2)
    assert.throws(() => packageEndpoint(KUBERNETES_ENDPOINTS.get('servers that follow')!, 'kserve'), refused(/follow a control plane/))
  })
})
