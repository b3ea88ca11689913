import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { entryUrl, workerEnvironment } from '../core/entry.ts'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { openFrames } from './frames.ts'
import { residentBytes, threadsOf } from './memory.ts'
import { lowerPriorityOf } from './priority.ts'
import { RemoteInstance } from './remote-instance.ts'
import type { Duplex } from 'node:stream'
import type { Instance, InstanceEnd, InstanceSpec } from './instance.ts'
import type { FromInstance, ToInstance } from './messages.ts'

const MEMORY_CHECK_MS = 200

export interface ProcessOptions {
  readonly runTimeoutMs: number
  /** Resident memory beyond which the process is killed. */
  readonly memoryLimitMb: number | undefined
  /** Ends the process when it is aborted. */
  readonly signal?: AbortSignal | undefined
  /** Whether the process works at low priority. Default: false. */
  readonly background?: boolean | undefined
  /** Number of threads beyond which the process is killed. Default: only the limit of the system. */
  readonly threadLimit?: number
  /** Variables of the process. Default: those of this one. */
  readonly environment?: NodeJS.ProcessEnv | undefined
}

/** A program that holds an instance, and the encoding of messages over its descriptor 3. */
export interface Program {
  readonly command: string
  readonly args: readonly string[]
  readonly environment: NodeJS.ProcessEnv
  /** Working directory of the program. Default: that of this process. */
  readonly folder?: string
  /** An open file, which the program gets as descriptor 4. */
  readonly file?: number
  readonly frames: (
    pipe: Duplex,
    receive: (message: FromInstance) => void,
    onBroken: (error: unknown) => void,
  ) => (message: ToInstance) => void
}

/** Starts an instance in a child process and waits until its model is loaded. */
export async function openProcess(spec: InstanceSpec, options: ProcessOptions): Promise<Instance> {
  const args = [fileURLToPath(entryUrl('engine/worker-process'))]
  const environment = options.environment ?? workerEnvironment()
  return openProgram({ command: process.execPath, args, environment, frames: openFrames<FromInstance, ToInstance> }, spec, options)
}

/** @returns the process, whose events begin in the next turn, and what to wait for where it is not certain that there is one */
function startProgram({ command, args, environment, folder, file }: Program, { name }: InstanceSpec) {
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', ...(file === undefined ? [] : [file])],
    env: environment,
    cwd: folder,
  })
  const spawned = Promise.withResolvers<void>()
  child.once('error', (error) => spawned.reject(error))
  child.once('spawn', () => spawned.resolve())
  const there = spawned.promise.catch((error: unknown) => {
    throw new SlipwayError('SLW_LOAD_FAILED', `a process for ${name} cannot be started: ${messageOf(error)}`, { cause: error })
  })
  there.catch(() => {})
  // Without free descriptors, Node has opened no pipes and reports the error later.
  return { child, there: (child.stdio as unknown) === undefined ? there : undefined }
}

/** As {@link openProcess}, with a program that the caller gives. */
export async function openProgram(program: Program, spec: InstanceSpec, options: ProcessOptions): Promise<Instance> {
  const { signal } = options
  if (signal?.aborted === true) throw new SlipwayError('SLW_CLOSED', `${spec.name} was closed before it was loaded`)
  const { child, there } = startProgram(program, spec)
  if (there !== undefined) await there
  if (options.background === true && child.pid !== undefined) lowerPriorityOf(child.pid)
  const pipe = child.stdio[3] as Duplex
  let lastWords = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString('utf8')).slice(-2000)
  })
  let killedFor: InstanceEnd | undefined
  /** Memory at the beginning of the last run: one that takes most of what is allowed is to blame, and not those before it. */
  let atRun = 0
  const instance: RemoteInstance = new RemoteInstance(
    {
      kind: 'process',
      gentle: false,
      send(message) {
        if (message.type === 'run' && watch !== undefined) atRun = residentBytes(child.pid) ?? 0
        send(message)
      },
      kill: () => child.kill('SIGKILL'),
      memoryBytes: () => residentBytes(child.pid),
      closed: () => send({ type: 'exit' }),
    },
    spec,
    options.runTimeoutMs,
  )
  const send = program.frames(
    pipe,
    (message) => instance.receive(message),
    (error) => {
      killedFor ??= { reason: 'error', message: `it sent what cannot be read: ${messageOf(error)}` }
      instance.fail(killedFor)
      child.kill('SIGKILL')
    },
  )
  const stop = (): void => {
    killedFor ??= { reason: 'killed', message: 'it was closed' }
    instance.fail(killedFor)
    child.kill('SIGKILL')
  }
  signal?.addEventListener('abort', stop, { once: true })
  // A failed write to a child that has just died is reported by its exit.
  pipe.on('error', () => {})
  const watch = options.memoryLimitMb === undefined ? undefined : setInterval(() => checkMemory(), MEMORY_CHECK_MS)
  watch?.unref()
  const checkMemory = (): void => {
    const bytes = residentBytes(child.pid) ?? 0
    const threads = options.threadLimit === undefined ? 0 : (threadsOf(child.pid) ?? 0)
    const limit = (options.memoryLimitMb ?? Number.POSITIVE_INFINITY) * 1024 * 1024
    if (bytes > limit)
      killedFor = {
        reason: 'memory limit',
        byRun: bytes - atRun > limit / 2,
        message: `held ${Math.round(bytes / 1024 / 1024)} MB, the limit is ${options.memoryLimitMb} MB`,
      }
    else if (threads > (options.threadLimit ?? Number.POSITIVE_INFINITY))
      killedFor = { reason: 'killed', message: `had ${threads} threads, the limit is ${options.threadLimit}` }
    else return
    instance.fail(killedFor)
    child.kill('SIGKILL')
  }
  child.on('error', (error) => {
    // A process that was never started emits no exit event either.
    clearInterval(watch)
    instance.exited({ reason: 'error', message: error.message })
  })
  child.on('exit', (code, by) => {
    clearInterval(watch)
    signal?.removeEventListener('abort', stop)
    const said = lastWords.trim().split('\n').at(-1) ?? ''
    instance.exited(
      killedFor ?? {
        reason: by === null ? 'exited' : 'killed',
        message: `${by ?? `code ${code}`}${said === '' ? '' : `: ${said}`}`,
        ...(by !== null && { signal: by }),
      },
    )
  })
  try {
    await instance.load()
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  return instance
}
