/** The nodes of the tests themselves: pods are servers, and what keeps them from being so shows in their status. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { alive, CUSTOMER, example, post, until } from '../fixtures.ts'
import { startNodes } from './fake-nodes.ts'
import { startKubernetes } from './kubernetes-cluster.ts'
import type { FakeNodes } from './fake-nodes.ts'
import type { KubernetesCluster } from './kubernetes-cluster.ts'

const IMAGE = 'registry.test/churn:1'

function deployment(name: string, container: object, pod: object = {}): object {
  const labels = { app: name }
  const probe = { httpGet: { path: '/v2/health/ready', port: 'http' }, periodSeconds: 1 }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'default' },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 20,
          containers: [
            {
              name: 'slipway',
              image: IMAGE,
              ports: [{ name: 'http', containerPort: 8470 }],
              startupProbe: { ...probe, failureThreshold: 60 },
              readinessProbe: probe,
              livenessProbe: { httpGet: { path: '/v2/health/live', port: 'http' } },
              ...container,
            },
          ],
          ...pod,
        },
      },
    },
  }
}

describe('nodes of the tests', () => {
  let cluster: KubernetesCluster
  let nodes: FakeNodes
  const opened = new AsyncDisposableStack()
  before(async () => {
    cluster = opened.use(await startKubernetes())
    const images = { [IMAGE]: { folders: { '/models': example('churn') }, args: ['serve', 'churn=/models'] } }
    nodes = opened.use(await startNodes(cluster, { images }))
  })
  after(() => opened.disposeAsync())
  const make = (object: object): Promise<string> => cluster.kubectl(['apply', '-f', '-'], JSON.stringify(object))

  test('a pod is a server that a Service reaches, and ends as its server does', async () => {
    await make(deployment('churn', { args: ['serve', 'churn=/models', '--host', '0.0.0.0', '--insecure', '--drain-pause', '0s'] }))
    await cluster.kubectl(['expose', 'deployment', 'churn', '--port=80', '--target-port=8470'])
    await cluster.kubectl(['rollout', 'status', 'deployment/churn', '--timeout=60s'])
    let urls: string[] = []
    await until(async () => (urls = await nodes.endpoints('default', 'churn')).length === 1, 'the Service has an endpoint')
    assert.equal((await post(`${urls[0]}/predict`, CUSTOMER)).status, 200)

    const name = (await cluster.kubectl(['get', 'pods', '-l', 'app=churn', '-o', 'name'])).trim().replace('pod/', '')
    const pid = nodes.process(name)?.pid()
    assert.ok(pid !== undefined && alive(pid))
    await cluster.kubectl(['delete', 'deployment', 'churn'])
    await until(async () => (await cluster.kubectl(['get', 'pods', '-l', 'app=churn', '-o', 'name'])) === '', 'the pod is gone', 40_000)
    assert.ok(!alive(pid))
  })

  test('what keeps a pod from running shows in its status', async () => {
    await make(deployment('unknown', { image: 'registry.test/unknown:1' }))
    await make(deployment('crashing', { args: ['serve', '/nowhere'] }))
    await make(deployment('picky', {}, { nodeSelector: { disk: 'gold' } }))
    const status = (name: string, path: string): Promise<string> =>
      cluster.kubectl(['get', 'pods', '-l', `app=${name}`, '-o', `jsonpath=${path}`])
    const reason = '{.items[0].status.containerStatuses[0].state.waiting.reason}'
    await until(async () => (await status('unknown', reason)) === 'ImagePullBackOff', 'its image cannot be pulled')
    await until(async () => (await status('crashing', reason)) === 'CrashLoopBackOff', 'it crashes again and again')
    const message = '{.items[0].status.conditions[0].message}'
    await until(async () => /didn't match Pod's node affinity/.test(await status('picky', message)), 'no node is right for it')
  })
})
