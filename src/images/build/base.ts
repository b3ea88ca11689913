import { SlipwayError } from '../../core/errors.ts'
import { forPlatform, isIndexType } from '../manifest.ts'
import { MEDIA_TYPES } from '../oci.ts'
import { debianBase } from './debian.ts'
import type { Descriptor, Digest, ImageConfig, ImageSource, Index, Manifest, Platform } from '../oci.ts'
import type { ImageFile } from './files.ts'

/** What an image stands on: packages of Debian, or an image. */
export type BaseChoice = 'debian' | { readonly name: string; readonly source: ImageSource; readonly tag?: string | undefined }

export interface Base {
  readonly name: string
  /** Digest of its manifest; undefined where it is made here. */
  readonly digest: Digest | undefined
  /** Layers that lie in `source`, with their digests before they were compressed. */
  readonly layers: readonly { readonly descriptor: Descriptor; readonly diffId: Digest }[]
  readonly source: ImageSource | undefined
  /** Files of a base that is made here. */
  readonly files: readonly ImageFile[]
  readonly environment: readonly string[]
  readonly history: NonNullable<ImageConfig['history']>
}

/** Media types of layers of Docker, and what they are called by OCI. */
const LAYERS: Readonly<Record<string, string>> = {
  'application/vnd.docker.image.rootfs.diff.tar.gzip': MEDIA_TYPES.layerGzip,
  'application/vnd.docker.image.rootfs.diff.tar': MEDIA_TYPES.layer,
}

/** @throws SLW_NOT_FOUND where the base has no image for the platform */
export async function openBase(choice: BaseChoice, platform: Platform): Promise<Base> {
  if (choice === 'debian') {
    const { files, packages } = await debianBase(platform)
    const comment = `Debian: ${packages.join(', ')}`
    return {
      name: 'debian',
      digest: undefined,
      layers: [],
      source: undefined,
      files,
      environment: [],
      history: [{ created_by: `slipway build: base, ${comment}` }],
    }
  }
  const { name, source, tag } = choice
  const descriptor = await manifestFor(source, await source.resolve(tag), platform, name)
  const { config: place, layers } = JSON.parse((await source.readJson(descriptor)).toString('utf8')) as Manifest
  const config = JSON.parse((await source.readJson(place)).toString('utf8')) as ImageConfig
  if (config.os !== platform.os || config.architecture !== platform.architecture)
    throw new SlipwayError(
      'SLW_NOT_FOUND',
      `--base ${name} is for ${config.os}/${config.architecture}, and ${platform.os}/${platform.architecture} is asked for; name a base that has it`,
    )
  const ids = config.rootfs.diff_ids
  if (ids.length !== layers.length)
    throw new SlipwayError(
      'SLW_STORE_CORRUPT',
      `--base ${name}: its configuration names ${ids.length} layers, and its manifest ${layers.length}`,
    )
  return {
    name,
    digest: descriptor.digest,
    layers: layers.map((layer, at) => ({
      descriptor: { ...layer, mediaType: LAYERS[layer.mediaType] ?? layer.mediaType },
      diffId: ids[at]!,
    })),
    source,
    files: [],
    environment: config.config?.Env ?? [],
    history: config.history ?? layers.map(() => ({ comment: name })),
  }
}

async function manifestFor(source: ImageSource, root: Descriptor, wanted: Platform, name: string): Promise<Descriptor> {
  if (!isIndexType(root.mediaType)) return root
  const { manifests } = JSON.parse((await source.readJson(root)).toString('utf8')) as Index
  const [found] = forPlatform(manifests, wanted)
  if (found !== undefined) return found
  const there = manifests.flatMap(({ platform }) => (platform === undefined ? [] : `${platform.os}/${platform.architecture}`)).join(', ')
  throw new SlipwayError('SLW_NOT_FOUND', `--base ${name} has no image for ${wanted.os}/${wanted.architecture}; it has ${there}`)
}
