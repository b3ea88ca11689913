import { SlipwayError } from '../../core/errors.ts'
import { MEDIA_TYPES } from '../oci.ts'
import type { BlobSink, BlobSource, Descriptor, Index, Manifest } from '../oci.ts'

/** Media types of Docker that mean the same; a copy keeps them. */
const INDEX_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPES.index, 'application/vnd.docker.distribution.manifest.list.v2+json'])
const MANIFEST_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPES.manifest, 'application/vnd.docker.distribution.manifest.v2+json'])
/** Indexes in an index: nobody has more. */
const DEPTH_MAX = 4

export const isIndex = ({ mediaType }: Pick<Descriptor, 'mediaType'>): boolean => INDEX_TYPES.has(mediaType)

export interface CopyOptions {
  /** Name of the image in its new place. Default: it is found by its digest. */
  readonly tag?: string | undefined
  /** Called for each blob that had to be brought. */
  readonly onBlob?: (descriptor: Descriptor) => void
}

/** Copies an image with all that it names, blobs first. What is there is not sent again. */
export async function copyImage(from: BlobSource, root: Descriptor, to: BlobSink, { tag, onBlob }: CopyOptions = {}): Promise<void> {
  const copy = async (descriptor: Descriptor, name: string | undefined, depth: number): Promise<void> => {
    const bytes = await from.readJson(descriptor)
    if (isIndex(descriptor)) {
      if (depth >= DEPTH_MAX) throw new SlipwayError('SLW_STORE_CORRUPT', `${root.digest}: indexes in indexes, deeper than ${DEPTH_MAX}`)
      for (const one of (JSON.parse(bytes.toString('utf8')) as Index).manifests) await copy(one, undefined, depth + 1)
    } else if (MANIFEST_TYPES.has(descriptor.mediaType)) {
      const { config, layers } = JSON.parse(bytes.toString('utf8')) as Manifest
      for (const blob of [...layers, config]) {
        if (await to.has(blob.digest)) continue
        await to.write(blob, () => from.open(blob))
        onBlob?.(blob)
      }
    } else
      throw new SlipwayError('SLW_STORE_CORRUPT', `${descriptor.digest} is neither manifest nor index of an image: ${descriptor.mediaType}`)
    await to.writeManifest(descriptor, bytes, name)
  }
  // In an index of a layout stands what has no platform of its own: what has one is found in another index.
  const { platform: _, ...alone } = root
  await copy(tag === undefined ? alone : root, tag, 0)
}
