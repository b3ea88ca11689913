import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { posix } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { digestOf, MEDIA_TYPES } from '../oci.ts'
import { placedEntries } from '../tar/entries.ts'
import { checked, JSON_BYTES_MAX, readSmall } from './checked.ts'
import { blobPath, INDEX_FILE, NO_INDEX, parseIndex, REF_NAME, resolveTag } from './index-json.ts'
import type { FileHandle } from 'node:fs/promises'
import type { PlacedEntry } from '../tar/entries.ts'
import type { Descriptor, Digest, ImageConfig, ImageSource, Index, Manifest } from '../oci.ts'

/** What `docker save` lists its images in. */
const SAVED_FILE = 'manifest.json'
const PART_BYTES = 256 * 1024
const LINKS_MAX = 8

interface Blob {
  readonly offset: number
  readonly size: number
}

/** An image in a tar archive. */
export interface LayoutTarball extends ImageSource, AsyncDisposable {
  index(): Promise<Index>
}

/**
 * A tar archive of an OCI layout, or one that `docker save` or `podman save` has written, of which a layout is made: layers of those
 * are not compressed, so that their digests are those in the configuration. Blobs are read where they lie.
 * @throws SLW_PATH_NOT_FOUND; SLW_STORE_CORRUPT for what is neither
 */
export async function openLayoutTarball(path: string): Promise<LayoutTarball> {
  const file = await open(path).catch(() => {
    throw new SlipwayError('SLW_PATH_NOT_FOUND', `${path}: no such file`)
  })
  try {
    return await readTarball(file, path)
  } catch (error) {
    await file.close()
    throw error
  }
}

async function readTarball(file: FileHandle, path: string): Promise<LayoutTarball> {
  await refuseCompressed(file, path)
  const entries = await placedEntries(file, path)
  const textOf = async (name: string): Promise<string | undefined> => {
    const found = followed(entries, name)
    return found === undefined ? undefined : (await bytesOf(file, found, path)).toString('utf8')
  }
  const made = new Map<string, Buffer>()
  const places = new Map<string, Blob>()
  const indexText = await textOf(INDEX_FILE)
  const savedText = indexText === undefined ? await textOf(SAVED_FILE) : undefined
  if (indexText === undefined && savedText === undefined)
    throw new SlipwayError(
      'SLW_STORE_CORRUPT',
      `${path} holds no image: neither ${INDEX_FILE} of an OCI layout nor ${SAVED_FILE} of docker save is in it`,
    )
  const index =
    indexText === undefined ? await savedIndex({ file, path, entries, text: savedText!, made, places }) : parseIndex(indexText, path)
  const bytesAt = (descriptor: Descriptor): AsyncIterable<Uint8Array> => {
    const own = made.get(descriptor.digest)
    if (own !== undefined) return oneOf(own)
    const blob = places.get(descriptor.digest) ?? followed(entries, blobPath(descriptor.digest))
    if (blob === undefined) throw new SlipwayError('SLW_NOT_FOUND', `${path} has no blob ${descriptor.digest}`)
    return partsOf(file, blob)
  }
  const openBlob = (descriptor: Descriptor): AsyncIterable<Uint8Array> => checked(bytesAt(descriptor), descriptor, path)
  return {
    index: () => Promise.resolve(index),
    open: openBlob,
    readJson: async (descriptor) => await readSmall(openBlob(descriptor), descriptor, path),
    resolve: async (tag) => await Promise.resolve(resolveTag(index, tag, path)),
    [Symbol.asyncDispose]: () => file.close(),
  }
}

async function refuseCompressed(file: FileHandle, path: string): Promise<void> {
  const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0)
  const program = buffer.readUInt16BE() === 0x1f8b ? 'gunzip' : buffer.readUInt32BE() === 0x28b52ffd ? 'unzstd' : undefined
  if (program !== undefined)
    throw new SlipwayError(
      'SLW_STORE_CORRUPT',
      `${path} is compressed, and blobs are read where they lie in it: unpack it first, with ${program}`,
    )
}

/** An entry, or the one that links lead to: docker writes a layer that occurs twice as a link. */
function followed(entries: ReadonlyMap<string, PlacedEntry>, name: string, links = 0): Blob | undefined {
  const found = entries.get(name)
  if (found?.target === undefined || links > LINKS_MAX) return found?.target === undefined ? found : undefined
  // A symbolic link starts from its folder, a hard link from the root.
  return (
    followed(entries, posix.join(posix.dirname(name), found.target), links + 1) ??
    followed(entries, posix.normalize(found.target), links + 1)
  )
}

