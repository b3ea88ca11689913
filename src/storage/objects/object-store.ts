/** What lies in a store. */
export interface StoredObject {
  readonly key: string
  /** Bytes. */
  readonly size: number
  /** UTC epoch milliseconds by the clock of the store. */
  readonly modifiedAtMs: number
}

/**
 * Bytes from `offset`, `length` of them or up to the end. All of them must be there (nothing is cut to fit); a range of no
 * bytes is one too, as long as it does not begin behind the end.
 */
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
 * Where bytes lie: a folder or an S3 bucket. Keys are ids that we make (letters, digits, `-`, `/`; see key.ts). An object is
 * there whole or not at all, and is never changed; what it holds is checked by whoever reads it (content-verifier.ts). Every
 * method throws SLW_STORE_UNAVAILABLE when the folder or bucket fails, SLW_INPUT_INVALID for what is no key, and SLW_CLOSED
 * after the end of the store. A signal ends an operation with SLW_CANCELLED.
 */
export interface ObjectStore extends AsyncDisposable {
  readonly kind: 'file' | 's3'
  /**
   * Stores a stream, in bounded memory; what the stream throws is thrown on. When the stream or the store fails, nothing is
   * left under the key: only where the bucket's last answer got lost may the whole object be there.
   */
  put(key: string, body: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>
  /**
   * The bytes, to be read once and soon. They are as many as were asked for, or reading throws.
   * @throws SLW_NOT_FOUND; SLW_RANGE_INVALID where the object has no such bytes
   */
  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>>
  head(key: string): Promise<StoredObject | undefined>
  /** One that is not there is no error. */
  delete(key: string): Promise<void>
  /** Every object whose key begins so, in any order. */
  list(prefix: string): AsyncIterable<StoredObject>
  /** Begins an upload in parts that arrive in any order, also after a restart of this process. Returns its id. */
  beginParts(key: string): Promise<string>
  /**
   * Stores part 1 to 10 000. All but the last have at least 5 MiB, as S3 wants it.
   * @throws SLW_NOT_FOUND where there is no such upload
   */
  putPart(key: string, uploadId: string, partNumber: number, body: AsyncIterable<Uint8Array>): Promise<UploadedPart>
  /**
   * Makes one object of parts 1, 2, 3 and so on, which may be given in any order. Doing so again is no error: whoever asks
   * may not have heard the first answer.
   * @throws SLW_INPUT_INVALID where a part is missing or was another one; SLW_NOT_FOUND where there is no such upload
   */
  completeParts(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<void>
  /** One that is not there is no error. */
  abortParts(key: string, uploadId: string): Promise<void>
  /** Uploads in parts that were begun before then and neither completed nor aborted. */
  unfinishedParts(beforeMs: number): AsyncIterable<{ readonly key: string; readonly uploadId: string }>
  /** Undefined where the store cannot be reached by others: they then go through us. */
  presignPart?(key: string, uploadId: string, partNumber: number, expiresInS: number): Promise<PresignedRequest>
  presignGet?(key: string, expiresInS: number): Promise<PresignedRequest>
}
