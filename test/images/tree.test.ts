/** What an image holds, beside what umoci unpacks of it: random layers with whiteouts, opaque folders, links. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { isSlipwayError } from '../../src/core/errors.ts'
import { findImage } from '../../src/images/inspect/find-image.ts'
import { INSPECT_LIMITS } from '../../src/images/inspect/limits.ts'
import { readImage } from '../../src/images/inspect/read-image.ts'
import { eachFile, fileTree } from '../../src/images/inspect/tree.ts'
import { createLayoutFolder } from '../../src/images/layout/folder.ts'
import { tarReader } from '../../src/images/tar/reader.ts'
import { debianBinary } from '../../scripts/debian-package.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { makeImage, tarOf } from './make-image.ts'
import type { Folder } from '../../src/images/inspect/tree.ts'
import type { LayerEntry, Packing } from './make-image.ts'

const run = promisify(execFile)
const SEED = Number(process.env['SLIPWAY_SEED'] ?? 7)
const IMAGES = 30

describe('the files of an image', () => {
  it(`are those that umoci unpacks, for ${IMAGES} images of random layers (SLIPWAY_SEED=${SEED})`, { timeout: 90_000 }, async () => {
    const umoci = await debianBinary('umoci')
    await using folder = await temporaryFolder()
    const random = randomFrom(SEED)
    const layout = await createLayoutFolder(join(folder.path, 'layout'))
    for (let at = 0; at < IMAGES; at++) {
      const layers = randomLayers(random)
      const packing = (['gzip', 'zstd', 'none'] as const)[at % 3] as Packing
      const root = await makeImage(layout, `image-${at}`, { layers, packing })
      const { tree } = await readImage(layout, await findImage(layout, root))
      // The umoci of Debian knows no zstd: it gets the same archives otherwise packed.
      const name = packing === 'zstd' ? `image-${at}-gzip` : `image-${at}`
      if (packing === 'zstd') await makeImage(layout, name, { layers })
      const bundle = join(folder.path, `bundle-${at}`)
      await run(umoci, ['unpack', '--image', `${join(folder.path, 'layout')}:${name}`, bundle])
      const expected = await unpackedListing(join(bundle, 'rootfs'))
      assert.deepEqual(
        { at, ...listing(tree.root) },
        { at, ...expected },
        `${JSON.stringify(layers)}\n${diff(listing(tree.root), expected)}`,
      )
    }
  })
})

/** mulberry32, whose numbers are the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Layers that can be unpacked: entries that cannot follow those before them are left out. */
function randomLayers(random: () => number): LayerEntry[][] {
  const layers: LayerEntry[][] = []
  for (let layer = 0; layer < 4; layer++) {
    const entries: LayerEntry[] = []
    layers.push(entries)
    for (let count = 0; count < 12; count++) {
      entries.push(randomEntry(random))
      if (!canBe(layers)) entries.pop()
    }
  }
  return layers
}

function randomEntry(random: () => number): LayerEntry {
  const pick = <T>(...of: readonly T[]): T => of[Math.floor(random() * of.length)]!
  const name = (): string => pick('a', 'b', 'c', 'd')
  const path = (): string => Array.from({ length: pick(1, 2, 2, 3) }, name).join('/')
  const inFolder = (last: string): string => [...path().split('/').slice(1), last].join('/')
  const [uid, gid] = [pick(0, 0, 7), pick(0, 9)]
  const kind = random()
  if (kind < 0.4) return { path: path(), text: `${random()}`.slice(0, pick(0, 3, 9)), mode: pick(0o644, 0o755, 0o4755, 0o666), uid, gid }
  if (kind < 0.6) return { path: `${path()}/`, type: 'directory', mode: pick(0o755, 0o700, 0o1777), uid, gid }
  if (kind < 0.7) return { path: path(), type: 'symlink', target: pick('a', 'b/c', '../a', '/b', '/a/b', '.', '../../d'), uid, gid }
  if (kind < 0.8) return { path: path(), type: 'link', target: path(), uid, gid }
  if (kind < 0.95) return { path: inFolder(`.wh.${name()}`) }
  return { path: inFolder('.wh..wh..opq') }
}

function canBe(layers: readonly (readonly LayerEntry[])[]): boolean {
  const tree = fileTree(INSPECT_LIMITS, () => {})
  try {
    for (const [at, entries] of layers.entries()) {
      const reader = tarReader({ entry: (entry) => void tree.add(entry, at), bytes: () => {}, end: () => {} })
      reader.write(tarOf(entries))
    }
    return true
  } catch (error) {
    if (isSlipwayError(error)) return false
    throw error
  }
}

function listing(root: Folder): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  eachFile(root, (path, { type, size, sha256, target, mode, uid, gid }) => {
    found[path] = type === 'symlink' ? { type, target, uid, gid } : { type, size, sha256, mode, uid, gid }
  })
  const folders = (folder: Folder, before: string): void => {
    for (const [name, { folder: child }] of folder.children) {
      if (child === undefined) continue
      found[before + name] = { type: 'directory', mode: child.mode, uid: child.uid, gid: child.gid }
      folders(child, `${before}${name}/`)
    }
  }
  folders(root, '')
  return found
}

async function unpackedListing(root: string, below = ''): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {}
  for (const name of await readdir(join(root, below))) {
    const path = below + name
    const file = join(root, path)
    const { mode: all, uid, gid, size } = await lstat(file)
    const [mode, kind] = [all & 0o7777, all & 0o170000]
    if (kind === 0o120000) found[path] = { type: 'symlink', target: await readlink(file), uid, gid }
    else if (kind === 0o040000) {
      found[path] = { type: 'directory', mode, uid, gid }
      Object.assign(found, await unpackedListing(root, `${path}/`))
    } else
      found[path] = {
        type: 'file',
        size,
        sha256: createHash('sha256')
          .update(await readFile(file))
          .digest('hex'),
        mode,
        uid,
        gid,
      }
  }
  return found
}

/** The entries that differ, one a line. */
function diff(ours: Record<string, unknown>, theirs: Record<string, unknown>): string {
  const paths = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])]
  return paths
    .map((path) => [path, JSON.stringify(ours[path]), JSON.stringify(theirs[path])])
    .filter(([, our, their]) => our !== their)
    .map(([path, our, their]) => `${path}: ${our}, of umoci: ${their}`)
    .join('\n')
}
