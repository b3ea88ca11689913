import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { ROOT } from '../fixtures.ts'

export interface Run {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command line to its end, in a process of its own. */
export function slipway(args: readonly string[], input?: string): Promise<Run> {
  return new Promise((resolve) => {
    const child = execFile(join(ROOT, 'bin/slipway'), args, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    )
    child.stdin?.end(input ?? '')
  })
}
