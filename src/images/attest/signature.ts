/**
 * Signatures of images that cosign believes, and belief in those that cosign makes, by a key (ECDSA, P-256): the older form, a payload
 * ("simple signing") in an image under the tag `sha256-DIGEST.sig`, and the newer, a statement of in-toto in a bundle of Sigstore that
 * hangs on the image.
 * Formats: https://github.com/sigstore/cosign (specs/SIGNATURE_SPEC.md), https://github.com/sigstore/protobuf-specs (bundle v0.3),
 * https://github.com/secure-systems-lab/dsse (protocol 1.0.0).
 */
import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { BUNDLE_TYPE, PAYLOAD_TYPE, preAuthenticated, STATEMENT_TYPE } from '../../security/dsse.ts'
import { parseManifest } from '../manifest.ts'
import { digestOf, MEDIA_TYPES } from '../oci.ts'
import { referenceText } from '../registry/reference.ts'
import { attachReferrer, writeBytes, writeManifest } from '../registry/referrers.ts'
import { decryptedKey, isEncryptedKey } from './encrypted-key.ts'
import type { KeyObject } from 'node:crypto'
import type { Descriptor, Digest, ImageConfig } from '../oci.ts'
import type { Registry } from '../registry/registry.ts'

const SIMPLE_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json'
const SIGNATURE_ANNOTATION = 'dev.cosignproject.cosign/signature'
const PREDICATE_TYPE = 'https://sigstore.dev/cosign/sign/v1'
const SIGNATURE_KIND = 'cosign container image signature'
const CURVE = 'prime256v1'
/** Signatures of one image that are looked at. */
const SIGNATURES_MAX = 200
const SIGNATURE_BYTES_MAX = 1024 * 1024

export type SignatureForm = 'tag' | 'bundle'

/** A signature that holds. */
export interface FoundSignature {
  readonly form: SignatureForm
  /** Where it is. */
  readonly manifest: Digest
  /** {@link keyId} of the key that made it. */
  readonly key: string
}

/** A private key that signs images. @param password of a key that cosign has made. @throws SLW_CONFIG_INVALID; never with a part of it */
export async function readSigningKey(text: string, password?: string): Promise<KeyObject> {
  try {
    const key = isEncryptedKey(text) ? await decryptedKey(text, password) : createPrivateKey(text)
    return requireCurve(key)
  } catch (error) {
    if (isSlipwayError(error)) throw error
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      'this is no private key in PEM; expected one of P-256, as openssl ecparam -name prime256v1 -genkey -noout or cosign generate-key-pair makes it',
    )
  }
}

/** A public key that signatures are checked with. @throws SLW_CONFIG_INVALID */
export function readVerifyingKey(text: string): KeyObject {
  if (text.includes('PRIVATE KEY'))
    throw new SlipwayError('SLW_CONFIG_INVALID', 'this is a private key; signatures are checked with the public one (openssl pkey -pubout)')
  try {
    return requireCurve(createPublicKey(text))
  } catch (error) {
    if (isSlipwayError(error)) throw error
    throw new SlipwayError('SLW_CONFIG_INVALID', 'this is no public key in PEM; expected one of P-256, such as cosign.pub')
  }
}

function requireCurve(key: KeyObject): KeyObject {
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (curve === CURVE) return key
  throw new SlipwayError(
    'SLW_CONFIG_INVALID',
    `the key is of ${curve ?? key.asymmetricKeyType ?? 'no kind'}; images are signed with ECDSA keys of P-256 (prime256v1)`,
  )
}

/** By which a public key is known in a bundle: the SHA-256 of its DER, in base64. */
export function keyId(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('base64')
}

export interface SignImage {
  readonly registry: Registry
  /** The image or index that is signed, by its digest. */
  readonly subject: Descriptor
  readonly key: KeyObject
  readonly forms: readonly SignatureForm[]
  /** For the annotation of the bundle. */
  readonly atMs: number
}

/**
 * Signs an image in its registry. Signatures of others stay; where there is one of the same key and form, that is it.
 * @returns those that hold now
 */
export async function signImage({ registry, subject, key, forms, atMs }: SignImage): Promise<readonly FoundSignature[]> {
  const own = createPublicKey(key)
  const { valid: before } = await findSignatures(registry, subject.digest, [own])
  const made: FoundSignature[] = []
  for (const form of forms) {
    const known = before.find((one) => one.form === form)
    if (known !== undefined) made.push(known)
    else {
      const manifest = form === 'tag' ? await writeTagged(registry, subject, key) : await writeBundle(registry, subject, key, atMs)
      made.push({ form, manifest, key: keyId(own) })
    }
  }
  return made
}

