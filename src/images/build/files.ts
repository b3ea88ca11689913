import { readdir, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Something in a layer. */
export interface ImageFile {
  /** From the root of the image, without a slash at its beginning or end. */
  readonly path: string
  readonly content:
    | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
    | { readonly kind: 'file'; readonly file: string; readonly size: number }
    | { readonly kind: 'symlink'; readonly target: string }
    | { readonly kind: 'directory' }
  /** Permission bits. Default: 0644 for files, 0755 for folders. */
  readonly mode?: number
  /** Owner and group. Default: 0. */
  readonly owner?: number
}

export const bytesFile = (path: string, text: string | Uint8Array, mode?: number): ImageFile => ({
  path,
  content: { kind: 'bytes', bytes: typeof text === 'string' ? Buffer.from(text) : text },
  ...(mode !== undefined && { mode }),
})

/** Whether the owner may run it decides: no other bits go into a layer. */
export const modeOf = (mode: number): number => ((mode & 0o100) === 0 ? 0o644 : 0o755)

export interface TreeOptions {
  /** @param path inside the folder, with `/` */
  readonly keeps?: (path: string, isFolder: boolean) => boolean
  /** Whether links are followed, as where a folder is made of them. Default: they stay links. */
  readonly followLinks?: boolean
}

/** The files of a folder, below a path of the image. */
export async function filesOf(
  folder: string,
  below: string,
  { keeps = () => true, followLinks = false }: TreeOptions = {},
): Promise<ImageFile[]> {
  const found: ImageFile[] = []
  const visit = async (inside: string): Promise<void> => {
    for (const entry of await readdir(join(folder, inside), { withFileTypes: true })) {
      const path = inside === '' ? entry.name : `${inside}/${entry.name}`
      const file = join(folder, path)
      if (entry.isSymbolicLink() && !followLinks) {
        if (keeps(path, false)) found.push({ path: `${below}/${path}`, content: { kind: 'symlink', target: await readlink(file) } })
        continue
      }
      const { size, mode, ...is } = await stat(file).then((one) => ({
        size: one.size,
        mode: one.mode,
        isFolder: one.isDirectory(),
        isFile: one.isFile(),
      }))
      if (!keeps(path, is.isFolder)) continue
      if (is.isFolder) await visit(path)
      else if (is.isFile) found.push({ path: `${below}/${path}`, content: { kind: 'file', file, size }, mode: modeOf(mode) })
    }
  }
  await visit('')
  return found
}
