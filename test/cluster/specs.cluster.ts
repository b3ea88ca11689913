/** Everything that endpoints are rendered as is taken by a real API server, in a namespace that is held to the restricted standard. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { kubernetesCrds } from '../../scripts/kubernetes-crds.ts'
import { applySet } from '../../src/cluster/apply.ts'
import { connect } from '../../src/cluster/client.ts'
import { renderEndpoint } from '../../src/kubernetes/render.ts'
import { KUBERNETES_ENDPOINTS } from '../kubernetes/specs.ts'
import { startKubernetes } from './kubernetes-cluster.ts'
import type { Cluster } from '../../src/cluster/cluster.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'
import type { KubernetesCluster } from './kubernetes-cluster.ts'

/** Definitions of Linkerd's lie in no module that is to be had. */
const isWithoutDefinition = ({ apiVersion }: KubernetesObject): boolean => /^(policy\.)?linkerd\.io\//.test(apiVersion)

describe('a real API server', () => {
  let kubernetes: KubernetesCluster
  let cluster: Cluster
  before(async () => {
    kubernetes = await startKubernetes({ controllers: false })
    await kubernetes.install((await kubernetesCrds()).filter((file) => !/argo|flagger|kserve/.test(file)))
    cluster = await connect({ kubeconfig: kubernetes.kubeconfig })
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
    await kubernetes[Symbol.asyncDispose]()
  })

  test(`takes the objects of ${KUBERNETES_ENDPOINTS.size} endpoints, field by field, and admits their pods`, async () => {
    assert.ok(KUBERNETES_ENDPOINTS.size >= 40)
    const kinds = new Set<string>()
    let pods = 0
    for (const [index, [title, document]] of [...KUBERNETES_ENDPOINTS].entries()) {
      const namespace = `spec-${index}`
      await kubernetes.namespace(namespace, { restricted: true })
      const { spec } = document
      const own = { ...document, spec: { ...spec, kubernetes: { ...spec.kubernetes, namespace } } }
      const objects = renderEndpoint(own).filter((object) => !isWithoutDefinition(object))
      const set = { endpoint: document.metadata.name, name: `set-${index}`, namespace }
      const { applied } = await applySet(cluster, set, objects, { who: 'a test' }).catch((error: unknown) => {
        throw new Error(`${title}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
      })
      assert.equal(applied.length, objects.length, title)
      for (const { kind } of objects) kinds.add(kind)
      // Admission warns of a Deployment and refuses its pods: so they are made.
      for (const object of objects.filter(({ kind }) => kind === 'Deployment')) {
        const { status, body } = await kubernetes.request(
          'POST',
          `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`,
          podOf(object),
        )
        assert.equal(status, 201, `${title}: ${JSON.stringify(body['message'])}`)
        pods++
      }
    }
    assert.ok(pods >= 40)
    const needed = [
      'Deployment',
      'Service',
      'HorizontalPodAutoscaler',
      'ScaledObject',
      'HTTPRoute',
      'VirtualService',
      'PodMonitor',
      'NetworkPolicy',
    ]
    for (const kind of needed) assert.ok(kinds.has(kind), `no endpoint has a ${kind}`)
  })
})

function podOf(deployment: KubernetesObject): object {
  const { template } = deployment['spec'] as {
    readonly template: { readonly metadata: object; readonly spec: { priorityClassName?: string } }
  }
  // Classes of priority are the cluster's own.
  const { priorityClassName: _, ...spec } = template.spec
  return { metadata: { ...template.metadata, name: deployment.metadata.name }, spec }
}
