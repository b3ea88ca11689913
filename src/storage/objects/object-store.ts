/** An object in a store. */
export interface StoredObject {
  readonly key: string
  /** Bytes. */
  readonly size: number
  /** UTC epoch milliseconds by the clock of the store. */
  readonly modifiedAtMs: number
}

/**
 * Bytes from `offset`, `length` of them or up to the end. All of them must be there (a range is not cut to fit); an empty range is
 * allowed, as long as it does not begin behind the end.
 */
export interface ByteRange {
  readonly offset: number
  readonly length?: number
}

/** One part of an upload in parts: its number from 1, and the etag that the store answered. */
export interface UploadedPart {
  readonly partNumber: number
  readonly etag: string
}

/** A request that a client may make without further credentials. */
export interface PresignedRequest {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

/**
 * A store of objects: a folder or an S3 bucket. Keys are IDs made by this product (letters, digits, `-`, `/`; see key.ts). An object
 * is there whole or not at all, and is never changed; its bytes are checked by the reader (content-verifier.ts). Every method
 * throws SLW_STORE_UNAVAILABLE when the folder or bucket fails, SLW_INPUT_INVALID for an invalid key, and SLW_CLOSED after the
 * end of the store. A signal ends an operation with SLW_CANCELLED.
 */
export interface ObjectStore extends AsyncDisposable {
  readonly kind: 'file' | 's3'
  /**
   * Stores a stream, in bounded memory; errors of the stream are rethrown. When the stream or the store fails, nothing is left
   * under the key: only where the bucket's last answer got lost may the whole object be there.
   */
  put(key: string, body: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>
  /**
   * The bytes, to be read once and soon. Reading throws where they are not as many as were asked for.
   * @throws SLW_NOT_FOUND; SLW_RANGE_INVALID where the object has no such bytes
   */
  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>>
  head(key: string): Promise<StoredObject | undefined>
  /** A missing object is no error. */
  delete(key: string): Promise<void>
  /** Every object whose key begins with `prefix`, in any order. */
  list(prefix: string): AsyncIterable<StoredObject>
  /** Begins an upload in parts that arrive in any order, also after a restart of this process. Returns its id. */
  beginParts(key: string): Promise<string>
  /**
   * Stores part 1 to 10 000. All but the last have at least 5 MiB, as S3 requires.
   * @throws SLW_NOT_FOUND where there is no such upload
   */
  putPart(key: string, uploadId: string, partNumber: number, body: AsyncIterable<Uint8Array>): Promise<UploadedPart>
  /**
   * Makes one object of parts 1, 2, 3 and so on, which may be given in any order. Completing again is no error: the caller may
   * not have received the first answer.
   * @throws SLW_INPUT_INVALID where a part is missing or has another etag; SLW_NOT_FOUND where there is no such upload
   */
  completeParts(key: string, uploadId: string, parts: readonly UploadedPart[]): Promise<void>
  /** A missing upload is no error. */
  abortParts(key: string, uploadId: string): Promise<void>
  /** Uploads in parts that were begun before `beforeMs` and neither completed nor aborted. */
  unfinishedParts(beforeMs: number): AsyncIterable<{ readonly key: string; readonly uploadId: string }>
  /** Undefined where clients cannot reach the store: their bytes then go through the control plane. */
  presignPart?(key: string, uploadId: string, partNumber: number, expiresInS: number): Promise<PresignedRequest>
  presignGet?(key: string, expiresInS: number): Promise<PresignedRequest>
}
