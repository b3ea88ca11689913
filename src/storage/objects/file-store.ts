import { syncFolder } from '../../core/write-whole.ts'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { resolveRange } from './byte-range.ts'
import { onDisk, readFileBytes, unlessMissing, writeDurably } from './durable-file.ts'
import { FileUploads, noUpload } from './file-parts.ts'
import { checkKey, checkKeyStart, isKey } from './key.ts'
import { untilCancelled } from './until-cancelled.ts'
import type { ByteRange, ObjectStore, StoredObject, UploadedPart } from './object-store.ts'

/** Age of abandoned temporary files: those written to in the last hour may belong to a live process. */
const ABANDONED_AFTER_MS = 60 * 60 * 1000
/** Folders of objects, one for each first byte of a key's digest. */
const FOLDERS: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/**
 * Objects in a folder:
 *
 *     objects/<first byte of the key's SHA-256>/<key, with _ for />   one file each
 *     uploads/<upload id>/                                            parts that are not joined yet
 *     temporary/                                                      files that have no name yet, or no longer one
 *
 * Several processes may have the store open. Acknowledged writes are on the disk, also if the machine loses its power.
 * @throws SLW_STORE_UNAVAILABLE where the folder cannot be made
 */
export async function openFileStore(folder: string): Promise<ObjectStore> {
  const root = resolve(folder)
  await onDisk(`be opened at ${root}`, makeFolders(root))
  await onDisk(`be opened at ${root}`, removeAbandoned(join(root, 'temporary')))
  return new FileStore(root)
}

async function makeFolders(root: string): Promise<void> {
  const objects = join(root, 'objects')
  const made = await mkdir(root, { recursive: true })
  for (const path of [join(root, 'uploads'), join(root, 'temporary'), objects]) await mkdir(path, { recursive: true })
  await Promise.all(FOLDERS.map((name) => mkdir(join(objects, name), { recursive: true })))
  await syncFolder(objects)
  await syncFolder(root)
  if (made !== undefined) await syncFolder(dirname(made))
}

/** Removes leftovers of killed processes. Names come and go while other processes work here. */
async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const found = await unlessMissing(`look at ${path}`, stat(path))
    if (found !== undefined && Date.now() - found.mtimeMs > ABANDONED_AFTER_MS) await rm(path, { recursive: true, force: true })
  }
}

class FileStore implements ObjectStore {
  readonly kind = 'file'
  readonly #root: string
  readonly #uploads: FileUploads
  #closed = false

  constructor(root: string) {
    this.#root = root
    this.#uploads = new FileUploads(join(root, 'uploads'), () => this.#temporary())
  }

  async put(key: string, body: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
    await writeDurably(this.#path(key), this.#temporary(), untilCancelled(body, signal))
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const path = this.#path(key)
    const missing = (): SlipwayError => new SlipwayError('SLW_NOT_FOUND', `there is no object ${key} in ${this.#root}`)
    const found = await this.head(key)
    if (found === undefined) throw missing()
    const { offset, length } = resolveRange(range, found.size, `object ${key}`)
    return untilCancelled(readFileBytes(path, offset, length, missing), signal)
  }

  async head(key: string): Promise<StoredObject | undefined> {
    const found = await unlessMissing(`look for ${key}`, stat(this.#path(key)))
    return found === undefined ? undefined : { key, size: found.size, modifiedAtMs: Math.floor(found.mtimeMs) }
  }

  async delete(key: string): Promise<void> {
    const path = this.#path(key)
    await onDisk(`delete ${path}`, rm(path, { force: true }))
    await onDisk(`delete ${path}`, syncFolder(dirname(path)))
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    this.#checkOpen()
    checkKeyStart(prefix)
    for (const folder of FOLDERS)
      for (const name of await onDisk('be listed', readdir(join(this.#root, 'objects', folder)))) {
        const key = name.replaceAll('_', '/')
        const found = isKey(key) && key.startsWith(prefix) ? await this.head(key) : undefined
        if (found !== undefined) yield found
      }
  }

  async beginParts(key: string): Promise<string> {
    this.#check(key)
    return await this.#uploads.begin(key)
  }

  async putPart(key: string, uploadId: string, partNumber: number, body: AsyncIterable<Uint8Array>): Promise<UploadedPart> {
    this.#check(key)
    return await this.#uploads.putPart(key, uploadId, partNumber, body)
  }

  async completeParts(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<void> {
    this.#check(key)
    const joined = await this.#uploads.joined(key, uploadId, parts)
    if (joined === undefined) {
      if ((await this.head(key)) !== undefined) return
      throw noUpload(key, uploadId)
    }
    await writeDurably(this.#path(key), this.#temporary(), joined)
    await this.#uploads.remove(key, uploadId)
  }

  async abortParts(key: string, uploadId: string): Promise<void> {
    this.#check(key)
    await this.#uploads.remove(key, uploadId)
  }

  async *unfinishedParts(beforeMs: number): AsyncGenerator<{ readonly key: string; readonly uploadId: string }> {
    this.#checkOpen()
    yield* this.#uploads.unfinished(beforeMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
  }

  #path(key: string): string {
    this.#check(key)
    const [first = 0] = createHash('sha256').update(key).digest()
    return join(this.#root, 'objects', FOLDERS[first]!, key.replaceAll('/', '_'))
  }

  #temporary(): string {
    return join(this.#root, 'temporary', randomBytes(16).toString('hex'))
  }

  #check(key: string): void {
    this.#checkOpen()
    checkKey(key)
  }

  #checkOpen(): void {
    if (this.#closed) throw new SlipwayError('SLW_CLOSED', `the object store ${this.#root} is closed`)
  }
}
