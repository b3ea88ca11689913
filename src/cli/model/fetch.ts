import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mayBeModel } from '../../model/formats/formats.ts'
import { freeBytes } from '../../core/disk-space.ts'
import { ERRORS, SlipwayError } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import { note, print } from '../output.ts'
import { clientOf, part, versionName } from '../control-plane/registry-command.ts'
import { farPlace } from './far-place.ts'
import { pushFiles } from './push.ts'
import type { VersionAnswer } from '../../contract/registry-api.ts'
import type { FarPlaceOptions } from './far-place.ts'
import type { KeptFacts, PushOptions } from './push.ts'

export interface FetchOptions extends PushOptions, FarPlaceOptions {}

/**
 * Copies the files of a version that lie on a bucket into the registry, as the next version of its model, which servers can take. This machine
 * reads the bucket, with its own credentials.
 */
export async function fetchVersion(name: string, options: FetchOptions): Promise<void> {
  const { model, version: number } = versionName(name)
  const client = await clientOf(options)
  const version = await client.ask<VersionAnswer>(`/models/${part(model)}/versions/${number}`)
  const { location } = version
  if (location === undefined)
    throw new SlipwayError(
      'SLW_USAGE',
      `the files of ${name} lie in the registry already; bring them here with: slipway model pull ${name} FOLDER`,
    )
  using tree = await farPlace(location, options)
  if (tree === undefined)
    throw new SlipwayError(
      'SLW_NOT_IMPLEMENTED',
      `the files of ${name} lie at ${location}, and this command reads s3:// only: bring them to a folder, then: slipway model push FOLDER --name ${model}`,
    )
  const files = await tree.files()
  if (files.length === 0) throw new SlipwayError('SLW_NOT_FOUND', `nothing lies at ${location}`)
  const sum = files.reduce((bytes, { size }) => bytes + size, 0)
  if (options.dryRun === true) {
    for (const { path, size } of files) print(`fetch  ${path}  ${formatBytes(size)}`)
    print(`register ${files.length} files, ${formatBytes(sum)}, as a version of ${model}`)
    return
  }
  await inFolder(sum, async (folder) => {
    for (const file of files) {
      await tree.download(file, folder)
      note(`  fetched ${file.path} (${formatBytes(file.size)})`)
    }
    const [only] = files
    const path = files.length === 1 && only !== undefined && mayBeModel(only.path) ? join(folder, only.path) : folder
    await pushFiles(path, { ...options, name: model, parent: name }, restOf(version))
  })
}

/** What the copy keeps of a version, beside its files. */
function restOf({ description, tags, metrics, provenance }: VersionAnswer): KeptFacts {
  const { runId, datasetVersion, codeCommit } = provenance
  return { description, tags, metrics, provenance: { runId, datasetVersion, codeCommit } }
}

/** Does something in a folder that is gone afterwards, also where people interrupt it. @throws SLW_STORE_UNAVAILABLE where there is no room */
async function inFolder(bytes: number, act: (folder: string) => Promise<void>): Promise<void> {
  const free = await freeBytes(tmpdir())
  if (free < bytes)
    throw new SlipwayError(
      'SLW_STORE_UNAVAILABLE',
      `${tmpdir()} has ${formatBytes(free)} free, and the files have ${formatBytes(bytes)}: set TMPDIR to a folder with room`,
    )
  const folder = await mkdtemp(join(tmpdir(), 'slipway-fetch-'))
  const interrupt = (): void => {
    rmSync(folder, { recursive: true, force: true })
    process.exit(ERRORS.SLW_CANCELLED.exit)
  }
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', interrupt)
  try {
    await act(folder)
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
    await rm(folder, { recursive: true, force: true })
  }
}
