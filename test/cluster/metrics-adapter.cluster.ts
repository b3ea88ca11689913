/** Endpoints that scale by our metrics: a real API server asks our adapter, and the controllers of Kubernetes do the rest. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { selfSigned } from '../../src/cluster/metrics/self-signed.ts'
import { metricsAdapterObjects } from '../../src/kubernetes/components/metrics-adapter.ts'
import { SCALING_METRICS, selectorOf } from '../../src/kubernetes/labels.ts'
import { CUSTOMER, example, until } from '../fixtures.ts'
import { adapterInChild } from './adapter-in-child.ts'
import { startNodes } from './fake-nodes.ts'
import { startKubernetes } from './kubernetes-cluster.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'
import type { ChildAdapter } from './adapter-in-child.ts'
import type { KubernetesCluster } from './kubernetes-cluster.ts'

const IMAGE = 'registry.test/churn:1'
const CUSTOM = '/apis/custom.metrics.k8s.io/v1beta2'
const RPS = SCALING_METRICS.rps
const ADAPTER = 'slipway-metrics-adapter'
const VIEWER = { token: 'viewer', name: 'viewer' }

const labels = selectorOf('churn', 'main')

/** An endpoint as it is applied: without replicas, as these belong to the HPA. */
function endpoint(environment: string): KubernetesObject {
  const probe = { httpGet: { path: '/v2/health/ready', port: 'http' }, periodSeconds: 1 }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'churn-main', namespace: 'prod', labels },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 10,
          containers: [
            {
              name: 'slipway',
              image: IMAGE,
              args: ['serve', 'churn=/models', '--host', '0.0.0.0', '--insecure', '--drain-pause', '0s'],
              env: [{ name: 'EXAMPLE', value: environment }],
              ports: [{ name: 'http', containerPort: 8470 }],
              startupProbe: { ...probe, failureThreshold: 60 },
              readinessProbe: probe,
            },
          ],
        },
      },
    },
  }
}

/** Two requests per second for each pod, and no patience: a machine that is busy sends fewer than it should. */
const SCALER: KubernetesObject = {
  apiVersion: 'autoscaling/v2',
  kind: 'HorizontalPodAutoscaler',
  metadata: { name: 'churn-main', namespace: 'prod' },
  spec: {
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'churn-main' },
    minReplicas: 1,
    maxReplicas: 3,
    metrics: [{ type: 'Pods', pods: { metric: { name: RPS }, target: { type: 'AverageValue', averageValue: '2' } } }],
    behavior: {
      scaleUp: { stabilizationWindowSeconds: 0 },
      scaleDown: { stabilizationWindowSeconds: 0, policies: [{ type: 'Percent', value: 100, periodSeconds: 1 }] },
    },
  },
}

