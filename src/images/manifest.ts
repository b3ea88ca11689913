import { SlipwayError } from '../core/errors.ts'
import { MEDIA_TYPES } from './oci.ts'
import type { Descriptor, Digest, Platform } from './oci.ts'

/** Docker's own kinds of what OCI calls manifest and index, which registries still have (distribution, manifest-v2-2). */
const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
const DOCKER_INDEX = 'application/vnd.docker.distribution.manifest.list.v2+json'

export const MANIFEST_TYPES: readonly string[] = [MEDIA_TYPES.index, MEDIA_TYPES.manifest, DOCKER_INDEX, DOCKER_MANIFEST]

/** What a manifest or an index is made of, whichever of the two it is. */
export interface ParsedManifest {
  readonly mediaType: string
  readonly artifactType?: string
  /** Of an index: what it is of. Undefined for a manifest. */
  readonly manifests?: readonly Descriptor[]
  /** Of a manifest: its configuration, then its layers. Empty for an index. */
  readonly blobs: readonly Descriptor[]
}

const CHILDREN_MAX = 10_000

/** Whether it is a manifest or an index, and so none of the blobs. */
export function isManifestType(mediaType: string): boolean {
  return MANIFEST_TYPES.includes(mediaType)
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPES.index || mediaType === DOCKER_INDEX
}

/**
 * Reads a manifest or an index.
 * @param declared the media type beside the bytes, for one that names none; where it names one, that counts
 * @param name for messages
 * @throws SLW_ANSWER_INVALID
 */
export function parseManifest(bytes: Buffer, declared: string, name: string): ParsedManifest {
  const fail = (why: string): never => {
    throw new SlipwayError('SLW_ANSWER_INVALID', `${name} is no image: ${why}; expected a manifest or index of OCI, or Docker's version 2`)
  }
  let value: Partial<{
    mediaType: unknown
    artifactType: unknown
    manifests: unknown
    config: unknown
    layers: unknown
    schemaVersion: unknown
  }>
  try {
    value = JSON.parse(bytes.toString('utf8')) as typeof value
  } catch {
    return fail('its bytes are no JSON')
  }
  if (typeof value !== 'object' || value === null || value.schemaVersion !== 2) return fail('its schemaVersion is not 2')
  const mediaType = typeof value.mediaType === 'string' ? value.mediaType : (declared.split(';')[0] ?? '').trim()
  if (!isManifestType(mediaType)) return fail(`its media type is ${JSON.stringify(mediaType)}`)
  const artifactType = typeof value.artifactType === 'string' ? { artifactType: value.artifactType } : {}
  const { manifests, config, layers } = value
  // What could be read as either would be one thing to us and another to somebody else.
  if (isIndexType(mediaType)) {
    if (!isDescriptors(manifests) || layers !== undefined || config !== undefined) return fail('it lists no manifests, or more than 10000')
    return { mediaType, ...artifactType, manifests, blobs: [] }
  }
  if (!isDescriptors(layers) || !isDescriptor(config) || manifests !== undefined) return fail('it has no configuration or no layers')
  return { mediaType, ...artifactType, blobs: [config, ...layers] }
}

function isDescriptors(value: unknown): value is readonly Descriptor[] {
  return Array.isArray(value) && value.length <= CHILDREN_MAX && value.every(isDescriptor)
}

function isDescriptor(value: unknown): value is Descriptor {
  if (typeof value !== 'object' || value === null) return false
  const { mediaType, digest, size } = value as Partial<Record<keyof Descriptor, unknown>>
  return typeof mediaType === 'string' && isDigest(digest) && Number.isSafeInteger(size) && (size as number) >= 0
}

export function isDigest(value: unknown): value is Digest {
  return typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value)
}

/** The manifests of an index that are for a platform. Attestations, which have the platform "unknown", are for none. */
export function forPlatform(manifests: readonly Descriptor[], wanted: Platform): readonly Descriptor[] {
  return manifests.filter(
    ({ platform }) =>
      platform?.os === wanted.os &&
      platform.architecture === wanted.architecture &&
      (wanted.variant === undefined || platform.variant === undefined || platform.variant === wanted.variant),
  )
}

/** Reads `linux/amd64` or `linux/arm64/v8`. @throws SLW_USAGE */
export function parsePlatform(text: string): Platform {
  const [, os, architecture, variant] = /^([a-z0-9]+)\/([a-z0-9]+)(?:\/([a-z0-9]+))?$/.exec(text) ?? []
  if (os === undefined || architecture === undefined)
    throw new SlipwayError(
      'SLW_USAGE',
      `${JSON.stringify(text.slice(0, 100))} is no platform; expected one such as linux/amd64 or linux/arm64/v8`,
    )
  return { os, architecture, ...(variant !== undefined && { variant }) }
}
