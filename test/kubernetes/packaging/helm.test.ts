import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'
import { helm } from '../../../scripts/manifest-tools.ts'
import { keyOf } from '../../../src/kubernetes/object.ts'
import { packageEndpoint } from '../../../src/kubernetes/packaging/packaging.ts'
import { renderEndpoint } from '../../../src/kubernetes/render.ts'
import { temporaryFolder } from '../../temporary-folder.ts'
import { KUBERNETES_ENDPOINTS } from '../specs.ts'
import { validate } from '../validate.ts'
import type { EndpointDocument } from '../../../src/contract/endpoint.ts'
import type { KubernetesObject } from '../../../src/kubernetes/object.ts'

const run = promisify(execFile)
/** A Helm that is built as a module takes an old cluster for its own. */
const CLUSTER = ['--kube-version', '1.34.0']

const namespaceOf = ({ spec }: EndpointDocument): string => spec.kubernetes?.namespace ?? 'default'

/** By their keys, as the API server tells them apart. */
function sorted(objects: readonly KubernetesObject[]): KubernetesObject[] {
  return objects.toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1))
}

/** As JSON has them. */
const plain = (objects: readonly KubernetesObject[]): KubernetesObject[] => JSON.parse(JSON.stringify(objects)) as KubernetesObject[]

