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

/** The folder that holds package.json: the repository, or the installed package. */
export function packageRoot(): string {
  return fileURLToPath(new URL('../../', import.meta.url))
}
