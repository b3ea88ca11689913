import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { debianBinary } from '../../scripts/debian-package.ts'
import { crane } from '../../scripts/image-tools.ts'
import { copyImage } from '../../src/images/copy.ts'
import { createLayoutFolder } from '../../src/images/layout/folder.ts'
import { attachReferrer } from '../../src/images/registry/referrers.ts'
import { slipway } from '../cli/slipway.ts'
import { example } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { testImage } from './images.ts'
import { PASSWORD, startDockerRegistry, USER } from './registries.ts'
import type { Manifest } from '../../src/images/oci.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'
import type { TestImage } from './images.ts'
import type { TestRegistry } from './registries.ts'

const run = promisify(execFile)

describe('slipway image', () => {
  let registry: TestRegistry
  let folder: TemporaryFolder
  let image: TestImage
  let environment: Readonly<Record<string, string>>
  before(async () => {
    registry = await startDockerRegistry('basic')
    folder = await temporaryFolder()
    const auth = Buffer.from(`${USER}:${PASSWORD}`).toString('base64')
    await folder.write('docker/config.json', JSON.stringify({ auths: { [registry.host]: { auth } } }))
    environment = { DOCKER_CONFIG: join(folder.path, 'docker') }
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    await folder.write('key.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }))
    await folder.write('key.pub', publicKey.export({ type: 'spki', format: 'pem' }))
    image = await testImage(100_000)
    const layout = await createLayoutFolder(join(folder.path, 'layout'))
    await copyImage(image, layout, image.root, { tag: '1' })
    await attachReferrer(layout, image.root, { artifactType: 'application/spdx+json', bytes: Buffer.from('{"spdxVersion":"SPDX-2.3"}') })
  })
  after(async () => {
    await folder[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
  })

  const at = (name: string): string => join(folder.path, name)
  const named = (name: string): string => `${registry.host}/${name}`
  const works = async (args: readonly string[], input?: string, own: Readonly<Record<string, string>> = environment): Promise<string> => {
    const { code, stdout, stderr } = await slipway(['image', ...args], input, own)
    assert.equal(code, 0, stderr)
    return stdout
  }

  it('push sends a layout with what hangs on it, signed; verify, copy and pull believe only that key', async () => {
    const pushed = JSON.parse(
      await works(['push', `${at('layout')}:1`, named('team/churn:1'), '--key', `file:${at('key.pem')}`, '--json']),
    ) as Record<string, unknown>
    assert.equal(pushed['digest'], image.root.digest)
    assert.equal(pushed['referrers'], 1)
    assert.equal((pushed['signatures'] as unknown[]).length, 2)
    assert.match(
      await works(['verify', named('team/churn:1'), '--key', at('key.pub')]),
      /^signed .*team\/churn@sha256:[^]*bundle .* by .*key.pub[^]*|tag /,
    )
    assert.match(await works(['copy', named('team/churn:1'), named('prod/churn:1'), '--key', at('key.pub')]), /and 3 that hang on it/)
    assert.match(await works(['verify', named('prod/churn:1'), '--key', at('key.pub')]), /^signed /)
    assert.match(
      await works(['pull', named('prod/churn:1'), '--output', at('pulled'), '--key', at('key.pub')]),
      /^pulled .* and 3 that hang on it/,
    )
    const again = JSON.parse(await works(['push', `${at('pulled')}:1`, named('third/churn:1'), '--json'])) as Record<string, unknown>
    assert.equal(again['referrers'], 3)
    assert.match(await works(['verify', named('third/churn:1'), '--key', at('key.pub')]), /^signed /)
    assert.ok((await works(['tags', named('third/churn')])).split('\n').includes('1'))
  })

  it('what is not signed is neither copied nor pulled where a key is asked for', async () => {
    await works(['push', `${at('layout')}:1`, named('team/unsigned:1')])
    for (const args of [
      ['verify', named('team/unsigned:1'), '--key', at('key.pub')],
      ['pull', named('team/unsigned:1'), '--output', at('refused'), '--key', at('key.pub')],
      ['copy', named('team/unsigned:1'), named('prod/unsigned:1'), '--key', at('key.pub')],
    ]) {
      const { code, stderr } = await slipway(['image', ...args], undefined, environment)
      assert.equal(code, 3, stderr)
      assert.match(stderr, /it has no signature/)
    }
    assert.deepEqual(
      (await readdir(folder.path)).filter((name) => name === 'refused'),
      [],
    )
  })

  it('the password comes from standard input or the environment, and is never printed', async () => {
    const none = { DOCKER_CONFIG: at('nothing') }
    assert.match(
      await works(
        ['pull', named('team/unsigned:1'), '--output', at('image.tar'), '--username', USER, '--password-stdin'],
        `${PASSWORD}\n`,
        none,
      ),
      /^pulled/,
    )
    assert.match(
      await works(['tags', named('team/unsigned')], undefined, {
        ...none,
        SLIPWAY_REGISTRY_USER: USER,
        SLIPWAY_REGISTRY_PASSWORD: PASSWORD,
      }),
      /^1$/m,
    )
    for (const input of [undefined, 'another word']) {
      const { code, stdout, stderr } = await slipway(
        ['image', 'tags', named('team/unsigned'), ...(input === undefined ? [] : ['--username', USER, '--password-stdin'])],
        input,
        none,
      )
      assert.equal(code, 5)
      assert.match(stderr, /UNAUTHORIZED/)
      assert.ok(!`${stdout}${stderr}`.includes('another word'))
    }
    const seen = JSON.parse((await run(await debianBinary('skopeo'), ['inspect', `docker-archive:${at('image.tar')}`])).stdout) as {
      Architecture: string
    }
    assert.equal(seen.Architecture, 'amd64')
  })

  it('a model alone is an image of one layer, which skopeo reads, and the same each time', async () => {
    const pushed = JSON.parse(
      await works(['model', example('churn'), '--form', 'volume', '--push', named('models/churn:3'), '--json']),
    ) as { digest: string }
    const written = JSON.parse(await works(['model', example('churn'), '--form', 'volume', '--output', at('volume'), '--json'])) as {
      digest: string
    }
    assert.equal(written.digest, pushed.digest)
    const settings = ['--src-tls-verify=false', '--src-creds', `${USER}:${PASSWORD}`]
    await run(await debianBinary('skopeo'), ['copy', ...settings, `docker://${named('models/churn:3')}`, `dir:${at('dir')}`])
    const { layers } = JSON.parse(await readFile(at('dir/manifest.json'), 'utf8')) as Manifest
    assert.equal(layers.length, 1)
    await run('tar', ['-xf', at(`dir/${layers[0]!.digest.slice(7)}`), '-C', at('dir')])
    assert.ok((await readFile(at('dir/models/churn/model.onnx'))).equals(await readFile(join(example('churn'), 'model.onnx'))))
  })

  it('a ModelPack artifact has a layer for each file, of its kind and of its bytes', async () => {
    const model = example('churn')
    await works(['model', model, '--form', 'modelpack', '--push', named('models/pack:1')])
    const text = (await run(await crane(), ['manifest', named('models/pack:1')], { env: { ...process.env, ...environment } })).stdout
    const manifest = JSON.parse(text) as Manifest
    assert.equal(manifest.artifactType, 'application/vnd.cncf.model.manifest.v1+json')
    assert.equal(manifest.config.mediaType, 'application/vnd.cncf.model.config.v1+json')
    const layers = new Map(manifest.layers.map((layer) => [layer.annotations!['org.cncf.model.filepath']!, layer]))
    for (const [path, layer] of layers) {
      const bytes = await readFile(join(model, path))
      assert.equal(layer.digest, `sha256:${createHash('sha256').update(bytes).digest('hex')}`, path)
      assert.equal(layer.size, bytes.length)
    }
    assert.equal(layers.get('model.onnx')!.mediaType, 'application/vnd.cncf.model.weight.v1.raw')
    assert.equal(layers.get('slipway.yaml')!.mediaType, 'application/vnd.cncf.model.weight.config.v1.raw')
    const config = JSON.parse(
      (await run(await crane(), ['blob', `${named('models/pack')}@${manifest.config.digest}`], { env: { ...process.env, ...environment } }))
        .stdout,
    ) as Record<string, unknown>
    assert.deepEqual(config, {
      descriptor: { name: 'churn' },
      modelfs: { type: 'layers', diffIds: manifest.layers.map(({ digest }) => digest) },
      config: { format: 'onnx' },
    })
  })

  it('what cannot be meant is refused before anything is asked', async () => {
    const refused = async (args: readonly string[], message: RegExp): Promise<void> => {
      const { code, stderr } = await slipway(['image', ...args], undefined, environment)
      assert.notEqual(code, 0, args.join(' '))
      assert.match(stderr, message)
    }
    await Promise.all([
      refused(['push', at('layout'), 'Upper/Case:1'], /no name of an image/),
      refused(['push', at('nowhere'), named('a:1')], /no such file/),
      refused(['push', at('layout'), named('a:1'), '--chunk-size', '1'], /1MiB to 512MiB/),
      refused(['sign', named('a:1'), '--key', at('key.pem')], /no reference to a secret/),
      refused(['sign', named('a:1'), '--key', `file:${at('key.pub')}`], /no private key/),
      refused(['model', example('churn'), '--form', 'volume'], /--push REFERENCE or --output PATH/),
    ])
  })
})
