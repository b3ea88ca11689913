import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { openLayout } from '../../images/layout/layout.ts'
import { findImage } from '../../images/inspect/find-image.ts'
import { parsePlatform } from '../../images/manifest.ts'
import { openRegistry } from '../../images/registry/registry.ts'
import { asksImages, openNamed } from './registry-options.ts'
import type { Command } from 'commander'
import type { BlobSource, Platform } from '../../images/oci.ts'
import type { FoundImage } from '../../images/inspect/find-image.ts'
import type { ImageRegistryOptions } from './registry-options.ts'

/** An image that a command was given. */
export interface OpenImage extends AsyncDisposable {
  readonly source: BlobSource
  readonly image: FoundImage
  /** By which it was asked for. */
  readonly tag: string | undefined
  /** Path of the folder or archive that it lies in; undefined for one in a registry. */
  readonly path: string | undefined
  /** Without tag and digest. */
  readonly name: string
}

export interface OpenOptions extends ImageRegistryOptions {
  readonly platform?: string | undefined
  /** Whether the credentials of options and variables are for another registry. */
  readonly isForeign?: boolean
}

/** Adds what every command takes that looks into an image. */
export function looksInto(command: Command): Command {
  return asksImages(
    command
      .argument('<image>', 'FOLDER or ARCHIVE.tar, with :TAG where several are in it; or HOST/NAME:TAG in a registry')
      .option('--platform <os/architecture>', 'of an image for several, such as linux/arm64. Default: that of this machine'),
  )
}

/**
 * Opens what a person calls an image: `FOLDER`, `FOLDER:TAG`, `x.tar`, `x.tar:TAG`, or a reference.
 * @throws SLW_NOT_FOUND, SLW_PATH_NOT_FOUND; SLW_STORE_CORRUPT, SLW_ANSWER_INVALID for what is no image
 */
export async function openImage(name: string, options: OpenOptions): Promise<OpenImage> {
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform)
  const local = await localPlace(name)
  if (local === undefined) return await openFar(name, options, platform)
  const layout = await openLayout(local.path)
  try {
    const image = await findImage(layout, await layout.resolve(local.tag), platform)
    return {
      source: layout,
      image,
      ...local,
      name: basename(resolve(local.path)).replace(/\.tar$/, ''),
      [Symbol.asyncDispose]: () => layout[Symbol.asyncDispose](),
    }
  } catch (error) {
    await layout[Symbol.asyncDispose]()
    throw error
  }
}

/** An image of a registry. What looks like a path and is none is said to be one. */
async function openFar(name: string, options: OpenOptions, platform: Platform | undefined): Promise<OpenImage> {
  if (/^[./]|\.tar(:|$)/.test(name)) throw new SlipwayError('SLW_PATH_NOT_FOUND', `${name}: no such folder or archive of an image`)
  const registry =
    options.isForeign === true ? openRegistry(name, { plainHttp: options.plainHttp === true }) : await openNamed(name, options)
  const { tag, digest } = registry.reference
  const image = await findImage(registry, (await registry.resolve()).descriptor, platform)
  return {
    source: registry,
    image,
    tag: digest === undefined ? (tag ?? 'latest') : tag,
    path: undefined,
    name: `${registry.reference.host}/${registry.reference.repository}`,
    [Symbol.asyncDispose]: () => Promise.resolve(),
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
