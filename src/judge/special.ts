/** Functions of mathematics that the language does not have. */

/** Coefficients of Lanczos' approximation with g = 7 and nine terms (Godfrey 2001); the error is below 1e-14. */
const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
  -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
]

/** ln of the gamma function, for x > 0. */
export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x)
  const z = x - 1
  let sum = LANCZOS[0]!
  for (let index = 1; index < LANCZOS.length; index++) sum += LANCZOS[index]! / (z + index)
  const t = z + 7.5
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(sum)
}

/** ln of the beta function, for a, b > 0. */
export function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b)
}

/** The normal distribution function, by the series and the continued fraction of the error function (DLMF 7.6.1, 7.9.1). */
export function normalCdf(z: number): number {
  const x = Math.abs(z) / Math.SQRT2
  const tail = x > 3 ? erfcFraction(x) : 1 - erfSeries(x)
  return z > 0 ? 1 - tail / 2 : tail / 2
}

function erfSeries(x: number): number {
  let [term, sum] = [x, x]
  for (let n = 1; n < 200 && Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (-x * x) / n
    sum += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * sum
}

function erfcFraction(x: number): number {
  let value = 0
  for (let n = 60; n > 0; n--) value = n / 2 / (x + value)
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + value)
}

/** The z below which a normal value lies with probability p, by halving. */
export function normalQuantile(p: number): number {
  let [low, high] = [-40, 40]
  for (let halving = 0; halving < 80; halving++) {
    const middle = (low + high) / 2
    if (normalCdf(middle) < p) low = middle
    else high = middle
  }
  return (low + high) / 2
}
