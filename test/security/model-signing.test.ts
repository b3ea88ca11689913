import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { readSigner, requireSameFiles, signerId, signModel, verifyBundle } from '../../src/security/model-signing.ts'
import { pythonEnv } from '../../scripts/python-env.ts'
import { authority } from '../certificates.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { SignedFile } from '../../src/security/model-signing.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const CURVES = ['P-256', 'P-384', 'P-521'] as const

/** Names whose order is another one by parts than by characters. */
const FILES: Readonly<Record<string, string>> = {
  'model.onnx': 'the graph',
  'model.onnx.data': 'the weights',
  'a/z.bin': 'z',
  'a-b.bin': 'b',
  'a/b/c.txt': '',
  'ä/ü.txt': 'text',
}

async function writeModel(folder: TemporaryFolder): Promise<SignedFile[]> {
  for (const [path, text] of Object.entries(FILES)) await folder.write(`model/${path}`, text)
  return Object.entries(FILES).map(([path, text]) => ({ path, sha256: createHash('sha256').update(text).digest('hex') }))
}

function keyPair(curve: (typeof CURVES)[number]): { key: string; pem: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve })
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    pem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  }
}

describe('signatures of models', () => {
  let reference: string
  before(
    async () => {
      reference = join(dirname(await pythonEnv('model-signing')), 'model_signing')
    },
    { timeout: 300_000 },
  )
  const cli = (...args: string[]) => promisify(execFile)(reference, args)

  for (const curve of CURVES)
    it(`of ours with a key of ${curve} hold for the reference implementation, and its own for us`, async () => {
      await using folder = await temporaryFolder()
      const files = await writeModel(folder)
      const { key, pem } = keyPair(curve)
      const [model, signature] = [join(folder.path, 'model'), join(folder.path, 'model.sig')]
      const [keyFile, pemFile] = [await folder.write('key.pem', key), await folder.write('public.pem', pem)]
      await writeFile(signature, signModel({ name: 'model', files, key }))
      await cli('verify', 'key', model, '--signature', signature, '--public_key', pemFile)

      const theirs = join(folder.path, 'theirs.sig')
      await cli('sign', 'key', model, '--signature', theirs, '--private_key', keyFile)
      const { signer, model: signed } = verifyBundle(await readFile(theirs, 'utf8'), [readSigner(pem)])
      assert.equal(signer.id, signerId(pem))
      requireSameFiles(signed, files)
      // A byte more is a failure for both.
      await folder.write('model/model.onnx', 'the graph!')
      await assert.rejects(cli('verify', 'key', model, '--signature', signature, '--public_key', pemFile))
      const changed = files.map((file) => (file.path === 'model.onnx' ? { ...file, sha256: '0'.repeat(64) } : file))
      assert.throws(() => requireSameFiles(signed, changed), /model\.onnx has other bytes/)
    })

  it('by certificates hold in both directions, and only with an authority that is believed', async () => {
    await using folder = await temporaryFolder()
    const files = await writeModel(folder)
    const ca = await authority(folder.path)
    const { cert, key } = await ca.issue('signer', 2, ['keyUsage=critical,digitalSignature'])
    const [model, signature] = [join(folder.path, 'model'), join(folder.path, 'model.sig')]
    const certificates = [await readFile(cert, 'utf8')]
    await writeFile(signature, signModel({ name: 'model', files, key: await readFile(key, 'utf8'), certificates }))
    await cli('verify', 'certificate', model, '--signature', signature, '--certificate_chain', ca.cert)

    const theirs = join(folder.path, 'theirs.sig')
    const chain = ['--private_key', key, '--signing_certificate', cert, '--certificate_chain', ca.cert]
    await cli('sign', 'certificate', model, '--signature', theirs, ...chain)
    const root = readSigner(await readFile(ca.cert, 'utf8'))
    requireSameFiles(verifyBundle(await readFile(theirs, 'utf8'), [root]).model, files)

    const other = await authority(folder.path, 'other')
    const others = [readSigner(await readFile(other.cert, 'utf8'))]
    assert.throws(() => void verifyBundle(String(certificates), others), /cannot be read/)
    const ours = await readFile(signature, 'utf8')
    assert.throws(() => verifyBundle(ours, others), /whom nobody here believes/)
    const web = await ca.issue('web', 2, ['keyUsage=critical,keyEncipherment'])
    const byWeb = signModel({
      name: 'model',
      files,
      key: await readFile(web.key, 'utf8'),
      certificates: [await readFile(web.cert, 'utf8')],
    })
    assert.throws(() => verifyBundle(byWeb, [root]), /not meant for signing/)
  })

  it('do not hold when a byte of them is another, for whatever key', () => {
    const { key, pem } = keyPair('P-256')
    const files = [{ path: 'model.onnx', sha256: 'a'.repeat(64) }]
    const bundle = JSON.parse(signModel({ name: 'm', files, key })) as {
      dsseEnvelope: { payload: string; signatures: { sig: string }[] }
      verificationMaterial: { publicKey: { hint: string } }
    }
    const signers = [readSigner(pem)]
    assert.equal(verifyBundle(JSON.stringify(bundle), signers).model.name, 'm')
    const statement = Buffer.from(bundle.dsseEnvelope.payload, 'base64').toString()
    const forged = structuredClone(bundle)
    forged.dsseEnvelope.payload = Buffer.from(statement.replaceAll('a'.repeat(64), 'b'.repeat(64))).toString('base64')
    assert.throws(() => verifyBundle(JSON.stringify(forged), signers), { code: 'SLW_SIGNATURE_INVALID' })
    const other = keyPair('P-256')
    assert.throws(() => verifyBundle(JSON.stringify(bundle), [readSigner(other.pem)]), /whom nobody here believes/)
    // The hint is no proof: the bytes must be signed by that key.
    const lying = structuredClone(bundle)
    lying.verificationMaterial.publicKey.hint = signerId(other.pem)
    assert.throws(() => verifyBundle(JSON.stringify(lying), [readSigner(other.pem)]), { code: 'SLW_SIGNATURE_INVALID' })
    assert.throws(() => requireSameFiles(verifyBundle(JSON.stringify(bundle), signers).model, []), /model\.onnx is missing/)
    const more = [...files, { path: 'extra.bin', sha256: 'c'.repeat(64) }]
    assert.throws(() => requireSameFiles(verifyBundle(JSON.stringify(bundle), signers).model, more), /extra\.bin was not signed/)
  })

  it('are believed by public keys and certificates only', () => {
    const { key } = keyPair('P-256')
    assert.throws(() => readSigner(key), /private key/)
    assert.throws(() => readSigner('hello'), /no public key in PEM/)
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' }).toString()
    assert.throws(() => readSigner(rsa), /expected P-256/)
  })
})
