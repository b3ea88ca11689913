import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { check } from '../../src/contract/schema.ts'
import { collapse, logDifferent, totalVariation } from '../../src/judge/distribution.ts'
import { expectations } from '../../src/judge/expected.ts'
import { eventsOf, likeliestRatio, logWorse, ratioInterval } from '../../src/judge/event-share.ts'
import { pairUp } from '../../src/judge/evidence.ts'
import { judge } from '../../src/judge/judge.ts'
import { coverage, logArriveDifferently } from '../../src/judge/labels.ts'
import { bet, differenceOfMeans, logMeanOver, logMeanUnder, mergeBets, noBets } from '../../src/judge/means.ts'
import { logBetterInPairs, logWorseInPairs } from '../../src/judge/pairs.ts'
import { quantileInterval } from '../../src/judge/quantiles.ts'
import { kayentaClass, kayentaScore } from '../../src/judge/reports/kayenta.ts'
import { logMsprt } from '../../src/judge/reports/msprt.ts'
import { sampleSize } from '../../src/judge/reports/fixed-horizon.ts'
import { assignedOf, logMismatch } from '../../src/judge/sample-ratio.ts'
import { JudgeOptions } from '../../src/contract/judge-options.ts'
import { resolveJudge, whyNoJudge } from '../../src/judge/spec.ts'
import { randomFrom } from '../soak/random.ts'
import type { Evidence } from '../../src/judge/evidence.ts'

interface Row {
  readonly base: readonly [k: number, exposures: number]
  readonly candidate: readonly [k: number, exposures: number]
  readonly share?: number | 'observed'
  readonly segment?: string
  readonly at?: number
  readonly metric?: string
}

function rowsOf(...rows: readonly Row[]): Evidence[] {
  return rows.flatMap(({ base, candidate, share = 0.1, segment = '1', at = 0, metric = 'errors' }) => {
    const row = { metric, interval: { fromMs: at * 10_000, untilMs: (at + 1) * 10_000 }, segment, share }
    return [
      { ...row, arm: 'base' as const, k: base[0], exposures: base[1] },
      { ...row, arm: 'candidate' as const, k: candidate[0], exposures: candidate[1] },
    ]
  })
}

/** Many windows with the same counts, so that they are seen not to come in bursts. */
function windows(count: number, row: Row): Evidence[] {
  return rowsOf(...Array.from({ length: count }, (_, at) => ({ ...row, at })))
}

const ERRORS = resolveJudge({ metrics: { errors: {} } })

