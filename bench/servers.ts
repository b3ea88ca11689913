/** The servers that are compared, each on a free port of the loopback interface. */
import { cp, rm, symlink } from 'node:fs/promises'
import { request } from 'node:http'
import { delimiter, dirname, join } from 'node:path'
import { cacheFolder } from '../scripts/python-env.ts'
import { freePort } from '../test/fixtures.ts'
import { run, start, stop } from './children.ts'
import { MODELS } from './models.ts'
import { temporaryFolder } from './temporary.ts'
import type { ChildProcess } from 'node:child_process'
import type { ModelName } from './models.ts'

const ROOT = join(import.meta.dirname, '..')
const YARDSTICKS = join(import.meta.dirname, 'yardsticks')
const HOST = '127.0.0.1'
const START_TIMEOUT_MS = 120_000
const POLL_MS = 4

/** How a server is started. */
export interface Launch {
  readonly name: string
  readonly command: string
  readonly args: (port: number) => readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** How long the first answer may take. Default: 120000. */
  readonly startTimeoutMs?: number
}

export interface RunningServer extends AsyncDisposable {
  readonly name: string
  readonly pid: number
  /** `http://HOST:PORT` */
  readonly origin: string
  /** From the start of the process to the first 200 of an inference request. */
  readonly firstAnswerMs: number
  url(model: string): string
  stop(): Promise<void>
}

/** The bare floor of the yardsticks. */
export function floorServer(models: string): Launch {
  return {
    name: 'floor',
    command: process.execPath,
    args: () => [join(YARDSTICKS, 'floor.mjs'), 'worker'],
    env: { MODELS: models },
  }
}

/** The FastAPI server of the yardsticks. Its line per request is off: Slipway writes none either. */
export function fastapiServer(models: string, python: string): Launch {
  return {
    name: 'FastAPI',
    command: python,
    args: (port) => [
      join(import.meta.dirname, 'uvicorn_nodelay.py'),
      'fastapi_app:app',
      '--workers',
      '2',
      '--app-dir',
      YARDSTICKS,
      '--host',
      HOST,
      '--port',
      String(port),
      '--no-access-log',
      '--log-level',
      'warning',
    ],
    // Compiled Python is kept between starts, and out of the repository.
    env: { MODELS: models, PYTHONPYCACHEPREFIX: join(cacheFolder(), 'bench-pycache') },
  }
}

/** `slipway serve`, everything at its default but what `env` says. */
export function slipwayServer(
  packed: string,
  models: string,
  names: readonly ModelName[] = MODELS,
  env: Readonly<Record<string, string>> = {},
  name = 'Slipway',
): Launch {
  const sources = names.map((model) => `${model}=${join(models, `${model}.onnx`)}`)
  return slipwayServing(packed, sources, env, name)
}

/** `slipway serve` of anything. */
export function slipwayServing(
  packed: string,
  sources: readonly string[],
  env: Readonly<Record<string, string>> = {},
  name = 'Slipway',
): Launch {
  return {
    name,
    command: process.execPath,
    args: (port) => [join(packed, 'bin', 'slipway'), 'serve', ...sources, '--port', String(port)],
    env,
  }
}

/**
 * Slipway as users get it: `bin` and the compiled `dist`, without `src`, in a folder that borrows the dependencies of the
 * repository. From source: the repository itself.
 */
export async function packSlipway(fromSource: boolean): Promise<{ folder: string; remove: () => Promise<void> }> {
  if (fromSource) return { folder: ROOT, remove: () => Promise.resolve() }
  await run(process.execPath, [join(ROOT, 'scripts', 'build.ts')], { cwd: ROOT, env: toolEnvironment() })
  const folder = temporaryFolder('slipway-bench')
  for (const part of ['bin', 'dist', 'package.json']) await cp(join(ROOT, part), join(folder, part), { recursive: true })
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) }
}

/** Our Node first, so that tools with `#!/usr/bin/env node` get the same one. */
function toolEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` }
}

/** Starts a server and waits for its first answer to `body`. */
export async function launch(server: Launch, probe: { model: string; body: Buffer }): Promise<RunningServer> {
  const port = await freePort()
  const started = performance.now()
  const child = start(server.command, server.args(port), {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...environment(), ...server.env, PORT: String(port) },
  })
  let complaint = ''
  child.stderr?.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-4000)))
  const origin = `http://${HOST}:${port}`
  const url = (model: string): string => `${origin}/v2/models/${model}/infer`
  const { startTimeoutMs = START_TIMEOUT_MS } = server
  try {
    await firstAnswer(child, { url: url(probe.model), body: probe.body }, startTimeoutMs)
  } catch (error) {
    await stop(child)
    throw new Error(`${server.name} does not start: ${error instanceof Error ? error.message : String(error)}\n${complaint}`, {
      cause: error,
    })
  }
  const end = (): Promise<void> => stop(child)
  return {
    name: server.name,
    pid: child.pid ?? 0,
    origin,
    firstAnswerMs: performance.now() - started,
    url,
    stop: end,
    [Symbol.asyncDispose]: end,
  }
}

/** Settings of the caller's shell must not change what is measured. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(SLIPWAY_|NODE_OPTIONS$|MODEL_PATH$|HOST$)/.test(name)))
}

async function firstAnswer(child: ChildProcess, { url, body }: { url: string; body: Buffer }, timeoutMs: number): Promise<void> {
  let failure: Error | undefined
  child.once('error', (error) => (failure = error))
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline) {
    if (failure !== undefined) throw failure
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended with ${child.exitCode ?? child.signalCode}`)
    if ((await post(url, body)) === 200) return
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  throw new Error(`no answer within ${timeoutMs / 1000} s`)
}

/** The status of one request; undefined when nobody answers. */
function post(url: string, body: Buffer): Promise<number | undefined> {
  return new Promise((resolve) => {
    const sent = request(
      url,
      { method: 'POST', agent: false, headers: { 'content-type': 'application/json', 'content-length': body.length } },
      (response) => {
        response.resume()
        response.once('end', () => resolve(response.statusCode))
        response.once('error', () => resolve(undefined))
      },
    )
    sent.once('error', () => resolve(undefined))
    sent.end(body)
  })
}

/** Milliseconds from the start of `slipway --help` to its end. */
export async function timeHelp(packed: string): Promise<number> {
  const started = performance.now()
  await run(process.execPath, [join(packed, 'bin', 'slipway'), '--help'], { env: environment() })
  return performance.now() - started
}
