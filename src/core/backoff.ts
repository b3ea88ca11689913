const FIRST_MS = 1000
const MAX_MS = 300_000

/**
 * Pause before the next attempt after a failure: 1 s, doubling to 5 min.
 * @param failures number of failures before, 0 the first time
 */
export function backoffMs(failures: number): number {
  return Math.min(MAX_MS, FIRST_MS * 2 ** failures)
}
