import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** A child process that uses a database, by the lines that it says; `await using` ends it as the kernel would. */
export interface DatabaseChild extends AsyncDisposable {
  readonly pid: number
  /** The next line. @throws when it ended before, with what it had to say about that */
  line(): Promise<string>
  tell(line: string): void
  kill(signal: NodeJS.Signals): void
  /** Resolves when it has ended. */
  readonly exited: Promise<void>
}

/** Starts test/storage/database-child.ts. */
export function databaseChild(action: string, url: string, ...args: readonly string[]): DatabaseChild {
  return childWith({}, action, url, ...args)
}

/** The same with fail points. */
export function failingChild(failPoints: string, action: string, url: string, ...args: readonly string[]): DatabaseChild {
  return childWith({ SLIPWAY_FAIL_POINTS: failPoints }, action, url, ...args)
}

function childWith(environment: NodeJS.ProcessEnv, action: string, url: string, ...args: readonly string[]): DatabaseChild {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'database-child.ts'), action, url, ...args], {
    stdio: 'pipe',
    env: { ...process.env, ...environment },
  })
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text))
  child.stdin.on('error', () => {})
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  return {
    pid: child.pid!,
    exited,
    async line() {
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`${action} ended: ${complaint}`)
      return value
    },
    tell: (line) => void child.stdin.write(`${line}\n`),
    kill: (signal) => void child.kill(signal),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}
