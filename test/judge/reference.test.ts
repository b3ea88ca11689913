/** Against scipy and confseq: values that were made by them, with the programs beside them. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { logBetter, logWorse } from '../../src/judge/event-share.ts'
import { proportionInterval } from '../../src/judge/proportion.ts'
import { bandWidth, logMixture, logQuantilesDiffer } from '../../src/judge/quantiles.ts'
import { oneLookP } from '../../src/judge/reports/fixed-horizon.ts'
import { logMismatch } from '../../src/judge/sample-ratio.ts'
import { logBeta, logGamma, normalCdf, normalQuantile } from '../../src/judge/special.ts'

type Rows = readonly (readonly number[])[]

async function reference(name: string): Promise<any> {
  return JSON.parse(await readFile(join(import.meta.dirname, 'reference', name), 'utf8'))
}

function near(found: number, expected: number, what: string, relative = 1e-9): void {
  assert.ok(Math.abs(found - expected) <= relative * Math.max(1, Math.abs(expected)), `${what}: ${found}, and ${expected} there`)
}

describe('values of scipy', () => {
  let scipy: Record<string, Rows>
  before(async () => {
    scipy = await reference('scipy.json')
  })

  it('of gamma, beta and normal functions', () => {
    for (const [x, expected] of scipy['logGamma'] as [number, number][]) near(logGamma(x), expected, `logGamma(${x})`, 1e-12)
    for (const [a, b, expected] of scipy['logBeta'] as [number, number, number][])
      near(logBeta(a, b), expected, `logBeta(${a}, ${b})`, 1e-11)
    for (const [z, expected] of scipy['normal'] as [number, number][])
      assert.ok(Math.abs(normalCdf(z) - expected) <= 1e-10 * expected + 1e-16, `normalCdf(${z}): ${normalCdf(z)}, ${expected}`)
    for (const [p, expected] of scipy['normalQuantile'] as [number, number][]) near(normalQuantile(p), expected, `normalQuantile(${p})`)
  })

  it('of mixtures of binomial likelihood ratios, which are the evidence of events under one share', () => {
    for (const [share, ratio, k, n, worse, better] of scipy['worse'] as [number, number, number, number, number, number][]) {
      near(logWorse([{ share, k, n }], ratio), worse, `worse than ${ratio} by ${k} of ${n} at ${share}`)
      near(logBetter([{ share, k, n }], ratio), better, `better than ${ratio} by ${k} of ${n} at ${share}`)
    }
  })

  it('of a Dirichlet-multinomial against a multinomial, which is the evidence of a sample ratio mismatch', () => {
    for (const [share, candidate, base, expected] of scipy['mismatch'] as [number, number, number, number][])
      near(logMismatch([{ share, candidate, base }]), expected, `${candidate} and ${base} at ${share}`, 1e-6)
  })

  it('of the test of two proportions', () => {
    for (const [a, n, b, m, expected] of scipy['twoProportion'] as [number, number, number, number, number][])
      near(oneLookP({ k: a, exposures: n }, { k: b, exposures: m }), expected, `${a} of ${n}, ${b} of ${m}`)
  })
})

describe('values of confseq', () => {
  let confseq: {
    readonly mixture: Rows
    readonly proportion: Rows
    readonly band: Rows
    readonly quantiles: readonly { q: number; p: number; a: number[]; b: number[] }[]
  }
  before(async () => {
    confseq = await reference('confseq.json')
  })

  it('of the beta-binomial mixture', () => {
    for (const [q, s, v, expected] of confseq.mixture as [number, number, number, number][])
      near(logMixture(s, v, q, 0.05), expected, `q ${q}, s ${s}, v ${v}`, 1e-8)
  })

  it('of the band that holds for all edges and times', () => {
    for (const [n, alpha, expected] of confseq.band as [number, number, number][]) {
      const width = bandWidth(n, alpha)
      if (expected >= 1) assert.equal(width, 1)
      else near(width, expected, `${n} observations at ${alpha}`, 1e-3)
    }
  })

  it('of the interval of a proportion', () => {
    for (const [k, n, low, high] of confseq.proportion as [number, number, number, number][]) {
      const found = proportionInterval(k, n, 0.05)
      near(found.low, low, `low of ${k} of ${n}`, 1e-6)
      near(found.high, high, `high of ${k} of ${n}`, 1e-6)
    }
  })

  it('of the comparison of quantiles, of data that has the values of the buckets', () => {
    const edges = [0, 1, 2, 3, 4, 5, 6, 7]
    for (const { q, p, a, b } of confseq.quantiles) {
      const found = Math.min(1, Math.exp(-logQuantilesDiffer({ edges, counts: a }, { edges, counts: b }, q)))
      assert.ok(Math.abs(Math.log(found) - Math.log(p)) < 1e-3, `q ${q}, ${a.join()} and ${b.join()}: ${found}, and ${p} there`)
    }
  })
})
