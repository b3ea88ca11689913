/** Every process that the benchmark starts, so that none outlives it. */
import { spawn } from 'node:child_process'
import type { ChildProcess, SpawnOptions } from 'node:child_process'

/** How long a process may take to end when asked. */
const PATIENCE_MS = 5000

const running = new Set<number>()

/** Starts a process in a group of its own, which is ended as a whole: `uvicorn --workers` has children. */
export function start(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  const child = spawn(command, args, { ...options, detached: true })
  const { pid } = child
  if (pid !== undefined) {
    running.add(pid)
    child.once('exit', () => {
      signalGroup(pid, 'SIGKILL')
      running.delete(pid)
    })
  }
  return child
}

/** Runs a command to its end. @returns what it printed. @throws with what it complained of */
export async function run(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<string> {
  const child = start(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  let complaint = ''
  child.stdout?.on('data', (chunk: Buffer) => (printed += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-4000)))
  const end = await new Promise<number | string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  })
  if (end !== 0) throw new Error(`this ended with ${end}: ${[command, ...args].join(' ')}\n${complaint}${printed.slice(-4000)}`)
  return printed
}

/** Ends a process politely, then firmly, and waits for its end. */
export async function stop(child: ChildProcess): Promise<void> {
  const { pid } = child
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => signalGroup(pid, 'SIGKILL'), PATIENCE_MS)
  await ended
  clearTimeout(timer)
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // The whole group has ended.
  }
}

function killAll(): void {
  for (const pid of running) signalGroup(pid, 'SIGKILL')
}

process.on('exit', killAll)
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.on(signal, () => process.exit(code))
