import { gzipSync, zstdCompressSync } from 'node:zlib'
import { digestOf, MEDIA_TYPES } from '../../src/images/oci.ts'
import { END_OF_TAR, padding, tarHeader } from '../../src/images/tar/header.ts'
import type { BlobSink, Descriptor, ImageConfig } from '../../src/images/oci.ts'
import type { TarEntry } from '../../src/images/tar/header.ts'

/** An entry of a layer, with the bytes of a file. */
export interface LayerEntry extends Partial<TarEntry> {
  readonly path: string
  readonly text?: string | Buffer
}

/** The archive of a layer. */
export function tarOf(entries: readonly LayerEntry[]): Buffer {
  const parts = entries.flatMap(({ text, type = 'file', mtime = 0, ...entry }) => {
    const body = Buffer.from(text ?? '')
    return [tarHeader({ ...entry, type, mtime, size: body.length }), body, padding(body.length)]
  })
  return Buffer.concat([...parts, END_OF_TAR])
}

export type Packing = 'gzip' | 'zstd' | 'none'

const PACKINGS = {
  gzip: { pack: (tar: Buffer) => gzipSync(tar), mediaType: MEDIA_TYPES.layerGzip },
  zstd: { pack: (tar: Buffer) => zstdCompressSync(tar), mediaType: MEDIA_TYPES.layerZstd },
  none: { pack: (tar: Buffer) => tar, mediaType: MEDIA_TYPES.layer },
} as const

export interface MadeImage {
  readonly layers: readonly (readonly LayerEntry[] | Buffer)[]
  readonly packing?: Packing
  readonly config?: ImageConfig['config']
  readonly created?: string
  readonly history?: ImageConfig['history']
  readonly architecture?: string
}

async function blob(sink: BlobSink, bytes: Buffer, mediaType: string): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
  await sink.write(descriptor, async function* () {
    yield await Promise.resolve(bytes)
  })
  return descriptor
}

/** Writes an image of these layers, the lowest first. */
export async function makeImage(sink: BlobSink, tag: string | undefined, made: MadeImage): Promise<Descriptor> {
  const { pack, mediaType } = PACKINGS[made.packing ?? 'gzip']
  const tars = made.layers.map((layer) => (Buffer.isBuffer(layer) ? layer : tarOf(layer as readonly LayerEntry[])))
  const layers: Descriptor[] = []
  for (const tar of tars) layers.push(await blob(sink, pack(tar), mediaType))
  const settings: ImageConfig = {
    architecture: made.architecture ?? 'amd64',
    os: 'linux',
    ...(made.created !== undefined && { created: made.created }),
    config: made.config ?? {},
    rootfs: { type: 'layers', diff_ids: tars.map(digestOf) },
    ...(made.history !== undefined && { history: made.history }),
  }
  const config = await blob(sink, Buffer.from(JSON.stringify(settings)), MEDIA_TYPES.config)
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers }))
  const descriptor = { mediaType: MEDIA_TYPES.manifest, digest: digestOf(bytes), size: bytes.length }
  await sink.writeManifest(descriptor, bytes, tag)
  return descriptor
}
