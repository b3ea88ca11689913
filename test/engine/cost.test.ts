import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { CostModel, fitCost, predictUs } from '../../src/engine/cost.ts'
import type { Cost } from '../../src/engine/cost.ts'

const costs = fc.record({ fixedUs: fc.integer({ min: 1, max: 100_000 }), perRowUs: fc.integer({ min: 0, max: 10_000 }) })
const probes = fc.oneof(fc.constant(undefined), costs)
/** Sizes of runs, at least two different ones. */
const sizes = fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 2, maxLength: 10 }).filter((rows) => new Set(rows).size > 1)

function observe(model: CostModel, truth: Cost, rows: readonly number[], times: number): void {
  for (let count = 0; count < times; count++) {
    const size = rows[count % rows.length]!
    model.observe(size, predictUs(truth, size))
  }
}

function assertClose(actual: Cost | undefined, truth: Cost, rows: readonly number[], relative: number): void {
  assert.ok(actual !== undefined)
  for (const size of rows) {
    const [predicted, wanted] = [predictUs(actual, size), predictUs(truth, size)]
    assert.ok(Math.abs(predicted - wanted) <= relative * wanted + 1, `${size} rows: predicted ${predicted} us, it takes ${wanted} us`)
  }
}

describe('the learned cost of a run', () => {
  it('is what the probe measured until a run has been seen, or unknown', () => {
    assert.equal(new CostModel(undefined).cost, undefined)
    assert.deepEqual(new CostModel({ fixedUs: 70, perRowUs: 3 }).cost, { fixedUs: 70, perRowUs: 3 })
    const model = new CostModel(undefined)
    model.observe(4, 200)
    assert.equal(predictUs(model.cost!, 4), 200)
  })

  it('becomes the line on which the runs lie, wherever the probe began', () =>
    fc.assert(
      fc.property(probes, costs, sizes, (probe, truth, rows) => {
        const model = new CostModel(probe)
        observe(model, truth, rows, 1000)
        assertClose(model.cost, truth, rows, 0.02)
      }),
    ))

  it('follows a change within some hundred runs, up and down', () =>
    fc.assert(
      fc.property(costs, costs, sizes, (before, after, rows) => {
        const model = new CostModel(before)
        observe(model, before, rows, 1000)
        observe(model, after, rows, 1000)
        assertClose(model.cost, after, rows, 0.02)
      }),
    ))

  it('tells no more of large runs than of the largest that was seen', () => {
    const model = new CostModel({ fixedUs: 100, perRowUs: 50 })
    assert.equal(model.atLeastUs(4), 300)
    assert.equal(model.atLeastUs(50_000), model.atLeastUs(16), 'the probe has seen 16 rows')
    assert.equal(model.atLeastUs(1_000_000, 20), 20 * model.atLeastUs(16)!, 'as in one run, so in twenty')
    for (let count = 0; count < 500; count++) model.observe(count % 2 === 0 ? 1 : 50_000, count % 2 === 0 ? 150 : 20_000)
    const large = model.atLeastUs(50_000)!
    assert.ok(large > 19_000 && large < 21_000, `${large} us`)
    assert.equal(new CostModel(undefined).atLeastUs(1), undefined)
  })

  it('moves half of the way within fifty runs', () => {
    const model = new CostModel({ fixedUs: 1000, perRowUs: 0 })
    observe(model, { fixedUs: 1000, perRowUs: 0 }, [1, 8], 500)
    observe(model, { fixedUs: 3000, perRowUs: 0 }, [1, 8], 50)
    for (const rows of [1, 8]) assert.ok(predictUs(model.cost!, rows) > 2000, JSON.stringify(model.cost))
  })

  it('is not thrown off by one run that waited for something else', () => {
    const model = new CostModel({ fixedUs: 100, perRowUs: 2 })
    model.observe(64, 277_000)
    const truth = 1407 * 228
    const queue = model.atLeastUs(90_000, 1407)!
    assert.ok(queue < 10 * truth, `90 000 rows take ${truth} us and are thought to take ${queue} us`)
  })

  it('learns what one run in five takes, however long that is', () => {
    const model = new CostModel({ fixedUs: 5000, perRowUs: 0 })
    for (let count = 0; count < 2000; count++) model.observe(1, count % 5 === 0 ? 2_000_000 : 5000)
    const learned = predictUs(model.cost!, 1)
    assert.ok(learned > 200_000 && learned < 600_000, `404 ms is the mean, learned were ${learned} us`)
  })

  it('keeps its slope through any number of runs of one size', () =>
    fc.assert(
      fc.property(costs, fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 3000 }), (truth, rows, times) => {
        const model = new CostModel(truth)
        observe(model, truth, [rows], times)
        assertClose(model.cost, truth, [1, rows, 64], 0.02)
      }),
    ))

  it('is never negative and never beyond number, whatever is seen', () => {
    const runs = fc.array(fc.record({ rows: fc.nat(1000), us: fc.double({ min: 0, max: 1e9, noNaN: true }) }), {
      minLength: 1,
      maxLength: 300,
    })
    fc.assert(
      fc.property(probes, runs, (probe, seen) => {
        const model = new CostModel(probe)
        for (const { rows, us } of seen) {
          model.observe(rows, us)
          const { fixedUs, perRowUs } = model.cost!
          assert.ok(fixedUs >= 0 && perRowUs >= 0 && Number.isFinite(fixedUs) && Number.isFinite(perRowUs), JSON.stringify(model.cost))
        }
      }),
    )
  })

  it('of two measured points has no negative part', () =>
    fc.assert(
      fc.property(fc.nat(10_000), fc.nat(10_000), fc.integer({ min: 2, max: 64 }), (one, many, rows) => {
        const { fixedUs, perRowUs } = fitCost({ rows: 1, us: one }, { rows, us: many })
        assert.ok(fixedUs >= 0 && perRowUs >= 0)
        if (many < one || many > one * rows) return
        assert.ok(Math.abs(predictUs({ fixedUs, perRowUs }, 1) - one) < 0.01)
        assert.ok(Math.abs(predictUs({ fixedUs, perRowUs }, rows) - many) < 0.01)
      }),
    ))
})
