import { digestOf, MEDIA_TYPES } from '../oci.ts'
import type { BlobSink, Descriptor, Manifest } from '../oci.ts'

const EMPTY_BYTES = Buffer.from('{}')

/** The configuration of what is no image (image-spec 1.1.1, "Guidance for an Empty Descriptor"). */
const EMPTY: Descriptor = { mediaType: MEDIA_TYPES.empty, digest: digestOf(EMPTY_BYTES), size: EMPTY_BYTES.length }

export interface Attachment {
  /** What it is, which is also the media type of its bytes: `application/spdx+json`. */
  readonly artifactType: string
  readonly bytes: Buffer
  readonly annotations?: Readonly<Record<string, string>>
}

/**
 * Hangs a document on an image: a manifest with the image as its subject, an empty configuration and the document as its only layer.
 * @returns the manifest of the document
 */
export async function attachReferrer(
  sink: BlobSink,
  subject: Descriptor,
  { artifactType, bytes, annotations }: Attachment,
): Promise<Descriptor> {
  const layer: Descriptor = { mediaType: artifactType, digest: digestOf(bytes), size: bytes.length }
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    artifactType,
    config: EMPTY,
    layers: [layer],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
    ...(annotations !== undefined && { annotations }),
  }
  await writeBytes(sink, EMPTY, EMPTY_BYTES)
  await writeBytes(sink, layer, bytes)
  return await writeManifest(sink, manifest)
}

/** Writes a manifest whose blobs are there. */
export async function writeManifest(sink: BlobSink, manifest: Manifest, tag?: string): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(manifest))
  const { mediaType, artifactType } = manifest
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length, ...(artifactType !== undefined && { artifactType }) }
  await sink.writeManifest(descriptor, bytes, tag)
  return descriptor
}

export async function writeBytes(sink: BlobSink, descriptor: Descriptor, bytes: Buffer): Promise<void> {
  await sink.write(descriptor, async function* () {
    yield bytes
  })
}
