const FIRST_MS = 1000
const MAX_MS = 300_000

/**
 * How long to wait before the next attempt at something that has failed: 1 s, doubling to 5 min.
 * @param failures how often it had failed before, 0 the first time
 */
export function backoffMs(failures: number): number {
  return Math.min(MAX_MS, FIRST_MS * 2 ** failures)
}
