import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { ROOT } from '../fixtures.ts'

export interface Run {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command line to its end, in a process of its own. */
export function slipway(args: readonly string[], input?: string, environment: Readonly<Record<string, string>> = {}): Promise<Run> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...environment } }
    const child = execFile(join(ROOT, 'bin/slipway'), args, options, (error, stdout, stderr) =>
      resolve({
        code: typeof error?.code === 'number' ? error.code : error?.signal === undefined || error.signal === null ? 0 : 137,
        stdout,
        stderr,
      }),
    )
    child.stdin?.end(input ?? '')
  })
}
