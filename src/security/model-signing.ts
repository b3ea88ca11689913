/**
 * Signatures of models in the format of the OpenSSF (model_signing 1.x): an in-toto Statement v1 with the digest of every file, in a
 * DSSE envelope, in a Sigstore bundle. By a key (P-256, P-384, P-521), or by a certificate that an authority has signed.
 * Formats: https://github.com/sigstore/model-transparency (signing.py), https://github.com/secure-systems-lab/dsse (protocol 1.0.0),
 * https://github.com/in-toto/attestation (spec/v1).
 */
import { createHash, createPrivateKey, createPublicKey, sign, verify, X509Certificate } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import { BUNDLE_TYPE, PAYLOAD_TYPE, preAuthenticated, STATEMENT_TYPE } from './dsse.ts'
import type { KeyObject } from 'node:crypto'

/** A file of a model: its path from the folder of the model, with `/`, and the SHA-256 of its bytes in hexadecimal. */
export interface SignedFile {
  readonly path: string
  readonly sha256: string
}

/** A trusted signer: a public key, or an authority whose certificates are trusted. */
export interface TrustedSigner {
  readonly kind: 'key' | 'certificate'
  readonly pem: string
}

/** Content of a valid signature. */
export interface SignedModel {
  /** The name that the folder had where it was signed; says nothing about its content. */
  readonly name: string
  readonly files: readonly SignedFile[]
  /** Paths that were left out on purpose, with all below them. */
  readonly ignored: readonly string[]
}

const PREDICATE_TYPE = 'https://model_signing/signature/v1.0'

/** The digest that goes with each curve. */
const CURVES: Readonly<Record<string, string>> = { prime256v1: 'sha256', secp384r1: 'sha384', secp521r1: 'sha512' }

export interface SignOptions {
  readonly name: string
  readonly files: readonly SignedFile[]
  /** Private key, PEM. */
  readonly key: string
  /** The certificate of the key first, then those that lead to the authority, PEM. Without them a verifier needs the public key. */
  readonly certificates?: readonly string[]
  /** Paths that were left out on purpose, for the record. */
  readonly ignored?: readonly string[]
}

/** Signs the files of a model. @returns the bundle, to be kept as `model.sig` */
export function signModel({ name, files, key, certificates = [], ignored = [] }: SignOptions): string {
  const privateKey = readKey(() => createPrivateKey(key), 'private key')
  const digest = digestFor(privateKey)
  const resources = files.toSorted(byParts).map(({ path, sha256 }) => ({ name: path, algorithm: 'sha256', digest: sha256 }))
  const statement = {
    _type: STATEMENT_TYPE,
    subject: [{ name, digest: { sha256: digestOfDigests(resources) } }],
    predicateType: PREDICATE_TYPE,
    predicate: {
      serialization: {
        method: 'files',
        hash_type: 'sha256',
        allow_symlinks: false,
        ...(ignored.length > 0 && { ignore_paths: ignored }),
      },
      resources,
    },
  }
  const payload = Buffer.from(JSON.stringify(statement))
  const publicPem = pemOf(createPublicKey(privateKey))
  const chain = certificates.map((pem) => new X509Certificate(pem))
  if (chain[0] !== undefined && pemOf(chain[0].publicKey) !== publicPem)
    throw new SlipwayError('SLW_CONFIG_INVALID', 'the certificate is of another key than the private key that is to sign')
  return JSON.stringify({
    mediaType: BUNDLE_TYPE,
    verificationMaterial: {
      ...(chain.length > 0
        ? { x509CertificateChain: { certificates: chain.map((certificate) => ({ rawBytes: certificate.raw.toString('base64') })) } }
        : { publicKey: { hint: signerId(publicPem) } }),
      tlogEntries: [],
    },
    dsseEnvelope: {
      payload: payload.toString('base64'),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ sig: sign(digest, preAuthenticated(payload), privateKey).toString('base64'), keyid: '' }],
    },
  })
}

/**
 * Reads a signature and checks that a trusted signer has made it. Its list of files is still to be compared with the files
 * ({@link requireSameFiles}).
 * @throws SLW_SIGNATURE_INVALID
 */
export function verifyBundle<S extends TrustedSigner>(bundle: string, signers: readonly S[]): { signer: S; model: SignedModel } {
  const { payload, signature, hint, chain } = readBundle(bundle)
  for (const signer of signers) {
    const key = signer.kind === 'key' ? keyOf(signer, hint) : keyOfChain(chain, signer)
    if (key === undefined) continue
    if (!verify(digestFor(key), preAuthenticated(payload), key, signature))
      throw invalid('its bytes were changed after they were signed, or another key has signed them')
    return { signer, model: readStatement(payload) }
  }
  const by = hint === undefined ? (chain[0]?.subject.replaceAll('\n', ', ') ?? 'nobody') : `the key ${hint}`
  throw invalid(`it is by ${by}, whom nobody here believes`)
}