describe('a judgement', () => {
  it('is a failure where the candidate goes wrong too often, and says so with the numbers', () => {
    const { verdict, metrics } = judge(ERRORS, windows(60, { base: [2, 900], candidate: [1, 100] }))
    assert.equal(verdict, 'fail')
    assert.equal(
      metrics[0]!.sentence(),
      'errors: 60 of 6000 (1.0 %) of the candidate, 120 of 54000 (0.22 %) of the base, 4.5 times as often (2.7 to 7.3): that it goes wrong more often is shown',
    )
    assert.ok(metrics[0]!.p < 1e-6)
  })

  it('is a pass where twice as often is ruled out, and where hardly anything goes wrong at all', () => {
    const same = judge(resolveJudge({ metrics: { errors: { cap: false } } }), windows(100, { base: [18, 900], candidate: [2, 100] }))
    assert.equal(same.verdict, 'pass')
    assert.match(same.metrics[0]!.sentence(), /2 times as often is ruled out$/)
    // Without any error a ratio says nothing; the cap does.
    const none = windows(50, { base: [0, 900], candidate: [0, 100] })
    assert.equal(judge(resolveJudge({ metrics: { errors: { cap: false } } }), none).verdict, 'inconclusive')
    assert.equal(judge(ERRORS, none).verdict, 'pass')
    assert.match(judge(ERRORS, none).metrics[0]!.sentence(), /or more than 1\.0 %, is ruled out/)
  })

  it('is none without requests of both arms, and inconclusive with a few', () => {
    assert.equal(judge(ERRORS, []).verdict, 'no data')
    assert.equal(judge(ERRORS, windows(9, { base: [10, 1000], candidate: [0, 0] })).verdict, 'no data')
    assert.match(judge(ERRORS, windows(9, { base: [10, 1000], candidate: [0, 0] })).metrics[0]!.sentence(), /the candidate had no requests/)
    const few = judge(ERRORS, windows(30, { base: [2, 900], candidate: [0, 3] }))
    assert.equal(few.verdict, 'inconclusive')
    assert.match(few.metrics[0]!.sentence(), /not shown either way/)
  })

  it('passes nothing before the least sample, however good it looks', () => {
    const rows = windows(40, { base: [20, 180], candidate: [0, 20], share: 0.1 })
    assert.equal(judge(resolveJudge({ minimumSample: 1000, metrics: { errors: {} } }), rows).verdict, 'inconclusive')
    assert.equal(judge(resolveJudge({ minimumSample: 100, metrics: { errors: {} } }), rows).verdict, 'pass')
  })

  it('goes by its guardrails: one fails them all, all have to pass, others are told of or shown', () => {
    const good = (metric: string) => windows(50, { base: [0, 900], candidate: [0, 100], metric })
    const bad = (metric: string) => windows(50, { base: [2, 900], candidate: [3, 100], metric })
    const of = (roles: Record<string, 'guardrail' | 'warn' | 'info'>, rows: readonly Evidence[]) =>
      judge(resolveJudge({ metrics: Object.fromEntries(Object.entries(roles).map(([name, role]) => [name, { role }])) }), rows)
    assert.equal(of({ a: 'guardrail', b: 'guardrail' }, [...good('a'), ...bad('b')]).verdict, 'fail')
    assert.equal(of({ a: 'guardrail', b: 'guardrail' }, [...good('a'), ...good('b')]).verdict, 'pass')
    assert.equal(of({ a: 'guardrail', b: 'guardrail' }, good('a')).verdict, 'no data')
    const warned = of({ a: 'guardrail', b: 'warn', c: 'info' }, [...good('a'), ...bad('b'), ...bad('c')])
    assert.equal(warned.verdict, 'pass')
    assert.deepEqual(
      warned.warnings.map(({ rule }) => rule.metric),
      ['b'],
    )
  })

  it('shares false alarms out among the guardrails, and false passes not', () => {
    const rules = resolveJudge({ falseAlarm: 0.06, falsePass: 0.04, metrics: { a: {}, b: {}, c: { role: 'warn' } } })
    assert.deepEqual(
      rules.metrics.map(({ alphaFail, alphaPass }) => [alphaFail, alphaPass]),
      [
        [0.03, 0.04],
        [0.03, 0.04],
        [0.06, 0.04],
      ],
    )
  })

  it('keeps what was shown, whatever comes after', () => {
    const first = judge(ERRORS, windows(60, { base: [2, 900], candidate: [1, 100] }))
    const later = judge(
      ERRORS,
      [...windows(60, { base: [2, 900], candidate: [1, 100] }), ...rowsOf({ base: [900, 900], candidate: [0, 100], at: 99 })],
      first.peaks,
    )
    assert.equal(later.verdict, 'fail')
    assert.ok(later.metrics[0]!.now.fail < later.metrics[0]!.peaks.fail)
  })

  it('takes bursts of one arm for what they are, once it can tell', () => {
    // A candidate of the same rate, whose failures come thirty at a time.
    const rows = rowsOf(
      ...Array.from(
        { length: 100 },
        (_, at) => ({ base: [at % 5 === 0 ? 45 : 0, 900], candidate: [at % 50 === 1 ? 30 : 0, 100], at }) satisfies Row,
      ),
    )
    const { metrics, verdict } = judge(ERRORS, rows)
    assert.equal(metrics[0]!.method, 'blocks')
    assert.ok(metrics[0]!.dispersion! > 3)
    assert.notEqual(verdict, 'fail')
    assert.match(metrics[0]!.sentence(), /they come in bursts/)
    const never = judge(resolveJudge({ metrics: { errors: { clusters: 'never' } } }), rows)
    assert.equal(never.metrics[0]!.method, 'events')
  })

  it('fails above a limit, however bad the base is', () => {
    const rows = windows(50, { base: [90, 900], candidate: [10, 100] })
    assert.notEqual(judge(ERRORS, rows).verdict, 'fail')
    assert.equal(judge(resolveJudge({ metrics: { errors: { limit: 0.05 } } }), rows).verdict, 'fail')
  })

  it('keeps limit, cap and horizon where blocks of time are compared', () => {
    const always = (options: object) => resolveJudge({ metrics: { errors: { clusters: 'always', ...options } } })
    const bursts = rowsOf(
      ...Array.from(
        { length: 60 },
        (_, at) => ({ base: [180 + 90 * (at % 2), 900], candidate: [20 + 10 * (at % 2), 100], at }) satisfies Row,
      ),
    )
    assert.equal(judge(always({}), bursts).metrics[0]!.method, 'blocks')
    assert.equal(judge(always({ limit: 0.05 }), bursts).verdict, 'fail')
    assert.equal(judge(always({ limit: 0.9 }), bursts).verdict === 'fail', false)
    const late = bursts.map((row) => ({ ...row, kInHorizon: row.arm === 'base' ? 1 : 3 }))
    assert.notEqual(judge(always({ cap: false }), late).verdict, 'pass')
  })

  it('takes what all servers have at a time for one incident', () => {
    // Equal arms; each of twenty-five servers has its failures in the same few intervals.
    let alarms = 0
    for (let run = 0; run < 60; run++) {
      const random = randomFrom(run)
      const rows: Row[] = []
      for (let at = 0; at < 60; at++) {
        const [base, candidate] = [random.next() < 0.05 ? 5 : 0, random.next() < 0.05 ? 5 : 0]
        for (let server = 0; server < 25; server++)
          rows.push({ base: [base, 100], candidate: [candidate, 100], share: 0.5, segment: String(server), at })
      }
      if (judge(ERRORS, rowsOf(...rows)).verdict === 'fail') alarms++
    }
    assert.ok(alarms <= 8, `${alarms} of 60`)
  })

  it('says what is left to wait for, which becomes less', () => {
    const rules = resolveJudge({ metrics: { errors: { cap: false, clusters: 'never' } } })
    const left = [4, 6, 8].map((count) =>
      judge(rules, windows(count, { base: [3, 900], candidate: [2, 300], share: 0.25 })).metrics[0]!.remaining()!,
    )
    assert.ok(left[0]! > left[1]! && left[1]! > left[2]! && left[2]! > 0, left.join())
  })
})

