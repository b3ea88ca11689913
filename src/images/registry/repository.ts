import { SlipwayError } from '../../core/errors.ts'
import { digestOf } from '../oci.ts'
import { MANIFEST_TYPES, parseManifest } from '../manifest.ts'
import type { Descriptor } from '../oci.ts'
import type { Transport } from './transport.ts'

/** One repository, and how it is asked. */
export interface Repository {
  readonly transport: Transport
  readonly host: string
  /** Its path, without the host. */
  readonly path: string
  /** Right to read, in the words of the token specification. */
  readonly read: string
  readonly write: string
  readonly onProgress: (descriptor: Descriptor, bytes: number) => void
}

/** A manifest or index with its bytes, which are what its digest is of. */
export interface Resolved {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
}

/** As the specification wants manifests taken. */
export const JSON_BYTES_MAX = 4 * 1024 * 1024

/** @param at a tag or digest. @throws SLW_NOT_FOUND; SLW_STORE_CORRUPT for other bytes than the digest is of */
export async function getManifest({ transport, host, path, read }: Repository, at: string): Promise<Resolved> {
  const isDigest = at.startsWith('sha256:')
  const answer = await transport.ask({
    method: 'GET',
    at: `${path}/manifests/${at}`,
    headers: { accept: MANIFEST_TYPES.join(', ') },
    expect: [200],
    what: `give ${host}/${path}${isDigest ? '@' : ':'}${at}`,
    scope: read,
  })
  const bytes = await answer.bytes(JSON_BYTES_MAX)
  const digest = digestOf(bytes)
  if (isDigest && at !== digest) throw lied(host, at, digest)
  const { mediaType, artifactType } = parseManifest(bytes, answer.headers.get('content-type') ?? '', `${host}/${path}@${digest}`)
  return { descriptor: { mediaType, digest, size: bytes.length, ...(artifactType !== undefined && { artifactType }) }, bytes }
}

/** @param at a tag or digest. @returns whether the registry will list it among the referrers of its subject */
export async function putManifest({ transport, path, write }: Repository, at: string, mediaType: string, bytes: Buffer): Promise<boolean> {
  const answer = await transport.ask({
    method: 'PUT',
    at: `${path}/manifests/${at}`,
    headers: { 'content-type': mediaType },
    body: bytes,
    expect: [201, 202],
    what: `take the manifest ${at}`,
    scope: write,
  })
  await answer.discard()
  return answer.headers.has('oci-subject')
}

export function lied(host: string, wanted: string, got: string): SlipwayError {
  return new SlipwayError(
    'SLW_STORE_CORRUPT',
    `the registry ${host} gave other bytes for ${wanted} than its digest says (${got}); they are not used`,
  )
}
