/** Files keeps bytes by their content, and the trees of files that runs, logged models and versions have. */
import { createHash } from 'node:crypto'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { ContentDigester } from '../core/content-digest.ts'
import { readVerified } from '../storage/objects/content-verifier.ts'
import type { Kysely, Selectable, Transaction } from 'kysely'
import type { Clock } from '../core/clock.ts'
import type { ContentDigest } from '../core/content-digest.ts'
import type { ByteRange, ObjectStore, PresignedRequest } from '../storage/objects/object-store.ts'
import type { StoredObject } from '../storage/backup/write-backup.ts'
import type { Database } from '../storage/sql/database.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { ContentsRow } from './tables.ts'

export interface ContentsOptions {
  readonly database: Database
  readonly objects: ObjectStore
  readonly clock: Clock
  /** Keys of objects: letters and digits, never twice. */
  readonly newId: () => string
}

/** Writes the rows that refer to a content, in the transaction that makes it known. */
export type Refer<T> = (write: Transaction<Schema>, content: ContentDigest) => Promise<T>

/** Time that an upload may take before its object counts as abandoned. */
export const UPLOAD_LIFE_MS: number = 24 * 3600 * 1000

/** Files by content: bytes in the object store, their metadata in the database (docs/decisions/0008). */
export class Contents {
  readonly #options: ContentsOptions

  constructor(options: ContentsOptions) {
    this.#options = options
  }

  /**
   * Receives a stream and, when all of it lies in the store, makes it a file: `refer` writes the rows that refer to it, in the
   * transaction that makes the content known. Whenever the process is killed, there is the whole file or none; leftover bytes are
   * collected.
   * @param size bytes that are expected; fewer or more are refused
   * @throws SLW_INPUT_INVALID where the stream ends early or late, and what the stream, the store or `refer` throws
   */
  async receive<T>(
    body: AsyncIterable<Uint8Array>,
    refer: Refer<T>,
    { size, signal }: { readonly size?: number | undefined; readonly signal?: AbortSignal } = {},
  ): Promise<T> {
    const { database, objects, clock, newId } = this.#options
    const key = newId()
    const now = clock.epochMs()
    await database.write(async (write) => {
      await write
        .insertInto('uploads')
        .values({ object_key: key, multipart_id: null, target: null, created_at: now, expires_at: now + UPLOAD_LIFE_MS })
        .execute()
    })
    await faultPoint('upload.begun')
    const digester = new ContentDigester()
    try {
      await objects.put(key, digested(body, digester, size), signal)
    } catch (error) {
      await this.#forget(key)
      throw error
    }
    await faultPoint('upload.stored')
    return await admit(this.#options, { key, content: digester.finish(), refer }, async (write) => {
      const { numDeletedRows } = await write.deleteFrom('uploads').where('object_key', '=', key).executeTakeFirst()
      return numDeletedRows > 0n
    })
  }

  /**
   * Receives bytes whose content ID is known, and keeps them for `holdMs`, for whoever has sent them, until something refers to them.
   * @throws SLW_INPUT_INVALID where the bytes have another ID
   */
  async receiveHeld(
    contentId: string,
    body: AsyncIterable<Uint8Array>,
    { size, holdMs, heldFor }: { readonly size: number | undefined; readonly holdMs: number; readonly heldFor: string },
  ): Promise<ContentDigest> {
    const { clock, newId } = this.#options
    return await this.receive(
      body,
      async (write, content) => {
        if (content.id !== contentId)
          throw new SlipwayError('SLW_INPUT_INVALID', `the bytes have the content id ${content.id}, not ${contentId}`)
        await write
          .insertInto('holds')
          .values({ id: newId(), content_id: content.id, expires_at: clock.epochMs() + holdMs, held_for: heldFor })
          .execute()
        return content
      },
      { size },
    )
  }

  /** SHA-256 of the whole content, as other tools use it. Computed from the bytes the first time it is asked for. @throws SLW_NOT_FOUND */
  async sha256Of(contentId: string): Promise<string> {
    const { database } = this.#options
    const row = await database.read.selectFrom('contents').select('sha256').where('id', '=', contentId).executeTakeFirst()
    if (row !== undefined && row.sha256 !== null) return row.sha256
    const hash = createHash('sha256')
    for await (const bytes of await this.open(contentId)) hash.update(bytes)
    const sha256 = hash.digest('hex')
    await database.write((write) => write.updateTable('contents').set({ sha256 }).where('id', '=', contentId).execute())
    return sha256
  }

  /**
   * The request with which a client reads a content from the store itself, without a check here; undefined where clients cannot reach
   * the store.
   * @throws SLW_NOT_FOUND
   */
  async direct(contentId: string, expiresInS: number): Promise<PresignedRequest | undefined> {
    const { objects } = this.#options
    const { object_key: key } = await this.#rowOf(contentId)
    return await objects.presignGet?.(key, expiresInS)
  }

  /** Deletes the row of an upload whose object was never stored. A crash before this leaves a row that expires. */
  async #forget(key: string): Promise<void> {
    try {
      await this.#options.database.write(async (write) => {
        await write.deleteFrom('uploads').where('object_key', '=', key).execute()
      })
    } catch {
      // The row expires; the caller gets the first error.
    }
  }

  /**
   * Bytes of a content, each chunk checked before any of it is given out.
   * @throws SLW_NOT_FOUND, SLW_RANGE_INVALID; SLW_STORE_CORRUPT, also half-way
   */
  async open(contentId: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const row = await this.#rowOf(contentId)
    const content = { id: row.id, size: row.size, chunks: row.chunks === '' ? [] : row.chunks.split(' ') }
    return readVerified(this.#options.objects, row.object_key, content, { range, signal })
  }

  async #rowOf(contentId: string): Promise<Pick<Selectable<ContentsRow>, 'id' | 'size' | 'chunks' | 'object_key'>> {
    const row = await this.#options.database.read
      .selectFrom('contents')
      .select(['id', 'size', 'chunks', 'object_key'])
      .where('id', '=', contentId)
      .executeTakeFirst()
    if (row === undefined) throw new SlipwayError('SLW_NOT_FOUND', `no content has the id ${contentId}`)
    return row
  }
}

