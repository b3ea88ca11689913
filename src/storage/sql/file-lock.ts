import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { tryLock } from '../../core/file-lock.ts'

/** The process that has a database, for the error of the next one that opens it. */
interface Holder {
  readonly pid: number
  readonly host: string
  /** ISO 8601. */
  readonly since: string
}

/** Time that a second process waits for the first, which has just locked the file, to write its holder file. */
const HOLDER_MS = 1000

/**
 * Keeps other control planes away from a database file. The lock is one of the operating system, on `FILE.lock`, and so ends
 * with the process, however that ends. `FILE.lock.json` says who holds it.
 * @throws SLW_DATABASE_IN_USE naming process, host and since when; SLW_DATABASE_UNAVAILABLE when the file cannot be made
 */
export async function lockDatabase(file: string): Promise<AsyncDisposable> {
  const path = `${file}.lock`
  let held: Disposable | undefined
  try {
    held = tryLock(path, 'exclusive')
  } catch (error) {
    throw new SlipwayError('SLW_DATABASE_UNAVAILABLE', `the lock ${path} of the database cannot be taken: ${messageOf(error)}`, {
      cause: error,
    })
  }
  if (held === undefined) throw await inUse(file)
  const lock = held
  try {
    await writeHolder(file)
  } catch (error) {
    lock[Symbol.dispose]()
    throw new SlipwayError('SLW_DATABASE_UNAVAILABLE', `the holder of the database ${file} cannot be written: ${messageOf(error)}`, {
      cause: error,
    })
  }
  let ended = false
  return {
    async [Symbol.asyncDispose]() {
      if (ended) return
      ended = true
      // Before the lock is released, so that the file is not that of the next holder.
      await rm(holderPath(file), { force: true })
      lock[Symbol.dispose]()
    },
  }
}

function holderPath(file: string): string {
  return `${file}.lock.json`
}

/** Writes the file whole or not at all, for a process that reads it at this moment. */
async function writeHolder(file: string): Promise<void> {
  const holder: Holder = { pid: process.pid, host: hostname(), since: new Date().toISOString() }
  const partial = `${holderPath(file)}.${process.pid}`
  await writeFile(partial, `${JSON.stringify(holder)}\n`, { mode: 0o600 })
  await rename(partial, holderPath(file))
}

async function inUse(file: string): Promise<SlipwayError> {
  const holder = await holderOf(file)
  const who = holder === undefined ? 'another process' : `process ${holder.pid} on ${holder.host} since ${holder.since}`
  return new SlipwayError(
    'SLW_DATABASE_IN_USE',
    `the database ${file} is in use by ${who}: end that control plane, or use PostgreSQL, which several can share`,
  )
}

/** The file may be that of an earlier holder that was killed; then the present one is about to write it. */
async function holderOf(file: string): Promise<Holder | undefined> {
  for (const end = Date.now() + HOLDER_MS; Date.now() < end; await sleep(20)) {
    try {
      const holder = JSON.parse(await readFile(holderPath(file), 'utf8')) as Holder
      if (holder.host !== hostname() || isAlive(holder.pid)) return holder
    } catch {
      // Not there yet.
    }
  }
  return undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // The process is there and belongs to another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
