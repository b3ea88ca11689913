/** `slipway build` of models of a control plane, sent to a registry, with what says how the image came to be. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { createLayoutFolder, openLayoutFolder } from '../../src/images/layout/folder.ts'
import { digestOf, MEDIA_TYPES } from '../../src/images/oci.ts'
import { openRegistry } from '../../src/images/registry/registry.ts'
import { planeInProcess, push } from '../api/in-plane.ts'
import { slipway } from '../cli/slipway.ts'
import { example, freePort } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { makeImage } from './make-image.ts'
import { PASSWORD, startDockerRegistry, USER } from './registries.ts'
import type { SlsaProvenance, Statement } from '../../src/images/attest/provenance.ts'
import type { Descriptor, ImageConfig, Index, Manifest } from '../../src/images/oci.ts'
import type { Run } from '../cli/slipway.ts'
import type { Plane } from '../api/in-plane.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'
import type { TestRegistry } from './registries.ts'

const run = promisify(execFile)
const NO_PLATFORM = { os: 'unknown', architecture: 'unknown' }

describe('slipway build', () => {
  let folder: TemporaryFolder
  let registry: TestRegistry
  let plane: Plane
  let base: Descriptor
  let files: Record<string, Buffer>
  let digest: string
  let pushed: Pushed
  const at = (name: string): string => join(folder.path, name)
  const named = (name: string): string => `${registry.host}/${name}`
  const credentials = { username: USER, password: PASSWORD }
  const opened = (name: string): ReturnType<typeof openRegistry> => openRegistry(named(name), { credentials })
  /** @param control which control plane, for commands that ask one */
  const command = (
    args: readonly string[],
    environment: Record<string, string> = {},
    control: readonly string[] = args.includes('--url') ? [] : ['--url', plane.url],
  ): Promise<Run> =>
    slipway([...args, ...control], undefined, {
      SLIPWAY_HOME: at('home'),
      DOCKER_CONFIG: at('docker'),
      CI: '',
      SLIPWAY_REGISTRY_USER: USER,
      SLIPWAY_REGISTRY_PASSWORD: PASSWORD,
      ...environment,
    })

  before(async () => {
    folder = await temporaryFolder()
    registry = await startDockerRegistry('basic')
    plane = await planeInProcess()
    const names = await readdir(example('churn'))
    files = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(example('churn'), name))])))
    digest = await registered('churn', files)
    // Of a name that is also that of a folder of the build.
    await registered('image', files)
    await registered('p', {
      MLmodel: Buffer.from('flavors:\n  sklearn: { pickled_model: model.pkl, serialization_format: pickle }\n'),
      'model.pkl': Buffer.from([0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0x4e, 0x2e]),
    })
    base = await makeImage(opened('bases/small:1'), '1', {
      config: { Env: ['FROM_BASE=yes'] },
      layers: [
        [
          { path: 'etc/os-release', text: 'ID=debian\nVERSION_ID="13"\n' },
          { path: 'var/lib/dpkg/status.d/libc6', text: 'Package: libc6\nVersion: 2.41-12\nArchitecture: amd64\n' },
        ],
      ],
    })
    await twoPlatforms()
  })
  after(async () => {
    await plane[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  /** Registers the files as version 1, the champion. @returns its digest */
  async function registered(name: string, own: Readonly<Record<string, Buffer>>): Promise<string> {
    assert.equal((await plane.ask('POST', '/models', { name })).status, 201)
    const { status, body } = await push(plane, name, own)
    assert.equal(status, 201, JSON.stringify(body))
    const alias = await plane.ask('PUT', `/models/${name}/aliases/champion`, { version: 1 })
    assert.ok(alias.status < 300, JSON.stringify(alias.body))
    return (body as { digest: string }).digest
  }

  /** The base in an index, beside one for another platform. */
  async function twoPlatforms(): Promise<void> {
    const there = opened('bases/small:both')
    const arm = await makeImage(there, 'arm', { architecture: 'arm64', layers: [[{ path: 'etc/hostname', text: 'arm' }]] })
    const index: Index = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.index,
      manifests: [
        { ...base, platform: { os: 'linux', architecture: 'amd64' } },
        { ...arm, platform: { os: 'linux', architecture: 'arm64' } },
        { ...arm, platform: NO_PLATFORM },
      ],
    }
    const bytes = Buffer.from(JSON.stringify(index))
    await there.writeManifest({ mediaType: MEDIA_TYPES.index, digest: digestOf(bytes), size: bytes.length }, bytes, 'both')
  }

  interface Pushed {
    readonly root: Descriptor
    readonly manifest: Manifest
    readonly settings: NonNullable<ImageConfig['config']>
  }

  async function built(args: readonly string[], to: string, environment: Record<string, string> = {}): Promise<Pushed> {
    const { code, stdout, stderr } = await command(['build', ...args, '--push', named(to), '--json'], environment)
    assert.equal(code, 0, stderr)
    const told = JSON.parse(stdout) as { digest: string; places: string[] }
    assert.deepEqual(told.places, [named(to.includes(':') ? to : `${to}:1`)])
    const there = opened(to.includes(':') ? to : `${to}:1`)
    const { descriptor, bytes } = await there.resolve()
    assert.equal(descriptor.digest, told.digest)
    const manifest = JSON.parse(bytes.toString()) as Manifest
    if (descriptor.mediaType === MEDIA_TYPES.index) return { root: descriptor, manifest, settings: {} }
    const { config = {}, rootfs } = JSON.parse((await there.readJson(manifest.config)).toString()) as ImageConfig
    assert.equal(rootfs.diff_ids.length, manifest.layers.length)
    return { root: descriptor, manifest, settings: config }
  }

  /** Files of the last layer, as GNU tar unpacks it. */
  async function models(name: string, { layers }: Manifest): Promise<Record<string, Buffer>> {
    const bytes = Buffer.concat(await Array.fromAsync(opened(name).open(layers.at(-1)!)))
    const file = await folder.write(`${name}.tar.gz`, bytes)
    const { stdout } = await run('tar', ['--list', '--file', file])
    await run('tar', ['--extract', '--file', file, '--directory', folder.path])
    const paths = stdout.split('\n').filter((path) => path !== '' && !path.endsWith('/'))
    return Object.fromEntries(await Promise.all(paths.map(async (path) => [path, await readFile(at(path))])))
  }

  const inFolder = (name: string): Record<string, Buffer> =>
    Object.fromEntries(
      Object.entries(files)
        .filter(([path]) => !path.startsWith('.'))
        .map(([path, bytes]) => [`models/${name}/1/${path}`, bytes]),
    )

  /** What hangs on a manifest, by the tag that registries without referrers have it under. */
  async function hanging(name: string, { digest: subject }: Descriptor): Promise<Map<string, { listed: Descriptor; document: any }>> {
    const { bytes } = await opened(name).resolve(subject.replace(':', '-'))
    const { manifests } = JSON.parse(bytes.toString()) as Index
    const documents = manifests.map(async (listed) => {
      const manifest = JSON.parse((await opened(name).readJson(listed)).toString()) as Manifest
      assert.equal(manifest.subject?.digest, subject)
      assert.equal(manifest.artifactType, listed.artifactType)
      assert.equal(manifest.config.mediaType, MEDIA_TYPES.empty)
      const document = JSON.parse((await opened(name).readJson(manifest.layers[0]!)).toString()) as unknown
      return [listed.artifactType!, { listed, document }] as const
    })
    return new Map(await Promise.all(documents))
  }

  it('takes MODEL@ALIAS of a control plane and a base of a registry, and sends the image to a registry', async () => {
    pushed = await built(['churn@champion', '--base', named('bases/small:1')], 'team/churn')
    const { Labels: labels = {}, Env: environment = [] } = pushed.settings
    assert.equal(labels['dev.slipway.model.name'], 'churn')
    assert.equal(labels['dev.slipway.model.version'], '1')
    assert.equal(labels['dev.slipway.model.digest'], digest)
    assert.equal(labels['org.opencontainers.image.base.name'], named('bases/small:1'))
    assert.equal(labels['org.opencontainers.image.base.digest'], base.digest)
    assert.deepEqual(pushed.manifest.annotations, labels)
    assert.ok(environment.includes('FROM_BASE=yes'))
    assert.ok(environment.includes('MODEL_PATH=/models/churn'))
    const { layers } = JSON.parse((await opened('bases/small').readJson(base)).toString()) as Manifest
    assert.deepEqual(pushed.manifest.layers[0], layers[0])
    assert.deepEqual(await models('team/churn', pushed.manifest), inFolder('churn'))
  })

  it('hangs on the image what is in it, as SPDX and CycloneDX, by the tag that registries without referrers have', async () => {
    const found = await hanging('team/churn', pushed.root)
    assert.deepEqual([...found.keys()], ['application/spdx+json', 'application/vnd.cyclonedx+json', 'application/vnd.in-toto+json'])
    const name = named('team/churn')
    const spdx = found.get('application/spdx+json')!.document as {
      spdxVersion: string
      name: string
      packages: { name: string; versionInfo: string; comment?: string }[]
    }
    assert.deepEqual([spdx.spdxVersion, spdx.name], ['SPDX-2.3', name])
    const listed = new Map(spdx.packages.map((one) => [one.name, one]))
    assert.equal(listed.get(name)?.versionInfo, pushed.root.digest)
    assert.equal(listed.get('libc6')?.versionInfo, '2.41-12', 'of the base')
    assert.equal(listed.get('node')?.versionInfo, process.versions.node)
    assert.ok(listed.has('fastify') && listed.has('slipway'))
    assert.equal(listed.get('churn')?.versionInfo, '1')
    assert.match(listed.get('churn')?.comment ?? '', new RegExp(digest))
    const bill = found.get('application/vnd.cyclonedx+json')!.document as {
      specVersion: string
      metadata: { component: { version: string } }
      components: { type: string; name: string; components?: { name: string; hashes: { content: string }[] }[] }[]
    }
    assert.deepEqual([bill.specVersion, bill.metadata.component.version], ['1.6', pushed.root.digest])
    const model = bill.components.find(({ type }) => type === 'machine-learning-model')
    assert.deepEqual(
      Object.fromEntries(model?.components?.map((file) => [file.name.slice(1), `sha256:${file.hashes[0]?.content}`]) ?? []),
      Object.fromEntries(Object.entries(inFolder('churn')).map(([path, bytes]) => [path, digestOf(bytes)])),
    )
    // The command writes the same bill of the image in the registry.
    const { code, stdout, stderr } = await command(['image', 'sbom', named('team/churn:1')], {}, [])
    assert.equal(code, 0, stderr)
    assert.deepEqual(JSON.parse(stdout), spdx)
  })

  it('hangs on the image how it came to be: of which model, on which base, by whom', async () => {
    const { listed, document } = (await hanging('team/churn', pushed.root)).get('application/vnd.in-toto+json')!
    const { subject, predicateType, predicate } = document as Statement<SlsaProvenance>
    assert.equal(listed.annotations?.['in-toto.io/predicate-type'], 'https://slsa.dev/provenance/v1')
    assert.equal(predicateType, 'https://slsa.dev/provenance/v1')
    assert.deepEqual(subject, [{ name: named('team/churn'), digest: { sha256: pushed.root.digest.slice(7) } }])
    const { externalParameters, resolvedDependencies } = predicate.buildDefinition
    assert.deepEqual(externalParameters['models'], ['churn@champion'])
    assert.deepEqual(resolvedDependencies, [
      { name: 'base', uri: `oci:${named('bases/small:1')}@${base.digest}`, digest: { sha256: base.digest.slice(7) } },
      { name: 'model churn/1', uri: 'models:/churn/1', digest: { 'slipway-tree-v1': digest } },
    ])
    const { builder, metadata } = predicate.runDetails
    assert.match(builder.id, /^urn:slipway:machine:./)
    assert.equal(builder.version['node'], process.versions.node)
    assert.ok(Date.parse(metadata.startedOn) <= Date.parse(metadata.finishedOn))
    assert.ok(!JSON.stringify(document).includes(PASSWORD))
  })

  it('takes MODEL/NUMBER and several models, whatever they are called; with --no-attest nothing hangs on the image', async () => {
    const several = await built(['churn/1', 'image@champion', '--base', named('bases/small:both'), '--no-attest'], 'team/several:7')
    assert.deepEqual(await models('team/several', several.manifest), { ...inFolder('churn'), ...inFolder('image') })
    const { Labels: labels = {}, Env: environment = [] } = several.settings
    assert.equal(labels['dev.slipway.model.name'], 'churn,image')
    assert.equal(labels['dev.slipway.model.version'], '1,1')
    assert.equal(labels['dev.slipway.model.digest'], `${digest},${digest}`)
    assert.equal(labels['org.opencontainers.image.base.digest'], base.digest, 'of the image for the platform, and not of the index')
    assert.ok(environment.includes('MODEL_PATH=/models'))
    assert.deepEqual(await opened('team/several').referrers(several.root.digest), [])
    await assert.rejects(opened('team/several').resolve(several.root.digest.replace(':', '-')), { code: 'SLW_NOT_FOUND' })
    assert.deepEqual(await opened('team/several').tags(), ['7'])
  })

  it('for two platforms each image has its own, which a copy takes along; a pipeline is named as the builder', async () => {
    const program = Buffer.alloc(64)
    program.writeUInt32BE(0x7f454c46)
    program.writeUInt16LE(183, 18)
    const node = await folder.write('node-arm64', program)
    const platforms = ['--platform', 'linux/amd64,linux/arm64', '--node', node]
    const server = 'https://ci.example'
    const workflow = 'team/models/.github/workflows/build.yml@refs/heads/main'
    const { root } = await built(['churn/1', '--base', named('bases/small:both'), ...platforms], 'team/both', {
      CI: 'true',
      GITHUB_SERVER_URL: server,
      GITHUB_REPOSITORY: 'team/models',
      GITHUB_RUN_ID: '17',
      GITHUB_WORKFLOW_REF: workflow,
    })
    assert.equal(root.mediaType, MEDIA_TYPES.index)
    const copied = await command(['image', 'copy', named('team/both:1'), named('prod/both:1')], {}, [])
    assert.equal(copied.code, 0, copied.stderr)
    assert.match(copied.stdout, /and 6 that hang on it/)
    const { manifests } = JSON.parse((await opened('prod/both').readJson(root)).toString()) as Index
    const both = JSON.parse((await opened('bases/small:both').resolve()).bytes.toString()) as Index
    for (const [at, image] of manifests.entries()) {
      const found = await hanging('prod/both', image)
      assert.equal(found.size, 3)
      const { subject, predicate } = found.get('application/vnd.in-toto+json')!.document as Statement<SlsaProvenance>
      assert.equal(subject[0]?.digest.sha256, image.digest.slice(7))
      assert.deepEqual(predicate.buildDefinition.internalParameters['platform'], image.platform)
      assert.equal(predicate.buildDefinition.resolvedDependencies[0]?.digest?.['sha256'], both.manifests[at]?.digest.slice(7))
      assert.equal(predicate.runDetails.builder.id, `${server}/${workflow}`)
      assert.equal(predicate.runDetails.metadata.invocationId, `${server}/team/models/actions/runs/17`)
    }
  })

  it('a base in a folder is called by the name of the folder alone, so that the image is the same wherever it lies', async () => {
    await makeImage(await createLayoutFolder(at('here/base.oci')), '1', { layers: [[{ path: 'etc/os-release', text: 'ID=debian\n' }]] })
    const args = ['build', 'churn/1', '--base', `${at('here/base.oci')}:1`, '--output', at('image.oci')]
    const { code, stderr } = await command(args)
    assert.equal(code, 0, stderr)
    const layout = await openLayoutFolder(at('image.oci'))
    const { annotations } = JSON.parse((await layout.readJson(await layout.resolve('1'))).toString()) as Manifest
    assert.equal(annotations?.['org.opencontainers.image.base.name'], 'base.oci:1')
    assert.ok(!JSON.stringify(annotations).includes(folder.path))
  })

  it('names that are wrong and places that do not answer end with a sentence and an exit code', async () => {
    const nowhere = `127.0.0.1:${await freePort()}`
    const refused = async (
      code: number,
      message: RegExp,
      args: readonly string[],
      environment: Record<string, string> = {},
    ): Promise<void> => {
      const answer = await command(args, environment)
      assert.equal(answer.code, code, `${args.join(' ')}: ${answer.stderr}`)
      assert.match(answer.stderr, message, args.join(' '))
      assert.doesNotMatch(answer.stderr, /^ +at /m, 'no stack')
      assert.ok(!`${answer.stdout}${answer.stderr}`.includes('wrong word'))
    }
    const base = ['--base', named('bases/small:1')]
    const to = ['--push', named('team/none:1')]
    await Promise.all([
      refused(2, /"Upper\/Case:1" is no name of an image/, ['build', 'churn/1', ...base, '--push', 'Upper/Case:1']),
      refused(2, /has another digest; give a tag/, ['build', 'churn/1', ...base, '--push', `${named('a')}@sha256:${'a'.repeat(64)}`]),
      refused(2, /--tag Upper: expected NAME or NAME:TAG/, ['build', 'churn/1', ...base, ...to, '--tag', 'Upper']),
      refused(2, /--compression lz4: expected gzip or zstd/, ['build', 'churn/1', ...base, ...to, '--compression', 'lz4']),
      refused(2, /--platform linux\/s390x: expected/, ['build', 'churn/1', ...base, ...to, '--platform', 'linux/s390x']),
      refused(2, /two models are called churn/, ['build', 'churn/1', 'churn@champion', ...base, ...to]),
      refused(4, /nobody/, ['build', 'churn@nobody', ...base, ...to]),
      refused(4, /nobody/, ['build', 'nobody@champion', ...base, ...to]),
      refused(4, /9/, ['build', 'churn/9', ...base, ...to]),
      refused(4, /nothing/, ['build', './nothing', ...base, ...to]),
      refused(4, /--base \.\/nothing: no such file or folder/, ['build', 'churn/1', '--base', './nothing', ...to]),
      refused(4, /bases\/none/, ['build', 'churn/1', '--base', named('bases/none:1'), ...to]),
      refused(4, /bases\/small:arm is for linux\/arm64/, ['build', 'churn/1', '--base', named('bases/small:arm'), ...to]),
      refused(5, /HTTP 401.*who asks/, ['build', 'churn/1', ...base, ...to], { SLIPWAY_REGISTRY_PASSWORD: 'wrong word' }),
      refused(7, new RegExp(nowhere), ['build', 'churn/1', '--base', `${nowhere}/bases/small:1`, ...to]),
      refused(7, new RegExp(nowhere), ['build', 'churn/1', '--base', at('here/base.oci'), '--push', `${nowhere}/team/none:1`]),
      refused(7, new RegExp(nowhere), ['build', 'churn/1', ...base, ...to, '--url', `http://${nowhere}`]),
      refused(10, /p\/1 cannot be served: .*pickle/, ['build', 'p/1', ...base, ...to]),
    ])
    await assert.rejects(opened('team/none').resolve('1'), { code: 'SLW_NOT_FOUND' })
  })

  it('slipway image model takes MODEL@ALIAS and MODEL/NUMBER as well, also what no server of Slipway takes', async () => {
    const sent = async (name: string, form: string, to: string): Promise<Manifest> => {
      const { code, stdout, stderr } = await command(['image', 'model', name, '--form', form, '--push', named(to), '--json'])
      assert.equal(code, 0, stderr)
      const { image, files: count } = JSON.parse(stdout) as { image: string; files: number }
      assert.ok(image.startsWith(`${named(to)}:1@sha256:`), image)
      const manifest = JSON.parse((await opened(`${to}:1`).resolve()).bytes.toString()) as Manifest
      if (form === 'modelpack') assert.equal(manifest.layers.length, count)
      return manifest
    }
    const volume = await sent('churn@champion', 'volume', 'models/churn')
    const config = JSON.parse((await opened('models/churn').readJson(volume.config)).toString()) as ImageConfig
    assert.equal(config.config?.Labels?.['org.opencontainers.image.version'], '1')
    const unpacked = await models('models/churn', volume)
    assert.deepEqual(
      unpacked,
      Object.fromEntries(Object.entries(inFolder('churn')).map(([path, bytes]) => [path.replace('/1/', '/'), bytes])),
    )
    const pack = await sent('churn/1', 'modelpack', 'models/pack')
    const { descriptor, config: format } = JSON.parse((await opened('models/pack').readJson(pack.config)).toString()) as {
      descriptor: object
      config: object
    }
    assert.deepEqual([descriptor, format], [{ name: 'churn', version: '1' }, { format: 'onnx' }])
    await sent('p/1', 'modelpack', 'models/pickle')
    const unknown = await command(['image', 'model', 'churn@nobody', '--form', 'volume', '--push', named('models/none')])
    assert.equal(unknown.code, 4, unknown.stderr)
    assert.match(unknown.stderr, /nobody/)
  })
})
