import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

export interface SelfSigned {
  /** PEM. */
  readonly cert: string
  readonly key: string
}

/** Tags of DER (ITU-T X.690). */
const TAG = { boolean: 1, integer: 2, bits: 3, octets: 4, identifier: 6, utf8: 12, utcTime: 23, time: 24, sequence: 48, set: 49 } as const

/** Identifiers of objects, encoded: RFC 5280 (name, extensions), RFC 5758 (signature). */
const ID = {
  commonName: [0x55, 0x04, 0x03],
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
  alternativeNames: [0x55, 0x1d, 0x11],
  basicConstraints: [0x55, 0x1d, 0x13],
  extendedKeyUsage: [0x55, 0x1d, 0x25],
  serverAuth: [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01],
} as const

/** Context tag of dNSName in GeneralName (RFC 5280, 4.2.1.6). */
const DNS_NAME = 0x82

/**
 * A certificate that nobody has signed but itself, on P-256, for callers who verify none (`insecureSkipTLSVerify`). An X.509 certificate of
 * version 3 (RFC 5280, section 4.1).
 * @param names host names; the first is also the common name
 */
export function selfSigned(names: readonly [string, ...string[]], validDays: number, nowMs: number): SelfSigned {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = sequence(identifier(ID.ecdsaWithSha256))
  const name = sequence(der(TAG.set, sequence(identifier(ID.commonName), der(TAG.utf8, Buffer.from(names[0])))))
  // An hour back, for clocks that go late.
  const validity = sequence(timeOf(nowMs - 3_600_000), timeOf(nowMs + validDays * 86_400_000))
  const body = sequence(
    der(0xa0, der(TAG.integer, Buffer.of(2))),
    // Positive, and never zero in its first byte.
    der(TAG.integer, Buffer.concat([Buffer.of(0x40), randomBytes(15)])),
    algorithm,
    name,
    validity,
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensionsOf(names))),
  )
  const signature = der(TAG.bits, Buffer.concat([Buffer.of(0), sign('sha256', body, privateKey)]))
  return {
    cert: pem('CERTIFICATE', sequence(body, algorithm, signature)),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  }
}

function extensionsOf(names: readonly string[]): Buffer[] {
  const alternatives = sequence(...names.map((name) => der(DNS_NAME, Buffer.from(name))))
  return [
    sequence(identifier(ID.basicConstraints), der(TAG.boolean, Buffer.of(0xff)), der(TAG.octets, sequence())),
    sequence(identifier(ID.extendedKeyUsage), der(TAG.octets, sequence(identifier(ID.serverAuth)))),
    sequence(identifier(ID.alternativeNames), der(TAG.octets, alternatives)),
  ]
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(TAG.sequence, Buffer.concat(parts))
}

function identifier(bytes: readonly number[]): Buffer {
  return der(TAG.identifier, Buffer.from(bytes))
}

/** UTCTime until 2049, GeneralizedTime from then on (RFC 5280, 4.1.2.5). */
function timeOf(epochMs: number): Buffer {
  const digits = `${new Date(epochMs).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`
  return digits < '2050' ? der(TAG.utcTime, Buffer.from(digits.slice(2))) : der(TAG.time, Buffer.from(digits))
}

/** One value: tag, length, contents. */
function der(tag: number, contents: Buffer): Buffer {
  if (contents.length < 128) return Buffer.concat([Buffer.of(tag, contents.length), contents])
  const length = Buffer.from(contents.length.toString(16).padStart(contents.length > 255 ? 4 : 2, '0'), 'hex')
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, contents])
}

function pem(label: string, bytes: Buffer): string {
  return `-----BEGIN ${label}-----\n${bytes.toString('base64').replaceAll(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`
}