interface SavedImage {
  readonly Config?: string
  readonly RepoTags?: readonly string[] | null
  readonly Layers?: readonly string[]
}

interface Saved {
  readonly file: FileHandle
  readonly path: string
  readonly entries: ReadonlyMap<string, PlacedEntry>
  readonly text: string
  /** Manifests by their digests. */
  readonly made: Map<string, Buffer>
  readonly places: Map<string, Blob>
}

/** The index of what `docker save` has written (moby/docker-image-spec, "Combined Image JSON + Filesystem Changeset Format"). */
async function savedIndex({ file, path, entries, text, made, places }: Saved): Promise<Index> {
  const corrupt = (what: string): SlipwayError => new SlipwayError('SLW_STORE_CORRUPT', `${path}: ${what}`)
  const saved = parsedAs<readonly SavedImage[]>(text)
  if (!Array.isArray(saved)) throw corrupt(`its ${SAVED_FILE} is no list of images`)
  const manifests: Descriptor[] = []
  for (const { Config: configName = '', RepoTags, Layers = [] } of saved as readonly SavedImage[]) {
    const place = followed(entries, configName)
    const configBytes = place === undefined ? undefined : await bytesOf(file, place, path)
    const config = configBytes === undefined ? undefined : parsedAs<ImageConfig>(configBytes.toString('utf8'))
    const diffIds = config?.rootfs?.diff_ids
    if (place === undefined || configBytes === undefined || diffIds === undefined || diffIds.length !== Layers.length)
      throw corrupt(`its image ${RepoTags?.join(', ') ?? ''} has no configuration "${configName}" with as many layers as it lists`)
    const layers: Descriptor[] = []
    for (const [at, name] of Layers.entries()) {
      const layer = followed(entries, name)
      if (layer === undefined) throw corrupt(`the layer ${name} is missing`)
      // crane, kaniko and Jib write them packed: their digests are others than those in the configuration then.
      const isPacked = (await file.read(Buffer.alloc(2), 0, 2, layer.offset)).buffer.readUInt16BE() === 0x1f8b
      const digest = isPacked ? await digestOfAll(partsOf(file, layer)) : (diffIds[at] as Digest)
      places.set(digest, layer)
      layers.push({ mediaType: isPacked ? MEDIA_TYPES.layerGzip : MEDIA_TYPES.layer, digest, size: layer.size })
    }
    const digest = digestOf(configBytes)
    places.set(digest, place)
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config: { mediaType: MEDIA_TYPES.config, digest, size: place.size },
      layers,
    }
    const bytes = Buffer.from(JSON.stringify(manifest))
    const descriptor = { mediaType: MEDIA_TYPES.manifest, digest: digestOf(bytes), size: bytes.length }
    made.set(descriptor.digest, bytes)
    const tags = RepoTags ?? []
    for (const tag of tags) manifests.push({ ...descriptor, annotations: { [REF_NAME]: tag.slice(tag.lastIndexOf(':') + 1) } })
    if (tags.length === 0) manifests.push(descriptor)
  }
  return { ...NO_INDEX, manifests }
}

function parsedAs<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T
  } catch {
    return undefined
  }
}

async function bytesOf(file: FileHandle, { offset, size }: Blob, path: string): Promise<Buffer> {
  if (size > JSON_BYTES_MAX) throw new SlipwayError('SLW_STORE_CORRUPT', `${path}: a document of ${size} bytes`)
  const { buffer } = await file.read(Buffer.alloc(size), 0, size, offset)
  return buffer
}

async function* partsOf(file: FileHandle, { offset, size }: Blob): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size;) {
    const { bytesRead, buffer } = await file.read(
      Buffer.allocUnsafe(Math.min(PART_BYTES, size - at)),
      0,
      Math.min(PART_BYTES, size - at),
      offset + at,
    )
    if (bytesRead === 0) return
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

async function digestOfAll(bytes: AsyncIterable<Uint8Array>): Promise<Digest> {
  const hash = createHash('sha256')
  for await (const part of bytes) hash.update(part)
  return `sha256:${hash.digest('hex')}`
}

async function* oneOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes)
}
