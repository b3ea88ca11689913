/** Against scikit-learn, scipy and numpy: values that were made by them, with the program beside them. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { measureOf } from '../../src/gates/metrics.ts'
import { bootstrap, clopperPearson, holm, mcnemar, quantile, tangoLow } from '../../src/gates/significance.ts'
import type { MetricName } from '../../src/contract/gates.ts'
import type { Scores } from '../../src/gates/sample.ts'

interface Classified {
  readonly classes: number
  readonly truth: number[]
  readonly predicted: number[]
  readonly probabilities: number[]
  readonly weights: number[]
  readonly plain: Record<string, number | number[]>
  readonly weighted: Record<string, number | number[]>
}

let reference: {
  readonly classification: Classified[]
  readonly regression: Omit<Classified, 'classes' | 'probabilities'>
  readonly mcnemar: [number, number, number, number, number][]
  readonly tango: [number, number, number, number][]
  readonly quantiles: [number, number][]
  readonly quantilesOf: number[]
  readonly bootstrap: { truth: number[]; candidate: number[]; champion: number[]; low: number; high: number }
}

before(async () => {
  reference = JSON.parse(await readFile(join(import.meta.dirname, 'reference/sklearn.json'), 'utf8'))
})

function near(found: number, expected: number, what: string, tolerance = 1e-9): void {
  assert.ok(Math.abs(found - expected) <= tolerance * Math.max(1, Math.abs(expected)), `${what}: ${found}, and ${expected} there`)
}

describe('metrics are those of scikit-learn', () => {
  it('of two, four and three classes, with and without weights', () => {
    for (const { classes: count, truth, predicted, probabilities, weights, plain, weighted } of reference.classification) {
      const classes = Array.from({ length: count }, (_, index) => `c${index}`)
      const scores: Scores = { predicted: Float64Array.from(predicted), probabilities: Float64Array.from(probabilities) }
      const sample = { classes, truth: Float64Array.from(truth) }
      for (const [expected, used] of [
        [plain, new Float64Array(truth.length).fill(1)],
        [weighted, Float64Array.from(weights)],
      ] as const)
        for (const [name, value] of Object.entries(expected)) {
          const metric = name.replace('PerClass', '') as MetricName
          if (Array.isArray(value))
            for (const [only, each] of value.entries())
              near(measureOf(metric, sample, scores, only)(used), each, `${metric} of class ${only} of ${count}`)
          else near(measureOf(metric, sample, scores)(used), value, `${metric} of ${count} classes`)
        }
    }
  })

  it('of numbers', () => {
    const { truth, predicted, weights, plain, weighted } = reference.regression
    const scores: Scores = { predicted: Float64Array.from(predicted), probabilities: undefined }
    const sample = { classes: undefined, truth: Float64Array.from(truth) }
    for (const [metric, value] of Object.entries(plain))
      near(measureOf(metric as MetricName, sample, scores)(new Float64Array(truth.length).fill(1)), value as number, metric)
    for (const [metric, value] of Object.entries(weighted))
      near(measureOf(metric as MetricName, sample, scores)(Float64Array.from(weights)), value as number, `${metric}, weighted`)
  })

  it('a ROC AUC of rows of one class is not defined', () => {
    const scores: Scores = { predicted: Float64Array.of(1, 1), probabilities: Float64Array.of(0.2, 0.8, 0.4, 0.6) }
    const measure = measureOf('rocAuc', { classes: ['a', 'b'], truth: Float64Array.of(1, 1) }, scores)
    assert.ok(Number.isNaN(measure(Float64Array.of(1, 1))))
  })
})

describe('tests are those of scipy', () => {
  it('McNemar, exact, with the interval of Clopper and Pearson', () => {
    for (const [b, c, p, low, high] of reference.mcnemar) {
      const rows = 2 * (b + c) + 10
      const found = mcnemar({ candidate: b, champion: c, rows, alpha: 0.05 })
      near(found.p, p, `p of ${b} and ${c}`, 1e-8)
      if (b + c === 0) continue
      const share = clopperPearson(b, b + c, 0.05)
      near(share.low, low, `low of ${b} and ${c}`, 1e-7)
      near(share.high, high, `high of ${b} and ${c}`, 1e-7)
      near(found.high, ((b + c) / rows) * (1 - 2 * low), `difference of ${b} and ${c}`, 1e-7)
      assert.ok(found.low <= ((b + c) / rows) * (1 - 2 * high) + 1e-9, 'the lower end is the more careful one')
      assert.equal(found.p <= 0.05 && b > c, found.high < 0, `p and the interval of ${b} and ${c} say the same`)
    }
  })

  it('the lower end of a paired difference is that of Tango, whose restricted likelihood scipy maximises', () => {
    for (const [better, worse, rows, low] of reference.tango)
      near(tangoLow({ better, worse, rows, alpha: 0.05 }), low, `${better} and ${worse} of ${rows}`, 1e-6)
  })

  it('quantiles as numpy', () => {
    const sorted = Float64Array.from(reference.quantilesOf).toSorted()
    for (const [p, value] of reference.quantiles) near(quantile(sorted, p), value, `quantile ${p}`, 1e-12)
  })

  it('the percentile interval of the paired bootstrap, as far as chance lets two seeds agree', () => {
    const { truth, candidate, champion, low, high } = reference.bootstrap
    const sample = { classes: undefined, truth: Float64Array.from(truth) }
    const mae = (predicted: number[]) => measureOf('mae', sample, { predicted: Float64Array.from(predicted), probabilities: undefined })
    const [own, other] = [mae(candidate), mae(champion)]
    const options = { rows: [...truth.keys()], weights: new Float64Array(truth.length).fill(1), draws: 10_000, seed: 1, alpha: 0.05 }
    const found = bootstrap(options, (weights) => other(weights) - own(weights))
    // The standard error of a 2.5 % quantile of 10 000 draws is about 3 % of the width of the interval.
    near(found.low, low, 'low', 0.05 * (high - low))
    near(found.high, high, 'high', 0.05 * (high - low))
    assert.deepEqual(
      bootstrap(options, (weights) => other(weights) - own(weights)),
      found,
      'the same seed, the same draws',
    )
  })

  it("Holm's correction, as R's p.adjust documents it", () => {
    assert.deepEqual(
      holm([0.01, 0.04, 0.03, 0.005]).map((p) => Number(p.toFixed(6))),
      [0.03, 0.06, 0.06, 0.02],
    )
    assert.deepEqual(holm([]), [])
  })
})
