import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'
import { kustomize } from '../../../scripts/manifest-tools.ts'
import { keyOf } from '../../../src/kubernetes/object.ts'
import { packageEndpoint } from '../../../src/kubernetes/packaging/packaging.ts'
import { renderEndpoint } from '../../../src/kubernetes/render.ts'
import { temporaryFolder } from '../../temporary-folder.ts'
import { KUBERNETES_ENDPOINTS } from '../specs.ts'
import type { EndpointDocument } from '../../../src/contract/endpoint.ts'
import type { KubernetesObject } from '../../../src/kubernetes/object.ts'
import type { TemporaryFolder } from '../../temporary-folder.ts'

const run = promisify(execFile)

const plain = (objects: readonly KubernetesObject[]): KubernetesObject[] => JSON.parse(JSON.stringify(objects)) as KubernetesObject[]
const sorted = (objects: readonly KubernetesObject[]): KubernetesObject[] =>
  objects.toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1))

function inNamespace(document: EndpointDocument, namespace: string): EndpointDocument {
  return { ...document, spec: { ...document.spec, kubernetes: { ...document.spec.kubernetes, namespace } } }
}

describe('a base and overlays of an endpoint', () => {
  let program: string
  let folder: TemporaryFolder
  const stack = new AsyncDisposableStack()
  after(() => stack.disposeAsync())
  before(async () => {
    program = await kustomize()
    folder = stack.use(await temporaryFolder())
  })

  async function written(document: EndpointDocument, name: string, environments: readonly string[] = []): Promise<void> {
    const made = packageEndpoint(document, 'kustomize', environments.length === 0 ? {} : { environments })
    assert.ok('files' in made)
    for (const [path, text] of made.files) await folder.write(`${name}/${path}`, text)
  }

  async function built(command: readonly string[], path: string): Promise<KubernetesObject[]> {
    const [tool, ...args] = command
    const { stdout } = await run(tool!, [...args, `${folder.path}/${path}`])
    return parseAllDocuments(stdout, { version: '1.1' }).map((one) => one.toJS() as KubernetesObject)
  }

  it('builds the rendered objects, and those of another namespace, of every endpoint', async () => {
    const all = [...KUBERNETES_ENDPOINTS]
    const work = async (): Promise<void> => {
      for (let next = all.shift(); next !== undefined; next = all.shift()) {
        const [name, document] = next
        const path = `all/${all.length}`
        await written(document, path)
        const [base, production] = await Promise.all([
          built([program, 'build'], `${path}/base`),
          built([program, 'build'], `${path}/overlays/production`),
        ])
        assert.deepEqual(sorted(base), sorted(plain(renderEndpoint(document))), name)
        assert.deepEqual(sorted(production), sorted(plain(renderEndpoint(inNamespace(document, 'production')))), name)
      }
    }
    await Promise.all([work(), work()])
  })

  it('has one pod of each variant in all but the last environment', async () => {
    for (const name of ['three pods', 'scaled by requests', 'shares by Istio', 'scaled by KEDA and a Prometheus']) {
      const document = KUBERNETES_ENDPOINTS.get(name)!
      const path = `small/${name.replaceAll(' ', '-')}`
      await written(document, path, ['test', 'live'])
      const got = sorted(await built([program, 'build'], `${path}/overlays/test`))
      const wanted = sorted(plain(renderEndpoint(inNamespace(document, 'test'))))
      const count = ({ kind, ...object }: KubernetesObject, replace?: number): unknown => {
        const spec = object['spec'] as Record<string, unknown>
        const key = { Deployment: 'replicas', HorizontalPodAutoscaler: 'minReplicas', ScaledObject: 'minReplicaCount' }[kind]
        if (key === undefined || spec[key] === undefined) return undefined
        if (replace !== undefined) spec[key] = replace
        return spec[key]
      }
      const counts = got.flatMap((object) => count(object) ?? [])
      assert.ok(counts.length > 0)
      assert.deepEqual(new Set(counts), new Set([1]), name)
      for (const object of [...got, ...wanted]) count(object, 0)
      assert.deepEqual(got, wanted, name)
    }
  })

  it('is built by kubectl too, and its images are exchanged by name', async () => {
    const document = KUBERNETES_ENDPOINTS.get('shares by a gateway')!
    await written(document, 'one')
    assert.deepEqual(sorted(await built(['kubectl', 'kustomize'], 'one/base')), sorted(plain(renderEndpoint(document))))

    await written(KUBERNETES_ENDPOINTS.get('one pod')!, 'images')
    const overlay = `${folder.path}/images/overlays/production`
    await run(program, ['edit', 'set', 'image', `images.example/churn@sha256:${'e'.repeat(64)}`], { cwd: overlay })
    const deployment = (await built([program, 'build'], 'images/overlays/production')).find(({ kind }) => kind === 'Deployment')
    assert.match(JSON.stringify(deployment), /"image":"images\.example\/churn@sha256:e{64}"/)
  })
})
