import { fork } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { entryUrl, packageRoot } from '../../core/entry.ts'
import { SlipwayError } from '../../core/errors.ts'
import { aimAtPredict } from '../server/load-generator.ts'
import { exampleBody } from '../server/server-client.ts'
import { processTree, treeMemoryBytes } from './process-memory.ts'
import type { ChildProcess } from 'node:child_process'
import type { ErrorCode } from '../../core/errors.ts'
import type { StartServerOptions } from '../../server/start-server.ts'
import type { Aim, Shot } from '../server/load-generator.ts'
import type { Candidate } from './candidates.ts'

/** Facts of its model that a running trial server reports. */
export interface TrialFacts {
  readonly url: string
  readonly model: string
  readonly version: string
  /** The settings in effect after all defaults. */
  readonly serving: Candidate
  readonly batchable: boolean
  readonly batchingReason: string
}

/** Message of the child process. */
export type FromTrial =
  | ({ readonly type: 'ready' } & TrialFacts)
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly message: string }

/** A server in a process of its own, and a client for it. Disposing ends the process and its descendants at once. */
export interface Trial extends AsyncDisposable {
  readonly facts: TrialFacts
  readonly shoot: Shot
  memoryBytes(): number | undefined
}

export interface TrialOptions {
  readonly server: StartServerOptions
  /** JSON to send. Default: the example of the model. */
  readonly body: string | undefined
  /** Ends the process at once. */
  readonly signal: AbortSignal
}

/**
 * Starts a server for one candidate.
 * @throws the server's error at start; SLW_LOAD_FAILED where the server ends without one; the reason of the signal
 */
export async function openTrial({ server, body, signal }: TrialOptions): Promise<Trial> {
  const beginning = await asServeBegins()
  signal.throwIfAborted()
  const child = fork(fileURLToPath(entryUrl('cli/tune/trial-server')), [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], ...beginning })
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const end = (): void => endTree(child)
  signal.addEventListener('abort', end, { once: true })
  await using opened = new AsyncDisposableStack()
  opened.defer(async () => {
    signal.removeEventListener('abort', end)
    end()
    await exited
  })
  const facts = await started(child, server, signal)
  const aim: Aim = opened.use(
    aimAtPredict({ base: facts.url, model: facts.model, body: body ?? (await exampleBody(facts.url, facts.model)) }),
  )
  const held = opened.move()
  return {
    facts,
    shoot: aim.shoot,
    memoryBytes: () => (child.pid === undefined ? undefined : treeMemoryBytes(child.pid)),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** Flags and environment of `slipway serve`, as bin/slipway sets them: a server without them would behave differently. */
async function asServeBegins(): Promise<{ execArgv: string[]; env: NodeJS.ProcessEnv }> {
  const text = await readFile(join(packageRoot(), 'bin/serve-process.json'), 'utf8')
  const { flags, environment } = JSON.parse(text) as { flags: string[]; environment: Record<string, string> }
  const decided = process.platform !== 'linux' || Object.keys(environment).some((name) => process.env[name] !== undefined)
  return decided ? { execArgv: [], env: process.env } : { execArgv: flags, env: { ...process.env, ...environment } }
}

function started(child: ChildProcess, server: StartServerOptions, signal: AbortSignal): Promise<TrialFacts> {
  let lastWords = ''
  child.stderr?.on('data', (chunk: Buffer) => (lastWords = (lastWords + chunk.toString('utf8')).slice(-2000)))
  return new Promise((resolve, reject) => {
    child.once('message', (message: FromTrial) => {
      if (message.type === 'ready') resolve(message)
      else reject(new SlipwayError(message.code, message.message))
    })
    child.once('error', (error) => reject(new SlipwayError('SLW_LOAD_FAILED', `a trial server cannot be started: ${error.message}`)))
    child.once('exit', (code, how) => {
      reject(
        signal.aborted
          ? (signal.reason as Error)
          : new SlipwayError('SLW_LOAD_FAILED', `a trial server ended at its start with ${how ?? `code ${code}`}: ${lastWords.trim()}`),
      )
    })
    child.send(server)
  })
}

/** Kills the child and its descendants: they hold no state to be saved. */
function endTree(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  for (const pid of processTree(child.pid)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // The process has ended by itself.
    }
  }
}
