import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { tryLock } from './file-lock.ts'

/** A folder of temporary files that belongs to this process alone. */
export interface ScratchFolder extends AsyncDisposable {
  readonly path: string
}

const LOCK = '.lock'

/**
 * Makes a folder in `root` for this process, and removes those of processes that have ended, which are known by their locks. Several
 * processes, also of several machines, may share the root.
 */
export async function openScratchFolder(root: string): Promise<ScratchFolder> {
  await mkdir(root, { recursive: true })
  await removeAbandoned(root)
  const name = randomUUID()
  const path = join(root, name)
  // Before the folder is there: one without a lock has been left behind.
  const lock = tryLock(`${path}${LOCK}`, 'exclusive')
  await mkdir(path)
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true })
      lock?.[Symbol.dispose]()
      await rm(`${path}${LOCK}`, { force: true })
    },
  }
}

async function removeAbandoned(root: string): Promise<void> {
  // The lock has a file of its own beside it.
  const names = new Set((await readdir(root)).map((entry) => entry.replace(/\.lock(-journal)?$/, '')))
  for (const name of names) {
    const path = join(root, name)
    const lock = tryLock(`${path}${LOCK}`, 'exclusive')
    if (lock === undefined) continue
    await rm(path, { recursive: true, force: true })
    lock[Symbol.dispose]()
    await rm(`${path}${LOCK}`, { force: true })
  }
}