describe('evidence', () => {
  const shuffled = <T>(items: readonly T[], seed: number): T[] => {
    const random = randomFrom(seed)
    return items
      .map((item) => ({ item, at: random.next() }))
      .toSorted((a, b) => a.at - b.at)
      .map(({ item }) => item)
  }

  it('is the same in any order and split, and never NaN, whatever was counted', () => {
    const random = randomFrom(3)
    for (let round = 0; round < 300; round++) {
      const row = (): Row => {
        const [n, m] = [random.below(10 ** (1 + random.below(6))), random.below(10 ** (1 + random.below(6)))]
        return {
          base: [random.below(n + 1), n],
          candidate: [random.below(m + 1), m],
          share: random.pick([0, 1e-4, 0.05, 0.5, 0.99, 1, 'observed'] as const),
          at: random.below(5),
          segment: String(random.below(1e9)),
        }
      }
      const rows = rowsOf(...Array.from({ length: 1 + random.below(8) }, row))
      const rules = resolveJudge({ metrics: { errors: { tolerate: 0.5 + random.next(), ...(random.next() < 0.5 && { limit: 0.3 }) } } })
      const [one, other] = [judge(rules, rows), judge(rules, shuffled(rows, round))]
      for (const { metrics } of [one, other]) {
        const { now, p, ratio } = metrics[0]!
        const { low, high } = ratio()
        for (const value of [now.fail, now.pass, p, low, high]) assert.ok(!Number.isNaN(value), JSON.stringify(rows))
        assert.ok(low <= high)
        assert.ok(metrics[0]!.sentence().length > 0 && !metrics[0]!.sentence().includes('NaN'))
      }
      assert.deepEqual([one.verdict, one.metrics[0]!.now], [other.verdict, other.metrics[0]!.now])
    }
    // Halves of a row add up to it.
    const halves = rowsOf({ base: [3, 400], candidate: [1, 50] }, { base: [3, 500], candidate: [2, 50] })
    assert.deepEqual(pairUp(halves), pairUp(rowsOf({ base: [6, 900], candidate: [3, 100] })))
  })

  it('grows with each event of the candidate, and falls with each of the base', () => {
    for (const share of [0.01, 0.3, 0.5]) {
      let [before, after] = [logWorse([{ share, k: 0, n: 10 }], 1), 0]
      for (let k = 1; k <= 10; k++, before = after) assert.ok((after = logWorse([{ share, k, n: 10 }], 1)) > before)
      before = logWorse([{ share, k: 5, n: 5 }], 1)
      for (let n = 6; n <= 20; n++, before = after) assert.ok((after = logWorse([{ share, k: 5, n }], 1)) < before)
    }
  })

  it('of shares that were observed counts for each server apart', () => {
    const observed = rowsOf({ base: [9, 900], candidate: [1, 100], share: 'observed' })
    assert.equal(pairUp(observed)[0]!.share, 0.1)
  })

  it('that is none is refused by name', () => {
    for (const [row, says] of [
      [{ base: [-1, 10], candidate: [0, 10] }, /whole numbers from 0/],
      [{ base: [1.5, 10], candidate: [0, 10] }, /whole numbers/],
      [{ base: [1, 10], candidate: [0, 10], share: 1.5 }, /between 0 and 1/],
      [{ base: [1, Number.NaN], candidate: [0, 10] }, /whole numbers/],
    ] as const)
      assert.throws(() => judge(ERRORS, rowsOf(row)), { code: 'SLW_INPUT_INVALID', message: says })
    const [one, two] = rowsOf({ base: [1, 10], candidate: [1, 10] }) as [Evidence, Evidence]
    assert.throws(() => judge(ERRORS, [one, { ...two, share: 0.2 }]), /shares of their own/)
    assert.throws(() => judge(ERRORS, [{ ...one, kInHorizon: 5 }]), /within the horizon/)
  })

  it('has ratios that are not ruled out, around the likeliest', () => {
    const events = eventsOf(pairUp(rowsOf({ base: [180, 9000], candidate: [60, 1000] })))
    const { low, high } = ratioInterval(events, 0.05)
    const likeliest = likeliestRatio(events)!
    assert.ok(Math.abs(likeliest - 3) < 1e-6, String(likeliest))
    assert.ok(low > 1.8 && low < 3 && high > 3 && high < 5, `${low} to ${high}`)
    assert.deepEqual(ratioInterval([], 0.05), { low: 0, high: Number.POSITIVE_INFINITY })
  })
})

