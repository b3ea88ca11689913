import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { apiAddress, DEFAULT_ENVIRONMENT } from '../../contract/api-address.ts'
import { SlipwayError } from '../../core/errors.ts'
import { tryLock } from '../../core/file-lock.ts'
import { shortDigest } from '../../core/short-digest.ts'

/** A folder for windows that is locked by this process until it is disposed of. */
export interface WindowFolder extends Disposable {
  readonly server: string
  readonly path: string
}

const LOOK_EVERY_MS = 100
/** Time to wait for a folder: a process that sends abandoned windows lets it go well within this time. */
const TAKE_MS = 20_000

/**
 * The folders in which the servers of a machine keep windows for one control plane:
 *
 *     windows/PLANE/SERVER/          windows of a server; PLANE is the digest of URL and environment
 *     locks/windows-PLANE-SERVER     held by the server as long as it runs, or by another one that sends its abandoned windows
 */
export class WindowFolders {
  readonly #store: string
  readonly #plane: string

  /** @param store folder of the local store */
  constructor(store: string, { url, environment }: { readonly url: string; readonly environment?: string | undefined }) {
    this.#store = store
    this.#plane = shortDigest(apiAddress({ url, environment: environment ?? DEFAULT_ENVIRONMENT }))
  }

  /**
   * The folder of a server.
   * @param waitMs time to wait for another process that has the folder
   * @throws SLW_CONFLICT where another process is the server of that name; errors of the file system; the reason of the signal
   */
  async take(server: string, signal: AbortSignal, waitMs: number = TAKE_MS): Promise<WindowFolder> {
    for (const end = performance.now() + waitMs; ;) {
      const folder = await this.tryTake(server)
      if (folder !== undefined) return folder
      if (performance.now() > end)
        throw new SlipwayError(
          'SLW_CONFLICT',
          `another server of this machine is called "${server}" and uses the store ${this.#store}: give one of them another name with --server-name, or another --store`,
        )
      await pause(LOOK_EVERY_MS, undefined, { signal })
    }
  }

  /** Names of the servers that have windows here, running or not. */
  async servers(): Promise<string[]> {
    return await this.#serversOf(this.#plane)
  }

  async #serversOf(plane: string): Promise<string[]> {
    const names = await readdir(join(this.#store, 'windows', plane)).catch(() => [])
    return names.map((name) => decodeURIComponent(name))
  }

  /** Removes folders of other control planes that are free and were last written before `beforeMs`, UTC epoch milliseconds. */
  async sweepOthers(beforeMs: number): Promise<void> {
    for (const plane of await readdir(join(this.#store, 'windows')))
      for (const server of plane === this.#plane ? [] : await this.#serversOf(plane)) {
        using folder = await this.#try(plane, server)
        if (folder !== undefined && (await stat(folder.path)).mtimeMs < beforeMs) await this.remove(folder)
      }
  }

  /** @returns undefined where the server runs, or another one has its folder */
  tryTake(server: string): Promise<WindowFolder | undefined> {
    return this.#try(this.#plane, server)
  }

  async #try(plane: string, server: string): Promise<WindowFolder | undefined> {
    const lock = tryLock(join(this.#store, 'locks', `windows-${plane}-${shortDigest(server)}`), 'exclusive')
    if (lock === undefined) return undefined
    const path = join(this.#store, 'windows', plane, encodeURIComponent(server))
    try {
      await mkdir(path, { recursive: true, mode: 0o700 })
    } catch (error) {
      lock[Symbol.dispose]()
      throw error
    }
    return { server, path, [Symbol.dispose]: () => lock[Symbol.dispose]() }
  }

  /** Removes a folder that is no longer needed. */
  async remove({ path }: WindowFolder): Promise<void> {
    await rm(path, { recursive: true, force: true })
  }
}
