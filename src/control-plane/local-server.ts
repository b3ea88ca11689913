import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { backoffMs } from '../core/backoff.ts'
import { packageRoot } from '../core/entry.ts'
import { SlipwayError } from '../core/errors.ts'
import type { ChildProcess } from 'node:child_process'
import type { Logger } from '../core/log.ts'

export interface LocalServerOptions {
  /** URL of the control plane. */
  readonly controlPlane: string
  /** File with the server's key for the control plane; written anew at each start of the control plane. */
  readonly keyFile: string
  /** Folder of the server's local store. */
  readonly store: string
  readonly host: string
  readonly port: number
  /** Interpreter for models of Python; undefined: they are refused. */
  readonly sandboxPython: string | undefined
  /** File with the process id, so that the next control plane finds the server where this one is killed. */
  readonly pidFile: string
  readonly log: Logger
}

const STOP_LIMIT_MS = 30_000
/** Running time after which a server counts as recovered. */
const RECOVERED_AFTER_MS = 60_000

/** A server in a process of its own, started again whenever it ends. */
export class LocalServer implements AsyncDisposable {
  readonly #options: LocalServerOptions
  #child: ChildProcess | undefined
  #failures = 0
  #closing = false
  #retry: NodeJS.Timeout | undefined

  constructor(options: LocalServerOptions) {
    this.#options = options
  }

  /** Ends what an earlier control plane has left behind, and requires that the port is free. @throws SLW_PORT_IN_USE */
  async prepare(): Promise<void> {
    await endLeftOver(this.#options)
    const { host, port } = this.#options
    if (port !== 0) await requireFree(host, port)
  }

  /** Starts the server; a second call does nothing. */
  start(): void {
    if (this.#child === undefined && this.#retry === undefined && !this.#closing) this.#spawn()
  }

  #spawn(): void {
    const { controlPlane, keyFile, store, host, port, sandboxPython, pidFile, log } = this.#options
    const follows = ['--control-plane', controlPlane, '--control-plane-key', `file:${keyFile}`, '--store', store, '--server-name', 'local']
    const args = ['serve', ...follows, '--host', host, '--port', String(port), '--log-level', 'warn']
    if (sandboxPython !== undefined) args.push('--sandbox-python', sandboxPython)
    const child = spawn(process.execPath, [join(packageRoot(), 'bin', 'slipway'), ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
    this.#child = child
    const started = Date.now()
    if (child.pid !== undefined) writeFileSync(pidFile, String(child.pid))
    child.on('error', (error) => log.error({}, `the local server cannot be started: ${error.message}`))
    child.on('exit', (code, signal) => {
      this.#child = undefined
      rmSync(pidFile, { force: true })
      if (this.#closing) return
      if (Date.now() - started > RECOVERED_AFTER_MS) this.#failures = 0
      const delayMs = backoffMs(this.#failures++)
      log.error({ code, signal }, `the local server ended; it is started again in ${Math.round(delayMs / 1000)} s`)
      this.#retry = setTimeout(() => {
        this.#retry = undefined
        if (!this.#closing) this.#spawn()
      }, delayMs)
    })
  }

  get running(): boolean {
    return this.#child !== undefined
  }

  /** Ends the server after it has answered the accepted requests. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    clearTimeout(this.#retry)
    const child = this.#child
    if (child === undefined) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    const limit = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS)
    await ended
    clearTimeout(limit)
  }
}

/** @throws SLW_PORT_IN_USE */
async function requireFree(host: string, port: number): Promise<void> {
  const socket = createServer()
  try {
    await once(socket.listen(port, host), 'listening')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    const message = `port ${port} of ${host}, for the server of this control plane, is in use; choose another with --server-port, or --no-server`
    throw new SlipwayError('SLW_PORT_IN_USE', message, { cause: error })
  } finally {
    socket.close()
  }
}

/** Ends the server of a control plane that was killed, which still holds the port, as that control plane would have done. */
async function endLeftOver({ pidFile, store, log }: LocalServerOptions): Promise<void> {
  if (!existsSync(pidFile)) return
  const pid = Number(readFileSync(pidFile, 'utf8'))
  if (!servesFrom(pid, store)) return
  log.warn({ pid }, 'ending the server that an earlier control plane left behind')
  process.kill(pid, 'SIGTERM')
  for (const end = Date.now() + STOP_LIMIT_MS; servesFrom(pid, store) && Date.now() < end;) await pause(50)
  if (servesFrom(pid, store)) process.kill(pid, 'SIGKILL')
}

/** Whether a process is our server: process ids are reused, so only one that was started with this store counts. */
function servesFrom(pid: number, store: string): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 1) return false
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(store)
  } catch {
    return false
  }
}
