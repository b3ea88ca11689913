/** Folders for the files of one run, which go when the program ends, also on Ctrl-C. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
// First, because what ends a program's children runs before what removes their files.
import './children.ts'

const made = new Set<string>()

export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`))
  made.add(folder)
  return folder
}

process.on('exit', () => {
  // A child that was killed this moment may still have been writing.
  for (const folder of made) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
})
