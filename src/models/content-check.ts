import { codeByName, runsCode } from './servable.ts'
import type { ScanCheck } from '../contract/inspection.ts'
import type { TreeFile } from '../files/file-trees.ts'

/** Kinds of files that could run code or contain files that do, by their first bytes; no file is unpacked or loaded here. */
const HEADS: readonly (readonly [starts: (head: Buffer) => boolean, what: string])[] = [
  [(head) => head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5, 'a pickle'],
  [(head) => head.subarray(0, 8).equals(Buffer.from('\x89HDF\r\n\x1a\n', 'latin1')), 'an HDF5 file, which can hold a Keras model'],
  [(head) => head.subarray(0, 4).equals(Buffer.from('PK\x03\x04', 'latin1')), 'a zip archive, which can hold pickles'],
  [(head) => head.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1')), 'a program'],
  [(head) => head.subarray(0, 2).equals(Buffer.from('MZ', 'latin1')), 'a program'],
]

const AT_ONCE = 8

/**
 * Finds files that would run code if they were loaded, by their first bytes and their names. A package with an ONNX model may have such
 * files beside it: they are kept, and no server loads them.
 */
export async function contentCheck(files: readonly TreeFile[], headOf: (file: TreeFile) => Promise<Buffer>): Promise<ScanCheck> {
  const found: string[] = []
  const left = [...files].values()
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const file of left) {
        const what = codeByName(file.path) ?? byHead(await headOf(file))
        if (what !== undefined) found.push(runsCode(file.path, what))
      }
    }),
  )
  if (found.length === 0) return { check: 'content', passed: true, detail: `${files.length} files, none of which runs code` }
  return { check: 'content', passed: false, detail: found.toSorted().join('; ') }
}

function byHead(head: Buffer): string | undefined {
  return HEADS.find(([starts]) => starts(head))?.[1]
}
