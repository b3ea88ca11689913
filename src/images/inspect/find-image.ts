import { SlipwayError } from '../../core/errors.ts'
import { forPlatform, isIndexType, parseManifest } from '../manifest.ts'
import type { BlobSource, Descriptor, ImageConfig, Platform } from '../oci.ts'

/** An image of one platform. */
export interface FoundImage {
  /** Of the manifest. */
  readonly descriptor: Descriptor
  readonly manifest: { readonly config: Descriptor; readonly layers: readonly Descriptor[] }
  readonly config: ImageConfig
  readonly platform: Platform
}

/** Indexes in an index: nobody has more. */
const DEPTH_MAX = 4

/**
 * Finds the image of a platform below a manifest or an index, and reads its configuration.
 * @param wanted default: the only one that there is, else that of this machine
 * @throws SLW_NOT_FOUND naming the platforms that there are; SLW_ANSWER_INVALID for what is no image
 */
export async function findImage(source: BlobSource, root: Descriptor, wanted?: Platform): Promise<FoundImage> {
  let descriptor = root
  for (let depth = 0; ; depth++) {
    const parsed = parseManifest(await source.readJson(descriptor), descriptor.mediaType, descriptor.digest)
    if (!isIndexType(parsed.mediaType)) {
      const [config, ...layers] = parsed.blobs
      if (config === undefined) throw invalid(descriptor, 'it has no configuration')
      const read = readConfig(await source.readJson(config), config)
      const { os, architecture, variant } = read
      const platform = { os, architecture, ...(variant !== undefined && { variant }) }
      if (wanted !== undefined && forPlatform([{ ...descriptor, platform }], wanted).length === 0)
        throw new SlipwayError(
          'SLW_NOT_FOUND',
          `${descriptor.digest} is an image for ${platformText(platform)}, not ${platformText(wanted)}`,
        )
      return { descriptor, manifest: { config, layers }, config: read, platform }
    }
    if (depth >= DEPTH_MAX) throw invalid(descriptor, `indexes in indexes, deeper than ${DEPTH_MAX}`)
    descriptor = choose(parsed.manifests ?? [], descriptor, wanted)
  }
}

function choose(manifests: readonly Descriptor[], { digest }: Descriptor, wanted: Platform | undefined): Descriptor {
  // Attestations of BuildKit lie beside the images, for a platform that nobody has.
  const images = manifests.filter(({ platform, artifactType }) => platform?.os !== 'unknown' && artifactType === undefined)
  if (images.length === 1 && wanted === undefined) return images[0]!
  const found = forPlatform(images, wanted ?? ownPlatform())[0] ?? images.find(({ platform }) => platform === undefined)
  if (found !== undefined) return found
  const there = images.map(({ platform }) => (platform === undefined ? 'one without a platform' : platformText(platform))).join(', ')
  throw new SlipwayError(
    'SLW_NOT_FOUND',
    `${digest} has no image for ${platformText(wanted ?? ownPlatform())}. There are: ${there || 'none'}`,
  )
}

/** The platform of containers on this machine. */
function ownPlatform(): Platform {
  const { arch } = process
  return { os: 'linux', architecture: arch === 'x64' ? 'amd64' : arch === 'ia32' ? '386' : arch }
}

export function platformText({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter((part) => part !== undefined).join('/')
}

function readConfig(bytes: Buffer, descriptor: Descriptor): ImageConfig {
  let value: Partial<ImageConfig> | null
  try {
    value = JSON.parse(bytes.toString('utf8')) as typeof value
  } catch {
    throw invalid(descriptor, 'its configuration is no JSON')
  }
  const { architecture, os, rootfs, history } = value ?? {}
  if (typeof architecture !== 'string' || typeof os !== 'string' || !Array.isArray(rootfs?.diff_ids))
    throw invalid(descriptor, 'its configuration has no os, architecture or list of layers: it is an artifact of another kind')
  if (history !== undefined && history !== null && !Array.isArray(history)) throw invalid(descriptor, 'its history is no list')
  return value as ImageConfig
}

function invalid({ digest }: Descriptor, why: string): SlipwayError {
  return new SlipwayError('SLW_ANSWER_INVALID', `${digest} is no image that can be run: ${why}`)
}
