import { stat } from 'node:fs/promises'
import { SlipwayError } from '../../core/errors.ts'
import { openLayout } from '../../images/layout/layout.ts'
import { findImage } from '../../images/inspect/find-image.ts'
import { parsePlatform } from '../../images/manifest.ts'
import type { BlobSource } from '../../images/oci.ts'
import type { FoundImage } from '../../images/inspect/find-image.ts'

/** An image that a command was given. */
export interface OpenImage extends AsyncDisposable {
  readonly source: BlobSource
  readonly image: FoundImage
  /** By which it was asked for. */
  readonly tag: string | undefined
  /** Path of the folder or archive that it lies in; undefined for one in a registry. */
  readonly path: string | undefined
}

export interface OpenOptions {
  readonly platform?: string
}

/**
 * Opens what a person calls an image: `FOLDER`, `FOLDER:TAG`, `x.tar`, `x.tar:TAG`, or a reference.
 * @throws SLW_NOT_FOUND, SLW_PATH_NOT_FOUND; SLW_STORE_CORRUPT, SLW_ANSWER_INVALID for what is no image
 */
export async function openImage(name: string, options: OpenOptions): Promise<OpenImage> {
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform)
  const local = await localPlace(name)
  if (local === undefined)
    throw new SlipwayError(
      'SLW_PATH_NOT_FOUND',
      `${name}: no such folder or archive of an image; give one, or FOLDER:TAG where several are in it`,
    )
  const layout = await openLayout(local.path)
  try {
    const image = await findImage(layout, await layout.resolve(local.tag), platform)
    return { source: layout, image, ...local, [Symbol.asyncDispose]: () => layout[Symbol.asyncDispose]() }
  } catch (error) {
    await layout[Symbol.asyncDispose]()
    throw error
  }
}

async function localPlace(name: string): Promise<{ readonly path: string; readonly tag: string | undefined } | undefined> {
  const isThere = (path: string): Promise<boolean> =>
    stat(path).then(
      () => true,
      () => false,
    )
  if (await isThere(name)) return { path: name, tag: undefined }
  const colon = name.lastIndexOf(':')
  const path = name.slice(0, Math.max(0, colon))
  return colon > 0 && (await isThere(path)) ? { path, tag: name.slice(colon + 1) } : undefined
}
