import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { applySet } from '../../src/cluster/apply.ts'
import { applySetId } from '../../src/cluster/apply-set.ts'
import { connect } from '../../src/cluster/client.ts'
import { differences } from '../../src/cluster/difference.ts'
import { objectsOf, revisions, revisionToUndo } from '../../src/cluster/revisions.ts'
import { untilRolledOut } from '../../src/cluster/rollout.ts'
import { statusOf } from '../../src/cluster/status.ts'
import { CUSTOMER, example, post, until } from '../fixtures.ts'
import { startNodes } from './fake-nodes.ts'
import { startKubernetes } from './kubernetes-cluster.ts'
import type { Cluster } from '../../src/cluster/cluster.ts'
import type { EndpointSet } from '../../src/cluster/revisions.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'
import type { FakeNodes } from './fake-nodes.ts'
import type { KubernetesCluster } from './kubernetes-cluster.ts'

const NAMESPACE = 'prod'
const IMAGES = {
  'registry.test/churn:1': { folders: { '/models': example('churn') } },
  'registry.test/churn:2': { folders: { '/models': example('churn') } },
}
const WHO = { who: 'a test' }
const KUBECTL = { KUBECTL_APPLYSET: 'true' }

function configMap(name: string, data: Record<string, string>): KubernetesObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: NAMESPACE }, data }
}

function setOf(endpoint: string): EndpointSet {
  return { endpoint, name: `slipway-${endpoint}`, namespace: NAMESPACE }
}

/** An endpoint by hand: what is applied is any list of objects. */
function endpoint(name: string, image = 'registry.test/churn:1', replicas: number | null = 2): KubernetesObject[] {
  const labels = { 'app.kubernetes.io/name': 'slipway', 'app.kubernetes.io/instance': name, 'slipway.dev/variant': 'main' }
  const probe = { httpGet: { path: '/v2/health/ready', port: 'http' }, periodSeconds: 1 }
  const container = {
    name: 'slipway',
    image,
    args: ['serve', 'churn=/models', '--host', '0.0.0.0', '--insecure', '--drain-pause', '500ms'],
    ports: [{ name: 'http', containerPort: 8470 }],
    startupProbe: { ...probe, failureThreshold: 60 },
    readinessProbe: probe,
  }
  const metadata = { name: `${name}-main`, namespace: NAMESPACE, labels }
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        ...(replicas !== null && { replicas }),
        selector: { matchLabels: labels },
        strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: { metadata: { labels }, spec: { containers: [container] } },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: labels, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
    },
    configMap(`${name}-extra`, { text: 'one' }),
  ]
}

