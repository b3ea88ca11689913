import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { cosign } from '../../scripts/image-tools.ts'
import { readSigningKey, readVerifyingKey, signImage, verifyImage } from '../../src/images/attest/signature.ts'
import { attachReferrer } from '../../src/images/registry/referrers.ts'
import { copyImage } from '../../src/images/copy.ts'
import { openRegistry } from '../../src/images/registry/registry.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { testImage } from './images.ts'
import { startDockerRegistry, startGoRegistry } from './registries.ts'
import type { Registry } from '../../src/images/registry/registry.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'
import type { TestImage } from './images.ts'
import type { TestRegistry } from './registries.ts'

const run = promisify(execFile)
const AT_MS = 1_700_000_000_000
/** Of nobody: with a key there is nothing else to believe. */
const TRUSTED_ROOT = JSON.stringify({ mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1' })
const PRIVATE = ['--insecure-ignore-tlog=true', '--private-infrastructure=true']
const PEM = { publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } } as const

function newKeys(namedCurve = 'prime256v1'): { readonly publicKey: string; readonly privateKey: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve, ...PEM })
  return { publicKey: String(publicKey), privateKey: String(privateKey) }
}

/** cosign, without a home of its own and without asking anybody outside. */
async function runCosign(folder: TemporaryFolder, ...args: readonly string[]): Promise<string> {
  const environment = {
    ...process.env,
    HOME: folder.path,
    COSIGN_PASSWORD: 'open sesame',
    TUF_ROOT: `${folder.path}/tuf`,
    SIGSTORE_NO_CACHE: 'true',
  }
  const { stdout } = await run(await cosign(), args, { env: environment, cwd: folder.path, timeout: 60_000 })
  return stdout
}

