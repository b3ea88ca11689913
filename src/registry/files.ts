import { SlipwayError } from '../core/errors.ts'
import { requireOwner } from './sources.ts'
import { fileAt, filesBelow, requireTreePath } from './trees.ts'
import type { Contents } from '../storage/contents.ts'
import type { Ground, Scope } from './ground.ts'
import type { Place } from './sources.ts'
import type { TreeFile } from './trees.ts'

/** Files of runs, logged models and versions. */
export class Files {
  readonly #ground: Ground
  readonly #contents: Contents

  constructor(ground: Ground, contents: Contents) {
    this.#ground = ground
    this.#contents = contents
  }

  /**
   * Puts a file, in the place of one that may be there.
   * @throws SLW_FORBIDDEN for a version, which never changes; SLW_NOT_FOUND without the run or model; SLW_INPUT_INVALID for a path that
   *   would leave its tree
   */
  async put(scope: Scope, place: Place, body: AsyncIterable<Uint8Array>, size: number | undefined): Promise<void> {
    const { database, clock } = this.#ground
    requireWritable(place)
    requireTreePath(place.path)
    await requireOwner(database.read, scope, place)
    await this.#contents.receive(
      body,
      async (write, content) => {
        const file = { content_id: content.id, size: content.size, modified_at: clock.epochMs() }
        await write
          .insertInto('files')
          .values({ root: place.root, path: place.path, ...file })
          .onConflict((conflict) => conflict.columns(['root', 'path']).doUpdateSet(file))
          .execute()
      },
      { size },
    )
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

  /** The file, or all files below the folder. One that is not there is no error. @throws SLW_FORBIDDEN for a version */
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
        .$if(place.path !== '', (all) =>
          all.where((columns) =>
            columns.or([
              columns('path', '=', place.path),
              columns(columns.fn<string>('substr', ['path', columns.lit(1), columns.lit(below.length)]), '=', below),
            ]),
          ),
        )
        .execute()
    })
  }
}

function requireWritable({ root }: Place): void {
  if (root.startsWith('version:')) throw new SlipwayError('SLW_FORBIDDEN', 'the files of a version never change; register another version')
}
