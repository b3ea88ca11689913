import { createPrivateKey, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { SlipwayError } from '../../core/errors.ts'
import type { BinaryLike, KeyObject, ScryptOptions } from 'node:crypto'

/** What `cosign generate-key-pair` writes, PEM of JSON; older releases have the second name. */
const PEM = /-----BEGIN ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END ENCRYPTED \1 PRIVATE KEY-----/
/** More than cosign asks for (N 65536, r 8): what a file may make this process take. */
const MEMORY_MAX = 256 * 1024 * 1024

const derive = promisify<BinaryLike, BinaryLike, number, ScryptOptions, Buffer>(scrypt)

interface Encrypted {
  readonly kdf?: {
    readonly name?: unknown
    readonly params?: { readonly N?: unknown; readonly r?: unknown; readonly p?: unknown }
    readonly salt?: unknown
  }
  readonly cipher?: { readonly name?: unknown; readonly nonce?: unknown }
  readonly ciphertext?: unknown
}

export function isEncryptedKey(text: string): boolean {
  return PEM.test(text)
}

/**
 * Opens a private key of cosign: scrypt and secretbox of NaCl around PKCS8
 * (https://github.com/theupdateframework/go-tuf, encrypted/encrypted.go of version 0.7).
 * @throws SLW_SECRET_UNAVAILABLE without the password, or with another
 */
export async function decryptedKey(text: string, password: string | undefined): Promise<KeyObject> {
  if (password === undefined)
    throw new SlipwayError(
      'SLW_SECRET_UNAVAILABLE',
      'the private key is encrypted as cosign does it; give its password with --key-password, or in COSIGN_PASSWORD',
    )
  const { kdf, cipher, ciphertext } = JSON.parse(Buffer.from(PEM.exec(text)?.[2] ?? '', 'base64').toString('utf8')) as Encrypted
  const { N, r, p } = kdf?.params ?? {}
  const [salt, nonce, box] = [kdf?.salt, cipher?.nonce, ciphertext].map((one) => Buffer.from(String(one), 'base64'))
  if (
    kdf?.name !== 'scrypt' ||
    cipher?.name !== 'nacl/secretbox' ||
    typeof N !== 'number' ||
    typeof r !== 'number' ||
    typeof p !== 'number' ||
    nonce?.length !== 24
  )
    throw new Error('another kind of encryption')
  const key = await derive(password, salt!, 32, { N, r, p, maxmem: MEMORY_MAX })
  const der = openBox(key, nonce, box!)
  if (der === undefined) throw new SlipwayError('SLW_SECRET_UNAVAILABLE', 'the private key does not open with this password')
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}

/** secretbox_open of NaCl: XSalsa20 and Poly1305 (Bernstein, "Cryptography in NaCl", section 10). @returns undefined for another key */
export function openBox(key: Buffer, nonce: Buffer, box: Buffer): Buffer | undefined {
  const tag = box.subarray(0, 16)
  const sealed = box.subarray(16)
  const sub = hsalsa20(key, nonce.subarray(0, 16))
  const stream = salsa20(sub, nonce.subarray(16), 32 + sealed.length)
  if (tag.length !== 16 || !timingSafeEqual(tag, poly1305(stream.subarray(0, 32), sealed))) return undefined
  return Buffer.from(sealed.map((byte, index) => byte ^ stream[32 + index]!))
}

/** "expand 32-byte k" */
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574] as const
/** Words of each quarter of a double round (Bernstein, "The Salsa20 family of stream ciphers", section 4): columns, then rows. */
const QUARTERS = [
  [0, 4, 8, 12],
  [5, 9, 13, 1],
  [10, 14, 2, 6],
  [15, 3, 7, 11],
  [0, 1, 2, 3],
  [5, 6, 7, 4],
  [10, 11, 8, 9],
  [15, 12, 13, 14],
] as const

function stateOf(key: Buffer, input: Buffer): Uint32Array {
  const [words, middle] = [wordsOf(key), wordsOf(input)]
  const [a, b, c, d] = CONSTANTS
  return Uint32Array.of(a, ...words.slice(0, 4), b, ...middle, c, ...words.slice(4), d)
}

function wordsOf(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readUInt32LE(index * 4))
}

/** Twenty rounds. */
function mixed(state: Uint32Array): Uint32Array {
  const x = Uint32Array.from(state)
  const turn = (to: number, left: number, right: number, bits: number): void => {
    const sum = (x[left]! + x[right]!) >>> 0
    x[to]! ^= (sum << bits) | (sum >>> (32 - bits))
  }
  for (let round = 0; round < 10; round++)
    for (const [a, b, c, d] of QUARTERS) {
      turn(b, a, d, 7)
      turn(c, b, a, 9)
      turn(d, c, b, 13)
      turn(a, d, c, 18)
    }
  return x
}

function hsalsa20(key: Buffer, input: Buffer): Buffer {
  const x = mixed(stateOf(key, input))
  const out = Buffer.alloc(32)
  for (const [index, word] of [0, 5, 10, 15, 6, 7, 8, 9].entries()) out.writeUInt32LE(x[word]!, index * 4)
  return out
}

function salsa20(key: Buffer, nonce: Buffer, length: number): Buffer {
  const out = Buffer.alloc(Math.ceil(length / 64) * 64)
  for (let block = 0; block * 64 < length; block++) {
    const input = Buffer.alloc(16)
    nonce.copy(input)
    input.writeUInt32LE(block, 8)
    const state = stateOf(key, input)
    for (const [index, word] of mixed(state).entries()) out.writeUInt32LE((word + state[index]!) >>> 0, block * 64 + index * 4)
  }
  return out.subarray(0, length)
}

/** RFC 8439, 2.5. In big integers, as what it is of is a key of a hundred bytes. */
function poly1305(key: Buffer, message: Buffer): Buffer {
  const number = (bytes: Buffer): bigint =>
    BigInt(
      `0x${
        Buffer.from(bytes)
          .toReversed()
          .reduce((text, byte) => text + byte.toString(16).padStart(2, '0'), '') || '0'
      }`,
    )
  const r = number(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn
  const s = number(key.subarray(16, 32))
  let sum = 0n
  for (let at = 0; at < message.length; at += 16) {
    const part = message.subarray(at, at + 16)
    sum = ((sum + number(part) + (1n << BigInt(part.length * 8))) * r) % ((1n << 130n) - 5n)
  }
  const tag = (sum + s) & ((1n << 128n) - 1n)
  return Buffer.from(Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').toReversed())
}
