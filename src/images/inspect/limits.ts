import { SlipwayError } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'

/** What an image may make us do. */
export interface InspectLimits {
  readonly layers: number
  /** Files, folders and links of all layers, with the folders that their paths imply. */
  readonly entries: number
  /** Bytes of a path. Linux opens none that is longer. */
  readonly pathBytes: number
  /** Of all paths together. */
  readonly allPathsBytes: number
  /** Bytes of all layers, unpacked. */
  readonly unpackedBytes: number
  /** How many times larger than itself a layer may become, from 1 GiB on. */
  readonly growth: number
  /** Bytes of a file that is kept in memory because somebody wants to read it, and of all of them. */
  readonly keptFileBytes: number
  readonly keptBytes: number
}

/** Images of GPUs have 20 GB and 300,000 entries. */
export const INSPECT_LIMITS: InspectLimits = {
  layers: 512,
  entries: 2_000_000,
  pathBytes: 4096,
  allPathsBytes: 256 * 1024 ** 2,
  unpackedBytes: 128 * 1024 ** 3,
  growth: 250,
  keptFileBytes: 32 * 1024 ** 2,
  keptBytes: 512 * 1024 ** 2,
}

/** Below it a layer may grow as it likes: reading it takes seconds. */
const GROWTH_FROM_BYTES = 1024 ** 3

/** @throws SLW_LIMIT_EXCEEDED */
export function checkGrowth(unpacked: number, compressed: number, before: number, { unpackedBytes, growth }: InspectLimits): void {
  if (before + unpacked > unpackedBytes)
    throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the layers unpack to more than ${formatBytes(unpackedBytes)}`)
  if (unpacked > GROWTH_FROM_BYTES && unpacked > growth * compressed)
    throw new SlipwayError(
      'SLW_LIMIT_EXCEEDED',
      `${formatBytes(compressed)} unpack to more than ${formatBytes(unpacked)}, over ${growth} times as much: that is no layer, but a trap for who unpacks it`,
    )
}
