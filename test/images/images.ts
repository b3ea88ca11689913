import { randomBytes } from 'node:crypto'
import { createGzip } from 'node:zlib'
import { createTarPacker } from 'modern-tar'
import { digestOf, MEDIA_TYPES } from '../../src/images/oci.ts'
import { SlipwayError } from '../../src/core/errors.ts'
import type { BlobSource, Descriptor, Digest } from '../../src/images/oci.ts'

/** An image in memory. */
export interface TestImage extends BlobSource {
  readonly root: Descriptor
  readonly blobs: ReadonlyMap<Digest, Buffer>
}

/** @param bytes size of the only file, which does not compress */
export async function testImage(bytes: number, architecture = 'amd64'): Promise<TestImage> {
  const { readable, controller } = createTarPacker()
  const file = randomBytes(bytes)
  const entry = controller.add({ name: 'file.bin', size: bytes, type: 'file', mode: 0o644, mtime: new Date(0) })
  const writer = entry.getWriter()
  const written = writer
    .write(file)
    .then(() => writer.close())
    .then(() => controller.finalize())
  const tar = Buffer.concat(await Array.fromAsync(readable))
  await written
  const gzip = createGzip({ level: 1 })
  gzip.end(tar)
  const layer = Buffer.concat(await Array.fromAsync(gzip))
  const config = Buffer.from(
    JSON.stringify({
      architecture,
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
      history: [{ created_by: 'test' }],
    }),
  )
  const blobs = new Map<Digest, Buffer>([layer, config].map((one) => [digestOf(one), one]))
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config: { mediaType: MEDIA_TYPES.config, digest: digestOf(config), size: config.length },
      layers: [{ mediaType: MEDIA_TYPES.layerGzip, digest: digestOf(layer), size: layer.length }],
    }),
  )
  blobs.set(digestOf(manifest), manifest)
  return imageOf(
    { mediaType: MEDIA_TYPES.manifest, digest: digestOf(manifest), size: manifest.length, platform: { os: 'linux', architecture } },
    blobs,
  )
}

/** An index of images. */
export function testIndex(images: readonly TestImage[]): TestImage {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: images.map(({ root }) => root) }))
  const blobs = new Map([...images.flatMap((image) => [...image.blobs]), [digestOf(bytes), bytes]])
  return imageOf({ mediaType: MEDIA_TYPES.index, digest: digestOf(bytes), size: bytes.length }, blobs)
}

function imageOf(root: Descriptor, blobs: ReadonlyMap<Digest, Buffer>): TestImage {
  const bytesOf = ({ digest }: Descriptor): Buffer => {
    const found = blobs.get(digest)
    if (found === undefined) throw new SlipwayError('SLW_NOT_FOUND', digest)
    return found
  }
  return {
    root,
    blobs,
    readJson: async (descriptor) => bytesOf(descriptor),
    async *open(descriptor) {
      const bytes = bytesOf(descriptor)
      for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
    },
  }
}
