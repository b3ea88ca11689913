import { SlipwayError } from '../core/errors.ts'
import { Semaphore } from '../core/semaphore.ts'
import { forPlatform, isIndexType, parseManifest } from './manifest.ts'
import type { BlobSink, BlobSource, Descriptor, Platform } from './oci.ts'

export interface CopyOptions {
  /** Under which the image is found; undefined: by its digest alone. */
  readonly tag?: string | undefined
  /** Of an index, only the image for this platform, and no index then. */
  readonly platform?: Platform | undefined
  /** Blobs at once. Default 4. */
  readonly concurrency?: number
}

const CONCURRENCY = 4
const DEPTH_MAX = 4
const MANIFESTS_MAX = 1000

/**
 * Copies an image, or all images of an index, with their blobs: those that the sink lacks, several at once, manifests after what they name.
 * @returns what was copied: the descriptor, or that of the image for the platform
 * @throws SLW_NOT_FOUND where there is no image for the platform
 */
export async function copyImage(source: BlobSource, sink: BlobSink, root: Descriptor, options: CopyOptions = {}): Promise<Descriptor> {
  const descriptor = options.platform === undefined ? root : await imageFor(source, root, options.platform)
  const turns = new Semaphore(options.concurrency ?? CONCURRENCY)
  /** By digest: images of an index share blobs. */
  const begun = new Map<string, Promise<void>>()
  let manifests = 0

  function copyBlob(blob: Descriptor): Promise<void> {
    const before = begun.get(blob.digest)
    if (before !== undefined) return before
    const copied = turns.take(() => sink.write(blob, () => source.open(blob)))
    begun.set(blob.digest, copied)
    return copied
  }

  async function copyManifest(one: Descriptor, depth: number, tag: string | undefined): Promise<void> {
    if (++manifests > MANIFESTS_MAX || depth > DEPTH_MAX)
      throw new SlipwayError(
        'SLW_LIMIT_EXCEEDED',
        `${root.digest} is an index of more than ${MANIFESTS_MAX} images, or of more than ${DEPTH_MAX} levels`,
      )
    const bytes = await source.readJson(one)
    const { manifests: children = [], blobs } = parseManifest(bytes, one.mediaType, one.digest)
    for (const child of children) await copyManifest(child, depth + 1, undefined)
    await settled(blobs.map(copyBlob))
    await sink.writeManifest(one, bytes, tag)
  }

  // In an index of a layout stands what has no platform of its own: what has one is found in another index.
  const { platform: _, ...alone } = descriptor
  await copyManifest(options.tag === undefined ? alone : descriptor, 0, options.tag)
  return descriptor
}

/** All of them end before the first failure is thrown: nothing goes on behind the caller's back. */
async function settled(all: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(all)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

/** The image for a platform: of an index, or the image itself. */
async function imageFor(source: BlobSource, root: Descriptor, platform: Platform): Promise<Descriptor> {
  if (!isIndexType(root.mediaType)) return root
  const { manifests = [] } = parseManifest(await source.readJson(root), root.mediaType, root.digest)
  const [found] = forPlatform(manifests, platform)
  if (found !== undefined) return found
  const names = manifests.map(({ platform: one }) =>
    one === undefined ? 'no platform' : [one.os, one.architecture, one.variant].filter(Boolean).join('/'),
  )
  throw new SlipwayError(
    'SLW_NOT_FOUND',
    `${root.digest} has no image for ${platform.os}/${platform.architecture}; it has ${[...new Set(names)].join(', ')}`,
  )
}
