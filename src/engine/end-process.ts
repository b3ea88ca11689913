import { existsSync } from 'node:fs'
import { threadsLeft } from './thread.ts'

const SHELL = '/bin/sh'

/**
 * Ends the process with an exit code, whatever its threads do: `process.exit` waits for a run in a thread, which may never end. Another program
 * in its place ends all of them at once, and with the code.
 */
export function endProcess(code: number): never {
  if (threadsLeft() > 0) {
    // Where there is no such program the call aborts, and does not throw.
    if (existsSync(SHELL)) process.execve?.(SHELL, ['sh', '-c', `exit ${code}`], {})
    process.kill(process.pid, 'SIGKILL')
  }
  return process.exit(code)
}
