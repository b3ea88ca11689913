/** Weights of routes that follow a rollout, beside who applies the routes. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { kubernetesCrds } from '../../scripts/kubernetes-crds.ts'
import { planeInProcess, push } from '../api/in-plane.ts'
import { addingModel } from '../adding-models.ts'
import { CUSTOMER, example, post, ROOT, until } from '../fixtures.ts'
import { startNodes } from './fake-nodes.ts'
import { startKubernetes } from './kubernetes-cluster.ts'
import { slipway } from './slipway.ts'
import type { Plane } from '../api/in-plane.ts'
import type { FakeNodes } from './fake-nodes.ts'
import type { KubernetesCluster } from './kubernetes-cluster.ts'

const IMAGE = { folders: { '/models': example('churn') }, args: ['serve', 'churn=/models'] }
const VARIANTS = [
  { name: 'main', model: 'churn/1', weight: 90 },
  { name: 'next', model: 'churn/2', weight: 10, match: [{ header: 'x-tester', is: 'yes' }] },
]
type Kind = 'gateway' | 'istio'
const ROUTES: Readonly<Record<Kind, string>> = {
  gateway: '/apis/gateway.networking.k8s.io/v1/namespaces/prod/httproutes',
  istio: '/apis/networking.istio.io/v1/namespaces/prod/virtualservices',
}

describe('weights of a mesh', () => {
  let kubernetes: KubernetesCluster
  let nodes: FakeNodes
  let plane: Plane
  const opened = new AsyncDisposableStack()
  before(async () => {
    kubernetes = opened.use(await startKubernetes())
    await kubernetes.namespace('prod', { restricted: true })
    await kubernetes.install((await kubernetesCrds()).filter((file) => /httproutes|customresourcedefinitions/.test(file)))
    nodes = opened.use(await startNodes(kubernetes, { images: { 'registry.test/main:1': IMAGE } }))
    plane = opened.use(await planeInProcess())
    assert.equal((await plane.ask('POST', '/models', { name: 'churn' })).status, 201)
    for (const added of [1, 2]) await push(plane, 'churn', { 'model.onnx': addingModel(added) })
  })
  after(() => opened.disposeAsync())
  const run = async (...args: readonly string[]): Promise<string> => {
    const { code, out, error } = await slipway([args[0]!, '--target', 'kubernetes', ...args.slice(1)], {
      KUBECONFIG: kubernetes.kubeconfig,
    })
    assert.equal(code, 0, out + error)
    return out
  }
  const documentOf = async (name: string, traffic: Kind, serving: object = {}): Promise<string> => {
    const images = { main: 'registry.test/main:1', next: 'registry.test/next:1' }
    const variants = VARIANTS.map((variant) => ({ ...variant, serving }))
    const options = { namespace: 'prod', images, traffic, drain: '1s', resources: { cpu: '100m' } }
    const spec = { target: 'kubernetes', replicas: 1, variants, kubernetes: options }
    const file = join(kubernetes.folder, `${name}.json`)
    await writeFile(file, JSON.stringify({ apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name }, spec }))
    return file
  }
  const share = async (name: string, weights: Readonly<Record<string, number>>): Promise<void> => {
    const { status, body } = await plane.ask('POST', `/endpoints/${name}/routing`, { weights })
    assert.equal(status, 200, JSON.stringify(body))
  }
  const weightsOf = async (kind: Kind, name: string): Promise<number[]> => {
    const { spec } = (await kubernetes.request('GET', `${ROUTES[kind]}/${name}`)).body as {
      spec: { rules?: { backendRefs: { weight: number }[] }[]; http?: { route: { weight: number }[] }[] }
    }
    const targets = spec.rules?.at(-1)?.backendRefs ?? spec.http?.at(-1)?.route ?? []
    return targets.map(({ weight }) => weight)
  }

  /** Of the rule of an audience; undefined where it says none, which is all. */
  const weightOfTesters = async (kind: Kind, name: string): Promise<number | undefined> => {
    const { spec } = (await kubernetes.request('GET', `${ROUTES[kind]}/${name}`)).body as {
      spec: { rules?: { backendRefs: { weight?: number }[] }[]; http?: { route: { weight?: number }[] }[] }
    }
    return (spec.rules?.[0]?.backendRefs ?? spec.http?.[0]?.route)?.[0]?.weight
  }

  for (const kind of ['gateway', 'istio'] as const)
    test(`follow the routing to variants that are ready, and stay while nobody says more: ${kind}`, async () => {
      const name = `by-${kind}`
      const file = await documentOf(name, kind)
      await run('apply', file, '--no-wait')
      assert.deepEqual(await weightsOf(kind, name), [90, 10])
      const declared = { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name }, spec: { variants: VARIANTS } }
      const put = await plane.ask('PUT', `/endpoints/${name}`, declared)
      assert.ok(put.status < 300, JSON.stringify(put.body))

      const args = ['mesh-weights', '--url', plane.url, '--endpoint', name, '--namespace', 'prod', '--interval', '300ms']
      const child = spawn(process.execPath, [join(ROOT, 'bin/slipway'), ...args, '--kubeconfig', kubernetes.kubeconfig], {
        env: { ...process.env, HOME: kubernetes.folder },
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let said = ''
      child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
      const ended = new Promise((resolve) => child.once('exit', resolve))
      try {
        await share(name, { main: 50, next: 50 })
        await until(() => /waits for pods of next, of which none is available/.test(said), 'no traffic goes where no pod is')
        assert.deepEqual(await weightsOf(kind, name), [90, 10])
        nodes.images['registry.test/next:1'] = IMAGE
        await until(async () => (await weightsOf(kind, name)).join() === '50,50', 'the weights have moved', 60_000)
        delete nodes.images['registry.test/next:1']

        // Whoever applies the document leaves the weights, and changes the rest.
        assert.equal(await run('diff', file), `${name}: nothing would change\n`)
        await documentOf(name, kind, { requestTimeoutMs: 7000 })
        await run('apply', file, '--no-wait')
        assert.deepEqual(await weightsOf(kind, name), [50, 50])
        assert.match(JSON.stringify((await kubernetes.request('GET', `${ROUTES[kind]}/${name}`)).body), /"12s"/)
        await share(name, { main: 99.5, next: 0.5 })
        await until(async () => (await weightsOf(kind, name)).join() === '99500,500', 'fractions of a percent are weights, too')
        await share(name, { main: 100, next: 0 })
        await until(async () => (await weightsOf(kind, name)).join() === '100,0', 'all requests go to one')
        assert.equal(await weightOfTesters(kind, name), kind === 'gateway' ? 1 : undefined, 'testers keep their variant')
        await share(name, { main: 99.5, next: 0.5 })
        await until(async () => (await weightsOf(kind, name)).join() === '99500,500', 'and back')
        assert.match(await run('status', name, '--namespace', 'prod'), /main.* 99500, .*next 500 \(moved by rollouts\)/)
      } finally {
        child.kill('SIGTERM')
        await ended
      }
    })

  test('a client that shares requests out as a route says reaches both variants', async () => {
    nodes.images['registry.test/next:1'] = IMAGE
    const file = await documentOf('canary', 'gateway')
    await run('apply', file, '--timeout', '60s')
    const { body } = await kubernetes.request('GET', `${ROUTES.gateway}/canary`)
    const refs = (body['spec'] as { rules: { backendRefs: { name: string; weight: number }[] }[] }).rules.at(-1)!.backendRefs
    const counts = new Map<string, number>()
    for (let index = 0; index < 100; index++) {
      let left = index
      const target = refs.find(({ weight }) => (left -= weight) < 0)!
      const [url] = await nodes.endpoints('prod', target.name)
      assert.equal((await post(`${url}/predict`, CUSTOMER)).status, 200)
      counts.set(target.name, (counts.get(target.name) ?? 0) + 1)
    }
    assert.deepEqual(Object.fromEntries(counts), { 'canary-main': 90, 'canary-next': 10 })
  })

  test('while the control plane is away the weights stay, and that is said', async () => {
    const args = ['mesh-weights', '--url', 'http://127.0.0.1:9', '--endpoint', 'canary', '--namespace', 'prod', '--interval', '300ms']
    const child = spawn(process.execPath, [join(ROOT, 'bin/slipway'), ...args, '--kubeconfig', kubernetes.kubeconfig], {
      env: { ...process.env, HOME: kubernetes.folder },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const ended = new Promise((resolve) => child.once('exit', resolve))
    await until(() => said.includes('the weights stay as they are: http://127.0.0.1:9 does not answer'), 'it says so', 30_000)
    child.kill('SIGTERM')
    await ended
    assert.deepEqual(await weightsOf('gateway', 'canary'), [90, 10])
  })
})
