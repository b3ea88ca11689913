import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { parse } from 'yaml'
import { renderEndpoint } from '../../src/kubernetes/render.ts'
import { serveInChild } from '../child-server.ts'
import { CUSTOMER, example, post, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { IMAGE, KUBERNETES_ENDPOINTS } from './specs.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'

interface Container {
  readonly env: readonly { readonly name: string; readonly value?: string }[]
  readonly startupProbe: { readonly httpGet: { readonly path: string } }
  readonly readinessProbe: { readonly httpGet: { readonly path: string } }
  readonly livenessProbe: { readonly httpGet: { readonly path: string } }
}

function containerOf(objects: readonly KubernetesObject[]): Container {
  const deployment = objects.find(({ kind }) => kind === 'Deployment') as unknown as {
    readonly spec: { readonly template: { readonly spec: { readonly containers: readonly Container[] } } }
  }
  return deployment.spec.template.spec.containers[0]!
}

it('a server with the environment and the file of a pod listens beyond its machine, answers all probes, and says so when it ends', async () => {
  const objects = renderEndpoint({
    apiVersion: 'slipway/v1',
    kind: 'Endpoint',
    metadata: { name: 'churn' },
    spec: { variants: [{ model: 'churn/1' }], kubernetes: { image: IMAGE, drain: '30s', resources: { cpu: '2' } } },
  })
  const { env, startupProbe, readinessProbe, livenessProbe } = containerOf(objects)
  const config = objects.find(({ kind }) => kind === 'ConfigMap') as unknown as { readonly data: Readonly<Record<string, string>> }
  await using folder = await temporaryFolder()
  for (const [name, text] of Object.entries(config.data)) {
    // Ports of this machine may be taken.
    await folder.write(name, text.replace(/^grpcPort: .*$/m, 'grpcPort: 0'))
    assert.equal((parse(text) as { host: string }).host, '0.0.0.0')
  }
  const environment = Object.fromEntries(
    env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value.replace('/etc/slipway', folder.path)]])),
  )
  await using server = await serveInChild([], { ...environment, MODEL_PATH: example('churn') })
  const url = server.url.replace('0.0.0.0', '127.0.0.1')
  for (const { httpGet } of [startupProbe, readinessProbe, livenessProbe])
    assert.equal((await fetch(new URL(httpGet.path, url))).status, 200, httpGet.path)
  assert.equal((await post(`${url}/predict`, CUSTOMER)).status, 200)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  assert.match(metrics, /slipway_instances\{[^}]*state="ready"[^}]*\} 2/, 'two copies of the model for two cores')

  // Told to end, it is taken out of the routes first, and goes on answering those who have not learned of it.
  server.signal('SIGTERM')
  await until(async () => (await fetch(new URL(readinessProbe.httpGet.path, url))).status === 503, 'readiness is gone')
  assert.equal((await fetch(new URL(livenessProbe.httpGet.path, url))).status, 200)
  assert.equal((await post(`${url}/predict`, CUSTOMER)).status, 200)
})

it('the model of an image volume is found where `slipway` puts it in plain images', () => {
  const { env } = containerOf(renderEndpoint(KUBERNETES_ENDPOINTS.get('the model in a volume')!))
  assert.equal(env.find(({ name }) => name === 'MODEL_PATH')?.value, join('/mnt/model', 'models/churn'))
})
