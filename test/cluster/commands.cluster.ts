/** An endpoint's document on a cluster, by the commands: from a file to pods that answer, and back. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { CUSTOMER, example, post, until } from '../fixtures.ts'
import { startNodes } from './fake-nodes.ts'
import { startKubernetes } from './kubernetes-cluster.ts'
import { slipway } from './slipway.ts'
import type { FakeNodes } from './fake-nodes.ts'
import type { KubernetesCluster } from './kubernetes-cluster.ts'
import type { Ended } from './slipway.ts'

const IMAGE = { folders: { '/models': example('churn') }, args: ['serve', 'churn=/models'] }
const TARGET = ['--target', 'kubernetes'] as const

describe('the commands for a cluster', () => {
  let kubernetes: KubernetesCluster
  let nodes: FakeNodes
  const opened = new AsyncDisposableStack()
  before(async () => {
    kubernetes = opened.use(await startKubernetes())
    await kubernetes.namespace('prod', { restricted: true })
    nodes = opened.use(await startNodes(kubernetes, { images: { 'registry.test/churn:1': IMAGE, 'registry.test/churn:2': IMAGE } }))
  })
  after(() => opened.disposeAsync())
  const run = (args: readonly string[], line?: (text: string, kill: () => void) => void): Promise<Ended> =>
    slipway([...args.slice(0, 1), ...TARGET, ...args.slice(1)], { KUBECONFIG: kubernetes.kubeconfig }, line)
  const kubectl = (...args: readonly string[]): Promise<string> => kubernetes.kubectl([...args, '--namespace', 'prod'])
  /** The file of an endpoint with two pods. */
  const documentOf = async (name: string, kubernetesOptions: object = {}, spec: object = {}): Promise<string> => {
    const file = join(kubernetes.folder, `${name}.yaml`)
    const options = { namespace: 'prod', image: 'registry.test/churn:1', drain: '2s', resources: { cpu: '100m' }, ...kubernetesOptions }
    const document = {
      apiVersion: 'slipway/v1',
      kind: 'Endpoint',
      metadata: { name },
      spec: { target: 'kubernetes', replicas: 2, variants: [{ model: 'churn/1' }], kubernetes: options, ...spec },
    }
    await writeFile(file, JSON.stringify(document))
    return file
  }
  const works = async (...args: readonly string[]): Promise<string> => {
    const { code, out, error } = await run(args[0] === 'apply' ? [...args, '--timeout', '60s'] : args)
    assert.equal(code, 0, `${out}${error}`)
    return out
  }

  test('a document becomes pods in a restricted namespace that answer; status, history, diff and undo know of it', async () => {
    const file = await documentOf('churn')
    const planned = await run(['diff', file])
    assert.equal(planned.code, 1, planned.error)
    assert.match(planned.out, /^\+ Deployment prod\/churn-main$/m)
    const applied = await works('apply', file, '--reason', 'the first')
    assert.match(applied, /^created {4}Deployment churn-main$/m)
    assert.match(applied, /churn is at revision 1 in namespace prod/)
    let urls: string[] = []
    await until(async () => (urls = await nodes.endpoints('prod', 'churn')).length === 2, 'both pods are behind the Service')
    for (const url of urls) assert.equal((await post(`${url}/predict`, CUSTOMER)).status, 200)

    const same = await run(['diff', file])
    assert.deepEqual([same.code, same.out], [0, 'churn: nothing would change\n'], same.error)
    assert.doesNotMatch(await works('apply', file), /^(created|changed|removed)/m)

    await documentOf('churn', { image: 'registry.test/churn:2' })
    const changed = await run(['diff', file])
    assert.match(
      changed.out,
      /^ {4}spec\.template\.spec\.containers\[name=server\]\.image: "registry\.test\/churn:1" -> "registry\.test\/churn:2"$/m,
    )
    assert.match(await works('apply', file), /revision 2/)
    assert.match(await works('undo', 'churn', '--namespace', 'prod', '--reason', 'worse'), /churn is at revision 3/)
    const history = await works('status', file, '--history')
    assert.match(history, /^ +3 .* applied .*undo to revision 1: worse$/m)
    assert.match(history, /^ +1 .* applied .*the first$/m)

    const status = await works('status', file)
    assert.match(status, /^churn {2}prod {2}revision 3 by /m)
    assert.match(status, /^└─ .* {2}ready {2}2 of 2 available, 2 new {2}registry\.test\/churn:1 {2}\(rollout 3\)$/m)
    assert.match(status, /^ {3}[├└]─ churn-\S+ {2}node-\d {2}ready$/m)
    assert.match(status, /^no drift$/m)
    await kubectl('scale', 'deployment', 'churn-main', '--replicas=3')
    const drifted = await works('status', file)
    assert.match(drifted, /^drift in one place$/m)
    assert.match(drifted, /spec\.replicas: 3 -> 2 {2}set by "kubectl"/)
    const conflict = await run(['apply', file])
    assert.equal(conflict.code, 6)
    assert.match(conflict.error, /Deployment prod\/churn-main: spec\.replicas: belongs to "kubectl"\nSLW_FIELD_CONFLICT/)
    await works('apply', file, '--force')
  })

  test('kill -9 of apply at any point leaves nothing that the next apply does not finish', async () => {
    const first = await documentOf('killed', {}, { replicas: 1 })
    await works('apply', first, '--no-wait')
    const names = async (kind: string): Promise<string> =>
      await kubectl('get', kind, '-l', 'applyset.kubernetes.io/part-of,app.kubernetes.io/instance=killed', '-o', 'name')
    // With two pods there is a budget more, which is taken away again.
    const rounds = process.env['SLIPWAY_CLUSTER'] === 'all' ? [2, 1, 2, 1, 2] : [2, 1]
    for (const [round, replicas] of rounds.entries()) {
      const file = await documentOf('killed', { environment: { ROUND: String(round) } }, { replicas })
      let lines = 0
      const killed = await run(['apply', file, '--no-wait'], (_, kill) => {
        if (lines++ === round) kill()
      })
      assert.equal(killed.code, 'SIGKILL', killed.out + killed.error)
      await works('apply', file, '--no-wait')
      assert.equal(await names('poddisruptionbudgets'), replicas === 2 ? 'poddisruptionbudget.policy/killed-main\n' : '')
      const same = await run(['diff', file])
      assert.deepEqual([same.code, same.out], [0, 'killed: nothing would change\n'], same.error)
      const history = await works('status', file, '--history')
      assert.match(history, new RegExp(String.raw`^ *${round + 2} .* applied `, 'm'))
    }
  })

  test('a drained node loses no request', async () => {
    const file = await documentOf('drained', {}, { replicas: 3 })
    await works('apply', file)
    const answers = { good: 0, bad: [] as string[] }
    let urls: string[] = []
    await until(async () => (urls = await nodes.endpoints('prod', 'drained')).length === 3, 'all pods are behind the Service')
    const over = new AbortController()
    const proxies = (async (): Promise<void> => {
      while (!over.signal.aborted) {
        urls = await nodes.endpoints('prod', 'drained')
        await pause(200)
      }
    })()
    const client = async (offset: number): Promise<void> => {
      for (let index = offset; !over.signal.aborted; index++) {
        const url = urls[index % urls.length]
        await post(`${url}/predict`, CUSTOMER).then(
          ({ status, body }) => (status === 200 ? answers.good++ : answers.bad.push(JSON.stringify(body))),
          (error: unknown) => answers.bad.push(String((error as Error).cause ?? error)),
        )
        await pause(10)
      }
    }
    const clients = [0, 1, 2].map(client)
    await kubernetes.kubectl(['drain', 'node-1', '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=120s'])
    await pause(500)
    over.abort()
    await Promise.all([...clients, proxies])
    assert.deepEqual(answers.bad, [])
    assert.ok(answers.good > 50, `${answers.good} answers`)
    const where = await kubectl('get', 'pods', '-l', 'app.kubernetes.io/instance=drained', '-o', 'jsonpath={.items[*].spec.nodeName}')
    assert.doesNotMatch(where, /node-1/)
    await kubernetes.kubectl(['uncordon', 'node-1'])
  })

  test('what cannot be is said before anything changes', async () => {
    const local = await documentOf('local', {}, { target: 'local' })
    const refused = await run(['apply', local])
    assert.equal(refused.code, 2)
    assert.match(refused.error, /"local" has the target local, not kubernetes/)
    const nowhere = await run(['apply', await documentOf('nowhere', { namespace: 'nowhere' })])
    assert.equal(nowhere.code, 4)
    assert.match(nowhere.error, /make it with: kubectl create namespace nowhere/)
    const never = await run(['undo', 'never', '--namespace', 'prod'])
    assert.match(never.error, /"never" in namespace prod was never applied/)
    assert.equal((await slipway(['diff', '--target', 'nomad', local], {})).code, 2)
  })
})
