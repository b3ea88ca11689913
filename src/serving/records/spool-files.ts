import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { apiAddress, DEFAULT_ENVIRONMENT } from '../../contract/api-address.ts'
import { shortDigest } from '../../core/short-digest.ts'
import { RECORD_LINE_BYTES_MAX } from '../../contract/prediction-record.ts'
import { tryLock } from '../../core/file-lock.ts'

/** Name of a file of the spool: of the process that wrote it, and its number there. */
export interface SpoolName {
  readonly bootId: string
  readonly sequence: number
}

const OPEN = '.open'
const CLOSED = '.jsonl'
const NAME = /^([0-9a-f]{16})-(\d{9})\.jsonl$/

export function closedName({ bootId, sequence }: SpoolName): string {
  return `${bootId}-${String(sequence).padStart(9, '0')}${CLOSED}`
}

export function openName(name: SpoolName): string {
  return closedName(name) + OPEN
}

/** Path of the lock that a process holds as long as it has an open file. */
export function lockOf(folder: string, bootId: string): string {
  return join(folder, `${bootId}.lock`)
}

/**
 * Folder of the records of one control plane in the local store, which all servers of the machine share:
 *
 *     records/PLANE/BOOT-NUMBER.jsonl        whole, and to be sent by whichever server comes to it
 *     records/PLANE/BOOT-NUMBER.jsonl.open   written by the process BOOT, which holds BOOT.lock
 */
export function spoolFolder(
  store: string,
  { url, environment }: { readonly url: string; readonly environment?: string | undefined },
): string {
  return join(store, 'records', shortDigest(apiAddress({ url, environment: environment ?? DEFAULT_ENVIRONMENT })))
}

export async function makeSpoolFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
}

/** Bytes of all files in the folder. */
export async function spoolBytes(folder: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(folder))
    if (name.includes(CLOSED)) bytes += (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0
  return bytes
}

/** Files that are to be sent, the oldest of each process first. */
export async function closedFiles(folder: string): Promise<SpoolName[]> {
  const names = (await readdir(folder)).toSorted()
  return names
    .map((name) => NAME.exec(name))
    .flatMap((match) => (match === null ? [] : [{ bootId: match[1]!, sequence: Number(match[2]) }]))
}

/** Closes the files that processes have left open which ended without a word. */
export async function closeAbandoned(folder: string): Promise<void> {
  const names = await readdir(folder)
  const boots = new Set(names.flatMap((name) => (name.endsWith(OPEN) || name.endsWith('.lock') ? [name.slice(0, 16)] : [])))
  for (const bootId of boots) {
    const path = lockOf(folder, bootId)
    // The process still runs where its lock is held.
    using lock = tryLock(path, 'exclusive')
    if (lock === undefined) continue
    for (const name of await readdir(folder))
      if (name.startsWith(bootId) && name.endsWith(OPEN))
        await rename(join(folder, name), join(folder, name.slice(0, -OPEN.length))).catch(ignoreMissing)
    // Nobody takes this lock again: each process draws an ID of its own.
    await rm(path, { force: true })
  }
}

/** The lines of a file; a last one that was cut off by a kill has no end, and is left out. */
export async function linesOf(folder: string, name: SpoolName): Promise<string[]> {
  const text = await readFile(join(folder, closedName(name)), 'utf8')
  return text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{') && line.length <= RECORD_LINE_BYTES_MAX)
}

export async function removeFile(folder: string, name: SpoolName): Promise<void> {
  await rm(join(folder, closedName(name)), { force: true })
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}
