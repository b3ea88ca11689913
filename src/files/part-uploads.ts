import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { admit, UPLOAD_LIFE_MS } from './contents.ts'
import { ContentDigester } from '../core/content-digest.ts'
import type { ContentsOptions, Refer } from './contents.ts'
import type { PresignedRequest, UploadedPart } from '../storage/objects/object-store.ts'

/** An upload of a file in parts. */
export interface PartUpload {
  readonly id: string
  /** Allows sending parts, and nothing else. */
  readonly secret: string
}

/** Content of `uploads.target`, as JSON. */
interface UploadNote {
  /** Target of the file: only a caller that names the same one may complete or abort the upload. */
  readonly of: string
  /** SHA-256 of the secret, in hexadecimal digits. */
  readonly secret: string
  /** Whether the upload has become a file. */
  readonly done?: boolean
}

interface Begun {
  /** Undefined where the upload is complete. */
  readonly multipartId: string | undefined
  readonly target: UploadNote
}

/** An upload, and the target of its file. */
export interface UploadTo {
  readonly id: string
  readonly of: string
}

/**
 * Files in parts, which arrive in any order, over any number of connections, and again after a failure; also after a restart. A file
 * is not visible until all of its bytes have been read back from the store and digested, however they got there.
 */
export class PartUploads {
  readonly #options: ContentsOptions
  /** Uploads that are being completed, by upload and target: clients that have timed out ask again. */
  readonly #completing = new Map<string, Promise<void>>()

  constructor(options: ContentsOptions) {
    this.#options = options
  }

  /** @param of target of the file */
  async begin(of: string): Promise<PartUpload> {
    const { database, objects, clock, newId } = this.#options
    const [id, secret] = [newId(), randomBytes(24).toString('base64url')]
    const now = clock.epochMs()
    const target: UploadNote = { of, secret: sha256(secret).toString('hex') }
    const row = { object_key: id, multipart_id: null, target: JSON.stringify(target), created_at: now, expires_at: now + UPLOAD_LIFE_MS }
    await database.write((write) => write.insertInto('uploads').values(row).execute())
    await faultPoint('parts.noted')
    const multipartId = await objects.beginParts(id)
    await faultPoint('parts.begun')
    await database.write((write) => write.updateTable('uploads').set({ multipart_id: multipartId }).where('object_key', '=', id).execute())
    return { id, secret }
  }

  /**
   * Receives one part; an earlier one of that number is dropped when the upload is completed with the new one.
   * @throws SLW_FORBIDDEN for another secret; SLW_NOT_FOUND without such an upload; SLW_INPUT_INVALID for a part beyond 1 to 10 000
   */
  async putPart({ id, secret }: PartUpload, partNumber: number, body: AsyncIterable<Uint8Array>): Promise<UploadedPart> {
    const { multipartId, target } = await this.#require(id)
    if (!timingSafeEqual(sha256(secret), Buffer.from(target.secret, 'hex')))
      throw new SlipwayError('SLW_FORBIDDEN', 'the address of this part is not the one that was given out')
    return await this.#options.objects.putPart(id, multipartId, partNumber, body)
  }

  /**
   * Requests with which parts 1 to `count` go to the store itself; undefined where clients cannot reach the store.
   * @throws SLW_NOT_FOUND without such an upload
   */
  async direct({ id }: PartUpload, count: number): Promise<PresignedRequest[] | undefined> {
    const { objects } = this.#options
    if (objects.presignPart === undefined) return undefined
    const { multipartId } = await this.#require(id)
    const requests: PresignedRequest[] = []
    for (let part = 1; part <= count; part++) requests.push(await objects.presignPart(id, multipartId, part, UPLOAD_LIFE_MS / 1000))
    return requests
  }

