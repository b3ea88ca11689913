import { eachFile } from './tree.ts'
import type { ReadImage, ReadLayer } from './read-image.ts'
import type { Content } from './tree.ts'

/** A file that occurs in layers and not, or not in that form, in the image that they make. */
export interface WastedFile {
  /** In its layer. */
  readonly path: string
  /** Bytes that no path leads to. */
  readonly bytes: number
  /** In how many layers it is. */
  readonly copies: number
}

/** Several files with the same bytes. */
export interface Duplicate {
  readonly sha256: string
  /** Of one of them. */
  readonly bytes: number
  /** Those of all but one. */
  readonly sparedBytes: number
  readonly paths: readonly string[]
}

/** Files and folders of a layer with the most bytes in them. */
export interface Sizes {
  readonly path: string
  readonly bytes: number
}

const PATHS_SHOWN = 5
/** A folder is not named beside one in it that has nearly all of its bytes. */
const NEARLY_ALL = 0.9

/** What layers have and the image has not, the largest first. */
export function wastedFiles({ gone }: Pick<ReadImage, 'gone'>): WastedFile[] {
  const found = new Map<string, { path: string; bytes: number; copies: number }>()
  for (const { path, size, type } of gone) {
    if (type !== 'file' || size === 0) continue
    const known = found.get(path)
    if (known === undefined) found.set(path, { path, bytes: size, copies: 1 })
    else {
      known.bytes += size
      known.copies++
    }
  }
  return [...found.values()].toSorted((a, b) => b.bytes - a.bytes || (a.path < b.path ? -1 : 1))
}

/**
 * Bytes of files that are needed, as a share of those that are there: for each path the smallest of its contents by the sum of them, where
 * one that a layer takes away has 0 bytes. 1: no layer repeats another. This is what `dive` calls efficiency (dive/filetree/efficiency.go).
 */
export function efficiency({ layers, removed }: Pick<ReadImage, 'layers' | 'removed'>): number {
  const smallest = new Map<string, number>()
  let all = 0
  for (const { files } of layers)
    for (const { path, size } of files) {
      all += size
      smallest.set(path, Math.min(smallest.get(path) ?? size, size))
    }
  for (const path of removed) smallest.set(path, 0)
  let needed = 0
  for (const size of smallest.values()) needed += size
  return all === 0 ? 1 : needed / all
}

/** Files with the same bytes, by what one of them would spare. Hard links are one file. */
export function duplicates({ tree }: Pick<ReadImage, 'tree'>): Duplicate[] {
  const found = new Map<string, { bytes: number; paths: string[]; contents: Set<Content> }>()
  eachFile(tree.root, (path, content) => {
    const { sha256, size, type } = content
    if (type !== 'file' || sha256 === undefined || size === 0) return
    const known = found.get(sha256) ?? { bytes: size, paths: [], contents: new Set() }
    found.set(sha256, known)
    if (known.contents.has(content)) return
    known.contents.add(content)
    known.paths.push(path)
  })
  return [...found]
    .filter(([, { paths }]) => paths.length > 1)
    .map(([sha256, { bytes, paths }]) => ({ sha256, bytes, sparedBytes: bytes * (paths.length - 1), paths }))
    .toSorted((a, b) => b.sparedBytes - a.sparedBytes || (a.sha256 < b.sha256 ? -1 : 1))
}

/** The largest files of a layer. */
export function largestFiles({ files }: Pick<ReadLayer, 'files'>, count: number = PATHS_SHOWN): Sizes[] {
  return files
    .filter(({ size }) => size > 0)
    .toSorted((a, b) => b.size - a.size || (a.path < b.path ? -1 : 1))
    .slice(0, count)
    .map(({ path, size }) => ({ path, bytes: size }))
}

/** The largest folders of a layer; of those that hold one another and nearly the same, the innermost. */
export function largestFolders({ files }: Pick<ReadLayer, 'files'>, count: number = PATHS_SHOWN): Sizes[] {
  const bytes = new Map<string, number>()
  for (const { path, size } of files)
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const folder = path.slice(0, slash)
      bytes.set(folder, (bytes.get(folder) ?? 0) + size)
    }
  const largestChild = new Map<string, number>()
  for (const [folder, size] of bytes) {
    const above = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))
    largestChild.set(above, Math.max(largestChild.get(above) ?? 0, size))
  }
  return [...bytes]
    .filter(([folder, size]) => size > 0 && (largestChild.get(folder) ?? 0) < size * NEARLY_ALL)
    .toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
    .slice(0, count)
    .map(([path, size]) => ({ path, bytes: size }))
}
