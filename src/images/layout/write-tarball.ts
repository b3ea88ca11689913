import { open, rename, rm } from 'node:fs/promises'
import { Turns } from '../../core/turns.ts'
import { isIndexType } from '../manifest.ts'
import { END_OF_TAR, padding, tarHeader } from '../tar/header.ts'
import { checked } from './checked.ts'
import { blobPath, INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, NO_INDEX, withImage } from './index-json.ts'
import type { BlobSink, Digest, Index, Manifest } from '../oci.ts'

export interface TarballSink extends BlobSink {
  /** Writes the lists and the end, and puts the file in its place. */
  finish(): Promise<void>
  /** Closes, and removes what was not finished. */
  [Symbol.asyncDispose](): Promise<void>
}

export interface TarballOptions {
  /** Names by which docker and podman know the image after `load`, as `churn:1`. Default: none. */
  readonly names?: readonly string[]
  /** Seconds since 1970 of every entry. Default: 0. */
  readonly mtime?: number
}

/**
 * A tar archive of an OCI layout, in which manifest.json makes `docker load` and `podman load` take it, too. Written in one go; a file
 * of that name gives way when the new one is whole.
 */
export async function createLayoutTarball(path: string, { names = [], mtime = 0 }: TarballOptions = {}): Promise<TarballSink> {
  const partial = `${path}.${process.pid}.partial`
  const file = await open(partial, 'w', 0o644)
  const written = new Set<string>()
  const turns = new Turns()
  let index: Index = NO_INDEX
  let first: Manifest | undefined
  const add = async (name: string, size: number, bytes: AsyncIterable<Uint8Array> | readonly Uint8Array[]): Promise<void> => {
    await file.writeFile(tarHeader({ path: name, type: 'file', size, mtime }))
    for await (const part of bytes) await file.writeFile(part)
    await file.writeFile(padding(size))
  }
  const addBlob = (digest: Digest, size: number, bytes: () => AsyncIterable<Uint8Array> | readonly Uint8Array[]): Promise<void> =>
    turns.take(async () => {
      if (written.has(digest)) return
      await add(blobPath(digest), size, bytes())
      written.add(digest)
    })
  const addText = (name: string, text: string): Promise<void> => add(name, Buffer.byteLength(text), [Buffer.from(text)])
  let isOpen = true
  const close = async (): Promise<void> => {
    if (isOpen) await file.close()
    isOpen = false
  }
  return {
    has: (digest) => Promise.resolve(written.has(digest)),
    write: (descriptor, bytes) => addBlob(descriptor.digest, descriptor.size, () => checked(bytes(), descriptor, path)),
    async writeManifest(descriptor, bytes, tag) {
      await addBlob(descriptor.digest, bytes.length, () => [bytes])
      if (!isIndexType(descriptor.mediaType) && descriptor.artifactType === undefined)
        first ??= JSON.parse(bytes.toString('utf8')) as Manifest
      // A manifest of an index is found there.
      if (tag !== undefined || descriptor.platform === undefined) index = withImage(index, descriptor, tag)
    },
    async finish() {
      await turns.idle()
      await addText(INDEX_FILE, JSON.stringify(index))
      if (first !== undefined)
        await addText(
          'manifest.json',
          JSON.stringify([
            { Config: blobPath(first.config.digest), RepoTags: names, Layers: first.layers.map(({ digest }) => blobPath(digest)) },
          ]),
        )
      await addText(LAYOUT_FILE, LAYOUT_VERSION)
      await file.writeFile(END_OF_TAR)
      await file.sync()
      await close()
      await rename(partial, path)
    },
    async [Symbol.asyncDispose]() {
      await close()
      await rm(partial, { force: true })
    },
  }
}
