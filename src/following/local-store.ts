import { createHash, randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { link, lstat, mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { freeBytes } from '../core/disk-space.ts'
import { CHUNK_BYTES, chunkCount, contentId, treeDigest } from '../core/content-digest.ts'
import { isSlipwayError, messageOf, SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { tryLock } from '../core/file-lock.ts'
import { formatBytes } from '../core/units.ts'
import { syncFolder, writeWhole } from '../core/write-whole.ts'
import { fingerprintOf } from '../model/fingerprint.ts'
import type { FileHandle } from 'node:fs/promises'
import type { FollowedVariant, VersionManifest } from '../contract/followed-state.ts'

/** Source of versions. Each answer is checked by the store. */
export interface VersionSource {
  manifest(versionId: string, signal: AbortSignal): Promise<VersionManifest>
  bytes(contentId: string, range: { offset: number; length: number }, signal: AbortSignal): Promise<Buffer>
}

/** A version in the store, which stays there until it is disposed of. */
export interface HeldVersion extends Disposable {
  /** Folder of the model package. */
  readonly folder: string
  /** Of its files when they were checked; see `fingerprintOf`. */
  readonly fingerprint: string
}

export type Wanted = Pick<FollowedVariant, 'versionId' | 'digest' | 'size' | 'model' | 'version'>

/** Content of the file that keeps the room reserved for a version, bytes. */
interface Room {
  readonly size: number
}

type ManifestFile = VersionManifest['files'][number]

/** Default size limit of all versions together, megabytes. */
export const STORE_MB = 20_480
/** Error codes of the system for a disk, a quota or a file that takes no more. */
const FULL: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
/** Pause between two looks whether another process has finished a fetch. */
const LOOK_EVERY_MS = 200
/** Pause between two tries to lock the room: another process holds that lock as long as removing files takes. */
const ROOM_LOOK_EVERY_MS = 20
/** Time without progress after which a partial version is not wanted any more. */
const PARTIAL_LIFE_MS = 7 * 24 * 3600 * 1000

/**
 * Versions on this machine, by the digest of their files: fetched chunk by chunk, each checked, and put in place whole. Several processes
 * may share one store: a version is fetched by one of them, and no version is removed that another process holds. Whoever holds a version has
 * the bytes of its digest: files that changed since they were checked are checked again, and what is wrong is fetched again.
 *
 *     versions/DIGEST/         the files of a version
 *     versions/DIGEST.json     its list of files, so that files that two versions have in common are fetched once
 *     versions/DIGEST.sound    stamps of the files when they were checked last
 *     partial/DIGEST/          the bytes of a version that have come so far
 *     partial/DIGEST.json      the room reserved for it
 *     locks/room               exclusive for the process that makes and reserves room
 *     locks/DIGEST             shared by users of a version, exclusive to fetch or remove it; its modification time is the last use
 */
export class LocalStore {
  readonly #folder: string
  readonly #bytesMax: number

  private constructor(folder: string, bytesMax: number) {
    this.#folder = folder
    this.#bytesMax = bytesMax
  }

  /**
   * @param bytesMax size limit of all versions together, those on their way included
   * @throws SLW_STORE_UNAVAILABLE where the folder cannot be made or written
   */
  static async open(folder: string, bytesMax: number): Promise<LocalStore> {
    try {
      for (const name of ['versions', 'partial', 'locks']) await mkdir(join(folder, name), { recursive: true, mode: 0o700 })
      const store = new LocalStore(folder, bytesMax)
      await store.#sweep()
      return store
    } catch (error) {
      throw new SlipwayError('SLW_STORE_UNAVAILABLE', `the local store ${folder} cannot be opened: ${messageOf(error)}`, { cause: error })
    }
  }

  get folder(): string {
    return this.#folder
  }

  /** Holds a version that is in the store whole; undefined where it is not, or another process changes it. */
  async hold(digest: string): Promise<HeldVersion | undefined> {
    const isWhole = async (folder: string): Promise<boolean> => {
      const manifest = await this.#manifestOf(digest)
      return manifest !== undefined && (await this.#damaged(folder, manifest)).length === 0
    }
    return await this.#hold(digest, (folder) => isWhole(folder).catch(() => false))
  }

  /** @param isWhole whether the version, which is there, may be held: it is locked meanwhile */
  async #hold(digest: string, isWhole: (folder: string) => Promise<boolean>): Promise<HeldVersion | undefined> {
    const lock = tryLock(this.#lockPath(digest), 'shared')
    if (lock === undefined) return undefined
    const folder = join(this.#folder, 'versions', digest)
    let held: HeldVersion | undefined
    try {
      if (!(await exists(folder)) || !(await isWhole(folder))) return undefined
      // Finer than a millisecond, in which several versions may be used.
      const now = (performance.timeOrigin + performance.now()) / 1000
      await utimes(this.#lockPath(digest), now, now)
      held = { folder, fingerprint: await fingerprintOf(folder, { inodes: false }), [Symbol.dispose]: () => lock[Symbol.dispose]() }
      return held
    } finally {
      if (held === undefined) lock[Symbol.dispose]()
    }
  }

  /** The list of files of a version; undefined where there is none that is its own. */
  async #manifestOf(digest: string): Promise<VersionManifest | undefined> {
    try {
      const manifest = JSON.parse(await readFile(join(this.#folder, 'versions', `${digest}.json`), 'utf8')) as VersionManifest
      const isOwn = treeDigest(manifest.files) === digest && manifest.files.every(isItself)
      return isOwn ? manifest : undefined
    } catch {
      return undefined
    }
  }

  /** Files of a version that have other bytes than theirs. Files that do not belong to it are removed. */
  async #damaged(folder: string, { digest, files }: VersionManifest): Promise<ManifestFile[]> {
    const stampsPath = join(this.#folder, 'versions', `${digest}.sound`)
    const stamps = await readStamps(stampsPath)
    const found: Record<string, string> = {}
    const damaged: ManifestFile[] = []
    for (const file of files) {
      const path = join(folder, file.path)
      const stamp = await stampOf(path)
      if (stamp !== undefined && (stamp === stamps[file.path] || (await isSoundFile(path, file)))) found[file.path] = stamp
      else damaged.push(file)
    }
    const own = new Set(files.map(({ path }) => path))
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      if (!entry.isDirectory() && !own.has(relative(folder, path))) await rm(path)
    }
    if (!isDeepStrictEqual(found, stamps)) await writeWhole(stampsPath, JSON.stringify(found)).catch(() => {})
    return damaged
  }

  /**
   * Brings files of a version that is in the store back to what they are to be. Each is put in its place whole: another process may use the
   * version meanwhile.
   */
  async #mend(folder: string, wanted: Wanted, source: VersionSource, signal: AbortSignal): Promise<boolean> {
    let manifest = await this.#manifestOf(wanted.digest)
    if (manifest === undefined) {
      manifest = await source.manifest(wanted.versionId, signal)
      requireManifest(manifest, wanted)
      await writeWhole(join(this.#folder, 'versions', `${wanted.digest}.json`), JSON.stringify(manifest))
    }
    for (const file of await this.#damaged(folder, manifest)) {
      const path = join(folder, file.path)
      const beside = join(this.#folder, 'partial', `${wanted.digest}.${randomUUID()}.mended`)
      try {
        await rm(beside, { force: true })
        await fetchFile(file, { path: beside, source, signal, onBytes() {} })
        await mkdir(dirname(path), { recursive: true, mode: 0o700 })
        // The same bytes are the same file to those who hold the version too.
        const before = await stat(path).catch(ignoreMissing)
        if (before !== undefined) await utimes(beside, before.atimeMs / 1000, before.mtimeMs / 1000)
        await rename(beside, path)
        await syncFolder(dirname(path))
      } finally {
        await rm(beside, { force: true })
      }
    }
    const [still] = await this.#damaged(folder, manifest)
    if (still === undefined) return true
    throw new SlipwayError(
      'SLW_STORE_UNAVAILABLE',
      `${still.path} of ${wanted.model}/${wanted.version} was damaged again while it was mended`,
    )
  }

  /**
   * Holds a version, which is fetched where it is not in the store.
   * @param onProgress percent of the bytes that have come
   * @throws SLW_STORE_CORRUPT for bytes that are not those of the digest; SLW_STORE_UNAVAILABLE where the disk is full or the store has no
   *   room; what the source throws
   */
  async fetch(
    wanted: Wanted,
    source: VersionSource,
    { signal, onProgress }: { signal: AbortSignal; onProgress: (percent: number) => void },
  ): Promise<HeldVersion> {
    for (;;) {
      signal.throwIfAborted()
      const held = await this.#hold(wanted.digest, (folder) => this.#told(wanted, this.#mend(folder, wanted, source, signal)))
      if (held !== undefined) return held
      const lock = tryLock(this.#lockPath(wanted.digest), 'exclusive')
      if (lock === undefined) {
        await pause(LOOK_EVERY_MS, undefined, { signal }).catch(() => {})
        continue
      }
      try {
        await this.#told(wanted, this.#bring(wanted, source, { signal, onProgress }))
      } finally {
        lock[Symbol.dispose]()
      }
    }
  }

  /** What was done about a version; its errors say what could not be done. */
  async #told<T>({ digest, model, version }: Wanted, done: Promise<T>): Promise<T> {
    try {
      return await done
    } catch (error) {
      if (isSlipwayError(error)) throw error
      // The bytes that have come so far are of no use, and take up room.
      if (FULL.has((error as NodeJS.ErrnoException).code)) await this.#forget(digest)
      const message = `the local store ${this.#folder} cannot take ${model}/${version}: ${messageOf(error)}`
      throw new SlipwayError('SLW_STORE_UNAVAILABLE', message, { cause: error })
    }
  }

  async #bring(
    wanted: Wanted,
    source: VersionSource,
    progress: { signal: AbortSignal; onProgress: (percent: number) => void },
  ): Promise<void> {
    const place = join(this.#folder, 'versions', wanted.digest)
    const partial = join(this.#folder, 'partial', wanted.digest)
    if (await exists(place)) return
    const manifest = await source.manifest(wanted.versionId, progress.signal)
    requireManifest(manifest, wanted)
    await this.#takeRoom(wanted, manifest.files, progress.signal)
    await mkdir(partial, { recursive: true, mode: 0o700 })
    const known = await this.#knownFiles()
    let done = 0
    for (const file of manifest.files) {
      const path = join(partial, file.path)
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      const onBytes = (bytes: number): void => {
        done += bytes
        progress.onProgress(wanted.size === 0 ? 100 : (100 * done) / wanted.size)
      }
      if (await linked(known.get(file.contentId), path, file)) onBytes(file.size)
      else await fetchFile(file, { path, source, signal: progress.signal, onBytes })
      await faultPoint('store.file')
    }
    await syncFolders(partial, manifest.files)
    await writeWhole(join(this.#folder, 'versions', `${wanted.digest}.json`), JSON.stringify(manifest))
    await rename(partial, place)
    // All of it has just been checked.
    const stamps = await Promise.all(manifest.files.map(async ({ path }) => [path, await stampOf(join(place, path))] as const))
    await writeWhole(`${place}.sound`, JSON.stringify(Object.fromEntries(stamps))).catch(() => {})
    await syncFolder(dirname(place))
    await faultPoint('store.placed')
    await rm(`${partial}.json`, { force: true })
  }

  /** Makes and reserves room, one process at a time of all that share the store. @throws SLW_STORE_UNAVAILABLE where there is none */
  async #takeRoom(wanted: Wanted, files: readonly ManifestFile[], signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted()
      using lock = tryLock(join(this.#folder, 'locks', 'room'), 'exclusive')
      if (lock !== undefined) {
        await this.#makeRoom(wanted, files)
        await writeWhole(join(this.#folder, 'partial', `${wanted.digest}.json`), JSON.stringify({ size: wanted.size } satisfies Room))
        return
      }
      await pause(ROOM_LOOK_EVERY_MS, undefined, { signal }).catch(() => {})
    }
  }

  /**
   * Removes versions that no process holds until there is room, in the store and on its disk: first those whose fetch was given up, then
   * the least recently used.
   * @throws SLW_STORE_UNAVAILABLE where there is none
   */
  async #makeRoom({ digest, size, model, version }: Wanted, files: readonly ManifestFile[]): Promise<void> {
    // In this order: a version that gets in place meanwhile is found by both, the other way round it would be by neither.
    const begun = await this.#begun()
    const manifests = await this.#manifests()
    const toCome = await this.#bytesToCome(digest, files, manifests)
    const versions = (await this.#usesOf(manifests)).toSorted((a, b) => a.usedAt - b.usedAt)
    const others = [...begun.filter((one) => !manifests.has(one.digest)), ...versions].filter((one) => one.digest !== digest)
    let used = others.reduce((sum, one) => sum + one.size, 0)
    let free = await freeBytes(this.#folder)
    const fits = (): boolean => used + size <= this.#bytesMax && toCome <= free
    for (const one of others) {
      if (fits()) return
      if (!(await this.#remove(one.digest))) continue
      used -= one.size
      free = await freeBytes(this.#folder)
    }
    if (fits()) return
    if (toCome > free)
      throw new SlipwayError(
        'SLW_STORE_UNAVAILABLE',
        `the disk of the local store ${this.#folder} has no room for ${model}/${version}: ${formatBytes(toCome)} are to come, ${formatBytes(free)} are free`,
      )
    throw new SlipwayError(
      'SLW_STORE_UNAVAILABLE',
      `the local store ${this.#folder} has no room for ${model}/${version}: it takes ${formatBytes(size)}, the versions in use and on their way ${formatBytes(used)} of ${formatBytes(this.#bytesMax)}; give it more with --store-mb`,
    )
  }

  /** Bytes of a version that are neither part of another version in the store nor have come before. */
  async #bytesToCome(digest: string, files: readonly ManifestFile[], here: ReadonlyMap<string, VersionManifest>): Promise<number> {
    const known = new Set([...here.values()].flatMap((manifest) => manifest.files.map(({ contentId: id }) => id)))
    let bytes = 0
    for (const { contentId: id, path, size } of files)
      if (!known.has(id))
        bytes += Math.max(0, size - ((await stat(join(this.#folder, 'partial', digest, path)).catch(ignoreMissing))?.size ?? 0))
    return bytes
  }

  /** Versions with reserved room that are not in place: on their way, or given up. */
  async #begun(): Promise<{ digest: string; size: number }[]> {
    const folder = join(this.#folder, 'partial')
    const begun: { digest: string; size: number }[] = []
    for (const name of await readdir(folder)) {
      const [, digest] = /^([0-9a-f]{64})\.json$/.exec(name) ?? []
      if (digest === undefined || (await exists(join(this.#folder, 'versions', digest)))) continue
      try {
        const { size } = JSON.parse(await readFile(join(folder, name), 'utf8')) as Room
        begun.push({ digest, size })
      } catch {
        // The version has just got in place, or was removed.
      }
    }
    return begun
  }

  /** @returns whether the version was removed: not where a process uses it */
  async #remove(digest: string): Promise<boolean> {
    const lock = tryLock(this.#lockPath(digest), 'exclusive')
    if (lock === undefined) return false
    try {
      const place = join(this.#folder, 'versions', digest)
      // Renamed first: gone for others at once, however long it takes to delete the files.
      const leaving = join(this.#folder, 'partial', `${digest}.gone`)
      await rm(leaving, { recursive: true, force: true })
      await rename(place, leaving).catch(ignoreMissing)
      await rm(`${place}.json`, { force: true })
      await rm(`${place}.sound`, { force: true })
      await rm(leaving, { recursive: true, force: true })
      await this.#forget(digest)
      return true
    } finally {
      lock[Symbol.dispose]()
    }
  }

  /** Removes the partial files of a version, and its reserved room. The caller holds the lock. */
  async #forget(digest: string): Promise<void> {
    const partial = join(this.#folder, 'partial', digest)
    await rm(partial, { recursive: true, force: true })
    await rm(`${partial}.json`, { force: true })
  }

  /** Size and last use of each version. */
  async #usesOf(manifests: ReadonlyMap<string, VersionManifest>): Promise<{ digest: string; size: number; usedAt: number }[]> {
    const versions: { digest: string; size: number; usedAt: number }[] = []
    for (const [digest, manifest] of manifests) {
      const used = await stat(this.#lockPath(digest)).catch(ignoreMissing)
      versions.push({ digest, size: manifest.files.reduce((sum, { size }) => sum + size, 0), usedAt: used?.mtimeMs ?? 0 })
    }
    return versions
  }

  /** Lists of files of versions that are here, by digest. */
  async #manifests(): Promise<Map<string, VersionManifest>> {
    const folder = join(this.#folder, 'versions')
    const manifests = new Map<string, VersionManifest>()
    const names = new Set(await readdir(folder))
    for (const name of names) {
      const [, digest] = /^([0-9a-f]{64})\.json$/.exec(name) ?? []
      if (digest === undefined || !names.has(digest)) continue
      try {
        manifests.set(digest, JSON.parse(await readFile(join(folder, name), 'utf8')) as VersionManifest)
      } catch {
        // Another process is removing the version.
      }
    }
    return manifests
  }

  /** Paths of the contents of versions in the store, by content ID. */
  async #knownFiles(): Promise<Map<string, string>> {
    const known = new Map<string, string>()
    for (const [digest, { files }] of await this.#manifests())
      for (const { contentId: id, path } of files) known.set(id, join(this.#folder, 'versions', digest, path))
    return known
  }

  /** Removes leftovers of processes that were killed, which no process goes on with. */
  async #sweep(): Promise<void> {
    const folder = join(this.#folder, 'partial')
    for (const name of await readdir(folder)) {
      const { mtimeMs } = (await stat(join(folder, name)).catch(ignoreMissing)) ?? { mtimeMs: Date.now() }
      const [digest = ''] = name.split('.')
      if (!name.endsWith('.gone') && Date.now() - mtimeMs < PARTIAL_LIFE_MS) continue
      const lock = tryLock(this.#lockPath(digest), 'exclusive')
      if (lock === undefined) continue
      await rm(join(folder, name), { recursive: true, force: true })
      lock[Symbol.dispose]()
    }
    for (const inside of ['', 'versions', 'partial'])
      for (const name of await readdir(join(this.#folder, inside)))
        if (name.endsWith('.partial') && !isAliveWriter(name)) await rm(join(this.#folder, inside, name), { force: true })
  }

  #lockPath(digest: string): string {
    return join(this.#folder, 'locks', digest)
  }
}

/** Whether the process that writes `NAME.CHANCE.PID.partial` is still there. */
function isAliveWriter(name: string): boolean {
  const pid = Number(/\.(\d+)\.partial$/.exec(name)?.[1])
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** @throws SLW_STORE_CORRUPT for a list that does not belong to the digest, or would write outside its folder */
function requireManifest({ files }: VersionManifest, { digest, model, version, size }: Wanted): void {
  const refuse = (why: string): never => {
    throw new SlipwayError('SLW_STORE_CORRUPT', `the list of files of ${model}/${version} ${why}`)
  }
  if (treeDigest(files) !== digest) refuse(`is not the one of digest ${digest}`)
  if (files.reduce((sum, file) => sum + file.size, 0) !== size) refuse(`has other sizes than ${size} bytes in all`)
  for (const file of files) {
    const { path, contentId: id } = file
    if (path.includes('\\') || path.includes('\0') || path.split('/').some((part) => part === '' || part === '.' || part === '..'))
      refuse(`names ${JSON.stringify(path)}, which lies in no folder of a model`)
    if (!isItself(file)) refuse(`has digests of chunks of ${path} that are not those of content ${id}`)
  }
}

/** Whether the digests of the chunks of a file are those of its content. */
function isItself({ contentId: id, size, chunks }: ManifestFile): boolean {
  return chunks.length === chunkCount(size) && contentId(size, chunks) === id
}

/** What changes with the bytes of a file, as far as the system tells; undefined for what is no file. */
async function stampOf(path: string): Promise<string | undefined> {
  const found = await lstat(path, { bigint: true }).catch(ignoreMissing)
  return found?.isFile() === true ? `${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}` : undefined
}

async function readStamps(path: string): Promise<Readonly<Record<string, string>>> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Record<string, string>
  } catch {
    return {}
  }
}

/** Whether a file has the bytes that it is to have. */
async function isSoundFile(path: string, { size, chunks }: ManifestFile): Promise<boolean> {
  await using handle = await open(path)
  return (await handle.stat()).size === size && (await soundChunks(handle, size, chunks)) === chunks.length
}

/** Links a file under another name. @returns false where it is missing or has other bytes, or on a file system without links */
async function linked(from: string | undefined, to: string, file: ManifestFile): Promise<boolean> {
  if (from === undefined) return false
  try {
    await rm(to, { force: true })
    await link(from, to)
    if (await isSoundFile(to, file)) return true
    await rm(to, { force: true })
    return false
  } catch {
    return false
  }
}

interface Fetching {
  readonly path: string
  readonly source: VersionSource
  readonly signal: AbortSignal
  readonly onBytes: (bytes: number) => void
}

/** Fetches a file chunk by chunk, and goes on where an earlier attempt has stopped. */
async function fetchFile(
  { contentId: id, path: name, size, chunks }: ManifestFile,
  { path, source, signal, onBytes }: Fetching,
): Promise<void> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  try {
    const first = await soundChunks(handle, size, chunks)
    onBytes(Math.min(first * CHUNK_BYTES, size))
    for (let index = first; index < chunks.length; index++) {
      signal.throwIfAborted()
      const offset = index * CHUNK_BYTES
      const length = Math.min(CHUNK_BYTES, size - offset)
      const bytes = await source.bytes(id, { offset, length }, signal)
      if (digestOf(bytes) !== chunks[index])
        throw new SlipwayError('SLW_STORE_CORRUPT', `chunk ${index} of ${name} has other bytes than its digest says (content ${id})`)
      // A disk that is nearly full takes a part of the bytes, and fails at the next write.
      for (let written = 0; written < length;)
        written += (await handle.write(bytes, written, length - written, offset + written)).bytesWritten
      await faultPoint('store.chunk')
      onBytes(length)
    }
    await handle.truncate(size)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Number of chunks from the beginning that are present and correct. */
async function soundChunks(handle: FileHandle, size: number, chunks: readonly string[]): Promise<number> {
  const present = (await handle.stat()).size
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, present))
  for (const [index, digest] of chunks.entries()) {
    const offset = index * CHUNK_BYTES
    const length = Math.min(CHUNK_BYTES, size - offset)
    if (present < offset + length) return index
    const { bytesRead } = await handle.read(buffer, 0, length, offset)
    if (bytesRead !== length || digestOf(buffer.subarray(0, length)) !== digest) return index
  }
  return chunks.length
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Syncs the folders of all files, so that the names are durable. */
async function syncFolders(root: string, files: readonly ManifestFile[]): Promise<void> {
  const folders = new Set(files.flatMap(({ path }) => ancestorsOf(join(root, path), root)))
  for (const folder of folders) await syncFolder(folder)
}

function ancestorsOf(path: string, root: string): string[] {
  const folders: string[] = []
  for (let folder = dirname(path); folder.length >= root.length; folder = dirname(folder)) folders.push(folder)
  return folders
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(ignoreMissing)) !== undefined
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined
  throw error
}
