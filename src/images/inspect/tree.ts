import { SlipwayError } from '../../core/errors.ts'
import type { FoundEntry } from '../tar/reader.ts'
import type { TarType } from '../tar/read-header.ts'
import type { InspectLimits } from './limits.ts'

/** What hard links share. */
export interface Content {
  readonly type: Exclude<TarType, 'link' | 'directory'>
  /** Bytes. */
  size: number
  /** SHA-256 of the bytes of a file, in hex. */
  sha256: string | undefined
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Where a symbolic link leads. */
  readonly target: string
  /** Names of extended attributes. */
  readonly attributes: readonly string[]
  /** Paths that lead to it now. */
  links: number
  /** Position of the layer that brought it, and its path there. */
  readonly layer: number
  readonly path: string
}

export interface Folder {
  readonly children: Map<string, TreeNode>
  mode: number
  uid: number
  gid: number
}

export interface TreeNode {
  /** Position of the layer that was the last to name it. */
  layer: number
  readonly folder?: Folder
  readonly content?: Content
}

/** Files that the layers of an image make. */
export interface FileTree {
  readonly root: Folder
  /** Puts an entry in its place. @returns its content, where bytes of it are to follow */
  add(entry: FoundEntry, layer: number): Content | undefined
}

/** Beginning of names that say that something of a layer below is gone (image-spec 1.1.1, layer.md, "Whiteouts"). */
const WHITEOUT = '.wh.'
/** All that layers below have in the folder is gone. */
const OPAQUE = '.wh..wh..opq'
/** Links that lead to links, as Linux follows them. */
const LINKS_MAX = 40
/** Folders in folders: no path of 4096 bytes has more. */
const DEPTH_MAX = 2048

/** @returns whether there is a folder, which has the mode and owner of the entry now */
function changedFolder(node: TreeNode | undefined, { mode, uid, gid }: FoundEntry, layer: number): boolean {
  if (node?.folder === undefined) return false
  Object.assign(node.folder, { mode, uid, gid })
  node.layer = layer
  return true
}

function changedRoot(root: Folder, { type, path, mode, uid, gid }: FoundEntry): undefined {
  if (type !== 'directory') throw corrupt(`${told(path)} is the root, and no folder`)
  Object.assign(root, { mode, uid, gid })
}

function checkTarget({ path, target }: FoundEntry, limits: InspectLimits): void {
  if (Buffer.byteLength(target) > limits.pathBytes)
    throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${told(path)} is a link to a path of more than ${limits.pathBytes} bytes`)
}

/**
 * An empty tree, to which the entries of layers are added from the lowest on, as a runtime would unpack them: paths go through symbolic
 * links within the image, files give way to folders and folders to files, and what a whiteout names is gone, but not what its own layer has.
 * @param onGone told of each content that no path leads to any more, and whether another one is at its path instead
 */
export function fileTree(limits: InspectLimits, onGone: OnGone): FileTree {
  const root: Folder = { children: new Map(), mode: 0o755, uid: 0, gid: 0 }
  let count = 0
  let left = limits.allPathsBytes
  const counted = (): void => {
    if (++count > limits.entries)
      throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the image has more than ${limits.entries} files, folders and links`)
  }
  const release = (node: TreeNode, isReplaced: boolean): void => released(node, isReplaced, onGone)
  /** Following links costs time: an image of a few bytes must not take hours. */
  const follow = (target: string): void => {
    left -= target.length
    if (left < 0)
      throw new SlipwayError('SLW_LIMIT_EXCEEDED', `links of the image lead through more than ${limits.allPathsBytes} bytes of paths`)
  }
  const takeAway = (names: readonly string[], name: string, layer: number): void => {
    const parent = descend(root, names, (here, each) => here.children.get(each), follow)
    // What is not there need not go.
    if (parent === undefined) return
    if (name === OPAQUE) {
      cleared({ layer, folder: parent }, layer, onGone)
      return
    }
    const hidden = name.slice(WHITEOUT.length)
    const node = parent.children.get(hidden)
    if (node !== undefined && cleared(node, layer, onGone)) parent.children.delete(hidden)
  }
  const put = (parent: Folder, name: string, node: TreeNode): void => {
    const old = parent.children.get(name)
    if (old !== undefined) release(old, true)
    parent.children.set(name, node)
  }
  /** The folder that a path leads to, which is made where nothing is. A layer has named what lies on the way to what it has. */
  const folderAt = (names: readonly string[], layer: number, path: string): Folder => {
    const found = descend(
      root,
      names,
      (here, name) => {
        let child = here.children.get(name)
        if (child === undefined) {
          counted()
          child = { layer, folder: { children: new Map(), mode: 0o755, uid: 0, gid: 0 } }
          here.children.set(name, child)
        }
        if (child.folder !== undefined) child.layer = layer
        return child
      },
      follow,
    )
    if (found === undefined) throw corrupt(`${told(path)} is below what is no folder`)
    return found
  }
  const namesIn = (path: string): string[] => {
    left -= path.length
    if (left < 0) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `the paths of the image have more than ${limits.allPathsBytes} bytes`)
    return namesOf(path, limits)
  }
  const linked = (entry: FoundEntry): Content => linkedContent(root, namesIn(entry.target), entry, follow)
  return {
    root,
    add(entry, layer) {
      counted()
      const names = namesIn(entry.path)
      const name = names.pop()
      if (name === undefined) return changedRoot(root, entry)
      if (name.startsWith(WHITEOUT)) {
        takeAway(names, name, layer)
        return undefined
      }
      const parent = folderAt(names, layer, entry.path)
      const { mode, uid, gid } = entry
      if (entry.type === 'directory') {
        // A folder that is there keeps what is in it.
        if (!changedFolder(parent.children.get(name), entry, layer))
          put(parent, name, { layer, folder: { children: new Map(), mode, uid, gid } })
        return undefined
      }
      if (entry.type === 'link') {
        // What lies there gives way first, so that nothing is a link to itself.
        const old = parent.children.get(name)
        parent.children.delete(name)
        const content = linked(entry)
        if (old !== undefined) release(old, true)
        content.links++
        put(parent, name, { layer, content })
        return undefined
      }
      const { type, size, target, attributes, path } = entry
      checkTarget(entry, limits)
      const content: Content = { type, size, sha256: undefined, mode, uid, gid, target, attributes, links: 1, layer, path: plainPath(path) }
      put(parent, name, { layer, content })
      return content
    },
  }
}

