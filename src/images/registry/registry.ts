import { SlipwayError } from '../../core/errors.ts'
import { isManifestType } from '../manifest.ts'
import { digestOf } from '../oci.ts'
import { hasBlob, openBlob } from './blobs.ts'
import { findCredentials } from './credentials.ts'
import { addToFallback, listReferrers, listTags } from './lists.ts'
import { nameInRegistry, parseReference } from './reference.ts'
import { getManifest, JSON_BYTES_MAX, putManifest } from './repository.ts'
import { openTransport } from './transport.ts'
import { uploadBlob } from './upload.ts'
import type { BlobSink, BlobSource, Descriptor, Digest, Manifest } from '../oci.ts'
import type { Credentials } from './credentials.ts'
import type { Reference } from './reference.ts'
import type { Repository, Resolved } from './repository.ts'

export interface RegistryOptions {
  /** Default: those that Docker, Podman or AWS have for the registry. */
  readonly credentials?: Credentials | undefined
  /** For DOCKER_CONFIG and its like. Default: that of the process. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** HTTP without TLS. Default: only to this machine. */
  readonly plainHttp?: boolean
  /** Other repositories of the registry that may have the blobs that are written. */
  readonly mountFrom?: readonly string[]
  /** Most bytes in one request of an upload. Default: a blob is one request. */
  readonly chunkBytes?: number | undefined
  /** Silence after which a request fails and is repeated. Default 120 s. */
  readonly timeoutMs?: number
  /** Before the first repetition; doubles. Default 500 ms. */
  readonly pauseMs?: number
  readonly signal?: AbortSignal | undefined
  /** How much of a blob has come or gone, several times for each. */
  readonly onProgress?: (descriptor: Descriptor, bytes: number) => void
}

/** A repository of a registry that speaks distribution-spec 1.1: https://github.com/opencontainers/distribution-spec (v1.1.1, spec.md) */
export interface Registry extends BlobSource, BlobSink {
  readonly reference: Reference
  /** What a tag or digest is. Default: those of the reference, else `latest`. @throws SLW_NOT_FOUND */
  resolve(name?: string): Promise<Resolved>
  /** Tags of the repository, at most 10,000. */
  tags(): Promise<readonly string[]>
  /** Manifests that say something about this one: signatures, bills of materials. */
  referrers(subject: Digest): Promise<readonly Descriptor[]>
}

const TIMEOUT_MS = 120_000
const PAUSE_MS = 500

/** Opens a repository; nothing is asked yet. @throws SLW_USAGE for what is no reference */
export function openRegistry(name: string | Reference, options: RegistryOptions = {}): Registry {
  const reference = typeof name === 'string' ? parseReference(name) : name
  const { mountFrom = [], chunkBytes } = options
  const repository = repositoryOf(reference, options)
  const { onProgress, write: scope, transport, path, host } = repository
  const has = (digest: Digest): Promise<boolean> => hasBlob(repository, digest)
  return {
    reference,
    resolve: (at = nameInRegistry(reference)) => getManifest(repository, at),
    has,
    open: (descriptor) => openBlob(repository, descriptor),
    async readJson(descriptor) {
      const { mediaType, digest, size } = descriptor
      if (size > JSON_BYTES_MAX)
        throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${digest} of ${host}/${path} has ${size} bytes; JSON is read up to ${JSON_BYTES_MAX}`)
      if (isManifestType(mediaType)) return (await getManifest(repository, digest)).bytes
      return Buffer.concat(await Array.fromAsync(openBlob(repository, descriptor)))
    },
    async write(descriptor, bytes) {
      if (!(await has(descriptor.digest))) {
        const onSent = (sent: number): void => onProgress(descriptor, sent)
        await uploadBlob({ transport, repository: path, descriptor, bytes, chunkBytes, mountFrom, scope, has, onSent })
      }
      onProgress(descriptor, descriptor.size)
    },
    writeManifest: (descriptor, bytes, tag) => writeManifest(repository, descriptor, { bytes, tag }),
    tags: () => listTags(repository),
    referrers: (subject) => listReferrers(repository, subject),
  }
}

function repositoryOf(reference: Reference, options: RegistryOptions): Repository {
  const { host, repository: path } = reference
  const { credentials, environment, plainHttp = false, timeoutMs = TIMEOUT_MS, pauseMs = PAUSE_MS, signal } = options
  const find = async (): ReturnType<typeof findCredentials> => credentials ?? (await findCredentials(host, path, environment))
  return {
    transport: openTransport({ reference, find, plainHttp, timeoutMs, pauseMs, signal }),
    host,
    path,
    read: `repository:${path}:pull`,
    write: `repository:${path}:pull,push`,
    onProgress: options.onProgress ?? (() => {}),
  }
}

interface Written {
  readonly bytes: Buffer
  readonly tag: string | undefined
}

/** Writes a manifest, and lists it where its subject is looked for. */
async function writeManifest(repository: Repository, descriptor: Descriptor, { bytes, tag }: Written): Promise<void> {
  const { mediaType, digest } = descriptor
  if (digestOf(bytes) !== digest || bytes.length > JSON_BYTES_MAX)
    throw new SlipwayError('SLW_INPUT_INVALID', `the manifest ${digest} is of other bytes, or has more than ${JSON_BYTES_MAX}`)
  const isListed = await putManifest(repository, tag ?? digest, mediaType, bytes)
  const manifest = JSON.parse(bytes.toString('utf8')) as Partial<Manifest>
  const { subject, annotations, artifactType = manifest.config?.mediaType } = manifest
  if (subject === undefined || isListed) return
  await addToFallback(repository, subject.digest, {
    mediaType,
    digest,
    size: bytes.length,
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations !== undefined && { annotations }),
  })
}