describe('scaling in a cluster', () => {
  const opened = new AsyncDisposableStack()
  let cluster: KubernetesCluster
  let adapter: ChildAdapter
  let flags: readonly string[]
  const objects: KubernetesObject[] = []

  before(async () => {
    cluster = opened.use(
      await startKubernetes({
        controllerFlags: ['--horizontal-pod-autoscaler-sync-period=1s', '--use-service-account-credentials=true'],
        users: [VIEWER],
      }),
    )
    await cluster.namespace('prod')
    await cluster.namespace('slipway', { restricted: true })
    const images = { [IMAGE]: { folders: { '/models': example('churn') } } }
    opened.use(await startNodes(cluster, { images, addresses: 'loopback', nodes: [{ name: 'node-1' }] }))

    const { cert, key } = selfSigned([`${ADAPTER}.slipway.svc`], 1, Date.now())
    const files = [`${cluster.folder}/adapter.crt`, `${cluster.folder}/adapter.key`, `${cluster.folder}/adapter.token`] as const
    objects.push(...metricsAdapterObjects({ image: IMAGE, certificate: { secret: 'tls', caBundle: Buffer.from(cert).toString('base64') } }))
    // Accounts and rights are real; the adapter itself is a process beside the cluster, so that it can fail.
    await apply(objects.filter(({ kind }) => ['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'RoleBinding'].includes(kind)))
    const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } }
    const { body } = await cluster.request('POST', `/api/v1/namespaces/slipway/serviceaccounts/${ADAPTER}/token`, request)
    const { token } = body['status'] as { token: string }
    for (const [index, text] of [cert, key, token].entries()) await writeFile(files[index]!, text, { mode: 0o600 })
    flags = [
      '--kube-api',
      cluster.url,
      '--kube-ca',
      cluster.authority,
      '--kube-token-file',
      files[2],
      '--tls-cert',
      files[0],
      '--tls-key',
      files[1],
      '--interval',
      '500ms',
      '--window',
      '4s',
    ]
    adapter = opened.use(await adapterInChild(flags))
    await apply([endpoint('first')])
    await until(async () => (await readyPods()) === 1, 'a pod is ready', 90_000)
  })
  after(() => opened.disposeAsync())

  const apply = async (some: readonly object[]): Promise<string> =>
    await cluster.kubectl(
      ['apply', '--server-side', '--field-manager=slipway', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: some }),
    )
  const deployment = async (): Promise<any> => (await cluster.request('GET', '/apis/apps/v1/namespaces/prod/deployments/churn-main')).body
  const replicas = async (): Promise<number> => (await deployment()).spec.replicas
  const readyPods = async (): Promise<number> => (await deployment()).status?.readyReplicas ?? 0
  const scaler = async (): Promise<any> =>
    (await cluster.request('GET', '/apis/autoscaling/v2/namespaces/prod/horizontalpodautoscalers/churn-main')).body
  const condition = async (type: string): Promise<any> =>
    ((await scaler()).status?.conditions ?? []).find((one: { type: string }) => one.type === type)
  const podAddresses = async (): Promise<string[]> => {
    const { body } = await cluster.request('GET', '/api/v1/namespaces/prod/pods')
    const ready = (body['items'] as any[]).filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && isReady(status))
    return ready.map(({ status }) => `http://${status.podIP}:8470`)
  }
  const load = (): Disposable & { failed: number; answered: number } => {
    const counts = { failed: 0, answered: 0 }
    const ended = new AbortController()
    let addresses: string[] = []
    let turn = 0
    const looking = setInterval(() => void podAddresses().then((found) => (addresses = found)), 500)
    const sending = setInterval(() => {
      const url = addresses[turn++ % Math.max(1, addresses.length)]
      if (url === undefined || ended.signal.aborted) return
      fetch(`${url}/models/churn/predict`, {
        method: 'POST',
        body: JSON.stringify(CUSTOMER),
        headers: { 'content-type': 'application/json' },
      }).then(
        async (response) => {
          await response.arrayBuffer()
          if (response.ok) counts.answered++
          else counts.failed++
        },
        () => counts.failed++,
      )
    }, 1000 / 40)
    return Object.assign(counts, {
      [Symbol.dispose]() {
        ended.abort()
        clearInterval(looking)
        clearInterval(sending)
      },
    })
  }

  test('all objects of the adapter are ones that the API server takes, in a namespace that is restricted', async () => {
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })
    const said = await cluster.kubectl(['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-'], list)
    assert.equal(said.trim().split('\n').length, objects.length, said)
    assert.doesNotMatch(said, /Warning/)
    const { body: made } = await cluster.request('POST', '/api/v1/namespaces/slipway/pods?dryRun=All', {
      metadata: { name: 'adapter' },
      spec: (objects.find(({ kind }) => kind === 'Deployment') as any).spec.template.spec,
    })
    assert.equal(made['kind'], 'Pod', `restricted namespaces take its pods: ${JSON.stringify(made)}`)
  })

  test('the API server hands on what kubectl asks, to those who may', async () => {
    // Services without a pod that the cluster knows lead to where the adapter is.
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: ADAPTER, namespace: 'slipway' },
      spec: { type: 'ExternalName', externalName: 'localhost' },
    }
    const registered = objects.filter(({ kind }) => kind === 'APIService') as any[]
    const here = registered.map((one) => ({ ...one, spec: { ...one.spec, service: { ...one.spec.service, port: adapter.port } } }))
    await apply([service, ...here])
    for (const { metadata } of here)
      await cluster.kubectl(['wait', '--for=condition=Available', `apiservice/${metadata.name}`, '--timeout=60s'])

    const raw = async (path: string): Promise<any> => JSON.parse(await cluster.kubectl(['get', '--raw', path]))
    assert.equal((await raw(CUSTOM)).resources.length, 3)
    await until(async () => (await raw(`${CUSTOM}/namespaces/prod/pods/*/${RPS}`)).items.length === 1, 'the pod has numbers', 60_000)
    const selector = encodeURIComponent('app.kubernetes.io/instance=churn')
    const [item] = (await raw(`/apis/custom.metrics.k8s.io/v1beta1/namespaces/prod/pods/*/${RPS}?labelSelector=${selector}`)).items
    assert.deepEqual([item.metricName, item.describedObject.kind, item.value], [RPS, 'Pod', '0'])
    assert.match(await cluster.kubectl(['api-versions']), /^custom\.metrics\.k8s\.io\/v1beta2$/m)

    const kubeconfig = await cluster.kubeconfigOf(VIEWER.token)
    const asViewer = ['--kubeconfig', kubeconfig, 'get', '--raw', `${CUSTOM}/namespaces/prod/pods/*/${RPS}`]
    await assert.rejects(cluster.kubectl(asViewer), /Forbidden/, 'the API server asks for the right before it hands on')
    await cluster.kubectl(['-n', 'prod', 'create', 'rolebinding', 'viewer', '--clusterrole=view', '--user=viewer'])
    await until(
      async () => (await cluster.kubectl(asViewer).catch(() => '')).includes(RPS),
      'who may view the namespace may read its metrics, once roles are added up',
      30_000,
    )
    assert.doesNotMatch(cluster.said(), /Failed to fetch API discovery for custom.metrics/i)
  })

  test('pods are added under load, stay while the adapter is away, and go when the load has ended', async () => {
    await apply([SCALER])
    await until(async () => (await condition('ScalingActive'))?.status === 'True', 'the HPA has numbers', 60_000)
    assert.equal(await replicas(), 1)
    {
      using sent = load()
      await until(async () => (await replicas()) === 3 && (await readyPods()) === 3, 'there are three pods', 90_000)

      await apply([endpoint('second')])
      assert.equal(await replicas(), 3, 'an apply leaves replicas to whoever scales')
      await until(async () => (await deployment()).status.updatedReplicas === 3 && (await readyPods()) === 3, 'it is rolled out', 90_000)
      assert.ok((await replicas()) >= 1)
      await until(async () => (await replicas()) === 3, 'there are three pods again', 60_000)
      assert.ok(sent.answered > 50)

      await adapter.kill()
      await until(async () => (await condition('ScalingActive'))?.status === 'False', 'the HPA has no numbers', 60_000)
    }
    // Nobody asks any more, and nobody tells: what is there stays.
    await pause(6000)
    assert.equal(await replicas(), 3)

    adapter = opened.use(await adapterInChild(flags, adapter.port))
    await until(async () => (await replicas()) === 1, 'the pods that nobody needs go', 90_000)
    assert.equal((await condition('ScalingActive')).status, 'True')
  })
})

function isReady({ conditions = [] }: { conditions?: { type: string; status: string }[] }): boolean {
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True')
}