describe('applying to a cluster', () => {
  let kubernetes: KubernetesCluster
  let nodes: FakeNodes
  let cluster: Cluster
  const opened = new AsyncDisposableStack()
  before(async () => {
    kubernetes = opened.use(await startKubernetes())
    await kubernetes.namespace(NAMESPACE)
    nodes = opened.use(await startNodes(kubernetes, { images: IMAGES }))
    cluster = opened.use(await connect({ kubeconfig: kubernetes.kubeconfig }))
  })
  after(() => opened.disposeAsync())
  const roll = async (set: EndpointSet, objects: readonly KubernetesObject[]): Promise<void> => {
    const { live } = await applySet(cluster, set, objects, WHO)
    await untilRolledOut(cluster, live, { timeoutMs: 120_000 })
  }
  const kubectl = (args: readonly string[], input?: string): Promise<string> =>
    kubernetes.kubectl([...args, '--namespace', NAMESPACE], input, KUBECTL)
  const imagesOf = (deployment: string): Promise<string> =>
    kubectl(['get', 'pods', '-l', `app.kubernetes.io/instance=${deployment}`, '-o', 'jsonpath={.items[*].spec.containers[0].image}'])

  test('objects become pods that answer; a new image replaces them, and undo brings back what was', async () => {
    const set = setOf('churn')
    await roll(set, endpoint('churn'))
    const urls = async (): Promise<string[]> => await nodes.endpoints(NAMESPACE, 'churn-main')
    await until(async () => (await urls()).length === 2, 'the Service has both pods')
    for (const url of await urls()) assert.equal((await post(`${url}/predict`, CUSTOMER)).status, 200)

    await roll(set, endpoint('churn', 'registry.test/churn:2'))
    assert.match(await imagesOf('churn'), /churn:2/)
    assert.deepEqual(
      (await revisions(cluster, set)).map(({ revision: { number, state, who } }) => ({ number, state, who })),
      [2, 1].map((number) => ({ number, state: 'applied', who: 'a test' })),
    )

    const back = await revisionToUndo(cluster, set)
    assert.equal(back.revision.number, 1)
    const { revision, live } = await applySet(cluster, set, objectsOf(back), { ...WHO, why: 'undo' })
    assert.equal(revision?.number, 3)
    await untilRolledOut(cluster, live, { timeoutMs: 120_000 })
    const deployment = await kubectl(['get', 'deployment', 'churn-main', '-o', 'jsonpath={.spec.template.spec.containers[0].image}'])
    assert.equal(deployment, 'registry.test/churn:1')
    // Kubernetes' own history has gone back to the same pods, and knows why.
    const history = await kubectl(['rollout', 'history', 'deployment/churn-main'])
    assert.match(history, /2\s+slipway revision 2\n3\s+slipway revision 3: undo/)

    const status = await statusOf(cluster, set)
    assert.equal(status.revision?.number, 3)
    assert.deepEqual(status.drift, [])
    const [variant] = status.variants
    assert.equal(variant?.variant, 'main')
    assert.equal(variant?.deployment.available, 2)
    assert.deepEqual(
      variant?.pods.filter(({ isReady }) => isReady).map(({ image }) => image),
      ['registry.test/churn:1', 'registry.test/churn:1'],
    )
  })

  test('kubectl rollout undo is the same step back, and shows as drift with its owner', async () => {
    const set = setOf('back')
    await roll(set, endpoint('back', 'registry.test/churn:1', 1))
    await roll(set, endpoint('back', 'registry.test/churn:2', 1))
    await kubectl(['rollout', 'undo', 'deployment/back-main'])
    await kubectl(['rollout', 'status', 'deployment/back-main', '--timeout=120s'])
    const { drift } = await statusOf(cluster, set)
    assert.deepEqual(
      drift?.flatMap(({ fields }) => fields.map(({ path, before, owners }) => ({ path, before, owners }))),
      [
        {
          path: 'spec.template.spec.containers[name=slipway].image',
          before: 'registry.test/churn:1',
          owners: ['kubectl'],
        },
      ],
    )
  })

  test('what others have set shows with its owner before and stops apply, unless it is forced', async () => {
    const set = setOf('drifting')
    const objects = [configMap('drifting', { text: 'one', other: 'same' })]
    await applySet(cluster, set, objects, WHO)
    assert.deepEqual(await differences(cluster, set, objects), [])
    await kubectl(['patch', 'configmap', 'drifting', '--patch', '{"data":{"text":"two"}}', '--field-manager=hand'])
    const [found] = await differences(cluster, set, objects)
    assert.deepEqual(found?.fields, [{ path: 'data.text', before: 'two', after: 'one', owners: ['hand'] }])
    await assert.rejects(applySet(cluster, set, objects, WHO), {
      code: 'SLW_FIELD_CONFLICT',
      message: 'ConfigMap prod/drifting: data.text: belongs to "hand"',
    })
    await applySet(cluster, set, objects, { ...WHO, force: true })
    assert.deepEqual(await differences(cluster, set, objects), [])
  })

  test('nothing changes where one object is refused', async () => {
    const set = setOf('refused')
    const bad = { ...configMap('refused-b', {}), data: undefined, dataa: { text: 'two' } }
    await assert.rejects(applySet(cluster, set, [configMap('refused-a', { text: 'one' }), bad], WHO), { code: 'SLW_CLUSTER_REFUSED' })
    assert.equal(await cluster.read(configMap('refused-a', {})), undefined)
    assert.deepEqual(await revisions(cluster, set), [])
  })

  test('values of Secrets are shown as digests', async () => {
    const set = setOf('secret')
    const secret = (value: string): KubernetesObject => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'keys', namespace: NAMESPACE },
      stringData: { key: value },
    })
    await cluster.apply(secret('a-value-that-nobody-sees'))
    const text = JSON.stringify(await differences(cluster, set, [secret('another-value')]))
    assert.match(text, /"path":"data.key","before":"\*\*\* \([0-9a-f]{8}\)"/)
    for (const value of ['a-value-that-nobody-sees', 'another-value'])
      assert.ok(!text.includes(value) && !text.includes(Buffer.from(value).toString('base64')))
  })

  test('what is gone from the list is removed, and what is not of the set stays', async () => {
    const set = setOf('pruned')
    await cluster.apply(configMap('pruned-neighbour', { text: 'stays' }))
    await applySet(cluster, set, [configMap('pruned-a', {}), configMap('pruned-b', {}), ...endpoint('pruned').slice(1)], WHO)
    const trial = await applySet(cluster, set, [configMap('pruned-a', {})], { ...WHO, dryRun: true })
    const gone = ['ConfigMap pruned-b', 'ConfigMap pruned-extra', 'Service pruned-main']
    const removed = ({ applied }: typeof trial): string[] =>
      applied.flatMap(({ change, object }) => (change === 'removed' ? [`${object.kind} ${object.metadata.name}`] : [])).toSorted()
    assert.deepEqual(removed(trial), gone)
    assert.ok((await cluster.read(configMap('pruned-b', {}))) !== undefined)
    assert.deepEqual(removed(await applySet(cluster, set, [configMap('pruned-a', {})], WHO)), gone)
    const left = await kubectl(['get', 'configmap', '-o', 'name'])
    assert.match(left, /configmap\/pruned-a\n/)
    assert.match(left, /configmap\/pruned-neighbour\n/)
    assert.doesNotMatch(left, /configmap\/pruned-b\n/)
  })

  test('kubectl prunes a set of ours, and we one of kubectl', async () => {
    const set = setOf('both')
    const list = (...names: readonly string[]): KubernetesObject[] => names.map((name) => configMap(name, { text: 'one' }))
    const asList = (items: readonly KubernetesObject[]): string => JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
    const applyset = ['apply', '--server-side', '--prune', `--applyset=configmaps/${set.name}`, '--field-manager=slipway', '-f', '-']
    await applySet(cluster, set, list('both-a', 'both-b', 'both-c'), WHO)
    assert.match(await kubectl(applyset, asList(list('both-a', 'both-b'))), /configmap\/both-c pruned/)
    const { applied } = await applySet(cluster, set, list('both-a'), WHO)
    assert.deepEqual(
      applied.filter(({ change }) => change === 'removed').map(({ object }) => object.metadata.name),
      ['both-b'],
    )

    const theirs = { ...setOf('theirs'), name: 'theirs' }
    const own = applyset.map((word) => (word.startsWith('--applyset') ? '--applyset=configmaps/theirs' : word))
    await kubectl(own, asList(list('theirs-a', 'theirs-b')))
    const id = await kubectl(['get', 'configmap', 'theirs', '-o', String.raw`jsonpath={.metadata.labels.applyset\.kubernetes\.io/id}`])
    assert.equal(id, applySetId(theirs))
    const after = await applySet(cluster, theirs, list('theirs-a'), WHO)
    assert.deepEqual(
      after.applied.filter(({ change }) => change === 'removed').map(({ object }) => object.metadata.name),
      ['theirs-b'],
    )
  })

  test('the set of another tool is left alone', async () => {
    const set = setOf('foreign')
    const annotations = { 'applyset.kubernetes.io/tooling': 'helmish/v1.0' }
    const parent = { ...configMap(set.name, {}), metadata: { name: set.name, namespace: NAMESPACE, annotations } }
    await kubectl(['create', '-f', '-'], JSON.stringify(parent))
    await assert.rejects(applySet(cluster, set, [configMap('foreign-a', {})], WHO), {
      code: 'SLW_CONFLICT',
      message: /helmish\/v1.0 keeps/,
    })
  })

  test('replicas go over to whoever scales without a moment in which there are fewer', async () => {
    const set = setOf('scaled')
    const replicas = (): Promise<string> => kubectl(['get', 'deployment', 'scaled-main', '-o', 'jsonpath={.spec.replicas}'])
    await roll(set, endpoint('scaled', 'registry.test/churn:1', 3))
    const [deployment, ...others] = endpoint('scaled', 'registry.test/churn:1', null)
    const scaler: KubernetesObject = {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'scaled-main', namespace: NAMESPACE },
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'scaled-main' },
        minReplicas: 1,
        maxReplicas: 5,
        metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } }],
      },
    }
    const scaled = [deployment!, ...others, scaler]
    assert.deepEqual(
      (await differences(cluster, set, scaled)).map(({ change, kind, fields }) => `${change} ${kind} ${JSON.stringify(fields)}`),
      ['created HorizontalPodAutoscaler []'],
    )
    await applySet(cluster, set, scaled, WHO)
    assert.equal(await replicas(), '3')
    await kubectl(['scale', 'deployment', 'scaled-main', '--replicas=4'])
    await applySet(cluster, set, scaled, WHO)
    assert.equal(await replicas(), '4')
    assert.deepEqual(await differences(cluster, set, scaled), [])
    const { scaling } = (await statusOf(cluster, set)).variants[0] ?? {}
    assert.equal(scaling?.max, 5)
    assert.match(scaling.metrics.join(), /^cpu unknown of 80%$/)
  })

  test('what is not ready says why, with the pod', async () => {
    const wait = async (name: string, image: string, change: (objects: KubernetesObject[]) => void): Promise<string> => {
      const objects = endpoint(name, image, 1)
      change(objects)
      const { live } = await applySet(cluster, setOf(name), objects, WHO)
      const error = await untilRolledOut(cluster, live, { timeoutMs: 12_000 }).then(
        () => undefined,
        (thrown: unknown) => thrown as Error & { code: string },
      )
      assert.equal(error?.code, 'SLW_NOT_ROLLED_OUT')
      return error.message
    }
    const podOf = (objects: KubernetesObject[]): Record<string, unknown> =>
      (objects[0] as unknown as { spec: { template: { spec: Record<string, unknown> } } }).spec.template.spec
    const [pulling, crashing, waiting] = await Promise.all([
      wait('pulling', 'registry.test/unknown:1', () => {}),
      wait('crashing', 'registry.test/churn:1', (objects) => {
        const [container] = podOf(objects)['containers'] as { args: string[] }[]
        container!.args = ['serve', '/nowhere']
      }),
      wait('waiting', 'registry.test/churn:1', (objects) => {
        podOf(objects)['nodeSelector'] = { disk: 'gold' }
      }),
    ])
    assert.match(
      pulling,
      /not ready after 12 s: pulling-main: .*pod pulling-main-\S+ ImagePullBackOff: Back-off pulling image "registry.test\/unknown:1"/,
    )
    assert.match(crashing, /pod crashing-main-\S+ CrashLoopBackOff: .*; it ended with \d+ \(Error\)/)
    assert.match(waiting, /pod waiting-main-\S+ no node takes it: 0\/3 nodes are available: 3 node\(s\) didn't match/)
  })
})
