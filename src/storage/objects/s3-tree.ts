/** Files below a place in a bucket that is nobody's store: whoever wrote them named them. */
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SlipwayError } from '../../core/errors.ts'
import { ask } from './s3-bucket.ts'
import { getFromS3 } from './s3-get.ts'
import { openBucket } from './s3-store.ts'
import type { S3Bucket } from './s3-bucket.ts'
import type { S3StoreOptions } from './s3-store.ts'

/** A file below a place. */
export interface FarFile {
  /** Below the place, with `/`. */
  readonly path: string
  readonly size: number
  /** Of its object in the bucket. */
  readonly key: string
}

/** A place in a bucket, read by the credentials of this machine. */
export class S3Tree implements Disposable {
  readonly #bucket: S3Bucket

  private constructor(bucket: S3Bucket) {
    this.#bucket = bucket
  }

  /** @throws SLW_STORE_UNAVAILABLE, SLW_DEPENDENCY_MISSING, SLW_CONFIG_INVALID */
  static async open(options: S3StoreOptions): Promise<S3Tree> {
    return new S3Tree((await openBucket(options)).bucket)
  }

  /**
   * Every file below the place, or the one that is the place itself, in the order of their names; none where nothing lies there.
   * @throws SLW_STORE_UNAVAILABLE
   */
  async files(): Promise<FarFile[]> {
    const { prefix } = this.#bucket
    const files: FarFile[] = []
    for await (const { key, size } of keysBelow(this.#bucket))
      files.push({ key, path: key === prefix.slice(0, -1) ? key.split('/').at(-1)! : key.slice(prefix.length), size })
    return files
  }

  /**
   * Downloads a file into a folder. A transfer that breaks off is resumed where it ended.
   * @throws SLW_STORE_UNAVAILABLE; SLW_INPUT_INVALID for a name that leads out of the folder
   */
  async download({ path, key }: FarFile, folder: string): Promise<void> {
    const target = join(folder, path)
    if (!target.startsWith(`${folder}/`) || path.includes('\0'))
      throw new SlipwayError('SLW_INPUT_INVALID', `${JSON.stringify(key)} in the bucket leads out of its folder`)
    await mkdir(dirname(target), { recursive: true })
    const bytes = await getFromS3({ ...this.#bucket, prefix: '' }, key)
    await pipeline(Readable.from(bytes, { objectMode: false }), createWriteStream(target))
  }

  [Symbol.dispose](): void {
    this.#bucket.client.destroy()
  }
}

/** Keys of files; what only stands for a folder ends in `/`. */
async function* keysBelow({ client, name, prefix, sdk }: S3Bucket): AsyncGenerator<{ key: string; size: number }> {
  const place = prefix.slice(0, -1)
  for (let token: string | undefined; ;) {
    const page = await ask(
      `list s3://${name}/${place}`,
      client.send(new sdk.ListObjectsV2Command({ Bucket: name, Prefix: place, ...(token !== undefined && { ContinuationToken: token }) })),
    )
    for (const { Key: key = '', Size: size = 0 } of page.Contents ?? [])
      if ((key === place || key.startsWith(prefix)) && !key.endsWith('/')) yield { key, size }
    token = page.NextContinuationToken
    if (token === undefined) return
  }
}
