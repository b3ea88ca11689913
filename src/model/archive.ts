import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { createGunzip } from 'node:zlib'
import { createTarDecoder } from 'modern-tar'
import { cacheFolder } from '../core/cache-folder.ts'
import { freeBytes } from '../core/disk-space.ts'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { tryLock } from '../core/file-lock.ts'
import { formatBytes } from '../core/units.ts'

/** Limits of what an archive may hold. */
export interface ArchiveLimits {
  /** Files and folders. */
  readonly entries: number
  /** Bytes of all files, unpacked. */
  readonly bytes: number
}

export const ARCHIVE_LIMITS: ArchiveLimits = { entries: 10_000, bytes: 64 * 1024 ** 3 }
const NAME_MAX = 1024
const DEPTH_MAX = 16
/** An archive that nobody has served for this long is unpacked again when it is wanted. */
const KEPT_MS = 30 * 24 * 60 * 60 * 1000
/** What an entry takes beside its bytes, and an archive at its end. */
const ENTRY_BYTES = 4096
const END_BYTES = 16 * 1024 * 1024
/** Room that is left on the disk. */
const SPARE_BYTES = 64 * 1024 * 1024

const ENDS = /\.(tar\.gz|tgz|tar)$/

/** Whether a file is an archive by its name, as SageMaker's `model.tar.gz`. */
export function isArchive(path: string): boolean {
  return ENDS.test(path)
}

/** The name of an archive without its extension. */
export function archiveName(path: string): string {
  return basename(path).replace(ENDS, '')
}

/** Digests of archives by path, and the state of the file that they are of: folders are looked at several times a second. */
const digests = new Map<string, { readonly state: string; readonly digest: string }>()
/** What this process serves: nobody removes it meanwhile. */
const held = new Map<string, Disposable>()

/**
 * Unpacks an archive into a folder of the cache that is named after its bytes; what was unpacked before is found there.
 * @returns the folder
 * @throws SLW_MODEL_INVALID for what is no archive, or ends early; SLW_MODEL_UNSAFE for links, devices, paths that lead out, and sizes beyond the limits
 */
export async function unpackedArchive(path: string, root: string = cacheFolder('archives'), limits = ARCHIVE_LIMITS): Promise<string> {
  const found = await stat(path)
  const state = `${found.size} ${found.mtimeMs} ${found.ino}`
  const before = digests.get(path)
  const digest = before?.state === state ? before.digest : await digestOf(path)
  digests.set(path, { state, digest })
  const folder = join(root, digest)
  // What others may not read in the archive, they may not read here (XDG base directories ask for this mode, too).
  await mkdir(root, { recursive: true, mode: 0o700 })
  if (!held.has(folder)) held.set(folder, await holdShared(folder))
  if ((await stat(folder).catch(() => undefined)) === undefined) {
    await removeUnused(root)
    await unpackInto(path, { folder, digest, limits })
  }
  const now = new Date()
  await utimes(folder, now, now)
  return folder
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/** The lock that keeps a folder; whoever removes it holds it for a moment only. */
async function holdShared(folder: string): Promise<Disposable> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const lock = tryLock(`${folder}.lock`, 'shared')
    if (lock !== undefined) return lock
    await pause(50)
  }
  throw new SlipwayError('SLW_LOAD_FAILED', `${folder} is being removed by another process, and that does not end`)
}

async function removeUnused(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const path = join(root, name)
    if (!/^[0-9a-f]{64}$|\.partial$/.test(name) || held.has(path)) continue
    const found = await stat(path).catch(() => undefined)
    if (found === undefined || Date.now() - found.mtimeMs < KEPT_MS) continue
    using lock = tryLock(`${path.replace(/\.[0-9a-f-]+\.partial$/, '')}.lock`, 'exclusive')
    if (lock !== undefined) await rm(path, { recursive: true, force: true })
  }
}

interface Target {
  readonly folder: string
  readonly digest: string
  readonly limits: ArchiveLimits
}

