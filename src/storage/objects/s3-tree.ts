/** Files below a place in a bucket that is nobody's store: whoever wrote them named them. */
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { SlipwayError } from '../../core/errors.ts'
import { ask } from './s3-bucket.ts'
import { openBucket } from './s3-store.ts'
import type { Readable } from 'node:stream'
import type { S3Bucket } from './s3-bucket.ts'
import type { S3StoreOptions } from './s3-store.ts'

/** A file that has been downloaded. */
export interface DownloadedFile {
  /** Below the place, with `/`. */
  readonly path: string
  readonly size: number
}

/**
 * Downloads every file below a place, or the one that is the place itself, into a folder.
 * @returns the files, in the order of their names; none where nothing lies there
 * @throws SLW_STORE_UNAVAILABLE, SLW_DEPENDENCY_MISSING, SLW_CONFIG_INVALID; SLW_INPUT_INVALID for a name that leads out of the folder
 */
export async function downloadTree(
  options: S3StoreOptions,
  folder: string,
  onFile: (file: DownloadedFile) => void,
): Promise<DownloadedFile[]> {
  const { bucket } = await openBucket(options)
  try {
    const found: DownloadedFile[] = []
    for await (const { key, size } of keysBelow(bucket)) {
      const path = key === bucket.prefix.slice(0, -1) ? key.split('/').at(-1)! : key.slice(bucket.prefix.length)
      const target = join(folder, path)
      if (!target.startsWith(`${folder}/`) || path.includes('\0'))
        throw new SlipwayError('SLW_INPUT_INVALID', `${JSON.stringify(key)} in the bucket leads out of its folder`)
      await mkdir(dirname(target), { recursive: true })
      const { Body } = await ask(
        `send s3://${bucket.name}/${key}`,
        bucket.client.send(new bucket.sdk.GetObjectCommand({ Bucket: bucket.name, Key: key })),
      )
      await pipeline(Body as Readable, createWriteStream(target))
      const file = { path, size }
      found.push(file)
      onFile(file)
    }
    return found
  } finally {
    bucket.client.destroy()
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
