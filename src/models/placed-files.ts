import { startsWith } from '../storage/sql/starts-with.ts'
import { SlipwayError } from '../core/errors.ts'
import { requireOwner } from './version-source.ts'
import { fileAt, filesBelow, requireTree, requireTreePath } from '../files/file-trees.ts'
import type { Contents, Refer } from '../files/contents.ts'
import type { UploadedPart } from '../storage/objects/object-store.ts'
import type { PartUpload, PartUploads } from '../files/part-uploads.ts'
import type { Ground, Scope } from '../ledger/scope.ts'
import type { Place } from './version-source.ts'
import type { TreeFile } from '../files/file-trees.ts'

/** Files of runs, logged models and versions. */
export class Files {
  readonly #ground: Ground
  readonly #contents: Contents
  readonly #parts: PartUploads

  constructor(ground: Ground, contents: Contents, parts: PartUploads) {
    this.#ground = ground
    this.#contents = contents
    this.#parts = parts
  }

  /**
   * Stores a file, in place of one that may exist.
   * @throws SLW_FORBIDDEN for a version, which never changes; SLW_NOT_FOUND without the run or model; SLW_INPUT_INVALID for a path that
   *   would leave its tree
   */
  async put(scope: Scope, place: Place, body: AsyncIterable<Uint8Array>, size: number | undefined): Promise<void> {
    await this.#requirePlace(scope, place)
    await this.#contents.receive(body, this.#become(place), { size })
  }

  /** Begins the upload of a file in parts, in place of one that may exist. @throws as `put` */
  async beginParts(scope: Scope, place: Place): Promise<PartUpload> {
    await this.#requirePlace(scope, place)
    return await this.#parts.begin(targetOf(place))
  }

  /** @throws as `put`; SLW_NOT_FOUND without such an upload to this place; SLW_INPUT_INVALID for parts that did not come */
  async completeParts(scope: Scope, place: Place, id: string, parts: readonly UploadedPart[]): Promise<void> {
    await this.#requirePlace(scope, place)
    await this.#parts.complete({ id, of: targetOf(place) }, parts, this.#become(place))
  }

  /** A missing upload is no error. @throws as `put` */
  async abortParts(scope: Scope, place: Place, id: string): Promise<void> {
    await this.#requirePlace(scope, place)
    await this.#parts.abort({ id, of: targetOf(place) })
  }

  async #requirePlace(scope: Scope, place: Place): Promise<void> {
    requireWritable(place)
    requireTree([requireTreePath(place.path)])
    await requireOwner(this.#ground.database.read, scope, place)
  }

  #become(place: Place): Refer<void> {
    return async (write, content) => {
      const file = { content_id: content.id, size: content.size, modified_at: this.#ground.clock.epochMs() }
      await write
        .insertInto('files')
        .values({ root: place.root, path: place.path, ...file })
        .onConflict((conflict) => conflict.columns(['root', 'path']).doUpdateSet(file))
        .execute()
    }
  }

  /** @throws SLW_NOT_FOUND */
  async find(scope: Scope, place: Place): Promise<TreeFile> {
    const { read } = this.#ground.database
    await requireOwner(read, scope, place)
    const file = await fileAt(read, place.root, requireTreePath(place.path))
    if (file !== undefined) return file
    if ((await filesBelow(read, place.root, place.path)).length > 0)
      throw new SlipwayError('SLW_INPUT_INVALID', `'${place.path}' is a folder: list it, and ask for its files`)
    throw new SlipwayError('SLW_NOT_FOUND', `No such artifact: '${place.path}'`)
  }

  /** Deletes the file, or all files below the folder. A missing file is no error. @throws SLW_FORBIDDEN for a version */
  async delete(scope: Scope, place: Place): Promise<void> {
    const { database } = this.#ground
    requireWritable(place)
    await requireOwner(database.read, scope, place)
    if (place.path !== '') requireTreePath(place.path)
    await database.write(async (write) => {
      const below = `${place.path}/`
      await write
        .deleteFrom('files')
        .where('root', '=', place.root)
        .$if(place.path !== '', (all) => all.where((columns) => columns.or([columns('path', '=', place.path), startsWith('path', below)])))
        .execute()
    })
  }
}

function targetOf({ root, path }: Place): string {
  return `${root}/${path}`
}

function requireWritable({ root }: Place): void {
  if (root.startsWith('version:')) throw new SlipwayError('SLW_FORBIDDEN', 'the files of a version never change; register another version')
}