for (const [what, start, forms] of [
  ['docker-registry', () => startDockerRegistry(), ['tag', 'bundle']],
  ['a registry that lists referrers', () => startGoRegistry(true), ['bundle']],
] as const)
  describe(`signatures of images in ${what}`, () => {
    let registry: TestRegistry
    let folder: TemporaryFolder
    before(async () => {
      registry = await start()
      folder = await temporaryFolder()
    })
    after(async () => {
      await folder[Symbol.asyncDispose]()
      await registry[Symbol.asyncDispose]()
    })

    async function pushed(name: string): Promise<{ readonly image: TestImage; readonly at: Registry; readonly name: string }> {
      const image = await testImage(1000)
      const at = openRegistry(`${registry.host}/${name}:1`, { environment: {}, pauseMs: 10 })
      await copyImage(image, at, image.root, { tag: '1' })
      return { image, at, name: `${registry.host}/${name}:1` }
    }

    for (const form of forms)
      it(`cosign believes what was signed here (${form}), and not by another key`, async () => {
        const { image, at, name } = await pushed(`ours-${form}`)
        const { publicKey, privateKey } = newKeys()
        const key = await readSigningKey(privateKey)
        const made = await signImage({ registry: at, subject: image.root, key, forms: [form], atMs: AT_MS })
        assert.deepEqual(
          made.map((one) => one.form),
          [form],
        )
        const file = await folder.write('ours.pub', publicKey)
        const root = form === 'tag' ? [] : ['--trusted-root', await folder.write('trusted-root.json', TRUSTED_ROOT)]
        const verified = JSON.parse(await runCosign(folder, 'verify', '--key', file, ...PRIVATE, ...root, name)) as unknown[]
        assert.match(JSON.stringify(verified), new RegExp(image.root.digest.slice(7)))
        const other = await folder.write('other.pub', newKeys().publicKey)
        await assert.rejects(
          runCosign(folder, 'verify', '--key', other, ...PRIVATE, ...root, name),
          /no matching signatures|no signatures found|failed to verify|invalid signature|could not verify/i,
        )
        // Signing again makes no second signature.
        assert.deepEqual(await signImage({ registry: at, subject: image.root, key, forms: [form], atMs: AT_MS + 5000 }), made)
      })

    for (const form of forms)
      it(`what cosign has signed (${form}) is believed here, with its key that is opened by its password`, async () => {
        const { image, at, name } = await pushed(`theirs-${form}`)
        const flags = form === 'tag' ? [] : ['--new-bundle-format']
        await runCosign(folder, 'generate-key-pair', '--output-key-prefix', form)
        await runCosign(
          folder,
          'sign',
          '--key',
          `${form}.key`,
          '--tlog-upload=false',
          '--yes',
          ...flags,
          name.replace(/:1$/, `@${image.root.digest}`),
        )
        const key = readVerifyingKey(await readFile(`${folder.path}/${form}.pub`, 'utf8'))
        const found = await verifyImage(at, image.root.digest, [readVerifyingKey(newKeys().publicKey), key])
        assert.deepEqual(
          found.map((one) => one.form),
          [form],
        )
        await assert.rejects(verifyImage(at, image.root.digest, [readVerifyingKey(newKeys().publicKey)]), {
          code: 'SLW_SIGNATURE_INVALID',
          message: /it has 1 signature, and none by the keys/,
        })
        const encrypted = await readFile(`${folder.path}/${form}.key`, 'utf8')
        const opened = await readSigningKey(encrypted, 'open sesame')
        assert.deepEqual(await signImage({ registry: at, subject: image.root, key: opened, forms: [form], atMs: AT_MS }), found)
        await assert.rejects(readSigningKey(encrypted, 'open barley'), { code: 'SLW_SECRET_UNAVAILABLE', message: /does not open/ })
        await assert.rejects(readSigningKey(encrypted), { code: 'SLW_SECRET_UNAVAILABLE', message: /COSIGN_PASSWORD/ })
      })

    if (!forms.some((form) => form === 'tag')) return

    it('a key that was made elsewhere signs with cosign (import-key-pair) and here alike, and both signatures stay', async () => {
      const { image, at, name } = await pushed('imported')
      const [ours, theirs] = [newKeys(), newKeys()]
      await folder.write('theirs.pem', theirs.privateKey)
      await runCosign(folder, 'import-key-pair', '--key', 'theirs.pem', '--output-key-prefix', 'imported')
      await signImage({ registry: at, subject: image.root, key: await readSigningKey(ours.privateKey), forms: ['tag'], atMs: AT_MS })
      await runCosign(folder, 'sign', '--key', 'imported.key', '--tlog-upload=false', '--yes', name.replace(/:1$/, `@${image.root.digest}`))
      await signImage({ registry: at, subject: image.root, key: await readSigningKey(theirs.privateKey), forms: ['tag'], atMs: AT_MS })
      const [ourKey, theirKey] = [readVerifyingKey(ours.publicKey), readVerifyingKey(theirs.publicKey)]
      assert.equal((await verifyImage(at, image.root.digest, [ourKey, theirKey])).length, 2)
      assert.equal((await verifyImage(at, image.root.digest, [ourKey])).length, 1)
    })

    it('an image without a signature, one with a signature of another, and an attestation are refused', async () => {
      const { image, at } = await pushed('unsigned')
      const { publicKey, privateKey } = newKeys()
      const [key, own] = [await readSigningKey(privateKey), readVerifyingKey(publicKey)]
      await assert.rejects(verifyImage(at, image.root.digest, [own]), { code: 'SLW_SIGNATURE_INVALID', message: /it has no signature/ })
      const other = await testImage(1000)
      await copyImage(other, at, other.root)
      await signImage({ registry: at, subject: other.root, key, forms: ['tag', 'bundle'], atMs: AT_MS })
      // Signatures that hold, hung on what they are not of.
      const tagged = await at.resolve(`${other.root.digest.replace(':', '-')}.sig`)
      await at.writeManifest(tagged.descriptor, tagged.bytes, `${image.root.digest.replace(':', '-')}.sig`)
      const [bundle] = await at.referrers(other.root.digest)
      const manifest = JSON.parse((await at.readJson(bundle!)).toString()) as {
        layers: { mediaType: string; digest: `sha256:${string}`; size: number }[]
      }
      const bytes = await at.readJson(manifest.layers[0]!)
      await attachReferrer(at, image.root, { artifactType: bundle!.artifactType!, bytes })
      await assert.rejects(verifyImage(at, image.root.digest, [own]), {
        code: 'SLW_SIGNATURE_INVALID',
        message: /it has 2 signatures, and none/,
      })
      assert.equal((await verifyImage(at, other.root.digest, [own])).length, 2)
    })
  })

it('keys that cannot sign images are refused, without a word of them', async () => {
  const { privateKey, publicKey } = newKeys('secp384r1')
  await assert.rejects(readSigningKey(privateKey), { code: 'SLW_CONFIG_INVALID', message: /secp384r1.*P-256/ })
  await assert.rejects(
    readSigningKey('s3cret'),
    (error: Error) => !error.message.includes('s3cret') && error.message.includes('no private key'),
  )
  assert.throws(() => readVerifyingKey(publicKey), { code: 'SLW_CONFIG_INVALID' })
  assert.throws(() => readVerifyingKey(newKeys().privateKey), { code: 'SLW_CONFIG_INVALID', message: /private key/ })
  assert.throws(() => readVerifyingKey('nothing'), { code: 'SLW_CONFIG_INVALID' })
})
