import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { until } from '../fixtures.ts'

/** A program of somebody else, ended at the end of the block. */
export interface Child extends AsyncDisposable {
  /** What it wrote to both its outputs. */
  said(): string
}

/** Starts a program and waits until it is ready. It is ended with SIGKILL: nothing of what it holds outlives the test. */
export async function startChild(command: string, args: readonly string[], ready: () => boolean | Promise<boolean>): Promise<Child> {
  const process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const exit = once(process, 'close')
  let said = ''
  process.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  process.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const end = async (): Promise<void> => {
    process.kill('SIGKILL')
    await exit
  }
  try {
    await until(async () => {
      if (process.exitCode !== null) throw new Error(`${command} ended with ${process.exitCode}: ${said}`)
      return await ready()
    }, `${command} is ready`)
  } catch (error) {
    await end()
    throw error instanceof Error ? new Error(`${error.message}; it said: ${said}`) : error
  }
  return { said: () => said, [Symbol.asyncDispose]: end }
}

/** Whether somebody answers at a URL. */
export async function answers(url: string): Promise<boolean> {
  return await fetch(url).then(
    async (response) => {
      await response.arrayBuffer()
      return response.ok
    },
    () => false,
  )
}
