/** What lies in a store. */
export interface StoredObject {
  readonly key: string
  /** Bytes. */
  readonly size: number
  /** UTC epoch milliseconds by the clock of the store. */
  readonly modifiedAtMs: number
}

/** Bytes from `offset`, `length` of them or up to the end. */
export interface ByteRange {
  readonly offset: number
  readonly length?: number
}

/** One part of an upload in parts: its number from 1, and what the store answered to it. */
export interface UploadedPart {
  readonly partNumber: number
  readonly etag: string
}

/** A request that somebody else may make without further credentials. */
export interface PresignedRequest {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

/**
 * Where bytes lie: a folder or an S3 bucket. Keys are ids that we make (letters, digits, `-`, `/`). An object is there whole
 * or not at all, and is never changed; what it holds is checked by whoever reads it (storage/objects/contents).
 */
export interface ObjectStore extends AsyncDisposable {
  readonly kind: 'file' | 's3'
  /** Stores a stream, in bounded memory. When the stream or the store fails, nothing is left under the key. */
  put(key: string, body: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>
  /** @throws SLW_NOT_FOUND; SLW_RANGE_INVALID where the object has no such bytes */
  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>>
  head(key: string): Promise<StoredObject | undefined>
  /** One that is not there is no error. */
  delete(key: string): Promise<void>
  /** Every object whose key begins so, in any order. */
  list(prefix: string): AsyncIterable<StoredObject>
  /** Begins an upload in parts that arrive in any order, also after a restart of this process. Returns its id. */
  beginParts(key: string): Promise<string>
  putPart(key: string, uploadId: string, partNumber: number, body: AsyncIterable<Uint8Array>): Promise<UploadedPart>
  /** @throws SLW_INPUT_INVALID where a part is missing or was another one */
  completeParts(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<void>
  abortParts(key: string, uploadId: string): Promise<void>
  /** Uploads in parts that were begun before then and neither completed nor aborted. */
  unfinishedParts(beforeMs: number): AsyncIterable<{ readonly key: string; readonly uploadId: string }>
  /** Undefined where the store cannot be reached by others: they then go through us. */
  presignPart?(key: string, uploadId: string, partNumber: number, expiresInS: number): Promise<PresignedRequest>
  presignGet?(key: string, expiresInS: number): Promise<PresignedRequest>
}