async function writeTagged(registry: Registry, { digest }: Descriptor, key: KeyObject): Promise<Digest> {
  const { host, repository } = registry.reference
  const payload = Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': referenceText({ host, repository }) },
        image: { 'docker-manifest-digest': digest },
        type: SIGNATURE_KIND,
      },
      optional: null,
    }),
  )
  const layer: Descriptor = {
    mediaType: SIMPLE_TYPE,
    digest: digestOf(payload),
    size: payload.length,
    annotations: { [SIGNATURE_ANNOTATION]: sign('sha256', payload, key).toString('base64') },
  }
  const layers = [...(await taggedLayers(registry, digest)).layers, layer]
  // What cosign writes there: a configuration that names the layers, of no platform.
  const config: ImageConfig = {
    architecture: '',
    os: '',
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map((one) => one.digest) },
  }
  const configBytes = Buffer.from(JSON.stringify(config))
  const configDescriptor = { mediaType: MEDIA_TYPES.config, digest: digestOf(configBytes), size: configBytes.length }
  await writeBytes(registry, layer, payload)
  await writeBytes(registry, configDescriptor, configBytes)
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config: configDescriptor, layers } as const
  return (await writeManifest(registry, manifest, signatureTag(digest))).digest
}

async function writeBundle(registry: Registry, subject: Descriptor, key: KeyObject, atMs: number): Promise<Digest> {
  const statement = {
    _type: STATEMENT_TYPE,
    subject: [{ digest: { sha256: subject.digest.slice('sha256:'.length) } }],
    predicateType: PREDICATE_TYPE,
    predicate: {},
  }
  const payload = Buffer.from(JSON.stringify(statement))
  const bundle = {
    mediaType: BUNDLE_TYPE,
    verificationMaterial: { publicKey: { hint: keyId(createPublicKey(key)) } },
    dsseEnvelope: {
      payload: payload.toString('base64'),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ sig: sign('sha256', preAuthenticated(payload), key).toString('base64') }],
    },
  }
  const { digest } = await attachReferrer(registry, subject, {
    artifactType: BUNDLE_TYPE,
    bytes: Buffer.from(JSON.stringify(bundle)),
    annotations: {
      'org.opencontainers.image.created': `${new Date(atMs).toISOString().slice(0, 19)}Z`,
      'dev.sigstore.bundle.content': 'dsse-envelope',
      'dev.sigstore.bundle.predicateType': PREDICATE_TYPE,
    },
  })
  return digest
}

/**
 * Requires that an image is signed by one of the keys.
 * @returns the signatures that hold
 * @throws SLW_SIGNATURE_INVALID where it has none, or only others
 */
export async function verifyImage(registry: Registry, digest: Digest, keys: readonly KeyObject[]): Promise<readonly FoundSignature[]> {
  const { valid, others } = await findSignatures(registry, digest, keys)
  if (valid.length > 0) return valid
  const { host, repository } = registry.reference
  const why =
    others === 0
      ? 'it has no signature'
      : `it has ${others} ${others === 1 ? 'signature' : 'signatures'}, and none by the keys that are believed here, or not of these bytes`
  throw new SlipwayError('SLW_SIGNATURE_INVALID', `${host}/${repository}@${digest} is not to be believed: ${why}`)
}

interface Found {
  readonly valid: readonly FoundSignature[]
  /** Signatures that do not hold by the keys. */
  readonly others: number
}

async function findSignatures(registry: Registry, digest: Digest, keys: readonly KeyObject[]): Promise<Found> {
  const tagged = await taggedLayers(registry, digest)
  const valid: FoundSignature[] = []
  let others = 0
  for (const layer of tagged.layers.slice(0, SIGNATURES_MAX)) {
    const key = await keyOfSimple(registry, layer, digest, keys)
    if (key === undefined) others++
    else valid.push({ form: 'tag', manifest: tagged.manifest!, key })
  }
  const referrers = (await registry.referrers(digest)).filter(({ artifactType }) => artifactType === BUNDLE_TYPE)
  for (const referrer of referrers.slice(0, SIGNATURES_MAX)) {
    const statement = await bundleOf(registry, referrer)
    // Bundles also hold attestations, which are no signatures of the image.
    if (statement === undefined) continue
    const key = keys.find((one) => holds(statement.signed, one, statement.signature))
    if (key !== undefined && isAbout(statement.payload, digest)) valid.push({ form: 'bundle', manifest: referrer.digest, key: keyId(key) })
    else others++
  }
  return { valid, others }
}

