import { readdirSync, readFileSync } from 'node:fs'
import { residentBytes } from '../../engine/memory.ts'

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** The parent of a process: field 4 of /proc/PID/stat (proc(5)); the name before it may itself hold spaces and brackets. */
function parentOf(pid: number): number | undefined {
  const text = read(`/proc/${pid}/stat`)
  return text === undefined ? undefined : Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1])
}

/** A process and all its descendants; without /proc the process alone. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>()
  let names: string[] = []
  try {
    names = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  } catch {
    // Not Linux.
  }
  for (const pid of names.map(Number)) {
    const parent = parentOf(pid)
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid])
  }
  const tree = [root]
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

/**
 * Bytes that a process and its descendants hold: Pss, in which a page that n processes share counts 1/n; resident memory
 * where the kernel has no smaps_rollup; undefined without /proc.
 */
export function treeMemoryBytes(root: number): number | undefined {
  let total: number | undefined
  for (const pid of processTree(root)) {
    const pssKib = /^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1]
    const bytes = pssKib === undefined ? residentBytes(pid) : Number(pssKib) * 1024
    if (bytes !== undefined) total = (total ?? 0) + bytes
  }
  return total
}