/** An object that lies in the store whole, under the key of an upload. */
export interface Stored<T> {
  readonly key: string
  readonly content: ContentDigest
  readonly refer: Refer<T>
}

/**
 * Makes an object a content.
 * @param end ends the upload; false where it has ended already
 * @throws SLW_CONFLICT where the upload has ended already; what `refer` throws
 */
export async function admit<T>(
  { database, clock }: ContentsOptions,
  { key, content, refer }: Stored<T>,
  end: (write: Transaction<Schema>) => Promise<boolean>,
): Promise<T> {
  const result = await database.write(async (write) => {
    // The row of a known content is locked: collection, which may be about to delete it, waits and finds that it is wanted.
    const { object_key: kept } = await write
      .insertInto('contents')
      .values({
        id: content.id,
        size: content.size,
        sha256: content.sha256 ?? null,
        chunks: content.chunks.join(' '),
        object_key: key,
        verified: 1,
        created_at: clock.epochMs(),
        unreferenced_since: null,
      })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ unreferenced_since: null }))
      .returning('object_key')
      .executeTakeFirstOrThrow()
    // The same content came before: its object stays, the new one is deleted.
    if (kept !== key) await write.insertInto('doomed_objects').values({ object_key: key, since: clock.epochMs() }).execute()
    const referred = await refer(write, content)
    await faultPoint('upload.referred')
    // If the upload has ended already, collection may have taken its object.
    if (!(await end(write)))
      throw new SlipwayError(
        'SLW_CONFLICT',
        `the upload was aborted, or took longer than ${UPLOAD_LIFE_MS / 3_600_000} hours; send the file again`,
      )
    return referred
  })
  await faultPoint('upload.done')
  return result
}

async function* digested(body: AsyncIterable<Uint8Array>, digester: ContentDigester, size: number | undefined): AsyncGenerator<Uint8Array> {
  let received = 0
  for await (const bytes of body) {
    received += bytes.length
    if (size !== undefined && received > size) throw wrongSize(received, size)
    digester.update(bytes)
    yield bytes
  }
  if (size !== undefined && received < size) throw wrongSize(received, size)
}

function wrongSize(received: number, size: number): SlipwayError {
  return new SlipwayError('SLW_INPUT_INVALID', `the file has ${received} bytes${received > size ? ' or more' : ''}, ${size} were announced`)
}

/** The objects of all contents. */
export async function storedObjects(read: Kysely<Schema>): Promise<StoredObject[]> {
  return await read.selectFrom('contents').select(['object_key as key', 'size']).orderBy('object_key').execute()
}

/** Reads all contents back, and names those that cannot be read as they were, with a file that has them. */
export async function damagedContents(read: Kysely<Schema>, objects: ObjectStore, onChecked: () => void): Promise<string[]> {
  const damaged: string[] = []
  const rows = await read.selectFrom('contents').select(['id', 'size', 'chunks', 'object_key']).orderBy('id').execute()
  for (const row of rows) {
    const content = { id: row.id, size: row.size, chunks: row.chunks === '' ? [] : row.chunks.split(' ') }
    try {
      for await (const _bytes of readVerified(objects, row.object_key, content, {})) continue
    } catch (error) {
      const file = await read.selectFrom('files').select(['root', 'path']).where('content_id', '=', row.id).executeTakeFirst()
      damaged.push(`${file === undefined ? `content ${row.id}` : `${file.path} of ${file.root}`} (${messageOf(error)})`)
    }
    onChecked()
  }
  return damaged
}
