import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { PACKAGE_FILE } from './package-file.ts'

/**
 * Tells one content of a package from the next without reading it: name, size, time of change and inode of every file.
 * Of a bare file, those beside it that carry its name (external data: `model.onnx.data`, `model.onnx_data`) count too.
 */
export async function fingerprintOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  const add = async (file: string): Promise<boolean> => {
    const found = await stat(file).catch(() => undefined)
    if (found === undefined) hash.update(`${file} is gone\0`)
    else if (!found.isDirectory()) hash.update(`${basename(file)} ${found.size} ${found.mtimeMs} ${found.ino}\0`)
    return found?.isDirectory() === true
  }
  if (await add(path)) {
    for (const name of await visible(path)) {
      const child = join(path, name)
      if (await add(child)) for (const inner of await visible(child)) await add(join(child, inner))
    }
    // A numbered version may be described one folder up.
    if (/^\d+$/.test(basename(path))) await add(join(dirname(path), PACKAGE_FILE))
  } else {
    for (const name of await visible(dirname(path)))
      if (name !== basename(path) && name.startsWith(basename(path))) await add(join(dirname(path), name))
  }
  return hash.digest('hex').slice(0, 16)
}

async function visible(folder: string): Promise<string[]> {
  const names: string[] = await readdir(folder).catch(() => [])
  return names.filter((name) => !name.startsWith('.')).toSorted()
}
