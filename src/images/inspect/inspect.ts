import { compareImages } from './compare.ts'
import { platformText } from './find-image.ts'
import { isSecretName, warningsOf } from './warnings.ts'
import { duplicates, efficiency, largestFiles, largestFolders, wastedFiles } from './waste.ts'
import type { ImageConfig } from '../oci.ts'
import type { ChangedFile, Comparison } from './compare.ts'
import type { ReadImage } from './read-image.ts'
import type { ImageWarning } from './warnings.ts'
import type { Duplicate, Sizes, WastedFile } from './waste.ts'

/** A list that may be cut, and how long it is. */
export interface Shown<T> {
  readonly count: number
  /** The first of them. */
  readonly items: readonly T[]
}

export interface LayerReport {
  readonly digest: string
  /** Bytes in a registry. */
  readonly compressedBytes: number
  /** Bytes of the archive. */
  readonly unpackedBytes: number
  readonly fileBytes: number
  readonly entries: number
  readonly createdBy?: string
  /** Bytes of its files that later layers write over or take away. */
  readonly wastedBytes: number
  readonly largestFiles: readonly Sizes[]
  readonly largestFolders: readonly Sizes[]
}

/** What is in an image, and what it costs. Lists are the largest first. */
export interface ImageReport {
  readonly digest: string
  readonly platform: string
  readonly created?: string
  /** Bytes of all layers, the configuration and the manifest. */
  readonly compressedBytes: number
  readonly unpackedBytes: number
  readonly layers: readonly LayerReport[]
  /** 0 to 1. */
  readonly efficiency: number
  readonly wastedBytes: number
  readonly wasted: Shown<WastedFile>
  readonly duplicates: Shown<Duplicate>
  /** As in the image; values of variables that look like secrets are left out. */
  readonly config: NonNullable<ImageConfig['config']>
  readonly warnings: readonly ImageWarning[]
  readonly comparison?: Omit<Comparison, 'added' | 'changed' | 'removed'> & {
    readonly added: Shown<ChangedFile>
    readonly changed: Shown<ChangedFile>
    readonly removed: Shown<ChangedFile>
  }
}

export interface ReportOptions {
  /** Of the name by which the image was asked for. */
  readonly tag?: string | undefined
  /** What the image is compared with. */
  readonly other?: ReadImage | undefined
  /** Items of a list. Default 10. */
  readonly items?: number
}

export function imageReport(read: ReadImage, { tag, other, items = 10 }: ReportOptions = {}): ImageReport {
  const { descriptor, manifest, config, platform } = read.image
  const shown = <T>(all: readonly T[]): Shown<T> => ({ count: all.length, items: all.slice(0, items) })
  const sum = (of: (layer: (typeof layers)[number]) => number): number => layers.reduce((bytes, layer) => bytes + of(layer), 0)
  const layers = read.layers.map((layer): LayerReport => ({
    digest: layer.descriptor.digest,
    compressedBytes: layer.descriptor.size,
    unpackedBytes: layer.unpackedBytes,
    fileBytes: layer.fileBytes,
    entries: layer.entries,
    ...(layer.createdBy !== undefined && { createdBy: layer.createdBy }),
    wastedBytes: layer.wastedBytes,
    largestFiles: largestFiles(layer),
    largestFolders: largestFolders(layer),
  }))
  const comparison = other === undefined ? undefined : compareImages(read, other)
  const bySize = (files: readonly ChangedFile[]): Shown<ChangedFile> => shown(files.toSorted((a, b) => b.bytes - a.bytes))
  return {
    digest: descriptor.digest,
    platform: platformText(platform),
    ...(config.created !== undefined && { created: config.created }),
    compressedBytes: sum((layer) => layer.compressedBytes) + manifest.config.size + descriptor.size,
    unpackedBytes: sum((layer) => layer.unpackedBytes),
    layers,
    efficiency: efficiency(read),
    wastedBytes: sum((layer) => layer.wastedBytes),
    wasted: shown(wastedFiles(read)),
    duplicates: shown(duplicates(read)),
    config: withoutSecrets(config.config ?? {}),
    warnings: warningsOf(read, tag),
    ...(comparison !== undefined && {
      comparison: {
        ...comparison,
        added: bySize(comparison.added),
        changed: bySize(comparison.changed),
        removed: bySize(comparison.removed),
      },
    }),
  }
}

/** A report is read by more people than an image. */
function withoutSecrets(config: NonNullable<ImageConfig['config']>): NonNullable<ImageConfig['config']> {
  if (config.Env === undefined) return config
  const nameOf = (pair: string): string => pair.slice(0, Math.max(0, pair.indexOf('=')))
  return { ...config, Env: config.Env.map((pair) => (isSecretName(nameOf(pair)) ? `${nameOf(pair)}=(hidden)` : pair)) }
}
