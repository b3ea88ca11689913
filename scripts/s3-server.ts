/**
 * An S3 server for the tests that is nobody's cloud: versitygw, built from its Go module. Made once (minutes) and kept outside
 * the tree.
 *
 *     server=$(scripts/node scripts/s3-server.ts)
 */
import { join } from 'node:path'
import { cacheFolder, obtain, runTool } from './python-env.ts'

const VERSION = '1.8.0'
const PROGRAM = 'github.com/versity/versitygw/cmd/versitygw'

/** @returns the path of the server's binary */
export async function s3Server(): Promise<string> {
  return await obtain(join(cacheFolder(), `versitygw-${VERSION}`), 'versitygw', async (folder) => {
    await runTool('go', ['version']).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? new Error('Go is needed to build the S3 server, and there is no go on the PATH') : error
    })
    await runTool('env', [`GOBIN=${folder}`, 'go', 'install', '-ldflags=-s -w', `${PROGRAM}@v${VERSION}`])
  })
}

if (import.meta.main) {
  try {
    console.log(await s3Server())
  } catch (error) {
    console.error(`s3-server: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