/** @throws SLW_SIGNATURE_INVALID naming the files that are missing, new or other than they were signed */
export function requireSameFiles(signed: SignedModel, files: readonly SignedFile[]): void {
  const expected = new Map(signed.files.map(({ path, sha256 }) => [path, sha256]))
  const wrong: string[] = []
  for (const { path, sha256 } of files) {
    if (signed.ignored.some((ignored) => path === ignored || path.startsWith(`${ignored}/`))) continue
    const was = expected.get(path)
    if (was === undefined) wrong.push(`${path} was not signed`)
    else if (was !== sha256) wrong.push(`${path} has other bytes`)
    expected.delete(path)
  }
  for (const path of expected.keys()) wrong.push(`${path} is missing`)
  if (wrong.length > 0) throw invalid(`the files are not those that were signed: ${wrong.slice(0, 10).join('; ')}`)
}

/** ID of a key or certificate: the SHA-256 of its PEM, as it stands in a bundle. */
export function signerId(pem: string): string {
  return createHash('sha256').update(pem).digest('hex')
}

/**
 * Reads the PEM of a trusted signer, and normalises it.
 * @throws SLW_INPUT_INVALID for text that is neither a public key of a curve that can sign nor a certificate
 */
export function readSigner(text: string): TrustedSigner & { readonly id: string } {
  const isCertificate = text.includes('BEGIN CERTIFICATE')
  try {
    if (isCertificate) {
      const pem = new X509Certificate(text).toString()
      return { kind: 'certificate', pem, id: signerId(pem) }
    }
    if (text.includes('PRIVATE KEY')) throw new Error('it is a private key, which nobody but its owner should have')
    const key = createPublicKey(text)
    digestFor(key)
    const pem = pemOf(key)
    return { kind: 'key', pem, id: signerId(pem) }
  } catch (error) {
    const what = isCertificate ? 'certificate' : 'public key'
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `this is no ${what} in PEM that signatures can be checked with: ${(error as Error).message}`,
    )
  }
}

interface Bundle {
  readonly payload: Buffer
  readonly signature: Buffer
  readonly hint: string | undefined
  readonly chain: readonly X509Certificate[]
}

interface BundleJson {
  readonly mediaType?: string
  readonly verificationMaterial?: {
    readonly publicKey?: { readonly hint?: string }
    readonly x509CertificateChain?: { readonly certificates?: readonly { readonly rawBytes: string }[] }
  }
  readonly dsseEnvelope?: {
    readonly payload?: string
    readonly payloadType?: string
    readonly signatures?: readonly { readonly sig?: string }[]
  }
}

function readBundle(text: string): Bundle {
  try {
    const { mediaType, verificationMaterial, dsseEnvelope } = JSON.parse(text) as BundleJson
    if (mediaType !== BUNDLE_TYPE) throw new Error(`its mediaType is ${mediaType ?? 'missing'}, expected ${BUNDLE_TYPE}`)
    if (dsseEnvelope?.payloadType !== PAYLOAD_TYPE)
      throw new Error(`its payloadType is ${dsseEnvelope?.payloadType ?? 'missing'}, expected ${PAYLOAD_TYPE}`)
    const { payload, signatures = [] } = dsseEnvelope
    if (typeof payload !== 'string' || typeof signatures[0]?.sig !== 'string' || signatures.length !== 1)
      throw new Error('it has no payload, or not exactly one signature')
    return {
      payload: Buffer.from(payload, 'base64'),
      signature: Buffer.from(signatures[0].sig, 'base64'),
      hint: verificationMaterial?.publicKey?.hint,
      chain: (verificationMaterial?.x509CertificateChain?.certificates ?? []).map(
        ({ rawBytes }) => new X509Certificate(Buffer.from(rawBytes, 'base64')),
      ),
    }
  } catch (error) {
    throw invalid(`it cannot be read: ${(error as Error).message}`)
  }
}

interface StatementJson {
  readonly _type?: string
  readonly predicateType?: string
  readonly subject?: readonly { readonly name?: string; readonly digest?: { readonly sha256?: string } }[]
  readonly predicate?: {
    readonly serialization?: { readonly method?: string; readonly hash_type?: string; readonly ignore_paths?: readonly string[] }
    readonly resources?: readonly { readonly name: string; readonly algorithm: string; readonly digest: string }[]
  }
}

