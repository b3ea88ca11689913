import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ROOT, until } from '../fixtures.ts'

/** `slipway up` as a process of its own, and its MLflow dialect. */
export interface ChildControlPlane extends AsyncDisposable {
  readonly pid: number
  readonly url: string
  said(): string
  signal(signal: NodeJS.Signals): void
  readonly exit: Promise<number | NodeJS.Signals | null>
  /** GET with a query, or another method with a JSON body. @returns status and body */
  call(method: string, path: string, fields?: Readonly<Record<string, unknown>>): Promise<{ status: number; body: Record<string, any> }>
  putFile(place: string, body: string | Uint8Array): Promise<number>
}

export async function upInChild(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
  program = join(ROOT, 'bin/slipway'),
): Promise<ChildControlPlane> {
  const child = spawn(process.execPath, [program, 'up', ...args, ...(args.includes('--port') ? [] : ['--port', '0'])], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const exit = new Promise<number | NodeJS.Signals | null>((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)))
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null
  await until(() => said.includes('MLFLOW_TRACKING_URI') || ended(), 'the control plane starts', 60_000)
  const url = /is up: .*?(http:\/\/[\w.:]+)/.exec(said)?.[1]
  if (url === undefined) throw new Error(`the control plane did not start (${child.signalCode ?? child.exitCode}): ${said}`)
  return {
    pid: child.pid ?? 0,
    url,
    said: () => said,
    signal: (signal) => void child.kill(signal),
    exit,
    async call(method, path, fields = {}) {
      const query = method === 'GET' ? `?${new URLSearchParams(fields as Record<string, string>).toString()}` : ''
      const response = await fetch(`${url}/api/2.0/mlflow/${path}${query}`, {
        method,
        headers: { 'content-type': 'application/json' },
        ...(method !== 'GET' && { body: JSON.stringify(fields) }),
      })
      return { status: response.status, body: (await response.json()) as Record<string, any> }
    },
    async putFile(place, body) {
      const response = await fetch(`${url}/api/2.0/mlflow-artifacts/artifacts/${place}`, { method: 'PUT', body: body as never })
      await response.arrayBuffer()
      return response.status
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exit
    },
  }
}
