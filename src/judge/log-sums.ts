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
