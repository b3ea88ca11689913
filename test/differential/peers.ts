/** Other servers of the Open Inference Protocol, as they come from PyPI, with the same models. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pythonEnv } from '../../scripts/python-env.ts'
import { freePort } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ChildProcess } from 'node:child_process'

export interface Peer extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  /** Host and port of its gRPC service. */
  readonly grpc: string
}

/** ONNX files by name. */
export type Models = Readonly<Record<string, string>>

const START_MS = 120_000
const END_MS = 10_000

/** Triton with functions of Python around ONNX Runtime. @param rows of the batches that it forms; default: it forms none */
export async function startTriton(models: Models, rows = 0): Promise<Peer> {
  const python = await pythonEnv('triton')
  const [http, grpc, metrics] = [await freePort(), await freePort(), await freePort()]
  const named = Object.entries(models).map(([name, path]) => `${name}=${path}`)
  const script = join(import.meta.dirname, 'triton_server.py')
  const child = started(python, [script, ...[http, grpc, metrics, rows].map(String), ...named], {})
  return await peer(child, { http, grpc, models })
}

/** MLServer with a model class around ONNX Runtime. */
export async function startMlserver(models: Models): Promise<Peer> {
  const python = await pythonEnv('mlserver')
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await temporaryFolder())
  const [http, grpc, metrics] = [await freePort(), await freePort(), await freePort()]
  await folder.write(
    'settings.json',
    JSON.stringify({ host: '127.0.0.1', http_port: http, grpc_port: grpc, metrics_port: metrics, parallel_workers: 0, debug: false }),
  )
  for (const [name, uri] of Object.entries(models))
    await folder.write(
      `${name}/model-settings.json`,
      JSON.stringify({ name, implementation: 'onnx_model.OnnxModel', parameters: { uri, version: '1' } }),
    )
  const child = started(join(python, '../mlserver'), ['start', folder.path], { PYTHONPATH: join(import.meta.dirname, 'mlserver') })
  const running = opened.use(await peer(child, { http, grpc, models }))
  const held = opened.move()
  return { ...running, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

interface Started {
  readonly process: ChildProcess
  readonly said: () => string
}

function started(program: string, args: readonly string[], environment: Readonly<Record<string, string>>): Started {
  // In a group of its own, as it starts others.
  const child = spawn(program, args, { env: { ...process.env, ...environment }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  const hear = (text: Buffer): void => void (said = (said + text.toString('utf8')).slice(-4000))
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  return { process: child, said: () => said }
}

async function peer(child: Started, { http, grpc, models }: { http: number; grpc: number; models: Models }): Promise<Peer> {
  const url = `http://127.0.0.1:${http}`
  const peer: Peer = { url, pid: child.process.pid!, grpc: `127.0.0.1:${grpc}`, [Symbol.asyncDispose]: () => end(child.process) }
  const giveUpAt = performance.now() + START_MS
  for (const name of Object.keys(models)) {
    const ready = async (): Promise<boolean> => (await fetch(`${url}/v2/models/${name}/ready`)).ok
    while (!(await ready().catch(() => false))) {
      if (child.process.exitCode !== null || performance.now() > giveUpAt) {
        await end(child.process)
        throw new Error(`the other server does not serve ${name}: ${child.said()}`)
      }
      await delay(100)
    }
  }
  return peer
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  const tell = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid!, signal)
    } catch {
      // It has ended meanwhile.
    }
  }
  tell('SIGTERM')
  const late = setTimeout(() => tell('SIGKILL'), END_MS)
  await exited
  clearTimeout(late)
  tell('SIGKILL')
}
