import { Worker } from 'node:worker_threads'

const LOOK_EVERY_MS = 500

/**
 * Ends this process when the one that started it has ended, also while a run holds its main thread, which then cannot see that the pipe is
 * closed: a thread of its own looks for that.
 */
export function endWithParent(): void {
  const look = `
    const { ppid } = process
    setInterval(() => {
      if (process.ppid !== ppid) process.kill(process.pid, 'SIGKILL')
    }, ${LOOK_EVERY_MS})`
  const resourceLimits = { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 }
  new Worker(look, { eval: true, name: 'parent', env: {}, resourceLimits }).unref()
}
