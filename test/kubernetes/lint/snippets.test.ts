/** The manifests of docs/guides/kubernetes-snippets.md: what is wrong with each is found, and the endpoint that means the same has none of it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { snippets } from '../../../scripts/kubernetes-snippets.ts'
import { ROOT } from '../../fixtures.ts'

/** What each of them is there for, beside what nearly all of them have. */
const MISTAKES: Readonly<Record<string, readonly string[]>> = {
  '01-serving': [
    'image-latest',
    'memory-limit',
    'liveness-readiness',
    'startup-probe',
    'selector-version',
    'backend-port',
    'rate-limit-unread',
  ],
  '02-gpu': ['gpu-sharing', 'gpu-request', 'gpu-surge', 'gpu-toleration', 'gpu-shared-count'],
  '03-autoscaling': ['removed-api', 'replicas-scaled', 'utilization-request', 'metric-served', 'external-metric'],
  '04-schedule': ['cron-scales'],
  '05-istio': ['selector-overlap', 'subset-missing', 'subset-empty', 'virtual-service-host'],
  '06-linkerd': ['profile-name', 'profile-split'],
  '07-network': ['secret-in-manifest', 'secret-in-env', 'host-namespaces', 'host-path', 'privileged', 'policy-dns', 'policy-metrics'],
  '08-falco': ['falco-rule', 'falco-scope'],
  '09-spot': ['spot-required', 'drain-blocked'],
  '10-argo-cd': ['sync-replicas', 'sync-namespace', 'replicas-scaled'],
}

describe('usual manifests', () => {
  const all = snippets()

  it('are all told of', () => {
    assert.deepEqual(
      all.map(({ name }) => name),
      Object.keys(MISTAKES),
    )
  })

  for (const { name, said, endpoint, saidOfRendered, title } of all)
    it(`${title}: what is wrong is found, and the endpoint beside it has none of it`, () => {
      const found = new Set(said.map(({ rule }) => rule))
      assert.deepEqual(
        MISTAKES[name]!.filter((rule) => !found.has(rule)),
        [],
      )
      assert.deepEqual(
        saidOfRendered.filter(({ severity }) => severity !== 'advice'),
        [],
      )
      const page = readFileSync(join(ROOT, 'docs/guides/kubernetes-snippets.md'), 'utf8')
      assert.ok(page.includes(`\`\`\`yaml\n${endpoint.trimEnd()}\n\`\`\`\n`))
    })
})
