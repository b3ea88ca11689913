import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { link, mkdir, open, readdir, readFile, rename, rm, stat, statfs, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { CHUNK_BYTES, chunkCount, contentId, treeDigest } from '../core/content-digest.ts'
import { isSlipwayError, messageOf, SlipwayError } from '../core/errors.ts'
import { faultPoint } from '../core/fail-point.ts'
import { tryLock } from '../core/file-lock.ts'
import { formatBytes } from '../core/units.ts'
import { syncFolder, writeWhole } from '../core/write-whole.ts'
import type { FileHandle } from 'node:fs/promises'
import type { FollowedVariant, VersionManifest } from '../contract/followed-state.ts'

/** Where versions come from. Each answer is checked by the store. */
export interface VersionSource {
  manifest(versionId: string, signal: AbortSignal): Promise<VersionManifest>
  bytes(contentId: string, range: { offset: number; length: number }, signal: AbortSignal): Promise<Buffer>
}

/** A version that is here, and stays here until it is let go. */
export interface HeldVersion extends Disposable {
  /** Of the model package. */
  readonly folder: string
}

export type Wanted = Pick<FollowedVariant, 'versionId' | 'digest' | 'size' | 'model' | 'version'>

/** What is written down of the room that a version was given, bytes. */
interface Room {
  readonly size: number
}

type ManifestFile = VersionManifest['files'][number]

/** What versions may take together where nobody says otherwise, megabytes. */
export const STORE_MB = 20_480
/** What the system says of a disk, a quota or a file that takes no more. */
const FULL: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
/** How often it is looked whether another process has finished what we wait for. */
const LOOK_EVERY_MS = 200
/** How often whoever needs room looks whether another one has made its own: that takes as long as removing files does. */
const ROOM_LOOK_EVERY_MS = 20
/** What was begun and not gone on with for so long is not wanted any more. */
const PARTIAL_LIFE_MS = 7 * 24 * 3600 * 1000

/**
 * Versions on this machine, by the digest of their files: fetched chunk by chunk, each checked, and put in place whole. Several processes
 * may share one store: a version is fetched by one of them, and none is removed that another holds.
 *
 *     versions/DIGEST/         the files of a version
 *     versions/DIGEST.json     its list of files, so that what two versions have in common is fetched once
 *     partial/DIGEST/          what has come of a version so far
 *     partial/DIGEST.json      how much room it was given
 *     locks/room               exclusive for whoever makes room and takes it
 *     locks/DIGEST             shared by those who use it, exclusive for whoever fetches or removes it; used last when it was touched last
 */
export class LocalStore {
  readonly #folder: string
  readonly #bytesMax: number

  private constructor(folder: string, bytesMax: number) {
    this.#folder = folder
    this.#bytesMax = bytesMax
  }

  /** @param bytesMax what all versions may take together, those on their way included. @throws SLW_STORE_UNAVAILABLE where the folder cannot be made or written */
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

  /** Holds a version that is here already. */
  async hold(digest: string): Promise<HeldVersion | undefined> {
    const lock = tryLock(this.#lockPath(digest), 'shared')
    if (lock === undefined) return undefined
    const folder = join(this.#folder, 'versions', digest)
    try {
      await stat(folder)
      // Finer than a millisecond, in which much may be used.
      const now = (performance.timeOrigin + performance.now()) / 1000
      await utimes(this.#lockPath(digest), now, now)
      return { folder, [Symbol.dispose]: () => lock[Symbol.dispose]() }
    } catch {
      lock[Symbol.dispose]()
      return undefined
    }
  }

  /**
   * Holds a version, which is fetched where it is not here.
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
      const held = await this.hold(wanted.digest)
      if (held !== undefined) return held
      const lock = tryLock(this.#lockPath(wanted.digest), 'exclusive')
      if (lock === undefined) {
        await pause(LOOK_EVERY_MS, undefined, { signal }).catch(() => {})
        continue
      }
      try {
        await this.#bring(wanted, source, { signal, onProgress })
      } catch (error) {
        if (isSlipwayError(error)) throw error
        // What has come so far is of no use, and in the way of everybody.
        if (FULL.has((error as NodeJS.ErrnoException).code)) await this.#forget(wanted.digest)
        throw new SlipwayError(
          'SLW_STORE_UNAVAILABLE',
          `the local store ${this.#folder} cannot take ${wanted.model}/${wanted.version}: ${messageOf(error)}`,
          {
            cause: error,
          },
        )
      } finally {
        lock[Symbol.dispose]()
      }
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
      if (await linked(known.get(file.contentId), path, file.size)) onBytes(file.size)
      else await fetchFile(file, { path, source, signal: progress.signal, onBytes })
      await faultPoint('store.file')
    }
    await syncFolders(partial, manifest.files)
    await writeWhole(join(this.#folder, 'versions', `${wanted.digest}.json`), JSON.stringify(manifest))
    await rename(partial, place)
    await syncFolder(dirname(place))
    await faultPoint('store.placed')
    await rm(`${partial}.json`, { force: true })
  }

  /** Makes room and takes it, as the only one of all that share the store. @throws SLW_STORE_UNAVAILABLE where there is none */
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
   * Removes what nobody holds until there is room, in the store and on its disk: first what was begun and given up, then what has been used
   * least lately.
   * @throws SLW_STORE_UNAVAILABLE where there is none
   */
  async #makeRoom({ digest, size, model, version }: Wanted, files: readonly ManifestFile[]): Promise<void> {
    // In this order: what gets in place meanwhile is found by both, and by none the other way round.
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

  /** What of a version is neither here under another one nor has come before. */
  async #bytesToCome(digest: string, files: readonly ManifestFile[], here: ReadonlyMap<string, VersionManifest>): Promise<number> {
    const known = new Set([...here.values()].flatMap((manifest) => manifest.files.map(({ contentId: id }) => id)))
    let bytes = 0
    for (const { contentId: id, path, size } of files)
      if (!known.has(id))
        bytes += Math.max(0, size - ((await stat(join(this.#folder, 'partial', digest, path)).catch(ignoreMissing))?.size ?? 0))
    return bytes
  }

  /** What has been given room and is not in place: it is on its way, or was given up. */
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
        // It has just got in place, or was removed.
      }
    }
    return begun
  }

  /** @returns whether it is gone: not where somebody uses it */
  async #remove(digest: string): Promise<boolean> {
    const lock = tryLock(this.#lockPath(digest), 'exclusive')
    if (lock === undefined) return false
    try {
      const place = join(this.#folder, 'versions', digest)
      // Gone for others at once, however long it takes to delete the files.
      const leaving = join(this.#folder, 'partial', `${digest}.gone`)
      await rm(leaving, { recursive: true, force: true })
      await rename(place, leaving).catch(ignoreMissing)
      await rm(`${place}.json`, { force: true })
      await rm(leaving, { recursive: true, force: true })
      await this.#forget(digest)
      return true
    } finally {
      lock[Symbol.dispose]()
    }
  }

  /** What has come of a version so far, and its room. The lock is ours. */
  async #forget(digest: string): Promise<void> {
    const partial = join(this.#folder, 'partial', digest)
    await rm(partial, { recursive: true, force: true })
    await rm(`${partial}.json`, { force: true })
  }

  /** How large each is, and when it was used last. */
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
        // Another process is removing it.
      }
    }
    return manifests
  }

  /** Where the contents of versions that are here lie. */
  async #knownFiles(): Promise<Map<string, string>> {
    const known = new Map<string, string>()
    for (const [digest, { files }] of await this.#manifests())
      for (const { contentId: id, path } of files) known.set(id, join(this.#folder, 'versions', digest, path))
    return known
  }

  /** What processes that were killed have left, and nobody goes on with. */
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

/** `NAME.CHANCE.PID.partial` of a process that is still there is being written. */
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
  for (const { path, contentId: id, size: bytes, chunks } of files) {
    if (path.includes('\\') || path.includes('\0') || path.split('/').some((part) => part === '' || part === '.' || part === '..'))
      refuse(`names ${JSON.stringify(path)}, which lies in no folder of a model`)
    if (chunks.length !== chunkCount(bytes) || contentId(bytes, chunks) !== id)
      refuse(`has digests of chunks of ${path} that are not those of content ${id}`)
  }
}

/** The same file under another name; not where it is not there, or on a file system that cannot. */
async function linked(from: string | undefined, to: string, size: number): Promise<boolean> {
  if (from === undefined) return false
  try {
    if ((await stat(from)).size !== size) return false
    await rm(to, { force: true })
    await link(from, to)
    return true
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

/** Gets a file chunk by chunk, from where an earlier attempt has stopped. */
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
      // A disk that is nearly full takes some, and says so at the next bytes.
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

/** How many chunks from the beginning are there and right. */
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

/** Makes the names of all files last. */
async function syncFolders(root: string, files: readonly ManifestFile[]): Promise<void> {
  const folders = new Set(files.flatMap(({ path }) => ancestorsOf(join(root, path), root)))
  for (const folder of folders) await syncFolder(folder)
}

function ancestorsOf(path: string, root: string): string[] {
  const folders: string[] = []
  for (let folder = dirname(path); folder.length >= root.length; folder = dirname(folder)) folders.push(folder)
  return folders
}

/** Where the system does not say, as much as there is. */
async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder)
    return bavail * bsize
  } catch {
    return Infinity
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(ignoreMissing)) !== undefined
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined
  throw error
}
