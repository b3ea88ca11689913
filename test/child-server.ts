import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ROOT, until } from './fixtures.ts'

/** `slipway serve` as a process of its own. */
export interface ChildServer extends AsyncDisposable {
  readonly pid: number
  readonly url: string
  /** All that it wrote to standard output and error. */
  said(): string
  signal(signal: NodeJS.Signals): void
  /** The exit code, or the signal that ended it. */
  readonly exit: Promise<number | NodeJS.Signals | null>
}

export const ADMIN_TOKEN = 'a-token-for-tests-of-some-length'
export const ADMIN = { authorization: `Bearer ${ADMIN_TOKEN}` } as const

/**
 * Starts a server on a free port and waits until it serves; `await using` ends it.
 * @param environment over that of this process; undefined takes a variable away
 * @param program bin/slipway of another release, say
 * @param through words of a command that ends by becoming the one it is given: `['setpriv', '--reuid=65534']`
 */
export async function serveInChild(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
  through: readonly string[] = [],
  program = join(ROOT, 'bin/slipway'),
): Promise<ChildServer> {
  const [command, ...words] = [...through, process.execPath, program, 'serve', ...args, '--port', '0']
  const child = spawn(command, words, {
    env: { ...process.env, SLIPWAY_ADMIN_TOKEN: ADMIN_TOKEN, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const exit = new Promise<number | NodeJS.Signals | null>((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)))
  await until(() => said.includes('/predict') || child.exitCode !== null, `the server starts; it said: ${said}`, 60_000)
  const url = /(https?:\/\/[\w.:[\]]+:\d+)\/predict/.exec(said)?.[1]
  if (url === undefined) throw new Error(`the server did not start: ${said}`)
  return {
    pid: child.pid ?? 0,
    url,
    said: () => said,
    signal: (signal) => void child.kill(signal),
    exit,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exit
    },
  }
}
