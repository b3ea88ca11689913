import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { isSlipwayError, messageOf, SlipwayError } from '../../core/errors.ts'
import { tarReader } from '../tar/reader.ts'
import { checkGrowth, INSPECT_LIMITS } from './limits.ts'
import { eachFile, fileTree } from './tree.ts'
import { framesApart } from './zstd-frames.ts'
import type { Hash } from 'node:crypto'
import type { BlobSource, Descriptor } from '../oci.ts'
import type { InspectLimits } from './limits.ts'
import type { FoundImage } from './find-image.ts'
import type { Content, FileTree } from './tree.ts'

/** What a layer brings. */
export interface ReadLayer {
  readonly descriptor: Descriptor
  /** Bytes of its archive, unpacked. */
  readonly unpackedBytes: number
  /** Bytes of its files. */
  readonly fileBytes: number
  /** Files, folders, links and whiteouts. */
  readonly entries: number
  /** What made it, as the history of the image says. */
  readonly createdBy: string | undefined
  /** Its files, also those that are in no path of the image any more. */
  readonly files: readonly Content[]
  /** Bytes of its files that later layers have written over or taken away. */
  wastedBytes: number
}

export interface ReadImage {
  readonly image: FoundImage
  readonly layers: readonly ReadLayer[]
  readonly tree: FileTree
  /** Contents that no path leads to. */
  readonly gone: readonly Content[]
  /** Paths of those that a layer took away, with nothing in their place. */
  readonly removed: ReadonlySet<string>
  /** Bytes of those files that were asked for, by their path in the image. */
  readonly kept: ReadonlyMap<string, Buffer>
}

export interface ReadOptions {
  readonly limits?: InspectLimits
  /** Whether the bytes of a file are wanted, by its path in a layer. Default: none. */
  readonly wants?: (path: string) => boolean
  /** Who sees the bytes of a file as they come, by its path in a layer. Default: nobody. */
  readonly watches?: (path: string) => ((part: Uint8Array) => void) | undefined
  readonly signal?: AbortSignal
}

/**
 * Reads all layers of an image, from the lowest on, and holds the names of its files and none of their bytes but those that are wanted.
 * @throws SLW_STORE_CORRUPT for what is no layer, or of other bytes than the configuration says; SLW_LIMIT_EXCEEDED
 */
