import { randomBytes } from 'node:crypto'

/**
 * Makes ids that sort by time and cost no system call each: 8 hex digits of seconds, 8 random digits drawn once per
 * process, 8 digits of a counter.
 */
export function createIds(epochMs: () => number = Date.now): () => string {
  const boot = randomBytes(4).toString('hex')
  let counter = 0
  let second = -1
  let prefix = ''
  return () => {
    const now = Math.floor(epochMs() / 1000)
    if (now !== second) {
      second = now
      prefix = now.toString(16).padStart(8, '0') + boot
    }
    counter = (counter + 1) >>> 0
    return prefix + (counter + 0x1_0000_0000).toString(16).slice(1)
  }
}
