import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { connect } from '../../src/cluster/client.ts'
import { freePort } from '../fixtures.ts'
import { startKubernetes } from './kubernetes-cluster.ts'
import type { Cluster } from '../../src/cluster/cluster.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'
import type { KubernetesCluster } from './kubernetes-cluster.ts'

const SERVICE: KubernetesObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'churn', namespace: 'default' },
  spec: { selector: { app: 'churn' }, ports: [{ name: 'http', port: 80, targetPort: 8470 }] },
}

describe('the client of a cluster', () => {
  let kubernetes: KubernetesCluster
  let cluster: Cluster
  const opened = new AsyncDisposableStack()
  before(async () => {
    kubernetes = opened.use(await startKubernetes({ controllers: false, users: [{ token: 'reader', name: 'reader' }] }))
    cluster = opened.use(await connect({ kubeconfig: kubernetes.kubeconfig }))
  })
  after(() => opened.disposeAsync())

  test('applies, reads, lists and removes', async () => {
    const applied = await cluster.apply(SERVICE)
    assert.equal(applied.metadata.managedFields?.[0]?.manager, 'slipway')
    assert.equal((await cluster.read(SERVICE))?.metadata.uid, applied.metadata.uid)
    const listed = await cluster.list({ apiVersion: 'v1', kind: 'Service', namespace: 'default' })
    assert.deepEqual(
      listed.map(({ kind, metadata }) => `${kind} ${metadata.name}`).filter((one) => one.endsWith('churn')),
      ['Service churn'],
    )
    await cluster.remove(SERVICE)
    await cluster.remove(SERVICE)
    assert.equal(await cluster.read(SERVICE), undefined)
  })

  test('a dry run changes nothing', async () => {
    const other = { ...SERVICE, metadata: { name: 'other', namespace: 'default' } }
    assert.equal((await cluster.apply(other, { dryRun: true })).metadata.name, 'other')
    assert.equal(await cluster.read(other), undefined)
  })

  test('a field of somebody else is named with its owner, and is taken over by force alone', async () => {
    await cluster.apply(SERVICE)
    const patch = { spec: { ports: [{ port: 80, targetPort: 9000 }] } }
    const path = '/api/v1/namespaces/default/services/churn?fieldManager=hand'
    await kubernetes.request('PATCH', path, patch, 'application/strategic-merge-patch+json')
    await assert.rejects(cluster.apply(SERVICE), {
      code: 'SLW_FIELD_CONFLICT',
      message: 'Service default/churn: spec.ports[port=80,protocol="TCP"].targetPort: belongs to "hand"',
    })
    await cluster.apply(SERVICE, { force: true })
    await cluster.apply(SERVICE)
  })

  test('a field that the API server does not know, and a value that it refuses, are named with their path', async () => {
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'churn', namespace: 'default' },
      spec: {
        replicass: 2,
        selector: { matchLabels: { app: 'churn' } },
        template: { metadata: { labels: { app: 'churn' } }, spec: { containers: [{ name: 'slipway', image: 'churn' }] } },
      },
    }
    await assert.rejects(cluster.apply(deployment), {
      code: 'SLW_CLUSTER_REFUSED',
      message: 'Deployment default/churn: spec.replicass: the API server knows no such field',
    })
    const { replicass: _, ...spec } = deployment.spec
    const surge = { ...spec, strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } }
    await assert.rejects(cluster.apply({ ...deployment, spec: surge }), {
      code: 'SLW_CLUSTER_REFUSED',
      message: /^Deployment default\/churn: spec\.strategy\.rollingUpdate\.maxUnavailable: .*may not be 0 when `maxSurge` is 0/,
    })
  })

  test('a kind that the cluster does not have is named with the project that brings it', async () => {
    const route = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { name: 'churn', namespace: 'default' } }
    await assert.rejects(cluster.apply(route), {
      code: 'SLW_KIND_MISSING',
      message: /knows no HTTPRoute of gateway\.networking\.k8s\.io\/v1: the Gateway API brings it/,
    })
  })

  test('a namespace that is not there is named with the command that makes it', async () => {
    await assert.rejects(cluster.apply({ ...SERVICE, metadata: { name: 'churn', namespace: 'nowhere' } }), {
      code: 'SLW_NOT_FOUND',
      message: 'Service nowhere/churn: there is no namespace "nowhere"; make it with: kubectl create namespace nowhere',
    })
  })

  test('who may not do it is told the verb and the resource, and who is not known that', async () => {
    await using reader = await connect({ kubeconfig: await kubernetes.kubeconfigOf('reader') })
    await assert.rejects(reader.apply(SERVICE), {
      code: 'SLW_CLUSTER_FORBIDDEN',
      message: /^Service default\/churn: the user "reader" may not patch resource "services" in API group "" in the namespace "default"/,
    })
    await using stranger = await connect({ kubeconfig: await kubernetes.kubeconfigOf('nobody') })
    await assert.rejects(stranger.read(SERVICE), { code: 'SLW_UNAUTHENTICATED' })
  })

  test('a cluster that is not there, and a context that is not, are said so', async () => {
    const file = `${kubernetes.folder}/elsewhere`
    const address = `127.0.0.1:${await freePort()}`
    await writeFile(
      file,
      JSON.stringify({
        clusters: [{ name: 'a', cluster: { server: `https://${address}` } }],
        users: [{ name: 'a', user: {} }],
        contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
        'current-context': 'a',
      }),
    )
    await using elsewhere = await connect({ kubeconfig: file })
    await assert.rejects(elsewhere.read(SERVICE), {
      code: 'SLW_UNREACHABLE',
      message: `the cluster a (https://${address}) cannot be reached: connect ECONNREFUSED ${address}`,
    })
    await assert.rejects(connect({ kubeconfig: file, context: 'b' }), {
      code: 'SLW_CONFIG_INVALID',
      message: 'the kubeconfig has no context "b"; it has a',
    })
    await assert.rejects(connect({ kubeconfig: `${file}-not` }), { code: 'SLW_CONFIG_INVALID' })
  })
})
