/** The cluster of the tests itself: what others build on. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import { after, before, describe, test } from 'node:test'
import { authority } from '../certificates.ts'
import { until } from '../fixtures.ts'
import { startKubernetes } from './kubernetes-cluster.ts'
import type { AddressInfo } from 'node:net'
import type { KubernetesCluster } from './kubernetes-cluster.ts'

describe('a cluster', () => {
  let cluster: KubernetesCluster
  before(async () => {
    cluster = await startKubernetes({ users: [{ token: 'reader', name: 'reader' }] })
  })
  after(async () => cluster[Symbol.asyncDispose]())

  test('makes pods of a Deployment', async () => {
    await cluster.kubectl(['create', 'deployment', 'plain', '--image=registry.test/plain'])
    await until(async () => {
      const { body } = await cluster.request('GET', '/api/v1/namespaces/default/pods')
      return (body['items'] as unknown[]).length === 1
    }, 'there is a pod')
  })

  test('holds pods of a restricted namespace to the standard', async () => {
    await cluster.namespace('restricted', { restricted: true })
    await assert.rejects(
      cluster.kubectl(['run', 'plain', '--image=registry.test/plain', '--namespace=restricted']),
      /violates PodSecurity "restricted/,
    )
  })

  test('knows its users apart', async () => {
    const refused = cluster.kubectl(['get', 'pods', '--kubeconfig', await cluster.kubeconfigOf('reader')])
    await assert.rejects(refused, /User "reader" cannot list resource "pods"/)
  })

  test('asks an API server on loopback that is aggregated, and shows who asks', async () => {
    const own = await (await authority(cluster.folder, 'aggregated')).issue('metrics')
    const certificates = { cert: await readFile(own.cert), key: await readFile(own.key), ca: await readFile(cluster.proxyAuthority) }
    await using server = createServer({ ...certificates, requestCert: true }, (asked, answer) => {
      answer.setHeader('content-type', 'application/json')
      answer.end(JSON.stringify({ kind: 'Status', message: asked.headers['x-remote-user'] }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const service = { metadata: { name: 'aggregated' }, spec: { type: 'ExternalName', externalName: 'localhost' } }
    await cluster.request('POST', '/api/v1/namespaces/default/services', service)
    const made = await cluster.request('POST', '/apis/apiregistration.k8s.io/v1/apiservices', {
      metadata: { name: 'v1.aggregated.test' },
      spec: {
        group: 'aggregated.test',
        version: 'v1',
        groupPriorityMinimum: 100,
        versionPriority: 100,
        insecureSkipTLSVerify: true,
        service: { name: 'aggregated', namespace: 'default', port },
      },
    })
    assert.equal(made.status, 201)
    let said: unknown
    await until(async () => {
      const { status, body } = await cluster.request('GET', '/apis/aggregated.test/v1/anything')
      said = body['message']
      return status === 200
    }, 'it answers')
    assert.equal(said, 'administrator')
    server.closeAllConnections()
  })
})
