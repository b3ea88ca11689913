import { messageOf, SlipwayError } from '../../core/errors.ts'
import { cutIntoBlocks } from './blocks.ts'
import { holdBody } from './held-body.ts'
import { checkKey, checkKeyStart, isKey } from './key.ts'
import { checkPartNumber, partsInOrder } from './parts.ts'
import { addressOf, ask, askAgain, placeOf } from './s3-bucket.ts'
import { getFromS3 } from './s3-get.ts'
import { untilCancelled } from './until-cancelled.ts'
import type { ByteRange, ObjectStore, PresignedRequest, StoredObject, UploadedPart } from './object-store.ts'
import type { S3Bucket, S3Sdk } from './s3-bucket.ts'

export interface S3StoreOptions {
  readonly bucket: string
  /** Prefix of all keys; every object under it belongs to the store. Default: none, so the whole bucket does. */
  readonly prefix?: string
  /** `http://` or `https://` URL of a server that is not Amazon's. */
  readonly endpoint?: string
  /** Default: by the environment and the profile; with an endpoint us-east-1, which other servers expect. */
  readonly region?: string
  /** Whether the bucket is in the path and not in the name of the host. Default: where there is an endpoint. */
  readonly forcePathStyle?: boolean
  /** Time that a connection may be silent. Default 30 000. */
  readonly idleTimeoutMs?: number
  /** Attempts before a request has failed, with growing waits between. Default 5. */
  readonly attempts?: number
}

const ignore = (): void => {}

type Presigner = typeof import('@aws-sdk/s3-request-presigner')
type Unfinished = { readonly key: string; readonly uploadId: string }

const MIB = 1024 * 1024
const CONNECTION_TIMEOUT_MS = 5000
/**
 * Size of a part, which is held in memory while it is sent. All of one size, because some servers (R2) require it; from 1000 parts
 * on larger, because there can be 10 000 of them. So objects may have 300 GB.
 */
const blockBytesOf = (index: number): number => (index < 1000 ? 8 * MIB : 32 * MIB)
/** Size up to which received parts are held in memory, larger ones in a file: clients send several at once. */
const HELD_PART_BYTES = MIB

/** The only place that loads the SDK, whose hundreds of modules are not needed for objects in a folder. */
async function loadSdk(): Promise<{ sdk: S3Sdk; presigner: Presigner }> {
  try {
    return { sdk: await import('@aws-sdk/client-s3'), presigner: await import('@aws-sdk/s3-request-presigner') }
  } catch (error) {
    throw new SlipwayError(
      'SLW_DEPENDENCY_MISSING',
      `the client of S3 cannot be loaded (${messageOf(error)}); install it with: npm install @aws-sdk/client-s3 @aws-sdk/s3-request-presigner`,
      { cause: error },
    )
  }
}

/**
 * Objects in a bucket of Amazon S3 or of a server that speaks its protocol. Credentials come by the SDK's usual chain
 * (environment, profile, web identity, instance). No request is made yet, so an unavailable bucket does not prevent the start.
 * @throws SLW_DEPENDENCY_MISSING; SLW_CONFIG_INVALID where no region is known
 */
export async function openS3Store(options: S3StoreOptions): Promise<ObjectStore> {
  const { bucket, presigner } = await openBucket(options)
  return new S3Store(bucket, presigner)
}

/** A client for a bucket; whoever opens it destroys the client. @throws as {@link openS3Store} */
export async function openBucket(options: S3StoreOptions): Promise<{ bucket: S3Bucket; presigner: Presigner }> {
  const { bucket: name, endpoint, attempts = 5, idleTimeoutMs = 30_000 } = options
  const { sdk, presigner } = await loadSdk()
  const region = options.region ?? (endpoint === undefined ? undefined : 'us-east-1')
  const client = new sdk.S3Client({
    ...(endpoint !== undefined && { endpoint }),
    ...(region !== undefined && { region }),
    forcePathStyle: options.forcePathStyle ?? endpoint !== undefined,
    maxAttempts: attempts,
    retryMode: 'standard',
    // Servers that are not Amazon's lack the newer checksums; contents are verified by their readers.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // A refusal after 8 MiB costs little; a server that does not know the header would cost a wait and a connection per request.
    expectContinueHeader: false,
    // Failures are thrown; the SDK would print those on the console that are about to be retried.
    logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    requestHandler: { connectionTimeout: CONNECTION_TIMEOUT_MS, socketTimeout: idleTimeoutMs },
  })
  try {
    await client.config.region()
  } catch (error) {
    client.destroy()
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `no region is known for bucket "${name}"; give it in the URL (?region=eu-central-1) or in AWS_REGION`,
      {
        cause: error,
      },
    )
  }
  const prefix = (options.prefix ?? '').replaceAll(/^\/+|\/+$/g, '')
  return { bucket: { sdk, client, name, prefix: prefix === '' ? '' : `${prefix}/`, attempts }, presigner }
}