describe('what people set', () => {
  it('is checked, with what is wrong', () => {
    assert.ok('value' in check(JudgeOptions, { metrics: { errors: {} } }))
    assert.ok('issues' in check(JudgeOptions, { metrics: {} }))
    assert.ok('issues' in check(JudgeOptions, { falseAlarm: 0.7, metrics: { errors: {} } }))
    assert.ok('issues' in check(JudgeOptions, { metrics: { errors: { tolerat: 2 } } }))
    assert.match(whyNoJudge({ metrics: { errors: { tolerate: 2, ruleOut: 1.5 } } })!, /ruleOut must be more than tolerate, which is 2/)
    assert.equal(whyNoJudge({ metrics: { errors: { tolerate: 2 } } }), undefined)
  })

  it('says beforehand how long each outcome takes to be seen', () => {
    const [rule] = ERRORS.metrics
    const found = expectations(rule!, { share: 0.05, baseRate: 0.01, requestsPerSecond: 100 })
    assert.deepEqual(
      found.map(({ ratio, shown }) => [ratio, shown]),
      [
        [1.5, 'fail'],
        [2, 'fail'],
        [3, 'fail'],
        [5, 'fail'],
        [1, 'pass'],
      ],
    )
    const twice = found[1]!
    assert.ok(twice.requests! > 8_000 && twice.requests! < 20_000, String(twice.requests))
    assert.equal(twice.seconds, twice.requests! / 100)
    const requests = found.slice(0, 4).map((one) => one.requests!)
    assert.deepEqual(
      requests,
      requests.toSorted((a, b) => b - a),
      'what is worse is seen sooner',
    )
    assert.equal(expectations(rule!, { share: 0.05, baseRate: 0, requestsPerSecond: 1 })[0]!.requests, undefined)
  })
})

