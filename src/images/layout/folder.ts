import { randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { SlipwayError } from '../../core/errors.ts'
import { Turns } from '../../core/turns.ts'
import { checked, readSmall } from './checked.ts'
import { blobPath, INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, NO_INDEX, parseIndex, resolveTag, withImage } from './index-json.ts'
import type { BlobSink, Descriptor, ImageSource, Index } from '../oci.ts'

/** A folder in the layout of OCI (image-spec 1.1.1, "Image Layout Specification"). */
export interface LayoutFolder extends ImageSource, BlobSink {
  /** What `index.json` lists. */
  index(): Promise<Index>
}

/** @throws SLW_PATH_NOT_FOUND; SLW_STORE_CORRUPT where the folder is no layout */
export async function openLayoutFolder(path: string): Promise<LayoutFolder> {
  const names = await readdir(path).catch(() => {
    throw new SlipwayError('SLW_PATH_NOT_FOUND', `${path}: no such folder`)
  })
  if (!names.includes(LAYOUT_FILE) || !names.includes(INDEX_FILE))
    throw new SlipwayError(
      'SLW_STORE_CORRUPT',
      `${path} is no OCI layout: it has no ${names.includes(LAYOUT_FILE) ? INDEX_FILE : LAYOUT_FILE}`,
    )
  return layoutFolder(path)
}

/**
 * A layout to write into: a new folder, an empty one, or one that is a layout already, whose images stay.
 * @throws SLW_ALREADY_EXISTS where something else lies there
 */
export async function createLayoutFolder(path: string): Promise<LayoutFolder> {
  await mkdir(join(path, 'blobs/sha256'), { recursive: true })
  const names = (await readdir(path)).filter((name) => name !== 'blobs')
  if (names.length > 0 && !names.includes(LAYOUT_FILE))
    throw new SlipwayError(
      'SLW_ALREADY_EXISTS',
      `${path} holds something that is no OCI layout (${names.slice(0, 3).join(', ')}); name a new folder`,
    )
  if (!names.includes(INDEX_FILE)) await place(join(path, INDEX_FILE), JSON.stringify(NO_INDEX))
  if (!names.includes(LAYOUT_FILE)) await place(join(path, LAYOUT_FILE), LAYOUT_VERSION)
  return layoutFolder(path)
}

function layoutFolder(path: string): LayoutFolder {
  const turns = new Turns()
  const fileOf = ({ digest }: Pick<Descriptor, 'digest'>): string => join(path, blobPath(digest))
  const index = async (): Promise<Index> => parseIndex(await readFile(join(path, INDEX_FILE), 'utf8'), path)
  const open = (descriptor: Descriptor): AsyncIterable<Uint8Array> =>
    checked(blobOf(fileOf(descriptor), descriptor, path), descriptor, path)
  // What lies there may be broken, and whoever fetches it again wants it whole.
  const isWhole = async (descriptor: Descriptor): Promise<boolean> => {
    try {
      for await (const _ of open(descriptor));
      return true
    } catch {
      return false
    }
  }
  return {
    index,
    open,
    readJson: (descriptor) => readSmall(open(descriptor), descriptor, path),
    resolve: async (tag) => resolveTag(await index(), tag, path),
    has: (digest) =>
      stat(fileOf({ digest })).then(
        () => true,
        () => false,
      ),
    async write(descriptor, bytes) {
      const file = fileOf(descriptor)
      const found = await stat(file).catch(() => undefined)
      if (found?.size === descriptor.size && (await isWhole(descriptor))) return
      await placed(file, (partial) => pipeline(checked(bytes(), descriptor, path), createWriteStream(partial)))
    },
    async writeManifest(descriptor, bytes, tag) {
      await placed(fileOf(descriptor), (partial) => writeFile(partial, bytes))
      // A manifest of an index is found there.
      if (tag === undefined && descriptor.platform !== undefined) return
      await turns.take(async () => place(join(path, INDEX_FILE), JSON.stringify(withImage(await index(), descriptor, tag))))
    },
  }
}

async function* blobOf(file: string, { digest }: Descriptor, place: string): AsyncGenerator<Uint8Array> {
  if ((await stat(file).catch(() => undefined)) === undefined) throw new SlipwayError('SLW_NOT_FOUND', `${place} has no blob ${digest}`)
  yield* createReadStream(file, { highWaterMark: 256 * 1024 })
}

const place = (file: string, text: string): Promise<void> => placed(file, (partial) => writeFile(partial, text))

/** Makes a file beside its place, and moves it there when it is whole. */
async function placed(file: string, write: (partial: string) => Promise<void>): Promise<void> {
  const partial = join(dirname(file), `.${randomUUID()}.partial`)
  try {
    await write(partial)
    await rename(partial, file)
  } catch (error) {
    await rm(partial, { force: true })
    throw error
  }
}