export async function readImage(
  source: BlobSource,
  image: FoundImage,
  { limits = INSPECT_LIMITS, wants = () => false, watches = () => undefined, signal }: ReadOptions = {},
): Promise<ReadImage> {
  const { manifest, config } = image
  if (manifest.layers.length > limits.layers)
    throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the image has ${manifest.layers.length} layers; ${limits.layers} are read`)
  const gone: Content[] = []
  const removed = new Set<string>()
  const held = new Map<Content, Buffer>()
  const layers: ReadLayer[] = []
  const tree = fileTree(limits, (content, isReplaced) => {
    gone.push(content)
    if (!isReplaced) removed.add(content.path)
    held.delete(content)
  })
  let unpackedBytes = 0
  let keptBytes = 0
  const made = (config.history ?? []).filter(({ empty_layer: isEmpty }) => isEmpty !== true)
  for (const [at, descriptor] of manifest.layers.entries()) {
    let [entries, fileBytes] = [0, 0]
    const files: Content[] = []
    let now:
      | {
          readonly content: Content
          readonly hash: Hash
          readonly parts: Buffer[] | undefined
          readonly watch: ((part: Uint8Array) => void) | undefined
        }
      | undefined
    const reader = tarReader({
      entry(entry) {
        entries++
        const content = tree.add(entry, at)
        now = undefined
        if (content?.type !== 'file') return
        files.push(content)
        fileBytes += content.size
        const isWanted = wants(content.path)
        if (isWanted && content.size > limits.keptFileBytes)
          throw new SlipwayError(
            'SLW_LIMIT_EXCEEDED',
            `${content.path} has ${content.size} bytes; files that are read in full have at most ${limits.keptFileBytes}`,
          )
        if (isWanted && (keptBytes += content.size) > limits.keptBytes)
          throw new SlipwayError('SLW_LIMIT_EXCEEDED', `files that are read in full have more than ${limits.keptBytes} bytes`)
        now = { content, hash: createHash('sha256'), parts: isWanted ? [] : undefined, watch: watches(content.path) }
      },
      bytes(part) {
        now?.hash.update(part)
        now?.parts?.push(Buffer.from(part))
        now?.watch?.(part)
      },
      end() {
        if (now === undefined) return
        now.content.sha256 = now.hash.digest('hex')
        if (now.parts !== undefined && now.content.links > 0) held.set(now.content, Buffer.concat(now.parts))
      },
    })
    const hash = createHash('sha256')
    let bytes = 0
    try {
      for await (const part of unpacked(source.open(descriptor))) {
        signal?.throwIfAborted()
        hash.update(part)
        bytes += part.length
        checkGrowth(bytes, descriptor.size, unpackedBytes, limits)
        reader.write(part)
      }
      reader.end()
      checkDiffId(`sha256:${hash.digest('hex')}`, config.rootfs.diff_ids[at])
    } catch (error) {
      throw withLayer(error, `layer ${at + 1} (${descriptor.digest})`)
    }
    unpackedBytes += bytes
    const createdBy = made.length === manifest.layers.length ? made[at]?.created_by : undefined
    layers.push({ descriptor, unpackedBytes: bytes, fileBytes, entries, createdBy, files, wastedBytes: 0 })
  }
  const missed = missedIn(tree, wants, held)
  if (missed.size > 0)
    return await readImage(source, image, {
      limits,
      wants: (path) => wants(path) || missed.has(path),
      watches,
      ...(signal !== undefined && { signal }),
    })
  countWaste(layers, gone)
  return { image, layers, tree, gone, removed, kept: keptIn(tree, held) }
}

function countWaste(layers: readonly ReadLayer[], gone: readonly Content[]): void {
  for (const content of gone) {
    const layer = layers[content.layer]
    if (layer !== undefined && content.type === 'file') layer.wastedBytes += content.size
  }
}

/** A hard link is known after the bytes that it leads to went by, as in stores of pnpm: they are read once more. */
function missedIn(tree: FileTree, wants: (path: string) => boolean, held: ReadonlyMap<Content, Buffer>): Set<string> {
  const missed = new Set<string>()
  eachFile(tree.root, (path, content) => {
    if (content.type === 'file' && wants(path) && !held.has(content)) missed.add(content.path)
  })
  return missed
}

/** Bytes by path. */
function keptIn(tree: FileTree, held: ReadonlyMap<Content, Buffer>): Map<string, Buffer> {
  const kept = new Map<string, Buffer>()
  if (held.size === 0) return kept
  eachFile(tree.root, (path, content) => {
    const found = held.get(content)
    if (found !== undefined) kept.set(path, found)
  })
  return kept
}

function checkDiffId(found: string, told: string | undefined): void {
  if (told !== undefined && told !== found)
    throw new SlipwayError('SLW_STORE_CORRUPT', `it unpacks to ${found}, and the configuration says ${told}`)
}

/** Bytes of an archive, by what its first bytes say of how it is packed: that is what runtimes go by, too. */
async function* unpacked(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const parts = bytes[Symbol.asyncIterator]()
  const first: Uint8Array[] = []
  let count = 0
  let isOver = false
  while (count < 4 && !isOver) {
    const { value, done } = (await parts.next()) as IteratorResult<Uint8Array, undefined>
    if (done === true) isOver = true
    else {
      first.push(value)
      count += value.length
    }
  }
  const all = (async function* () {
    yield* first
    if (!isOver) yield* { [Symbol.asyncIterator]: () => parts }
  })()
  const beginning = Buffer.concat(first).subarray(0, 4)
  const isGzip = beginning.length === 4 && beginning.readUInt16BE() === 0x1f8b
  const isZstd =
    beginning.length === 4 && (beginning.readUInt32LE() === 0xfd2fb528 || (beginning.readUInt32LE() & 0xfffffff0) === 0x184d2a50)
  const decoder = isGzip ? createGunzip() : isZstd ? createZstdDecompress() : undefined
  if (decoder === undefined) {
    yield* all
    return
  }
  const done = pipeline(Readable.from(isZstd ? framesApart(all) : all, { objectMode: false }), decoder)
  done.catch(() => {})
  try {
    for await (const part of decoder) yield part as Buffer
    await done
  } finally {
    decoder.destroy()
  }
}

/** Says which layer it is, and takes what zlib says for what it is: a broken archive. */
function withLayer(error: unknown, place: string): unknown {
  if (isSlipwayError(error))
    return error.message.includes('sha256:') && !error.message.startsWith('it unpacks')
      ? error
      : new SlipwayError(error.code, `${place}: ${error.message}`, { cause: error })
  const { code } = error as NodeJS.ErrnoException
  if (code?.startsWith('Z_') === true || code?.startsWith('ZSTD_') === true)
    return new SlipwayError('SLW_STORE_CORRUPT', `${place} cannot be unpacked: ${messageOf(error)}`, { cause: error })
  return error
}
