import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import { SlipwayError } from '../../core/errors.ts'
import { MEDIA_TYPES } from '../oci.ts'
import { END_OF_TAR, padding, tarHeader } from '../tar/header.ts'
import type { BlobSink, Descriptor, Digest } from '../oci.ts'
import type { ImageFile } from './files.ts'
import type { KeptLayers } from './kept-layers.ts'

export type Compression = 'gzip' | 'zstd'

/** What a layer became. */
export interface Layer {
  readonly descriptor: Descriptor
  /** Digest of the archive before it was compressed. */
  readonly diffId: Digest
  /** Bytes of the archive before it was compressed. */
  readonly size: number
}

export interface LayerOptions {
  readonly compression: Compression
  /** Of gzip, 1 to 9; of zstd, 1 to 19. */
  readonly level: number
  /** Seconds since 1970 of every entry. */
  readonly mtime: number
  /** Where the layer lies until it is written. */
  readonly scratch: string
  /** Layers of earlier builds. Undefined: none are kept. */
  readonly kept: KeptLayers | undefined
}

/** Bytes that are read at once, at most. */
const READ_BYTES = 1024 * 1024

const OPEN = { gzip: createGzip, zstd: createZstdCompress } as const

/**
 * Writes a layer: the same bytes of the same files. Entries stand in the order of the bytes of their paths, so that folders come before
 * what is in them; folders that nothing names are added.
 * @throws SLW_USAGE where two files have one path, or one lies in another
 */
export async function writeLayer(files: readonly ImageFile[], sink: BlobSink, options: LayerOptions): Promise<Layer> {
  const { compression, level, mtime, scratch, kept } = options
  const mediaType = compression === 'gzip' ? MEDIA_TYPES.layerGzip : MEDIA_TYPES.layerZstd
  if (kept !== undefined) {
    const plain = await digested(tarOf(files, mtime))
    const descriptor = await kept.write({ ...plain, compression, level, mediaType }, sink)
    if (descriptor !== undefined) return { descriptor, ...plain }
  }
  const file = join(scratch, `${randomUUID()}.layer`)
  const [plain, packed] = [counter(), counter()]
  const compress = compression === 'gzip' ? OPEN.gzip({ level }) : OPEN.zstd({ params: { [constants.ZSTD_c_compressionLevel]: level } })
  try {
    await pipeline(
      Readable.from(tarOf(files, mtime), { objectMode: false }),
      plain.through,
      compress,
      packed.through,
      createWriteStream(file),
    )
    const descriptor: Descriptor = { mediaType, digest: packed.digest(), size: packed.size() }
    await sink.write(descriptor, () => createReadStream(file, { highWaterMark: READ_BYTES }))
    const diffId = plain.digest()
    await kept?.keep({ diffId, compression, level, mediaType }, descriptor, file)
    return { descriptor, diffId, size: plain.size() }
  } finally {
    await rm(file, { force: true })
  }
}

async function digested(bytes: AsyncIterable<Uint8Array>): Promise<{ readonly diffId: Digest; readonly size: number }> {
  const hash = createHash('sha256')
  let size = 0
  for await (const part of bytes) {
    hash.update(part)
    size += part.length
  }
  return { diffId: `sha256:${hash.digest('hex')}`, size }
}

/** The entries of a layer as a tar archive. */
async function* tarOf(files: readonly ImageFile[], mtime: number): AsyncGenerator<Uint8Array> {
  for (const { path, content, mode, owner = 0 } of inOrder(files)) {
    const { kind } = content
    const size = kind === 'bytes' ? content.bytes.length : kind === 'file' ? content.size : 0
    yield tarHeader({
      path: kind === 'directory' ? `${path}/` : path,
      type: kind === 'directory' || kind === 'symlink' ? kind : 'file',
      size,
      mtime,
      uid: owner,
      gid: owner,
      ...(mode !== undefined && kind !== 'symlink' && { mode }),
      ...(kind === 'symlink' && { target: content.target }),
    })
    if (kind === 'bytes') yield content.bytes
    if (kind === 'file') {
      let count = 0
      // Most files are small, and there are thousands: a large buffer for each is what a build would wait for most.
      const highWaterMark = Math.min(Math.max(size, 1), READ_BYTES)
      for await (const bytes of createReadStream(content.file, { highWaterMark }) as AsyncIterable<Buffer>) {
        count += bytes.length
        yield bytes
      }
      if (count !== size)
        throw new SlipwayError('SLW_CONFLICT', `${content.file} was changed while it was read: ${count} bytes instead of ${size}`)
    }
    if (size > 0) yield padding(size)
  }
  yield END_OF_TAR
}

function inOrder(files: readonly ImageFile[]): ImageFile[] {
  const all = new Map<string, ImageFile>()
  for (const file of files) {
    const before = all.get(file.path)
    if (before !== undefined && !(before.content.kind === 'directory' && file.content.kind === 'directory'))
      throw new SlipwayError('SLW_USAGE', `two files would be /${file.path} of the image`)
    all.set(file.path, file)
  }
  for (const { path } of files)
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const parent = path.slice(0, end)
      const kind = all.get(parent)?.content.kind
      if (kind === undefined) all.set(parent, { path: parent, content: { kind: 'directory' } })
      else if (kind !== 'directory')
        throw new SlipwayError('SLW_USAGE', `/${path} of the image would lie in /${parent}, which is no folder`)
    }
  return [...all.values()]
    .map((file) => ({ file, bytes: Buffer.from(file.path) }))
    .toSorted((a, b) => a.bytes.compare(b.bytes))
    .map(({ file }) => file)
}

interface Counter {
  readonly through: Transform
  digest(): Digest
  size(): number
}

function counter(): Counter {
  const hash = createHash('sha256')
  let count = 0
  const through = new Transform({
    transform(bytes: Buffer, _, done) {
      hash.update(bytes)
      count += bytes.length
      done(null, bytes)
    },
  })
  return { through, digest: () => `sha256:${hash.digest('hex')}`, size: () => count }
}
