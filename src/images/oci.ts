/**
 * Images: OCI images that are built, pushed, looked into and signed without Docker. This file has the words of the formats:
 * image-spec 1.1.1 and distribution-spec 1.1.1 of the Open Container Initiative.
 */
import { createHash } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'

/** `sha256:` and 64 digits. */
export type Digest = `sha256:${string}`

export const MEDIA_TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  layerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  empty: 'application/vnd.oci.empty.v1+json',
} as const

export interface Platform {
  readonly os: string
  /** As Go names it: amd64, arm64. */
  readonly architecture: string
  readonly variant?: string
}

export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly platform?: Platform
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

export interface Manifest {
  readonly schemaVersion: 2
  readonly mediaType: typeof MEDIA_TYPES.manifest
  readonly artifactType?: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  /** The manifest that this one says something about. */
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

export interface Index {
  readonly schemaVersion: 2
  readonly mediaType: typeof MEDIA_TYPES.index
  readonly manifests: readonly Descriptor[]
  readonly artifactType?: string
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

export interface ImageConfig {
  readonly created?: string
  readonly author?: string
  readonly architecture: string
  readonly os: string
  readonly variant?: string
  readonly config?: {
    readonly User?: string
    readonly ExposedPorts?: Readonly<Record<string, object>>
    readonly Env?: readonly string[]
    readonly Entrypoint?: readonly string[]
    readonly Cmd?: readonly string[]
    readonly WorkingDir?: string
    readonly Labels?: Readonly<Record<string, string>>
    readonly StopSignal?: string
    readonly Volumes?: Readonly<Record<string, object>>
    /** Of Docker; the specification keeps the name for it. Times are in nanoseconds. */
    readonly Healthcheck?: {
      readonly Test: readonly string[]
      readonly Interval?: number
      readonly Timeout?: number
      readonly StartPeriod?: number
      readonly Retries?: number
    }
  }
  /** Digests of the layers before they were compressed. */
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly Digest[] }
  readonly history?: readonly {
    readonly created?: string
    readonly created_by?: string
    readonly comment?: string
    readonly empty_layer?: boolean
  }[]
}

/** Where the bytes of an image lie: a folder in the layout of OCI, a tarball of one, or a registry. */
export interface BlobSource {
  /** All of a small blob: a manifest, an index, a configuration. @throws SLW_NOT_FOUND; SLW_STORE_CORRUPT where the bytes are not those */
  readJson(descriptor: Descriptor): Promise<Buffer>
  /** The bytes of a blob, checked against its digest at their end. */
  open(descriptor: Descriptor): AsyncIterable<Uint8Array>
}

/** A place whose images are found by name. */
export interface ImageSource extends BlobSource {
  /**
   * The manifest or index of a tag.
   * @param tag default: that of its only image, or `latest`
   * @throws SLW_NOT_FOUND naming the tags that are there
   */
  resolve(tag?: string): Promise<Descriptor>
}

/** Where an image is written to. Writing what is there is no error, and costs no transfer. */
export interface BlobSink {
  has(digest: Digest): Promise<boolean>
  write(descriptor: Descriptor, bytes: () => AsyncIterable<Uint8Array>): Promise<void>
  /** After all that it names. @param tag under which it is found; undefined: by its digest alone */
  writeManifest(descriptor: Descriptor, bytes: Buffer, tag?: string): Promise<void>
}

export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** @throws SLW_STORE_CORRUPT for what is no digest that Slipway can check */
export function hexOf(digest: string): string {
  const [, hex] = /^sha256:([0-9a-f]{64})$/.exec(digest) ?? []
  if (hex === undefined) throw new SlipwayError('SLW_STORE_CORRUPT', `"${digest}" is no digest; expected sha256: and 64 digits of it`)
  return hex
}
