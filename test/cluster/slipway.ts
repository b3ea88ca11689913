import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ROOT } from '../fixtures.ts'

export interface Ended {
  readonly code: number | NodeJS.Signals | null
  readonly out: string
  readonly error: string
}

/** Runs bin/slipway to its end. @param line told of each line of standard output, and what it was before that */
export async function slipway(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  line?: (text: string, kill: () => void) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, [join(ROOT, 'bin/slipway'), ...args], {
    env: { ...process.env, NO_COLOR: '1', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let error = ''
  child.stdout.on('data', (chunk: Buffer) => {
    for (const text of chunk.toString().split('\n').filter(Boolean)) line?.(text, () => child.kill('SIGKILL'))
    out += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => (error += chunk.toString()))
  const code = await new Promise<Ended['code']>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status, signal) => resolve(status ?? signal))
  })
  return { code, out, error }
}
