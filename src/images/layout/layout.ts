import { stat } from 'node:fs/promises'
import { SlipwayError } from '../../core/errors.ts'
import { openLayoutFolder } from './folder.ts'
import { openLayoutTarball } from './tarball.ts'
import type { ImageSource, Index } from '../oci.ts'

/** An image on this machine. */
export interface Layout extends ImageSource, AsyncDisposable {
  /** What it lists. */
  index(): Promise<Index>
}

/**
 * A folder in the layout of OCI, a tar archive of one, or a tar archive of `docker save`.
 * @throws SLW_PATH_NOT_FOUND; SLW_STORE_CORRUPT
 */
export async function openLayout(path: string): Promise<Layout> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) throw new SlipwayError('SLW_PATH_NOT_FOUND', `${path}: no such file or folder`)
  if (found.isDirectory()) return { ...(await openLayoutFolder(path)), [Symbol.asyncDispose]: () => Promise.resolve() }
  return await openLayoutTarball(path)
}