describe('other questions', () => {
  it('whether the arms get their shares', () => {
    const fair = assignedOf(pairUp(rowsOf({ base: [0, 95_100], candidate: [0, 4_900], share: 0.05 })))
    assert.ok(logMismatch(fair) < Math.log(1000))
    const lost = assignedOf(pairUp(rowsOf({ base: [0, 95_100], candidate: [0, 3_900], share: 0.05 })))
    assert.ok(logMismatch(lost) > Math.log(1000))
  })

  it('whether the candidate answers differently, and by how much at least', () => {
    const same = ['a', 'b', 'c'].map((bin) => ({ bin, share: 0.2, base: 800, candidate: 200 }))
    assert.ok(logDifferent(same, 3) < Math.log(20))
    assert.ok(totalVariation(same, 0.05, 3).low === 0)
    assert.throws(() => logDifferent(same, 2), RangeError)
    // Two times of other shares, in each of which both answer alike, and a bin that neither has shown.
    const moved = [
      { bin: 'a', share: 0.05, base: 8550, candidate: 450 },
      { bin: 'b', share: 0.05, base: 950, candidate: 50 },
      { bin: 'a', share: 0.5, base: 500, candidate: 500 },
      { bin: 'b', share: 0.5, base: 4500, candidate: 4500 },
    ]
    assert.equal(totalVariation(moved, 0.05, 2).low, 0)
    assert.ok(logDifferent(moved, 2) < Math.log(20))
    assert.equal(totalVariation([{ bin: 'a', share: 0.5, base: 1, candidate: 1 }], 0.05, 3).high, 1)
    const other = [
      { bin: 'a', share: 0.2, base: 1200, candidate: 30 },
      { bin: 'b', share: 0.2, base: 1200, candidate: 570 },
    ]
    assert.ok(logDifferent(other, 2) > Math.log(1000))
    const { low, observed, high } = totalVariation(other, 0.05, 2)
    assert.ok(Math.abs(observed - 0.45) < 1e-9 && low > 0.2 && high < 0.7, `${low} ${observed} ${high}`)
    assert.deepEqual(collapse(other), { bin: 'b', candidate: 0.95, base: 0.5 })
  })

  it('which of two versions that answer the same request is wrong more often', () => {
    assert.ok(logWorseInPairs({ candidate: 40, base: 12 }, 1) > Math.log(20))
    assert.ok(logBetterInPairs({ candidate: 40, base: 41 }, 2) > Math.log(20))
  })

  it('whether labels come because of a prediction', () => {
    const arrivals = (blocked: number) => [
      { predicted: 'fraud', base: { predictions: 1000, labels: 500 }, candidate: { predictions: 1000, labels: blocked } },
      { predicted: 'fine', base: { predictions: 9000, labels: 4500 }, candidate: { predictions: 9000, labels: 4500 } },
    ]
    assert.ok(logArriveDifferently(arrivals(505), 2) < Math.log(20))
    assert.ok(logArriveDifferently(arrivals(150), 2) > Math.log(1000))
    assert.deepEqual(coverage(arrivals(500)), { base: 0.5, candidate: 0.5 })
  })

  it('whether a mean stays under a cap, from sums that merge', () => {
    const random = randomFrom(9)
    let [one, other] = [noBets(0.3), noBets(0.3)]
    for (let i = 0; i < 400; i++) [one, other] = [bet(one, 0.4 * random.next()), bet(other, 0.4 * random.next())]
    const merged = mergeBets(one, other)
    assert.deepEqual(merged, mergeBets(other, one))
    assert.equal(merged.count, 800)
    assert.ok(logMeanUnder(merged) > Math.log(100) && logMeanOver(merged) < 0)
    assert.throws(() => mergeBets(one, noBets(0.2)), RangeError)
    // Under the promise: a mean at the cap is shown to be under it at no time in most runs.
    let alarms = 0
    for (let run = 0; run < 200; run++) {
      let bets = noBets(0.3)
      for (let i = 0; i < 500; i++) {
        bets = bet(bets, random.next() < 0.3 ? 1 : 0)
        if (logMeanUnder(bets) >= Math.log(20)) {
          alarms++
          break
        }
      }
    }
    assert.ok(alarms <= 200 * 0.05 + 3 * Math.sqrt(200 * 0.05 * 0.95), String(alarms))
    const sums = (mean: number) => ({ count: 1000, sum: 1000 * mean, sumOfSquares: 1000 * (mean * mean + 1) })
    const { low, high } = differenceOfMeans(sums(5), sums(5.5), 0.05)
    assert.ok(low > 0.2 && low < 0.5 && high > 0.5 && high < 0.8, `${low} to ${high}`)
  })

  it('where a quantile lies, by the edges of a histogram', () => {
    const counts = [100, 800, 90, 10]
    assert.deepEqual(quantileInterval({ edges: [1, 2, 4], counts }, 0.5, 0.05), { low: 1, high: 2 })
    assert.equal(quantileInterval({ edges: [1, 2, 4], counts: [1, 0, 0, 0] }, 0.5, 0.05).high, Number.POSITIVE_INFINITY)
  })

  it('what other judges would say', () => {
    const options = { direction: 'increase', missing: 'remove', removeOutliers: false } as const
    const [low, high] = [Array.from({ length: 30 }, (_, i) => 10 + (i % 5)), Array.from({ length: 30 }, (_, i) => 20 + (i % 5))]
    assert.equal(kayentaClass(low, high, options), 'High')
    assert.equal(kayentaClass(high, low, options), 'Pass')
    assert.equal(kayentaClass(high, low, { ...options, direction: 'either' }), 'Low')
    assert.equal(kayentaClass([], high, options), 'Nodata')
    assert.equal(kayentaClass([1, Number.NaN], [1, 1], { ...options, missing: 'replace' }), 'Pass')
    assert.equal(kayentaScore(['Pass', 'High', 'Pass', 'Nodata']), 200 / 3)
    assert.equal(kayentaScore(['Pass', 'Nodata']), 0)
    assert.ok(logMsprt({ n: 5000, base: 0.01, candidate: 0.02, tau2: 0.0001 }) > Math.log(20))
    assert.ok(logMsprt({ n: 5000, base: 0.01, candidate: 0.01, tau2: 0.0001 }) < 0)
    assert.equal(sampleSize(0.01, 0.02, { alpha: 0.05, power: 0.8 }), 2316)
  })
})
