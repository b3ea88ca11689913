import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { admit, UPLOAD_LIFE_MS } from './contents.ts'
import { ContentDigester } from '../core/content-digest.ts'
import type { ContentsOptions, Refer } from './contents.ts'
import type { PresignedRequest, UploadedPart } from '../storage/objects/object-store.ts'

/** A file that comes in parts. */
export interface PartUpload {
  readonly id: string
  /** Whoever has it may send parts, and nothing else. */
  readonly secret: string
}

/** What `uploads.target` holds, as JSON. */
interface UploadNote {
  /** What the file is to become: only who says the same may complete or abort it. */
  readonly of: string
  /** SHA-256 of the secret, in hexadecimal digits. */
  readonly secret: string
  /** It has become a file. */
  readonly done?: boolean
}

interface Begun {
  /** Undefined where it is complete. */
  readonly multipartId: string | undefined
  readonly target: UploadNote
}

/** Which upload, and what its file is to become. */
export interface UploadTo {
  readonly id: string
  readonly of: string
}

/**
 * Files in parts, which arrive in any order, over any number of connections, and again after a failure; also after a restart. Nobody
 * sees anything of them until all of the bytes have been read back from the store and digested, whoever put them there.
 */
export class PartUploads {
  readonly #options: ContentsOptions
  /** Those that are being completed, by upload and place: clients that have lost their patience ask again. */
  readonly #completing = new Map<string, Promise<void>>()

  constructor(options: ContentsOptions) {
    this.#options = options
  }

  /** @param of what the file is to become */
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
   * Takes in one part; one that came before gives way when the upload is completed with the new one.
   * @throws SLW_FORBIDDEN for another secret; SLW_NOT_FOUND without such an upload; SLW_INPUT_INVALID for a part beyond 1 to 10 000
   */
  async putPart({ id, secret }: PartUpload, partNumber: number, body: AsyncIterable<Uint8Array>): Promise<UploadedPart> {
    const { multipartId, target } = await this.#require(id)
    if (!timingSafeEqual(sha256(secret), Buffer.from(target.secret, 'hex')))
      throw new SlipwayError('SLW_FORBIDDEN', 'the address of this part is not the one that was given out')
    return await this.#options.objects.putPart(id, multipartId, partNumber, body)
  }

  /**
   * Requests with which parts 1 to `count` go to the store itself; undefined where the store cannot be reached by others.
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
   * Joins the parts, reads what has become of them, and makes it a file. Doing so again is no error: whoever asks may not have heard
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
      // The row stays until it expires, and says that it is done.
      await admit(this.#options, { key: id, content: digester.finish(), refer }, async (write) => {
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
      // Another control plane on the same database was asked for the same.
      const now = await this.#find(id)
      if (now === undefined || now.multipartId !== undefined) throw error
    }
  }

  /** One that is not there is no error, and one that is complete stays. One that is being completed is waited for. */
  async abort(upload: UploadTo): Promise<void> {
    const { database, objects } = this.#options
    const { id, of } = upload
    await this.#completing.get(nameOf(upload))?.catch(() => {})
    const begun = await this.#find(id)
    if (begun?.target.of !== of || begun.multipartId === undefined) return
    await database.write((write) => write.deleteFrom('uploads').where('object_key', '=', id).execute())
    await faultPoint('parts.forgotten')
    // Where they have become an object already, nobody knows of it, and it is collected.
    await objects.abortParts(id, begun.multipartId)
  }

  /** @throws SLW_NOT_FOUND where no parts are taken any more */
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
    // One that is not quite begun yet is nobody's.
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
