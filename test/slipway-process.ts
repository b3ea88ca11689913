import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ROOT, until } from './fixtures.ts'

/** `slipway serve` in a process of its own; killed at the end of the block. */
export interface SlipwayProcess extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  /** The signal that ended it, or its exit code. */
  readonly end: Promise<NodeJS.Signals | number | null>
  /** All that it wrote so far. */
  said(): string
}

/** Starts it on a free port and waits until it serves. `environment` is all that it gets. */
export async function slipwayServe(args: readonly string[], environment: NodeJS.ProcessEnv = process.env): Promise<SlipwayProcess> {
  const child = spawn('sh', [join(ROOT, 'scripts/node'), join(ROOT, 'bin/slipway'), 'serve', ...args, '--port', '0'], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  let ended = false
  const keep = (chunk: Buffer): void => void (said += chunk.toString())
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const end = new Promise<NodeJS.Signals | number | null>((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)))
  void end.then(() => (ended = true))
  const close = async (): Promise<void> => {
    child.kill('SIGKILL')
    await end
  }
  const started = await until(() => said.includes('/predict') || ended, 'the server starts').then(
    () => !ended,
    () => false,
  )
  if (!started) {
    await close()
    throw new Error(`the server did not start; it said: ${said}`)
  }
  return {
    url: /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0] ?? '',
    pid: child.pid ?? 0,
    end,
    said: () => said,
    [Symbol.asyncDispose]: close,
  }
}
