import { DatabaseSync } from 'node:sqlite'

/** The result code of SQLite for "somebody else has it". */
const SQLITE_BUSY = 5

/**
 * A lock of the operating system on a file, which is made where it is not there, and which ends with the process, however that ends.
 * SQLite is the way to it that Node has. The file stays: to remove it would free it for a third.
 * @param kind one may hold it `exclusive`, or several `shared`
 * @returns undefined where another holds it so that we cannot
 * @throws what the file system says
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
