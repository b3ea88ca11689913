/** ln(sum of exp), without overflow. -Infinity for nothing. */
export function logSumExp(logs: ArrayLike<number>): number {
  let most = Number.NEGATIVE_INFINITY
  for (let index = 0; index < logs.length; index++) most = Math.max(most, logs[index]!)
  if (!Number.isFinite(most)) return most
  let sum = 0
  for (let index = 0; index < logs.length; index++) sum += Math.exp(logs[index]! - most)
  return most + Math.log(sum)
}

/** ln(p a + (1 - p) b), of ln a and ln b. */
export function logMean(logA: number, logB: number, p = 0.5): number {
  return logSumExp([Math.log(p) + logA, Math.log(1 - p) + logB])
}

/**
 * ln of the mean of `count` e-values, of which these are known and all others are 1.
 * @throws RangeError for more than there are
 */
export function logMeanOf(logs: readonly number[], count: number): number {
  if (logs.length > count) throw new RangeError(`${logs.length} kinds were seen, ${count} were declared`)
  const others = count - logs.length
  return count === 0 ? 0 : logSumExp(others === 0 ? logs : [...logs, Math.log(others)]) - Math.log(count)
}