/** Where cosign looks for signatures in the older form. */
export function signatureTag(digest: Digest): string {
  return `${digest.replace(':', '-')}.sig`
}

async function taggedLayers(
  registry: Registry,
  digest: Digest,
): Promise<{ readonly manifest?: Digest; readonly layers: readonly Descriptor[] }> {
  const found = await registry.resolve(signatureTag(digest)).catch((error: unknown) => {
    if (isSlipwayError(error) && error.code === 'SLW_NOT_FOUND') return undefined
    throw error
  })
  if (found === undefined) return { layers: [] }
  const { blobs } = parseManifest(found.bytes, found.descriptor.mediaType, signatureTag(digest))
  return { manifest: found.descriptor.digest, layers: blobs.filter(({ mediaType }) => mediaType === SIMPLE_TYPE) }
}

/** The key that has signed a payload about the digest. */
async function keyOfSimple(registry: Registry, layer: Descriptor, digest: Digest, keys: readonly KeyObject[]): Promise<string | undefined> {
  const signature = layer.annotations?.[SIGNATURE_ANNOTATION]
  if (typeof signature !== 'string' || layer.size > SIGNATURE_BYTES_MAX) return undefined
  const payload = await registry.readJson(layer)
  const key = keys.find((one) => holds(payload, one, Buffer.from(signature, 'base64')))
  if (key === undefined) return undefined
  const said = jsonOf<SimpleJson>(payload)?.critical
  return said?.type === SIGNATURE_KIND && said.image?.['docker-manifest-digest'] === digest ? keyId(key) : undefined
}

interface SimpleJson {
  readonly critical?: { readonly image?: { readonly 'docker-manifest-digest'?: unknown }; readonly type?: unknown }
}

interface BundleJson {
  readonly dsseEnvelope?: {
    readonly payload?: unknown
    readonly payloadType?: unknown
    readonly signatures?: readonly { readonly sig?: unknown }[]
  }
}

interface StatementJson {
  readonly _type?: unknown
  readonly predicateType?: unknown
  readonly subject?: readonly { readonly digest?: { readonly sha256?: unknown } }[]
}

/** The signed statement of a bundle; undefined for what is no signature of an image. */
async function bundleOf(
  registry: Registry,
  referrer: Descriptor,
): Promise<{ readonly payload: StatementJson; readonly signed: Buffer; readonly signature: Buffer } | undefined> {
  const { blobs } = parseManifest(await registry.readJson(referrer), referrer.mediaType, referrer.digest)
  const layer = blobs.find(({ mediaType }) => mediaType === BUNDLE_TYPE)
  if (layer === undefined || layer.size > SIGNATURE_BYTES_MAX) return undefined
  const envelope = jsonOf<BundleJson>(await registry.readJson(layer))?.dsseEnvelope
  const signature = envelope?.signatures?.length === 1 ? envelope.signatures[0]?.sig : undefined
  if (typeof envelope?.payload !== 'string' || typeof signature !== 'string' || envelope.payloadType !== PAYLOAD_TYPE) return undefined
  const bytes = Buffer.from(envelope.payload, 'base64')
  const payload = jsonOf<StatementJson>(bytes)
  if (payload?.predicateType !== PREDICATE_TYPE || payload._type !== STATEMENT_TYPE) return undefined
  return { payload, signed: preAuthenticated(bytes), signature: Buffer.from(signature, 'base64') }
}

function isAbout({ subject }: StatementJson, digest: Digest): boolean {
  return (
    Array.isArray(subject) &&
    subject.some((one: { digest?: { sha256?: unknown } } | null) => `sha256:${String(one?.digest?.sha256)}` === digest)
  )
}

function holds(bytes: Buffer, key: KeyObject, signature: Buffer): boolean {
  try {
    return verify('sha256', bytes, key, signature)
  } catch {
    return false
  }
}

function jsonOf<T>(bytes: Buffer): T | undefined {
  try {
    const value = JSON.parse(bytes.toString('utf8')) as T | null
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