describe('a chart of an endpoint', () => {
  let program: string
  let root: string
  const stack = new AsyncDisposableStack()
  after(() => stack.disposeAsync())
  before(async () => {
    program = await helm()
    root = stack.use(await temporaryFolder()).path
  })

  async function written(document: EndpointDocument, folder: string): Promise<string> {
    const chart = packageEndpoint(document, 'helm')
    assert.ok('files' in chart)
    for (const [path, text] of chart.files) {
      await mkdir(dirname(join(root, folder, path)), { recursive: true })
      await writeFile(join(root, folder, path), text)
    }
    return join(root, folder)
  }

  async function template(
    chart: string,
    { namespace, sets = [] }: { namespace: string; sets?: readonly string[] },
  ): Promise<KubernetesObject[]> {
    const { stdout } = await run(program, ['template', 'release', chart, '--namespace', namespace, '--skip-tests', ...CLUSTER, ...sets])
    return parseAllDocuments(stdout, { version: '1.1' }).flatMap((one) => (one.toJS() === null ? [] : [one.toJS() as KubernetesObject]))
  }

  const example = (name: string): EndpointDocument => KUBERNETES_ENDPOINTS.get(name)!
  const set = (...pairs: readonly string[]): string[] => pairs.flatMap((pair) => ['--set', pair])
  const find = (objects: readonly KubernetesObject[], kind: string): KubernetesObject => objects.find((object) => object.kind === kind)!

  it('gives exactly the rendered objects without changed values, and is clean', { timeout: 90_000 }, async () => {
    const all = [...KUBERNETES_ENDPOINTS]
    assert.ok(all.length >= 40)
    const folders: string[] = []
    const work = async (): Promise<void> => {
      for (let next = all.shift(); next !== undefined; next = all.shift()) {
        const [name, document] = next
        if (name === 'a variant with a long name') {
          // Its objects have cut names, which a chart under another name would cut elsewhere.
          await assert.rejects(written(document, 'cut'), { code: 'SLW_CONFIG_INVALID', message: /shorter names/ })
          continue
        }
        const chart = await written(document, `all/${all.length}`)
        folders.push(chart)
        const got = await template(chart, { namespace: namespaceOf(document) })
        assert.deepEqual(sorted(got), sorted(plain(renderEndpoint(document))), name)
      }
    }
    await Promise.all([work(), work()])
    const { stdout } = await run(program, ['lint', '--strict', ...CLUSTER, ...folders])
    assert.match(stdout, new RegExp(`${folders.length} chart\\(s\\) linted, 0 chart\\(s\\) failed`))
  })

  it('gives under another name and in another namespace what an endpoint of that name would have', async () => {
    for (const name of ['shares by Istio', 'monitors and alarms', 'rules of Falco', 'scaled by KEDA and a Prometheus']) {
      const document = example(name)
      const chart = await written(document, `named/${name.replaceAll(' ', '-')}`)
      const got = await template(chart, { namespace: 'elsewhere', sets: set('fullnameOverride=other-one') })
      const kubernetes = { ...document.spec.kubernetes, namespace: 'elsewhere' }
      const wanted = plain(
        renderEndpoint({ ...document, metadata: { ...document.metadata, name: 'other-one' }, spec: { ...document.spec, kubernetes } }),
      )
      // Clients and servers know the endpoint by its own name; only objects have another.
      const rest = (objects: readonly KubernetesObject[]): KubernetesObject[] =>
        JSON.parse(
          JSON.stringify(sorted(objects))
            .replaceAll(/defaultModel: [a-z-]+/g, '')
            .replaceAll(/"slipway.dev\/config-digest":"[0-9a-f]+"/g, '"":""'),
        ) as KubernetesObject[]
      assert.deepEqual(rest(got), rest(wanted), name)
    }
  })

  it('changes what a changed value says and nothing else', async () => {
    const scaled = await written(example('scaled by cores'), 'scaled')
    const plainly = await template(scaled, { namespace: 'default' })
    const bounds = await template(scaled, {
      namespace: 'default',
      sets: set('autoscaling.minReplicas=3', 'autoscaling.maxReplicas=7', 'autoscaling.target=55'),
    })
    const hpa = find(bounds, 'HorizontalPodAutoscaler')['spec'] as {
      minReplicas: number
      maxReplicas: number
      metrics: [{ resource: { target: { averageUtilization: number } } }]
    }
    assert.deepEqual([hpa.minReplicas, hpa.maxReplicas, hpa.metrics[0].resource.target.averageUtilization], [3, 7, 55])
    assert.deepEqual(
      bounds.filter(({ kind }) => kind !== 'HorizontalPodAutoscaler'),
      plainly.filter(({ kind }) => kind !== 'HorizontalPodAutoscaler'),
    )

    const off = await template(scaled, { namespace: 'default', sets: set('autoscaling.enabled=false', 'variants.main.replicas=4') })
    assert.equal(find(off, 'HorizontalPodAutoscaler'), undefined)
    assert.equal((find(off, 'Deployment')['spec'] as { replicas: number }).replicas, 4)
    assert.equal('replicas' in (find(plainly, 'Deployment')['spec'] as object), false)

    const image = await template(scaled, { namespace: 'default', sets: set('variants.main.image=images.example/churn@sha256:ff') })
    const text = JSON.stringify(find(plainly, 'Deployment'))
    const [before] = /images\.example\/churn@sha256:[0-9a-f]+/.exec(text)!
    assert.equal(JSON.stringify(find(image, 'Deployment')), text.replace(before, 'images.example/churn@sha256:ff'))

    const shared = await written(example('shares by a gateway'), 'shared')
    const weights = await template(shared, {
      namespace: 'default',
      sets: set('variants.main.weight=40', 'variants.next.weight=60', 'host=other.example'),
    })
    const route = JSON.stringify(find(weights, 'HTTPRoute'))
    assert.match(route, /"weight":40.*"weight":60/)
    assert.match(route, /"hostnames":\["other\.example"\]/)
    await assert.rejects(
      template(shared, { namespace: 'default', sets: set('variants.next.weight=60') }),
      /the weights add up to 150, not to 100/,
    )
  })

  it('adds labels, variables, taints and resources, and exchanges pods when their configuration changes', async () => {
    const chart = await written(example('labels and variables'), 'labels')
    const plainly = await template(chart, { namespace: 'default' })
    const got = await template(chart, {
      namespace: 'default',
      sets: [
        ...set(
          'labels.cost=ml',
          'podAnnotations.note=one',
          'nodeSelector.disk=ssd',
          'resources.requests.cpu=3',
          'env[0].name=A',
          'env[0].value=b',
        ),
        ...set('variants.main.tolerations[0].key=gpu', 'variants.main.tolerations[0].operator=Exists', 'variants.main.config=port: 8470'),
      ],
    })
    for (const object of got) {
      assert.equal(object.metadata.labels!['cost'], 'ml')
      await validate(object)
    }
    const podOf = (
      objects: readonly KubernetesObject[],
    ): { metadata: { annotations: Record<string, string> }; spec: Record<string, unknown> } =>
      (find(objects, 'Deployment')['spec'] as { template: ReturnType<typeof podOf> }).template
    const pod = podOf(got)
    assert.equal(pod.metadata.annotations['note'], 'one')
    assert.notEqual(pod.metadata.annotations['slipway.dev/config-digest'], podOf(plainly).metadata.annotations['slipway.dev/config-digest'])
    assert.deepEqual((find(got, 'ConfigMap')['data'] as Record<string, string>)['slipway.server.yaml'], 'port: 8470\n')
    assert.equal((pod.spec['nodeSelector'] as Record<string, string>)['disk'], 'ssd')
    assert.deepEqual(pod.spec['tolerations'], [{ key: 'gpu', operator: 'Exists' }])
    const [container] = pod.spec['containers'] as [{ resources: { requests: { cpu: unknown } }; env: { name: string; value?: string }[] }]
    assert.equal(Number(container.resources.requests.cpu), 3)
    assert.ok(container.env.some(({ name, value }) => name === 'A' && value === 'b'))
  })

  it('refuses values that cannot be', async () => {
    const chart = await written(example('scaled by cores'), 'refused')
    for (const [pair, message] of [
      ['variants.main.replicas=-1', /replicas.*minimum|minimum/s],
      ['replicaCount=3', /replicaCount/],
      ['autoscaling.minReplicas=0', /minimum/],
      ['autoscaling.maxReplicas=many', /integer/],
      ['fullnameOverride=Not_A_Name', /pattern/],
      ['service.type=Magic', /one of|enum/],
      ['variants.main.image=', /pattern/],
      ['labels.app\\.kubernetes\\.io/instance=x', /instance|not/],
    ] as const)
      await assert.rejects(template(chart, { namespace: 'default', sets: set(pair) }), message, pair)
  })

  it('has a test that a restricted namespace admits, which no Service takes for a server', async () => {
    const document = example('one pod')
    const chart = await written(document, 'tested')
    const { stdout } = await run(program, [
      'template',
      'release',
      chart,
      '--namespace',
      'prod',
      ...CLUSTER,
      '--show-only',
      'templates/tests/answers.yaml',
    ])
    const [pod] = parseAllDocuments(stdout).map((one) => one.toJS() as KubernetesObject)
    await validate(pod!)
    assert.equal((pod as unknown as { metadata: { annotations: Record<string, string> } }).metadata.annotations['helm.sh/hook'], 'test')
    const service = find(renderEndpoint(document), 'Service')['spec'] as { selector: Record<string, string> }
    assert.ok(Object.entries(service.selector).some(([name, value]) => pod!.metadata.labels![name] !== value))
    const spec = pod!['spec'] as { containers: [{ args: string[]; image: string }] }
    assert.deepEqual(spec.containers[0].args, [
      'inspect',
      `http://${find(renderEndpoint(document), 'Deployment').metadata.name.replace(/-main$/, '')}.prod`,
    ])
  })
})
