import { DatabaseSync } from 'node:sqlite'

/** Result code of SQLite for a lock that somebody else holds. */
const SQLITE_BUSY = 5

/**
 * Takes an operating system lock on a file, which is created where it is missing. The lock ends with the process, also when that crashes.
 * Node offers such locks through SQLite only. The file stays: removing it would let a third process take the lock.
 * @param kind `exclusive` for one holder, `shared` for several
 * @returns undefined where another holder is in the way
 * @throws errors of the file system
 */
export function tryLock(path: string, kind: 'exclusive' | 'shared'): Disposable | undefined {
  let lock: DatabaseSync | undefined
  try {
    lock = new DatabaseSync(path, { timeout: 0 })
    lock.exec(kind === 'exclusive' ? 'begin exclusive' : 'begin')
    // A transaction that has read keeps others from writing.
    if (kind === 'shared') lock.prepare('select count(*) from sqlite_schema').get()
  } catch (error) {
    lock?.close()
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined
    throw error
  }
  const held = lock
  return {
    [Symbol.dispose]() {
      if (held.isOpen) held.close()
    },
  }
}
