import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { PACKAGE_FILE } from './package-file.ts'
import { textFilesBeside } from './text-files.ts'
import { CONFIG_FILE } from './triton/config.ts'

/**
 * Identifies the content of a package without reading it: by name, size, modification time and inode of every file. For a bare file, the
 * files beside it whose names begin as its own does (external data: `model.onnx.data`, `model.onnx_data`, `model.bin`) count too,
 * and those that make it a model of texts.
 * @param options.inodes whether a file that was replaced by one of the same size and time counts as changed. Default: true
 */
export async function fingerprintOf(path: string, { inodes = true }: { readonly inodes?: boolean } = {}): Promise<string> {
  const hash = createHash('sha256')
  const add = async (file: string): Promise<boolean> => {
    const found = await stat(file).catch(() => undefined)
    if (found === undefined) hash.update(`${file} is gone\0`)
    else if (!found.isDirectory())
      hash.update(`${basename(file)} ${found.size} ${inodes ? `${found.mtimeMs} ${found.ino}` : Math.round(found.mtimeMs)}\0`)
    return found?.isDirectory() === true
  }
  if (await add(path)) {
    for (const name of await visible(path)) {
      const child = join(path, name)
      if (await add(child)) for (const inner of await visible(child)) await add(join(child, inner))
    }
    // The slipway.yaml of a numbered version may lie one folder up, and a config.pbtxt, with the files that it names.
    if (/^\d+$/.test(basename(path))) {
      await add(join(dirname(path), PACKAGE_FILE))
      for (const file of await filesBesideConfig(dirname(path))) await add(file)
    }
  } else {
    for (const name of await visible(dirname(path)))
      if (
        name.startsWith(basename(path, extname(path))) &&
        (name.startsWith(basename(path)) ? name !== basename(path) : extname(name) !== extname(path))
      )
        await add(join(dirname(path), name))
    for (const file of textFilesBeside(path)) await add(file)
  }
  return hash.digest('hex').slice(0, 16)
}

/** The files of a folder that has a config.pbtxt, as labels, and of its folder `warmup`. Empty where there is none. */
async function filesBesideConfig(folder: string): Promise<string[]> {
  const names = await visible(folder)
  if (!names.includes(CONFIG_FILE)) return []
  const warmup = names.includes('warmup') ? (await visible(join(folder, 'warmup'))).map((name) => join('warmup', name)) : []
  return [...names.filter((name) => !/^\d+$/.test(name) && name !== PACKAGE_FILE), ...warmup].map((name) => join(folder, name))
}

async function visible(folder: string): Promise<string[]> {
  const names: string[] = await readdir(folder).catch(() => [])
  return names.filter((name) => !name.startsWith('.')).toSorted()
}
