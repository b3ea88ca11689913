/** ln(sum of exp), without overflow. -Infinity for nothing. */
export function logSumExp(logs: ArrayLike<number>): number {
  let most = Number.NEGATIVE_INFINITY
  for (let index = 0; index < logs.length; index++) most = Math.max(most, logs[index]!)
  if (!Number.isFinite(most)) return most
  let sum = 0
  for (let index = 0; index < logs.length; index++) sum += Math.exp(logs[index]! - most)
  return most + Math.log(sum)
}

/** ln of the mean of two, of ln of each. */
export function logMean(logA: number, logB: number): number {
  return logMeanOf([logA, logB], 2)
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
