import { startsWith } from '../storage/sql/starts-with.ts'
import { SlipwayError } from '../core/errors.ts'
import { byText } from '../ledger/tags.ts'
import { atCommit } from '../storage/sql/sessions.ts'
import type { Kysely } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { Write } from '../ledger/scope.ts'

/** The owner of files: only those of versions never change. Those of an import have no owner yet. */
export type Root = `run:${string}` | `model:${string}` | `version:${string}` | `import:${string}`

export interface TreeFile {
  /** Relative to the root, with `/`. */
  readonly path: string
  readonly contentId: string
  readonly size: number
}

/** A folder or a file, one level deep. */
export interface TreeEntry {
  readonly name: string
  readonly directory: boolean
  readonly size: number | undefined
}

/** Files below a folder, which may be the whole tree (''), in the order of their paths. */
export async function filesBelow(read: Kysely<Schema>, root: Root, folder = ''): Promise<TreeFile[]> {
  return (await selectBelow(read, root, folder).execute()).toSorted(byText(({ path }) => path))
}

function selectBelow(read: Kysely<Schema>, root: Root, folder: string) {
  const all = read.selectFrom('files').select(['path', 'content_id as contentId', 'size']).where('root', '=', root)
  if (folder === '') return all
  return all.where(startsWith('path', `${folder}/`))
}

export async function fileAt(read: Kysely<Schema>, root: Root, path: string): Promise<TreeFile | undefined> {
  return await read
    .selectFrom('files')
    .select(['path', 'content_id as contentId', 'size'])
    .where('root', '=', root)
    .where('path', '=', path)
    .executeTakeFirst()
}

/** The entries directly in a folder, in the order of names; none where it is a file or not there. */
export async function listFolder(read: Kysely<Schema>, root: Root, folder = ''): Promise<TreeEntry[]> {
  const skipped = folder === '' ? 0 : folder.length + 1
  const entries = new Map<string, TreeEntry>()
  for (const { path, size } of await filesBelow(read, root, folder)) {
    const rest = path.slice(skipped)
    const slash = rest.indexOf('/')
    const name = slash < 0 ? rest : rest.slice(0, slash)
    entries.set(name, { name, directory: slash >= 0, size: slash < 0 ? size : undefined })
  }
  return [...entries.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** Puts the same files under another root: rows are copied, no bytes. */
export async function copyTree(write: Write, files: readonly TreeFile[], root: Root, atMs: number): Promise<void> {
  const rows = files.map(({ path, contentId, size }) => ({ root, path, content_id: contentId, size, modified_at: atMs }))
  for (let from = 0; from < rows.length; from += ROWS_AT_ONCE) {
    const insertion = write.insertInto('files').values(rows.slice(from, from + ROWS_AT_ONCE))
    // Only the last batch is left to the commit: nobody reads while it runs.
    if (from + ROWS_AT_ONCE < rows.length) await insertion.execute()
    else await atCommit(write, insertion)
  }
}

const ROWS_AT_ONCE = 1000

/** Checks a path inside a tree that came from outside. @throws SLW_INPUT_INVALID for a path that would leave the tree */
export function requireTreePath(path: string): string {
  for (let text = path, before: string | undefined; text !== before;) {
    if (leavesTree(text))
      throw new SlipwayError('SLW_INPUT_INVALID', `Invalid path: ${JSON.stringify(path)} does not lie inside a folder of files`)
    // An encoded path would mean something else to a client that decodes it next.
    before = text
    text = decodedOnce(text)
  }
  return path
}

/** Bytes of a name that every file system takes. */
const NAME_BYTES_MAX = 255

/**
 * Checks that files can lie in one folder, as whoever serves or downloads them puts them there.
 * @throws SLW_INPUT_INVALID for a path that is a file and a folder, or a name that no file system takes
 */
export function requireTree(paths: readonly string[]): void {
  const files = new Set(paths)
  for (const path of paths) {
    if (!path.isWellFormed()) throw new SlipwayError('SLW_INPUT_INVALID', `Invalid path: ${JSON.stringify(path)} is no text`)
    const parts = path.split('/')
    for (const [index, part] of parts.entries()) {
      if (Buffer.byteLength(part) > NAME_BYTES_MAX)
        throw new SlipwayError('SLW_INPUT_INVALID', `Invalid path: the name ${part.slice(0, 40)}... has more than ${NAME_BYTES_MAX} bytes`)
      const above = parts.slice(0, index).join('/')
      if (index > 0 && files.has(above))
        throw new SlipwayError(
          'SLW_INPUT_INVALID',
          `Invalid path: ${JSON.stringify(above)} is a file, and a folder of ${JSON.stringify(path)}`,
        )
    }
  }
}

function leavesTree(path: string): boolean {
  if (path === '' || path.includes('\\') || path.includes('\0')) return true
  return path.split('/').some((part) => part === '' || part === '.' || part === '..')
}

/** Decodes only characters that could lead elsewhere: a percent sign may stand in a name. */
function decodedOnce(path: string): string {
  return path.replaceAll(/%(2e|2f|5c|00|25)/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
}