  /**
   * Joins the parts, reads the object back, and makes it a file. Completing again is no error: the client may not have received
   * the first answer, or not have waited for it.
   * @throws SLW_INPUT_INVALID for parts that did not come; SLW_NOT_FOUND without such an upload; what `refer` throws
   */
  async complete(upload: UploadTo, parts: readonly UploadedPart[], refer: Refer<void>): Promise<void> {
    const name = nameOf(upload)
    let completing = this.#completing.get(name)
    if (completing === undefined) {
      completing = this.#complete(upload, parts, refer).finally(() => this.#completing.delete(name))
      this.#completing.set(name, completing)
    }
    await completing
  }

  async #complete({ id, of }: UploadTo, parts: readonly UploadedPart[], refer: Refer<void>): Promise<void> {
    const { objects } = this.#options
    const begun = await this.#find(id)
    if (begun?.target.of !== of) throw noUpload(id)
    const { multipartId, target } = begun
    if (multipartId === undefined) return
    try {
      await objects.completeParts(id, multipartId, parts)
      await faultPoint('parts.joined')
      const digester = new ContentDigester()
      for await (const bytes of await objects.get(id)) digester.update(bytes)
      const content = digester.finish()
      // Whatever lies in between may have cut off what was read back.
      const stored = await objects.head(id)
      if (stored?.size !== content.size)
        throw new SlipwayError(
          'SLW_STORE_UNAVAILABLE',
          `${content.size} bytes of the upload were read back, and the store says that it has ${stored?.size ?? 'none'}: complete it again`,
        )
      // The row stays until it expires, and records that the upload is done.
      await admit(this.#options, { key: id, content, refer }, async (write) => {
        const done = { multipart_id: null, target: JSON.stringify({ ...target, done: true } satisfies UploadNote) }
        const { numUpdatedRows } = await write
          .updateTable('uploads')
          .set(done)
          .where('object_key', '=', id)
          .where('multipart_id', 'is not', null)
          .executeTakeFirst()
        return numUpdatedRows > 0n
      })
    } catch (error) {
      // Another control plane on the same database may have completed the upload meanwhile.
      const now = await this.#find(id)
      if (now === undefined || now.multipartId !== undefined) throw error
    }
  }

  /** Aborts an upload. A missing one is no error, and a complete one stays. One that is being completed is waited for. */
  async abort(upload: UploadTo): Promise<void> {
    const { database, objects } = this.#options
    const { id, of } = upload
    await this.#completing.get(nameOf(upload))?.catch(() => {})
    const begun = await this.#find(id)
    if (begun?.target.of !== of || begun.multipartId === undefined) return
    await database.write((write) => write.deleteFrom('uploads').where('object_key', '=', id).execute())
    await faultPoint('parts.forgotten')
    // If the parts have become an object already, no row refers to it, and it is collected.
    await objects.abortParts(id, begun.multipartId)
  }

  /** @throws SLW_NOT_FOUND where the upload takes no more parts */
  async #require(id: string): Promise<{ readonly multipartId: string; readonly target: UploadNote }> {
    const begun = await this.#find(id)
    if (begun?.multipartId === undefined) throw noUpload(id)
    return { multipartId: begun.multipartId, target: begun.target }
  }

  async #find(id: string): Promise<Begun | undefined> {
    const row = await this.#options.database.read
      .selectFrom('uploads')
      .select(['multipart_id', 'target'])
      .where('object_key', '=', id)
      .executeTakeFirst()
    if (row === undefined || row.target === null) return undefined
    const target = JSON.parse(row.target) as UploadNote
    // An upload whose beginning is not finished counts as missing.
    if (row.multipart_id === null && target.done !== true) return undefined
    return { multipartId: row.multipart_id ?? undefined, target }
  }
}

function nameOf({ id, of }: UploadTo): string {
  return `${id} ${of}`
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function noUpload(id: string): SlipwayError {
  return new SlipwayError(
    'SLW_NOT_FOUND',
    `there is no upload "${id.slice(0, 64)}" to this place: it was completed, aborted or has expired`,
  )
}
