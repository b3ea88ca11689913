/** Programs for the tests that are built from Go modules: made once (minutes), and kept outside the tree. */
import { join } from 'node:path'
import { cacheFolder, obtain, runTool } from './python-env.ts'

export interface GoProgram {
  /** Of the binary, as `go install` calls it. */
  readonly name: string
  readonly version: string
  /** Path of the package. */
  readonly program: string
  /** What it is, for people. */
  readonly what: string
}

/** @returns the path of the binary */
export async function goProgram({ name, version, program, what }: GoProgram): Promise<string> {
  return await obtain(join(cacheFolder(), `${name}-${version}`), name, async (folder) => {
    await runTool('go', ['version']).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? new Error(`Go is needed to build ${what}, and there is no go on the PATH`) : error
    })
    await runTool('env', [`GOBIN=${folder}`, 'go', 'install', '-ldflags=-s -w', `${program}@v${version}`])
  })
}
