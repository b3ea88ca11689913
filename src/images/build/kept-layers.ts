import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { copyFile, mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { versions } from 'node:process'
import { isSlipwayError } from '../../core/errors.ts'
import type { BlobSink, Descriptor, Digest } from '../oci.ts'

/** Compressed layers by what they are of: compressing is most of the time that a build takes. */
export interface KeptLayers {
  /** Writes a kept layer. @returns undefined where there is none */
  write(key: LayerKey, sink: BlobSink): Promise<Descriptor | undefined>
  keep(key: LayerKey, descriptor: Descriptor, file: string): Promise<void>
}

export interface LayerKey {
  /** Digest of the archive before it is compressed. */
  readonly diffId: Digest
  readonly compression: 'gzip' | 'zstd'
  readonly level: number
  readonly mediaType: string
}

const BYTES_MAX = 2 * 1024 ** 3

/** @param folder whose files go, the longest unused first, where they have more than 2 GiB together */
export function keptLayers(folder: string): KeptLayers {
  // Other releases of the libraries compress to other bytes.
  const prefixOf = ({ diffId, compression, level }: LayerKey): string =>
    `${diffId.slice(7)}-${compression}-${level}-${compression === 'gzip' ? versions.zlib : versions['zstd']}-`
  return {
    async write(key, sink) {
      const names = await readdir(folder).catch((): string[] => [])
      const name = names.find((one) => one.startsWith(prefixOf(key)))
      if (name === undefined) return undefined
      const file = join(folder, name)
      const found = await stat(file).catch(() => undefined)
      if (found === undefined) return undefined
      const descriptor: Descriptor = { mediaType: key.mediaType, digest: `sha256:${name.slice(-64)}`, size: found.size }
      try {
        await sink.write(descriptor, () => createReadStream(file, { highWaterMark: 1024 * 1024 }))
      } catch (error) {
        if (!isSlipwayError(error) || error.code !== 'SLW_STORE_CORRUPT') throw error
        await rm(file, { force: true })
        return undefined
      }
      const now = new Date()
      await utimes(file, now, now)
      return descriptor
    },
    async keep(key, descriptor, file) {
      // It would only push out all others.
      if (descriptor.size > BYTES_MAX / 2) return
      await mkdir(folder, { recursive: true })
      const partial = join(folder, `${randomUUID()}.partial`)
      await copyFile(file, partial)
      await rename(partial, join(folder, `${prefixOf(key)}${descriptor.digest.slice(7)}`))
      await makeRoom(folder)
    },
  }
}

async function makeRoom(folder: string): Promise<void> {
  const found = await Promise.all(
    (await readdir(folder)).map(async (name) => ({
      path: join(folder, name),
      state: await stat(join(folder, name)).catch(() => undefined),
    })),
  )
  let bytes = 0
  for (const { path, state } of found.toSorted((a, b) => (b.state?.mtimeMs ?? 0) - (a.state?.mtimeMs ?? 0))) {
    bytes += state?.size ?? 0
    if (bytes > BYTES_MAX) await rm(path, { force: true })
  }
}
