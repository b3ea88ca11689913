import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { admit, UPLOAD_LIFE_MS } from './contents.ts'
import { ContentDigester } from './objects/content-digest.ts'
import type { ContentsOptions, Refer } from './contents.ts'
import type { PresignedRequest, UploadedPart } from './objects/object-store.ts'

/** A file that comes in parts. */
export interface PartUpload {
  readonly id: string
  /** Whoever has it may send parts, and nothing else. */
  readonly secret: string
}

/** What `uploads.target` holds, as JSON. */
interface Target {
  /** What the file is to become: only who says the same may complete or abort it. */
  readonly of: string
  /** SHA-256 of the secret, in hexadecimal digits. */
  readonly secret: string
}

interface Begun {
  readonly multipartId: string
  readonly target: Target
}

/**
 * Files in parts, which arrive in any order, over any number of connections, and again after a failure; also after a restart. Nobody
 * sees anything of them until all of the bytes have been read back from the store and digested, whoever put them there.
 */
export class PartUploads {
  readonly #options: ContentsOptions

  constructor(options: ContentsOptions) {
    this.#options = options
  }

  /** @param of what the file is to become */
  async begin(of: string): Promise<PartUpload> {
    const { database, objects, clock, newId } = this.#options
    const [id, secret] = [newId(), randomBytes(24).toString('base64url')]
    const now = clock.epochMs()
    const target: Target = { of, secret: sha256(secret).toString('hex') }
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
    const begun = await this.#find(id)
    if (begun === undefined) throw noUpload(id)
    if (!timingSafeEqual(sha256(secret), Buffer.from(begun.target.secret, 'hex')))
      throw new SlipwayError('SLW_FORBIDDEN', 'the address of this part is not the one that was given out')
    return await this.#options.objects.putPart(id, begun.multipartId, partNumber, body)
  }

  /** The request with which a part goes to the store itself; undefined where the store cannot be reached by others. */
  async direct({ id }: PartUpload, partNumber: number): Promise<PresignedRequest | undefined> {
    const begun = await this.#find(id)
    if (begun === undefined) throw noUpload(id)
    return await this.#options.objects.presignPart?.(id, begun.multipartId, partNumber, UPLOAD_LIFE_MS / 1000)
  }

  /**
   * Joins the parts, reads what has become of them, and makes it a file. Doing so again is no error: whoever asks may not have heard
   * the first answer.
   * @throws SLW_INPUT_INVALID for parts that did not come; SLW_NOT_FOUND without such an upload; what `refer` throws
   */
  async complete({ id, of }: { id: string; of: string }, parts: readonly UploadedPart[], refer: Refer<void>): Promise<void> {
    const { objects } = this.#options
    const begun = await this.#find(id)
    if (begun?.target.of !== of) {
      if (begun === undefined && (await this.#isDone(id))) return
      throw noUpload(id)
    }
    await objects.completeParts(id, begun.multipartId, parts)
    await faultPoint('parts.joined')
    const digester = new ContentDigester()
    try {
      for await (const bytes of await objects.get(id)) digester.update(bytes)
      await admit(this.#options, id, digester.finish(), refer)
    } catch (error) {
      // Somebody else was asked for the same.
      if (!(await this.#isDone(id))) throw error
    }
  }

  /** One that is not there is no error. */
  async abort({ id, of }: { id: string; of: string }): Promise<void> {
    const { database, objects } = this.#options
    const begun = await this.#find(id)
    if (begun?.target.of !== of) return
    await database.write((write) => write.deleteFrom('uploads').where('object_key', '=', id).execute())
    await faultPoint('parts.forgotten')
    // Where they have become an object already, nobody knows of it, and it is collected.
    await objects.abortParts(id, begun.multipartId)
  }

  async #find(id: string): Promise<Begun | undefined> {
    const row = await this.#options.database.read
      .selectFrom('uploads')
      .select(['multipart_id', 'target'])
      .where('object_key', '=', id)
      .executeTakeFirst()
    if (row === undefined || row.multipart_id === null || row.target === null) return undefined
    return { multipartId: row.multipart_id, target: JSON.parse(row.target) as Target }
  }

  /** It has become a content, or gave way to the same one. */
  async #isDone(id: string): Promise<boolean> {
    const { read } = this.#options.database
    const content = await read.selectFrom('contents').select('id').where('object_key', '=', id).executeTakeFirst()
    if (content !== undefined) return true
    return (await read.selectFrom('doomed_objects').select('since').where('object_key', '=', id).executeTakeFirst()) !== undefined
  }
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
