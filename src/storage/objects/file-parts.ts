import { syncFolder } from '../../core/write-whole.ts'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { diskError, onDisk, readFileBytes, unlessMissing, writeDurably } from './durable-file.ts'
import { checkPartNumber, partsInOrder } from './parts.ts'
import type { UploadedPart } from './object-store.ts'

/** File with the key of the object, in the folder of an upload. Its age is the age of the upload. */
const KEY_FILE = 'key'
const UPLOAD_ID = /^[0-9a-f]{32}$/

export function noUpload(key: string, uploadId: string): SlipwayError {
  return new SlipwayError(
    'SLW_NOT_FOUND',
    `there is no upload "${uploadId.slice(0, 64)}" for object ${key}: it was aborted or completed, or is another's`,
  )
}

/**
 * Uploads in parts, each a folder `<upload id>` with a file `key` and files `<part number>-<etag>`. An etag is random, so two
 * puts of one part never write to one file, and completing takes the file of the etag that it names.
 */
export class FileUploads {
  readonly #folder: string
  readonly #temporary: () => string

  /** @param temporary a new path of the same file system for each call */
  constructor(folder: string, temporary: () => string) {
    this.#folder = folder
    this.#temporary = temporary
  }

  /** Begins an upload: its folder appears with the key in it. */
  async begin(key: string): Promise<string> {
    const uploadId = randomBytes(16).toString('hex')
    const building = this.#temporary()
    await onDisk('begin an upload', mkdir(building))
    await writeDurably(join(building, KEY_FILE), this.#temporary(), oneBuffer(Buffer.from(key)))
    await onDisk('begin an upload', rename(building, this.#path(uploadId)))
    await onDisk('begin an upload', syncFolder(this.#folder))
    return uploadId
  }

  async putPart(key: string, uploadId: string, partNumber: number, body: AsyncIterable<Uint8Array>): Promise<UploadedPart> {
    checkPartNumber(partNumber)
    await this.#find(key, uploadId)
    const etag = randomBytes(16).toString('hex')
    try {
      await writeDurably(this.#part(uploadId, { partNumber, etag }), this.#temporary(), body)
    } catch (error) {
      await this.#find(key, uploadId) // Throws where the upload was aborted meanwhile: that is the cause.
      throw error
    }
    return { partNumber, etag }
  }

  /** @returns undefined where there is no such upload, else the bytes of the parts one after the other */
  async joined(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<AsyncIterable<Uint8Array> | undefined> {
    const ordered = partsInOrder(parts)
    if ((await this.#keyOf(uploadId)) !== key) return undefined
    const sizes: number[] = []
    for (const part of ordered) {
      const found = UPLOAD_ID.test(part.etag) ? await unlessMissing('find a part', stat(this.#part(uploadId, part))) : undefined
      if (found === undefined)
        throw new SlipwayError(
          'SLW_INPUT_INVALID',
          `upload ${uploadId} has no part ${part.partNumber} with etag "${part.etag.slice(0, 64)}"`,
        )
      sizes.push(found.size)
    }
    return this.#read(uploadId, ordered, sizes)
  }

  /** Removes an upload by a rename to a temporary name first: parts without their key would never be removed. */
  async remove(key: string, uploadId: string): Promise<void> {
    if ((await this.#keyOf(uploadId)) !== key) return
    const doomed = this.#temporary()
    const renamed = await unlessMissing(
      'end an upload',
      rename(this.#path(uploadId), doomed).then(() => true),
    )
    if (renamed === undefined) return
    await onDisk('end an upload', syncFolder(this.#folder))
    await onDisk('end an upload', rm(doomed, { recursive: true, force: true }))
  }

  async *unfinished(beforeMs: number): AsyncGenerator<{ readonly key: string; readonly uploadId: string }> {
    for (const uploadId of await onDisk('list uploads', readdir(this.#folder))) {
      const key = await this.#keyOf(uploadId)
      const begun = await unlessMissing('list uploads', stat(join(this.#path(uploadId), KEY_FILE)))
      if (key !== undefined && begun !== undefined && begun.mtimeMs < beforeMs) yield { key, uploadId }
    }
  }

  async *#read(uploadId: string, parts: readonly UploadedPart[], sizes: readonly number[]): AsyncGenerator<Uint8Array> {
    for (const [index, part] of parts.entries()) {
      const path = this.#part(uploadId, part)
      yield* readFileBytes(path, 0, sizes[index]!, () => diskError(`read ${path}`, 'it went away while the upload was completed'))
    }
  }

  async #find(key: string, uploadId: string): Promise<void> {
    if ((await this.#keyOf(uploadId)) !== key) throw noUpload(key, uploadId)
  }

  async #keyOf(uploadId: string): Promise<string | undefined> {
    if (!UPLOAD_ID.test(uploadId)) return undefined
    return await unlessMissing('find an upload', readFile(join(this.#path(uploadId), KEY_FILE), 'utf8'))
  }

  #path(uploadId: string): string {
    return join(this.#folder, uploadId)
  }

  #part(uploadId: string, { partNumber, etag }: UploadedPart): string {
    return join(this.#path(uploadId), `${partNumber}-${etag}`)
  }
}

async function* oneBuffer(buffer: Buffer): AsyncGenerator<Uint8Array> {
  yield buffer
}
