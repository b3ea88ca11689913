/** MLflow's own server, as it comes from PyPI, on a loopback port: what Slipway's answers are compared with. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pythonEnv } from '../../../scripts/python-env.ts'
import { freePort, until } from '../../fixtures.ts'
import { temporaryFolder } from '../../temporary-folder.ts'

/** It imports mlflow twice and makes its tables: some 10 s on two cores. */
const START_LIMIT_MS = 120_000
const LAST_WORDS = 4000

export interface TrackingServer extends AsyncDisposable {
  readonly uri: string
}

/** Starts `mlflow server` with SQLite and a folder of files, both gone at the end. */
export async function startReferenceServer(): Promise<TrackingServer> {
  await using stack = new AsyncDisposableStack()
  const python = await pythonEnv('mlflow-3')
  const folder = stack.use(await temporaryFolder())
  const port = await freePort()
  const options = {
    host: '127.0.0.1',
    port: String(port),
    workers: '1',
    'backend-store-uri': `sqlite:///${join(folder.path, 'store.sqlite')}`,
    'artifacts-destination': join(folder.path, 'files'),
  }
  const args = ['-m', 'mlflow', 'server', '--serve-artifacts', ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])]
  // A process group of its own, because what listens is a child of this process. Sets print in one order, because some messages hold them.
  const child = spawn(python, args, {
    cwd: folder.path,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      PYTHONHASHSEED: '0',
      MLFLOW_DISABLE_TELEMETRY: 'true',
      DO_NOT_TRACK: 'true',
      MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false',
    },
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (said = (said + String(chunk)).slice(-LAST_WORDS)))
  const ended = once(child, 'close')
  stack.defer(async () => {
    if (child.pid !== undefined) killGroup(child.pid)
    await ended
  })
  const uri = `http://127.0.0.1:${port}`
  await until(
    async () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`mlflow server ended: ${said}`)
      return await healthy(uri)
    },
    `mlflow server answers at ${uri}`,
    START_LIMIT_MS,
  )
  const owned = stack.move()
  return { uri, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

async function healthy(uri: string): Promise<boolean> {
  try {
    return (await fetch(`${uri}/health`)).ok
  } catch {
    return false
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
