import { eachFile } from './tree.ts'
import type { ReadImage } from './read-image.ts'
import type { Content } from './tree.ts'

/** What another image has and this one has not, and the other way round. */
export interface Comparison {
  /** Digest of the manifest of the other. */
  readonly with: string
  /** Layers that both have. */
  readonly sharedLayers: number
  readonly sharedBytes: number
  /** What who has the other fetches to have this one: layers that are new, the configuration and the manifest. */
  readonly pullBytes: number
  /** Paths of files and links that are new here, by name. */
  readonly added: readonly ChangedFile[]
  readonly changed: readonly ChangedFile[]
  readonly removed: readonly ChangedFile[]
}

export interface ChangedFile {
  readonly path: string
  /** Of the file here, or of the one that is gone. */
  readonly bytes: number
  /** What is another: `content`, `mode`, `owner`, `kind`, `target`. Empty for files that only one of the two has. */
  readonly what: readonly string[]
}

/** @param other what is there already, such as the image before this one */
export function compareImages(image: ReadImage, other: ReadImage): Comparison {
  const there = new Set(other.image.manifest.layers.map(({ digest }) => digest))
  const fresh = new Set(image.image.manifest.layers.filter(({ digest }) => !there.has(digest)))
  const shared = image.image.manifest.layers.filter((layer) => !fresh.has(layer))
  const { descriptor, manifest } = image.image
  const sum = (all: Iterable<{ readonly digest: string; readonly size: number }>): number =>
    [...new Map([...all].map(({ digest, size }) => [digest, size])).values()].reduce((bytes, size) => bytes + size, 0)
  const isSame = descriptor.digest === other.image.descriptor.digest
  const before = new Map<string, Content>()
  eachFile(other.tree.root, (path, content) => before.set(path, content))
  const [added, changed]: [ChangedFile[], ChangedFile[]] = [[], []]
  eachFile(image.tree.root, (path, content) => {
    const old = before.get(path)
    before.delete(path)
    if (old === undefined) added.push({ path, bytes: content.size, what: [] })
    else {
      const what = differences(old, content)
      if (what.length > 0) changed.push({ path, bytes: content.size, what })
    }
  })
  return {
    with: other.image.descriptor.digest,
    sharedLayers: shared.length,
    sharedBytes: sum(shared),
    pullBytes: isSame
      ? 0
      : sum([...fresh, ...(manifest.config.digest === other.image.manifest.config.digest ? [] : [manifest.config]), descriptor]),
    added,
    changed,
    removed: [...before].map(([path, { size }]) => ({ path, bytes: size, what: [] })),
  }
}

function differences(old: Content, now: Content): string[] {
  if (old.type !== now.type) return ['kind']
  const found = {
    content: old.sha256 !== now.sha256,
    target: old.target !== now.target,
    // Links have the mode that whoever wrote the archive thought of.
    mode: old.mode !== now.mode && now.type !== 'symlink',
    owner: old.uid !== now.uid || old.gid !== now.gid,
  }
  return Object.entries(found).flatMap(([name, differs]) => (differs ? [name] : []))
}
