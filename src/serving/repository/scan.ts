import { fingerprintOf } from '../../model/fingerprint.ts'
import { messageOf } from '../../core/errors.ts'
import { findLayout } from '../../model/layout.ts'
import type { LayoutKind, SkippedEntry } from '../../model/layout.ts'
import type { ConfigVersions } from '../../model/triton/config.ts'
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
  /** See `PackageLocation`. */
  readonly versions?: ConfigVersions
  /** See `PackageLocation`. */
  readonly parts?: readonly string[]
}

/** What was found at a source. */
export interface Scanned {
  readonly kind: LayoutKind
  readonly versions: readonly FoundVersion[]
  readonly skipped: readonly SkippedEntry[]
}

/** All versions at a source. @param kind what the source was found to be at the start. @throws SLW_PATH_NOT_FOUND, SLW_MODEL_INVALID when there is none */
export async function scan(source: ModelSource, kind?: LayoutKind): Promise<Scanned> {
  const layout = await findLayout({ path: source.path, name: source.name, versions: 'all' }, kind)
  const versions: FoundVersion[] = []
  const skipped = [...layout.skipped]
  await Promise.all(
    layout.packages.map(async (location) => {
      try {
        versions.push({ ...location, source, fingerprint: await fingerprintOf(location.path) })
      } catch (error) {
        // It may be gone since, or half-written: the others are not to wait for it.
        skipped.push({ path: location.path, reason: messageOf(error) })
      }
    }),
  )
  const order = new Map(layout.packages.map(({ path }, index) => [path, index]))
  return { kind: layout.kind, versions: versions.toSorted((a, b) => order.get(a.path)! - order.get(b.path)!), skipped }
}