function readStatement(payload: Buffer): SignedModel {
  let statement: StatementJson
  try {
    statement = JSON.parse(payload.toString('utf8')) as StatementJson
  } catch (error) {
    throw invalid(`what was signed is no JSON: ${(error as Error).message}`)
  }
  const { predicateType, predicate, subject = [] } = statement
  if (statement._type !== STATEMENT_TYPE || predicateType !== PREDICATE_TYPE)
    throw invalid(`what was signed is a ${predicateType ?? 'statement of no type'}, expected ${PREDICATE_TYPE}`)
  const { serialization, resources } = predicate ?? {}
  if (subject.length !== 1 || serialization === undefined || resources === undefined) throw invalid('what was signed lists no files')
  if (serialization.method !== 'files' || serialization.hash_type !== 'sha256')
    throw invalid(`files were digested by ${serialization.hash_type} of ${serialization.method}, expected sha256 of files`)
  if (resources.some(({ algorithm, digest }) => algorithm !== 'sha256' || !/^[0-9a-f]{64}$/.test(digest)))
    throw invalid('a file has a digest that is no SHA-256')
  if (digestOfDigests(resources) !== subject[0]?.digest?.sha256) throw invalid('its list of files is not the one that its digest is of')
  return {
    name: subject[0]?.name ?? '',
    files: resources.map(({ name, digest }) => ({ path: name, sha256: digest })),
    ignored: serialization.ignore_paths ?? [],
  }
}

function digestOfDigests(resources: readonly { readonly digest: string }[]): string {
  const hash = createHash('sha256')
  for (const { digest } of resources) hash.update(Buffer.from(digest, 'hex'))
  return hash.digest('hex')
}

function keyOf({ pem }: TrustedSigner, hint: string | undefined): KeyObject | undefined {
  return hint === signerId(pem) ? createPublicKey(pem) : undefined
}

/** The key of the first certificate, where a chain leads from it to the authority, valid at the time when it was made. */
function keyOfChain(chain: readonly X509Certificate[], { pem }: TrustedSigner): KeyObject | undefined {
  const [own] = chain
  if (own === undefined) return undefined
  const authority = new X509Certificate(pem)
  const at = own.validFromDate
  let last = own
  for (const next of [...chain.slice(1), authority]) {
    if (last.fingerprint256 === authority.fingerprint256) break
    if (!next.ca || !last.checkIssued(next) || !last.verify(next.publicKey) || !valid(next, at)) return undefined
    last = next
  }
  if (last.fingerprint256 !== authority.fingerprint256) return undefined
  if (!maySign(own)) throw invalid('its certificate is not meant for signing (key usage digitalSignature, or code signing)')
  return own.publicKey
}

function valid(certificate: X509Certificate, at: Date): boolean {
  return certificate.validFromDate <= at && certificate.validToDate >= at
}

const KEY_USAGE = Buffer.from('0603551d0f', 'hex')
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3'

/** Node reports the extended key usage (`keyUsage`); the plain one (RFC 5280, 4.2.1.3) is a BIT STRING whose first bit counts. */
function maySign(certificate: X509Certificate): boolean {
  const at = certificate.raw.indexOf(KEY_USAGE)
  if (at >= 0) {
    // OID, perhaps BOOLEAN critical (01 01 ff), OCTET STRING (04 len) around BIT STRING (03 len unused bits).
    let from = at + KEY_USAGE.length
    if (certificate.raw[from] === 0x01) from += 3
    if (certificate.raw[from] === 0x04 && certificate.raw[from + 2] === 0x03 && (certificate.raw[from + 5]! & 0x80) !== 0) return true
  }
  return certificate.keyUsage?.includes(CODE_SIGNING) ?? false
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

function digestFor(key: KeyObject): string {
  const curve = key.asymmetricKeyDetails?.namedCurve
  const digest = curve === undefined ? undefined : CURVES[curve]
  if (digest !== undefined) return digest
  throw new SlipwayError(
    'SLW_CONFIG_INVALID',
    `a key of ${curve ?? key.asymmetricKeyType ?? 'no kind'} cannot sign models; expected P-256, P-384 or P-521`,
  )
}

function readKey(read: () => KeyObject, what: string): KeyObject {
  try {
    return read()
  } catch (error) {
    throw new SlipwayError('SLW_CONFIG_INVALID', `this is no ${what} in PEM: ${(error as Error).message}`)
  }
}

function invalid(message: string): SlipwayError {
  return new SlipwayError('SLW_SIGNATURE_INVALID', `the signature does not hold: ${message}`)
}

/** Paths as Python's pathlib orders them: part by part. */
function byParts(a: SignedFile, b: SignedFile): number {
  const [left, right] = [a.path.split('/'), b.path.split('/')]
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    if (left[index] !== right[index]) return Buffer.compare(Buffer.from(left[index]!), Buffer.from(right[index]!))
  }
  return left.length - right.length
}