type OnGone = (content: Content, isReplaced: boolean) => void

function released(node: TreeNode, isReplaced: boolean, onGone: OnGone): void {
  if (node.content !== undefined && --node.content.links === 0) onGone(node.content, isReplaced)
  for (const child of node.folder?.children.values() ?? []) released(child, false, onGone)
}

/** Takes away what layers below have there. @returns whether nothing is left */
function cleared(node: TreeNode, layer: number, onGone: OnGone): boolean {
  for (const [name, child] of node.folder?.children ?? []) if (cleared(child, layer, onGone)) node.folder?.children.delete(name)
  if (node.layer === layer || (node.folder !== undefined && node.folder.children.size > 0)) return false
  released(node, false, onGone)
  return true
}

/** What a hard link leads to. */
function linkedContent(root: Folder, names: string[], { path, target }: FoundEntry, follow: (target: string) => void): Content {
  const name = names.pop()
  const parent = descend(root, names, (here, each) => here.children.get(each), follow)
  const found = name === undefined ? undefined : parent?.children.get(name)
  if (found?.content === undefined)
    throw corrupt(`${told(path)} is a hard link to ${told(target)}, ${found === undefined ? 'which is not there' : 'which is a folder'}`)
  return found.content
}

/**
 * Goes from folder to folder, through symbolic links, and never out of the root.
 * @param step what lies in a folder under a name
 * @returns undefined where something on the way is no folder. @throws SLW_STORE_CORRUPT where links lead on and on
 */
function descend(
  root: Folder,
  names: readonly string[],
  step: (here: Folder, name: string) => TreeNode | undefined,
  follow: (target: string) => void,
): Folder | undefined {
  const above: Folder[] = []
  const waiting = names.toReversed()
  let links = 0
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (name === '..') {
      above.pop()
      continue
    }
    const child = step(above.at(-1) ?? root, name)
    if (child?.content?.type === 'symlink') {
      const { target } = child.content
      if (++links > LINKS_MAX) throw corrupt(`${told(names.join('/'))} goes through more than ${LINKS_MAX} symbolic links`)
      follow(target)
      if (target.startsWith('/')) above.length = 0
      waiting.push(...target.split('/').filter(isName).toReversed())
    } else if (child?.folder === undefined) return undefined
    else if (above.push(child.folder) > DEPTH_MAX) throw corrupt(`${told(names.join('/'))} lies in more than ${DEPTH_MAX} folders`)
  }
  return above.at(-1) ?? root
}

const isName = (name: string): boolean => name !== '' && name !== '.'

/** The path that an entry has in its layer: without what leads to the root before it. */
function plainPath(path: string): string {
  return path.split('/').filter(isName).join('/')
}

function namesOf(path: string, { pathBytes }: InspectLimits): string[] {
  if (Buffer.byteLength(path) > pathBytes)
    throw new SlipwayError(
      'SLW_LIMIT_EXCEEDED',
      `a path of ${Buffer.byteLength(path)} bytes, which begins ${told(path)}; ${pathBytes} are possible`,
    )
  const names = path.split('/').filter(isName)
  if (names.includes('..')) throw corrupt(`${told(path)} leads out of the image`)
  if (path.includes('\0')) throw corrupt(`${told(path)} is no path`)
  return names
}

const told = (path: string): string => JSON.stringify(path.slice(0, 200))
const corrupt = (what: string): SlipwayError => new SlipwayError('SLW_STORE_CORRUPT', what)

/** Shows every file, link and device of a tree with its path, by names in each folder. */
export function eachFile(folder: Folder, visit: (path: string, content: Content) => void, path = ''): void {
  for (const [name, node] of [...folder.children].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (node.content !== undefined) visit(path + name, node.content)
    if (node.folder !== undefined) eachFile(node.folder, visit, `${path}${name}/`)
  }
}