class S3Store implements ObjectStore {
  readonly kind = 's3'
  readonly #bucket: S3Bucket
  readonly #presigner: Presigner
  #closed = false

  constructor(bucket: S3Bucket, presigner: Presigner) {
    this.#bucket = bucket
    this.#presigner = presigner
  }

  async put(key: string, body: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
    const { sdk, client } = this.#check(key)
    const place = placeOf(this.#bucket, key)
    const options = signal === undefined ? {} : { abortSignal: signal }
    const what = `put ${addressOf(this.#bucket, key)}`
    const parts: UploadedPart[] = []
    let size = 0
    let uploadId: string | undefined
    try {
      for await (const { bytes, last } of cutIntoBlocks(untilCancelled(body, signal), blockBytesOf)) {
        if (last && uploadId === undefined) {
          await ask(what, client.send(new sdk.PutObjectCommand({ ...place, Body: bytes }), options))
          return
        }
        uploadId ??= await this.beginParts(key)
        const partNumber = parts.length + 1
        checkPartNumber(partNumber)
        const command = new sdk.UploadPartCommand({ ...place, UploadId: uploadId, PartNumber: partNumber, Body: bytes })
        parts.push({ partNumber, etag: (await ask(what, client.send(command, options))).ETag ?? '' })
        size += bytes.length
      }
      await this.#complete(key, uploadId ?? '', parts, size)
    } catch (error) {
      // An upload that cannot be aborted now is found among the unfinished ones later.
      if (uploadId !== undefined) await this.abortParts(key, uploadId).catch(() => {})
      throw error
    }
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    return await getFromS3(this.#check(key), key, range, signal)
  }

  async head(key: string): Promise<StoredObject | undefined> {
    const { sdk, client } = this.#check(key)
    try {
      const found = await client.send(new sdk.HeadObjectCommand(placeOf(this.#bucket, key)))
      return { key, size: found.ContentLength ?? 0, modifiedAtMs: found.LastModified?.getTime() ?? 0 }
    } catch (error) {
      // The answer to HEAD has no body that would say more.
      if ((error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode === 404) return undefined
      return await ask(`look for ${addressOf(this.#bucket, key)}`, Promise.reject(error as Error))
    }
  }

  async delete(key: string): Promise<void> {
    const { sdk, client } = this.#check(key)
    await unlessNotFound(
      ask(`delete ${addressOf(this.#bucket, key)}`, client.send(new sdk.DeleteObjectCommand(placeOf(this.#bucket, key)))),
    )
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    checkKeyStart(prefix)
    const { sdk, client, name, prefix: own } = this.#checkOpen()
    let after: string | undefined
    do {
      const command = new sdk.ListObjectsV2Command({
        Bucket: name,
        Prefix: own + prefix,
        ...(after !== undefined && { ContinuationToken: after }),
      })
      const page = await ask(`list ${addressOf(this.#bucket, prefix)}`, client.send(command))
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
        const key = Key.slice(own.length)
        if (isKey(key)) yield { key, size: Size, modifiedAtMs: LastModified?.getTime() ?? 0 }
      }
      after = page.IsTruncated === true ? page.NextContinuationToken : undefined
    } while (after !== undefined)
  }

  async beginParts(key: string): Promise<string> {
    const { sdk, client } = this.#check(key)
    const what = `begin an upload to ${addressOf(this.#bucket, key)}`
    const { UploadId } = await ask(what, client.send(new sdk.CreateMultipartUploadCommand(placeOf(this.#bucket, key))))
    if (UploadId === undefined) throw new SlipwayError('SLW_STORE_UNAVAILABLE', `the bucket could not ${what}: it gave no id`)
    return UploadId
  }

  async putPart(key: string, uploadId: string, partNumber: number, body: AsyncIterable<Uint8Array>): Promise<UploadedPart> {
    const { sdk, client, attempts } = this.#check(key)
    checkPartNumber(partNumber)
    await using held = await holdBody(body, HELD_PART_BYTES)
    const place = { ...placeOf(this.#bucket, key), UploadId: uploadId, PartNumber: partNumber, ContentLength: held.size }
    const send = async (): Promise<{ ETag?: string | undefined }> => {
      const content = held.body()
      if (Buffer.isBuffer(content)) return await client.send(new sdk.UploadPartCommand({ ...place, Body: content }))
      // The SDK pipes a stream and does not listen for its errors.
      const { promise: failure, reject } = Promise.withResolvers<never>()
      content.on('error', reject)
      try {
        return await Promise.race([failure, client.send(new sdk.UploadPartCommand({ ...place, Body: content }))])
      } finally {
        content.destroy()
      }
    }
    const { ETag = '' } = await askAgain(`put part ${partNumber} of ${addressOf(this.#bucket, key)}`, attempts, send)
    return { partNumber, etag: ETag }
  }

  async completeParts(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<void> {
    this.#check(key)
    await this.#complete(key, uploadId, parts)
  }

  async abortParts(key: string, uploadId: string): Promise<void> {
    const { sdk, client } = this.#check(key)
    const command = new sdk.AbortMultipartUploadCommand({ ...placeOf(this.#bucket, key), UploadId: uploadId })
    await unlessNotFound(ask(`abort the upload to ${addressOf(this.#bucket, key)}`, client.send(command)))
  }

  async *unfinishedParts(beforeMs: number): AsyncGenerator<Unfinished> {
    const { sdk, client, name, prefix } = this.#checkOpen()
    let after: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {}
    while (after !== undefined) {
      const command: InstanceType<S3Sdk['ListMultipartUploadsCommand']> = new sdk.ListMultipartUploadsCommand({
        Bucket: name,
        Prefix: prefix,
        ...after,
      })
      const page = await ask(`list the uploads to ${addressOf(this.#bucket, '')}`, client.send(command))
      for (const { Key = '', UploadId, Initiated } of page.Uploads ?? []) {
        const key = Key.slice(prefix.length)
        if (isKey(key) && UploadId !== undefined && Initiated !== undefined && Initiated.getTime() < beforeMs)
          yield { key, uploadId: UploadId }
      }
      const { NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page
      after =
        page.IsTruncated !== true || KeyMarker === undefined
          ? undefined
          : { KeyMarker, ...(UploadIdMarker !== undefined && UploadIdMarker !== '' && { UploadIdMarker }) }
    }
  }

  async presignPart(key: string, uploadId: string, partNumber: number, expiresInS: number): Promise<PresignedRequest> {
    const { sdk, client } = this.#check(key)
    checkPartNumber(partNumber)
    const command = new sdk.UploadPartCommand({ ...placeOf(this.#bucket, key), UploadId: uploadId, PartNumber: partNumber })
    const url = await ask('sign a request', this.#presigner.getSignedUrl(client, command, { expiresIn: expiresInS }))
    return { url, headers: {} }
  }

  async presignGet(key: string, expiresInS: number): Promise<PresignedRequest> {
    const { sdk, client } = this.#check(key)
    const command = new sdk.GetObjectCommand(placeOf(this.#bucket, key))
    const url = await ask('sign a request', this.#presigner.getSignedUrl(client, command, { expiresIn: expiresInS }))
    return { url, headers: {} }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) this.#bucket.client.destroy()
    this.#closed = true
  }

  /**
   * Completing twice is no error: an upload that is no longer there has become the object, unless it was aborted.
   * @param size of the object, where it is known: an object of another size is not that of this upload
   */
  async #complete(key: string, uploadId: string, parts: readonly UploadedPart[], size?: number): Promise<void> {
    const { sdk, client } = this.#bucket
    const Parts = partsInOrder(parts).map(({ partNumber, etag }) => ({ PartNumber: partNumber, ETag: etag }))
    const command = new sdk.CompleteMultipartUploadCommand({
      ...placeOf(this.#bucket, key),
      UploadId: uploadId,
      MultipartUpload: { Parts },
    })
    const request = ask(`complete the upload to ${addressOf(this.#bucket, key)}`, client.send(command))
    if ((await unlessNotFound(request)) !== undefined) return
    const found = await this.head(key)
    if (found === undefined || (size !== undefined && found.size !== size)) await request
  }

  #check(key: string): S3Bucket {
    checkKey(key)
    return this.#checkOpen()
  }

  #checkOpen(): S3Bucket {
    if (this.#closed) throw new SlipwayError('SLW_CLOSED', `the object store ${addressOf(this.#bucket, '')} is closed`)
    return this.#bucket
  }
}

/** Undefined where the bucket answers that there is no such object or upload. */
async function unlessNotFound<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request
  } catch (error) {
    if (error instanceof SlipwayError && error.code === 'SLW_NOT_FOUND') return undefined
    throw error
  }
}
