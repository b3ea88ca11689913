import assert from 'node:assert/strict'
import { it } from 'node:test'
import { packageEndpoint } from '../../../src/kubernetes/packaging/packaging.ts'
import { world } from '../../rollouts/world.ts'
import { IMAGE } from '../specs.ts'
import type { EndpointDocument } from '../../../src/contract/endpoint.ts'
import type { KubernetesObject } from '../../../src/kubernetes/object.ts'

const DOCUMENT: EndpointDocument = {
  apiVersion: 'slipway/v1',
  kind: 'Endpoint',
  metadata: { name: 'adder' },
  spec: {
    variants: [{ model: 'adder@champion' }],
    target: 'kubernetes',
    rollout: {},
    kubernetes: { image: IMAGE, traffic: 'istio' },
  },
}
/** Steps that nothing but a person takes. */
const HELD = { strategy: 'canary', steps: [10, 40], bake: '1h', bakeAfter: '1h' }

it("what Argo and Flagger are told to ask is answered by a control plane, and what is not decided yet is neither's yes", async () => {
  await using it = await world()
  await it.declare(HELD)
  const { url } = it.plane

  const told = (form: 'argo-rollouts' | 'flagger', rollout: string): readonly KubernetesObject[] => {
    const made = packageEndpoint(DOCUMENT, form, { controlPlane: url, rollout })
    assert.ok('objects' in made)
    return made.objects
  }
  /** As Flagger does, whose yes is any status of 200. */
  const hooks = async (rollout: string): Promise<Record<string, boolean>> => {
    const canary = told('flagger', rollout).find(({ kind }) => kind === 'Canary')!['spec'] as {
      analysis: { webhooks: { type: string; url: string }[] }
    }
    const answers = canary.analysis.webhooks.map(async ({ type, url: address }) => {
      const body = JSON.stringify({ name: 'adder-main', namespace: 'default', phase: 'Progressing', checksum: '7d9f', metadata: {} })
      const { status, statusText } = await fetch(address, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
      assert.ok(status === 200 || status === 409, `${type}: ${status} ${statusText}`)
      return [type, status === 200] as const
    })
    return Object.fromEntries(await Promise.all(answers))
  }
  /** As Argo does, which takes `{$.data}` for its result. */
  const verdict = async (rollout: string): Promise<string> => {
    const template = told('argo-rollouts', rollout).find(({ metadata }) => metadata.name === 'adder-main-verdict')!['spec'] as {
      metrics: { provider: { web: { url: string } } }[]
    }
    const answer = await fetch(template.metrics[0]!.provider.web.url)
    assert.equal(answer.status, 200)
    return ((await answer.json()) as { data: { verdict: string } }).data.verdict
  }

  const aborted = await it.start({ to: '2' })
  assert.equal(await verdict(aborted.id), 'no_data')
  assert.deepEqual(await hooks(aborted.id), { 'confirm-traffic-increase': true, 'confirm-promotion': false, rollback: false })
  await it.command('abort')
  assert.equal(await verdict(aborted.id), 'fail')
  assert.deepEqual(await hooks(aborted.id), { 'confirm-traffic-increase': false, 'confirm-promotion': false, rollback: true })

  await it.declare({ ...HELD, strategy: 'all-at-once', steps: undefined, bakeAfter: '0s' })
  const promoted = await it.start({ to: '3' })
  await it.reaches('promoted')
  assert.equal(await verdict(promoted.id), 'pass')
  assert.deepEqual(await hooks(promoted.id), { 'confirm-traffic-increase': true, 'confirm-promotion': true, rollback: false })
})
