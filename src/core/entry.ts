import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The URL of a module that runs as the entry of a worker thread or process. The one place that knows that sources are
 * `.ts` in the repository and `.js` in the published package, where Node does not strip types.
 * @param path from `src/`, without extension, e.g. `engine/worker-thread`
 */
export function entryUrl(path: string): URL {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  return new URL(`../${path}${extension}`, import.meta.url)
}

/**
 * The environment of a worker thread or process, which shares the compile cache of this one. Node reads the cache folder when a worker
 * starts, so that its first module comes from the cache too: half of the time to start a thread.
 */
export function workerEnvironment(): NodeJS.ProcessEnv {
  const folder = getCompileCacheDir()
  // The folder is the part of the cache for this release of Node.
  return folder === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(folder) }
}

/** The folder that holds package.json: the repository, or the installed package. */
export function packageRoot(): string {
  return fileURLToPath(new URL('../../', import.meta.url))
}
