import { fingerprintOf } from '../../model/fingerprint.ts'
import { findPackages } from '../../model/layout.ts'
import type { ServingOptions } from '../../contract/serving-options.ts'

/** A path that models are served from. */
export interface ModelSource {
  readonly path: string
  readonly name?: string | undefined
  readonly serving?: ServingOptions | undefined
}

/** A version of a model as found on disk. */
export interface FoundVersion {
  readonly name: string
  readonly version: string
  readonly path: string
  /** Changes with every change of its files. */
  readonly fingerprint: string
  readonly source: ModelSource
}

/** All versions at a source. @throws SLW_PATH_NOT_FOUND, SLW_MODEL_INVALID when there is none */
export async function scan(source: ModelSource): Promise<FoundVersion[]> {
  const found = await findPackages({ path: source.path, name: source.name, versions: 'all' })
  return Promise.all(found.map(async (location) => ({ ...location, source, fingerprint: await fingerprintOf(location.path) })))
}
