/**
 * An S3 server for the tests that is nobody's cloud: versitygw, built from its Go module. Made once (minutes) and kept outside
 * the tree.
 *
 *     server=$(scripts/node scripts/s3-server.ts)
 */
import { goProgram } from './go-program.ts'

const VERSION = '1.8.0'
const PROGRAM = 'github.com/versity/versitygw/cmd/versitygw'

/** @returns the path of the server's binary */
export async function s3Server(): Promise<string> {
  return await goProgram({ name: 'versitygw', version: VERSION, program: PROGRAM, what: 'the S3 server' })
}

if (import.meta.main) {
  try {
    console.log(await s3Server())
  } catch (error) {
    console.error(`s3-server: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
