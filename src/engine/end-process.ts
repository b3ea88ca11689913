import { threadsLeft } from './thread.ts'

/**
 * Ends the process with an exit code, whatever its threads do: `process.exit` waits for a run in a thread, which may never end. Another program
 * in its place ends all of them at once, and with the code.
 */
export function endProcess(code: number): never {
  if (threadsLeft() > 0) {
    try {
      process.execve?.('/bin/sh', ['sh', '-c', `exit ${code}`], {})
    } catch {
      // No shell, or no such call on this system.
    }
    process.kill(process.pid, 'SIGKILL')
  }
  return process.exit(code)
}
