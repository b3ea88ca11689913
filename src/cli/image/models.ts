import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { treeDigest } from '../../core/content-digest.ts'
import { SlipwayError } from '../../core/errors.ts'
import { RegistryClient } from '../control-plane/client.ts'
import { chosenContext } from '../control-plane/contexts.ts'
import { part } from '../control-plane/registry-command.ts'
import { downloadVersion } from '../model/download.ts'
import { contentIdOf, localVersion } from '../model/package-files.ts'
import type { VersionAnswer } from '../../contract/registry-api.ts'
import type { ImageModel } from '../../images/build/build.ts'
import type { ContextOptions } from '../control-plane/contexts.ts'

/** Names of the registry; a path that looks like one is written with ./ before it. */
const VERSION = /^([A-Za-z0-9][A-Za-z0-9._-]*)(?:@([A-Za-z0-9._-]+)|\/(\d+))$/

export interface ImageModelOptions {
  /** Where fetched files are put. */
  readonly folder: string
  /** Which control plane. */
  readonly context: ContextOptions
  /** Whether the image also has the server: one of the control plane that Slipway cannot serve is refused then. */
  readonly isServed: boolean
  /** Whether links of a folder may lead out of it. Default: they are refused. */
  readonly followLinks?: boolean | undefined
}

/** What the option says. */
export const FOLLOW_LINKS =
  'take also what links out of the folder of a model lead to, as in a cache made of links; default: they are refused'

/**
 * A model for an image: `MODEL@ALIAS` or `MODEL/NUMBER` of the control plane, whose files are fetched, or a path.
 * @throws SLW_NOT_FOUND, SLW_USAGE where the control plane has none of its files, SLW_MODEL_UNSUPPORTED
 */
export async function imageModel(name: string, { folder, context, isServed, followLinks }: ImageModelOptions): Promise<ImageModel> {
  const [, model, alias, number] = VERSION.exec(name) ?? []
  if (model === undefined) return await localModel(name, followLinks === true)
  const client = new RegistryClient(await chosenContext(context), undefined)
  const version =
    alias === undefined ? Number(number) : (await client.ask<{ version: number }>(`/models/${part(model)}/aliases/${part(alias)}`)).version
  const path = `/models/${part(model)}/versions/${version}`
  const { digest, location, servable, servableReason } = await client.ask<VersionAnswer>(path)
  if (digest === undefined)
    throw new SlipwayError(
      'SLW_USAGE',
      `the files of ${model}/${version} lie at ${location ?? 'another place'}; bring them into the registry first: slipway model fetch ${model}/${version}`,
    )
  if (isServed && servable === 'no')
    throw new SlipwayError('SLW_MODEL_UNSUPPORTED', `${model}/${version} cannot be served: ${servableReason ?? 'no reason is known'}`)
  const target = join(folder, model, String(version))
  await mkdir(target, { recursive: true })
  const files = await downloadVersion(client, path, target)
  return {
    name: model,
    version,
    digest,
    files: files.map(({ path: inside, size }) => ({ path: inside, file: join(target, inside), size })),
  }
}

async function localModel(path: string, followLinks: boolean): Promise<ImageModel> {
  const { name, files } = await localVersion(path, followLinks)
  const digested = await Promise.all(files.map(async (file) => ({ path: file.path, contentId: await contentIdOf(file) })))
  return { name, digest: treeDigest(digested), files }
}