async function unpackInto(path: string, { folder, digest, limits }: Target): Promise<void> {
  const partial = `${folder}.${randomUUID()}.partial`
  await mkdir(partial)
  try {
    const read = await unpack(path, partial, limits)
    if (read !== digest) throw new SlipwayError('SLW_MODEL_INVALID', `${path} was changed while it was read`)
    await rename(partial, folder).catch(async (error: unknown) => {
      // Another process was faster: its folder has the same files.
      if ((await stat(folder).catch(() => undefined)) === undefined) throw error
    })
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
}

interface TarEntry {
  readonly header: { readonly name: string; readonly size: number; readonly type?: string }
  readonly body: ReadableStream<Uint8Array>
}

/** Unpacks an archive into an empty folder. @returns the digest of the bytes that were read */
async function unpack(path: string, folder: string, limits: ArchiveLimits): Promise<string> {
  const hash = createHash('sha256')
  const hashed = new Transform({
    transform(bytes: Buffer, _, done) {
      hash.update(bytes)
      done(null, bytes)
    },
  })
  let left = limits.bytes + limits.entries * ENTRY_BYTES + END_BYTES
  // What follows the end of the archive counts too: a few bytes of gzip can be any number of zeros.
  const unpacked = new Transform({
    transform(bytes: Buffer, _, done) {
      left -= bytes.length
      done(left < 0 ? new SlipwayError('SLW_MODEL_UNSAFE', `${path}: it unpacks to more than ${formatBytes(limits.bytes)}`) : null, bytes)
    },
  })
  // An error of any of them ends the last one.
  const parts = (await isGzip(path))
    ? [createReadStream(path), hashed, createGunzip(), unpacked]
    : [createReadStream(path), hashed, unpacked]
  const reading = pipeline(parts)
  reading.catch(() => {})
  try {
    await writeEntries(unpacked, folder, { path, limits })
    await reading
  } catch (error) {
    unpacked.destroy()
    if (error instanceof SlipwayError) throw error
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (/^E[A-Z]+$/.test(code)) throw error
    throw new SlipwayError('SLW_MODEL_INVALID', `${path} is no archive that can be read: ${messageOf(error)}`)
  }
  return hash.digest('hex')
}

async function isGzip(path: string): Promise<boolean> {
  await using file = await open(path)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0)
  return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b
}

interface From {
  readonly path: string
  readonly limits: ArchiveLimits
}

/** Writes the files of a tar into a folder, as a stream brings them. Its end is read, too. */
export async function writeEntries(tar: Readable, folder: string, { path, limits }: From): Promise<void> {
  const unsafe = (message: string): SlipwayError => new SlipwayError('SLW_MODEL_UNSAFE', `${path}: ${message}`)
  const free = await freeBytes(folder)
  const entries = Readable.toWeb(tar).pipeThrough(createTarDecoder({ strict: true }) as never) as unknown as AsyncIterable<TarEntry>
  let [count, bytes] = [0, 0]
  for await (const { header, body } of entries) {
    const { name, size, type = 'file' } = header
    const told = JSON.stringify(name.slice(0, 200))
    if (++count > limits.entries) throw unsafe(`it has more than ${limits.entries} entries`)
    if (type !== 'file' && type !== 'directory' && type !== 'contiguous-file')
      throw unsafe(`${told} is a ${type}; only files and folders are unpacked: pack what it leads to, as tar --dereference does`)
    const misfit = (error: NodeJS.ErrnoException): never => {
      const why = MISFITS[error.code ?? '']
      throw why === undefined ? error : unsafe(`${told} ${why}`)
    }
    const parts = partsOf(name)
    if (parts === undefined) throw unsafe(`${told} leads out of the archive, or is no path`)
    if (type === 'directory') {
      await body.cancel()
      if (parts.length > 0) await mkdir(join(folder, ...parts), { recursive: true }).catch(misfit)
      continue
    }
    bytes += size
    if (bytes > limits.bytes) throw unsafe(`it unpacks to more than ${formatBytes(limits.bytes)}`)
    if (bytes > free - SPARE_BYTES)
      throw new SlipwayError(
        'SLW_LOAD_FAILED',
        `${path}: there is no room in ${dirname(folder)} to unpack it: ${formatBytes(free)} are free`,
      )
    if (parts.length === 0) throw unsafe(`${told} is no path of a file`)
    const file = join(folder, ...parts)
    await mkdir(dirname(file), { recursive: true }).catch(misfit)
    // A file that is there already came from this archive: two of one name are not told apart.
    await pipeline(Readable.fromWeb(body as never), createWriteStream(file, { flags: 'wx' })).catch(misfit)
  }
}

/** What the names of an archive themselves make impossible. */
const MISFITS: Readonly<Record<string, string>> = {
  EEXIST: 'is in it twice, or is a file and a folder',
  ENOTDIR: 'is below what is a file in it',
  ENAMETOOLONG: 'has a name that is too long for this file system',
}

/** The names that a path consists of; undefined where it may not be written. Empty: the folder itself. */
function partsOf(name: string): string[] | undefined {
  if (name.length > NAME_MAX || name.startsWith('/') || /[\\\0]/.test(name)) return undefined
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  return parts.includes('..') || parts.length > DEPTH_MAX ? undefined : parts
}
