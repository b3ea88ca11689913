import { statfs } from 'node:fs/promises'

/** A folder of this machine in which something is kept. */
export interface KeptFolder {
  /** What is kept in it, for people and metrics: `database`. */
  readonly what: string
  readonly folder: string
}

/** Bytes that a user without privileges may still write. Infinity where the system does not report it. */
export async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder)
    return bavail * bsize
  } catch {
    return Infinity
  }
}
