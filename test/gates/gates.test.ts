import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { concludeGates, verdictWith } from '../../src/contract/gate-report.ts'
import { compareSignatures } from '../../src/contract/compatibility.ts'
import * as gates from '../../src/gates/gates.ts'
import { mcnemar, randomOf } from '../../src/gates/significance.ts'
import { missedThresholds } from '../../src/gates/thresholds.ts'
import type { GateResult } from '../../src/contract/gate-report.ts'
import type { Row, Sample } from '../../src/gates/gates.ts'

/** A sample of two classes: `right` says of each row whether candidate and champion have it right. */
function classified(
  right: readonly (readonly [candidate: boolean, champion: boolean])[],
  rows: readonly Row[] = right.map(() => ({})),
): Sample {
  const truth = right.map((_, row) => row % 2)
  const answers = (who: 0 | 1) => {
    const predicted = right.map((pair, row) => (pair[who] ? truth[row]! : 1 - truth[row]!))
    const probabilities = predicted.flatMap((index) => (index === 1 ? [0.2, 0.8] : [0.8, 0.2]))
    return { predicted: Float64Array.from(predicted), probabilities: Float64Array.from(probabilities) }
  }
  return {
    dataset: 'holdout',
    classes: ['stays', 'churn'],
    rows,
    names: right.map((_, row) => `line ${row + 2}`),
    truth: Float64Array.from(truth),
    weights: new Float64Array(right.length).fill(1),
    candidate: answers(0),
    champion: answers(1),
  }
}

function numbers(pairs: readonly (readonly [truth: number, candidate: number, champion: number])[]): Sample {
  const column = (index: 0 | 1 | 2): Float64Array => Float64Array.from(pairs.map((pair) => pair[index]))
  return {
    dataset: 'holdout',
    classes: undefined,
    rows: pairs.map(() => ({})),
    names: pairs.map((_, row) => `line ${row + 2}`),
    truth: column(0),
    weights: new Float64Array(pairs.length).fill(1),
    candidate: { predicted: column(1), probabilities: undefined },
    champion: { predicted: column(2), probabilities: undefined },
  }
}

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value)
const BOTH = [true, true] as const
const NEITHER = [false, false] as const

describe('thresholds', () => {
  it('are a bound, a change and a relative change, whichever way a metric goes', () => {
    const misses = (...args: Parameters<typeof missedThresholds>): number => missedThresholds(...args).length
    assert.equal(misses('accuracy', 0.9, { min: 0.9 }), 0)
    assert.equal(misses('accuracy', 0.89, { min: 0.9 }), 1)
    assert.equal(misses('accuracy', 0.92, { change: 0.02 }, 0.9), 0, '0.92 - 0.9 is a little less than 0.02')
    assert.equal(misses('accuracy', 0.919, { change: 0.02 }, 0.9), 1)
    assert.equal(misses('logLoss', 0.3, { change: 0.1 }, 0.4), 0)
    assert.equal(misses('logLoss', 0.31, { change: 0.1 }, 0.4), 1)
    assert.equal(misses('mae', 10.5, { relative: -0.05 }, 10), 0, 'worse by 5 % at most')
    assert.equal(misses('mae', 10.6, { relative: -0.05 }, 10), 1)
    assert.equal(misses('accuracy', 0.9, { min: 0.95, change: 0.1, relative: 0.2 }, 0.9), 3, 'each is told')
    assert.equal(misses('accuracy', 0.9, { change: 0.1, relative: 0.2 }), 0, 'nothing to compare with is for the check to judge')
    assert.equal(misses('meanError', -3, { max: 2 }), 1, 'a bias is as bad to either side')
    assert.equal(misses('meanError', -1, { change: 0 }, 2), 0)
  })

  it('a champion of 0 must be beaten by something, where a share of it is asked for', () => {
    assert.equal(missedThresholds('f1', 0, { relative: 0.1 }, 0).length, 1)
    assert.equal(missedThresholds('f1', 1e-9, { relative: 0.1 }, 0).length, 0)
    assert.equal(missedThresholds('f1', 0, { relative: 0 }, 0).length, 0)
    assert.equal(missedThresholds('mae', 0, { relative: 0.1 }, 0).length, 1)
  })
})

describe('a metric', () => {
  it('passes, or fails with rows that show why', () => {
    const sample = classified([...times(35, BOTH), ...times(5, NEITHER)])
    const passed = gates.judgeMetric({ metric: 'accuracy', min: 0.8, change: 0 }, sample)
    assert.deepEqual([passed.verdict, passed.numbers['value'], passed.numbers['champion']], ['pass', 0.875, 0.875])
    const failed = gates.judgeMetric({ metric: 'accuracy', min: 0.9, severity: 'warning' }, sample)
    assert.deepEqual([failed.verdict, failed.severity, failed.failing?.length], ['fail', 'warning', 5])
    assert.equal(failed.failing?.[0], 'line 37: stays instead of churn')
    assert.match(failed.sentence, /accuracy is 0.875: is below 0.9/)
  })

  it('of too few rows is no pass, nor one that is not defined, nor a change without a champion', () => {
    const verdict = (...args: Parameters<typeof gates.judgeMetric>): string => gates.judgeMetric(...args).verdict
    assert.equal(verdict({ metric: 'accuracy', min: 0 }, classified(times(29, BOTH))), 'insufficient')
    assert.equal(verdict({ metric: 'accuracy', min: 0, minimumSample: 29 }, classified(times(29, BOTH))), 'pass')
    const sample = classified(times(40, BOTH))
    assert.equal(verdict({ metric: 'rocAuc', min: 0.5 }, { ...sample, truth: new Float64Array(40) }), 'insufficient')
    assert.equal(verdict({ metric: 'accuracy', change: 0 }, { ...sample, champion: undefined }), 'insufficient')
    assert.equal(verdict({ metric: 'mae', max: 1 }, sample), 'error')
    assert.equal(verdict({ metric: 'f1', class: 'leaves', min: 0 }, sample), 'error')
  })
})

describe('slices', () => {
  const plans = (counts: Readonly<Record<string, number>>): Row[] =>
    Object.entries(counts).flatMap(([plan, count]) => times(count, { plan, age: count }))

  it('are judged each by itself; one that is too small is never a pass', () => {
    const rows = plans({ basic: 100, plus: 40, pro: 29 })
    const sample = classified([...times(100, BOTH), ...times(20, NEITHER), ...times(20, BOTH), ...times(29, BOTH)], rows)
    const found = gates.judgeSlices({ metric: 'accuracy', by: [{ column: 'plan' }], min: 0.9 }, sample)
    assert.equal(found.verdict, 'fail')
    assert.deepEqual(
      found.parts?.map(({ name, verdict, numbers: { rows: count } }) => [name, verdict, count]),
      [
        ['plan = basic', 'pass', 100],
        ['plan = plus', 'fail', 40],
        ['plan = pro', 'insufficient', 29],
      ],
    )
    const small = gates.judgeSlices({ metric: 'accuracy', by: [{ column: 'plan' }], min: 0.1 }, sample)
    assert.equal(small.verdict, 'insufficient')
    assert.match(small.sentence, /not enough data in plan = pro \(29 rows, and 30 are needed\)/)
  })

  it('of numbers are bins, with their lower end', () => {
    const rows = times(120, {}).map((_, row) => ({ age: row }))
    const found = gates.judgeSlices(
      { metric: 'accuracy', by: [{ column: 'age', bins: [40, 80] }], min: 0.9 },
      classified(times(120, BOTH), rows),
    )
    assert.deepEqual(
      found.parts?.map(({ name, numbers: { rows: count } }) => [name, count]),
      [
        ['age below 40', 40],
        ['age 40 to 80', 40],
        ['age from 80', 40],
      ],
    )
    assert.equal(gates.judgeSlices({ metric: 'accuracy', by: [{ column: 'aeg' }], min: 0 }, classified(times(50, BOTH))).verdict, 'error')
  })

  it('may be held to all rows: the weakest stays behind by a share at most', () => {
    const rows = plans({ basic: 100, plus: 40 })
    const sample = classified([...times(100, BOTH), ...times(20, BOTH), ...times(20, NEITHER)], rows)
    const drop = (share: number): string => gates.judgeSlices({ metric: 'accuracy', by: [{ column: 'plan' }], drop: share }, sample).verdict
    assert.deepEqual([drop(0.2), drop(0.5)], ['fail', 'pass'])
  })
})

describe('the gap between training and test', () => {
  it('is a share of what the training data gives', () => {
    const [train, test] = [classified(times(100, BOTH)), classified([...times(80, BOTH), ...times(20, NEITHER)])]
    const found = gates.judgeGap({ metric: 'accuracy', train: 'train' }, { train, test })
    assert.deepEqual([found.verdict, Number(found.numbers['gap']?.toFixed(6))], ['fail', 0.2])
    assert.equal(gates.judgeGap({ metric: 'accuracy', train: 'train', max: 0.25 }, { train, test }).verdict, 'pass')
    assert.equal(gates.judgeGap({ metric: 'accuracy', train: 'train' }, { train: test, test: train }).verdict, 'pass', 'better is no gap')
    const few = classified(times(20, BOTH))
    assert.equal(gates.judgeGap({ metric: 'accuracy', train: 'train' }, { train, test: few }).verdict, 'insufficient')
    const exact = numbers(times(40, [1, 1, 1]))
    assert.equal(gates.judgeGap({ metric: 'mae', train: 'train' }, { train: exact, test: exact }).verdict, 'pass')
    const off = numbers(times(40, [1, 2, 1]))
    assert.deepEqual(gates.judgeGap({ metric: 'mae', train: 'train' }, { train: exact, test: off }).numbers['gap'], 1)
  })
})

describe('the comparison with the champion', () => {
  const mcnemar = (lost: number, won: number, rows: number, more: object = {}): GateResult =>
    gates.judgeComparison(
      { test: 'mcnemar', ...more },
      classified([
        ...times<readonly [boolean, boolean]>(lost, [false, true]),
        ...times<readonly [boolean, boolean]>(won, [true, false]),
        ...times(rows - lost - won, BOTH),
      ]),
    )

  it('by McNemar fails what is worse, passes what is not, and says where the rows are too few', () => {
    const worse = mcnemar(40, 5, 400)
    assert.equal(worse.verdict, 'fail')
    assert.ok(worse.numbers['p']! < 1e-6)
    assert.match(worse.failing?.[0] ?? '', /^line 2: churn, where the champion rightly says stays$/)
    assert.equal(mcnemar(5, 40, 400).verdict, 'pass')
    assert.equal(mcnemar(0, 0, 400).verdict, 'pass', 'the same answers are not worse')
    assert.equal(mcnemar(10, 8, 400).verdict, 'insufficient', 'it may be 2 % worse')
    assert.equal(mcnemar(10, 8, 400, { margin: 0.05 }).verdict, 'pass')
    assert.equal(mcnemar(0, 0, 29).verdict, 'insufficient')
    assert.equal(
      gates.judgeComparison({ test: 'mcnemar' }, { ...classified(times(50, BOTH)), champion: undefined }).verdict,
      'insufficient',
    )
  })

  it('by the bootstrap judges any metric, the same for the same seed', () => {
    const drawn = (offset: number): Sample =>
      numbers(times(200, 0).map((_, row) => [row % 7, (row % 7) + offset * (1 + (row % 3)), (row % 7) + (row % 5) / 10]))
    const judge = (offset: number) => gates.judgeComparison({ test: 'bootstrap', metric: 'mae', draws: 2000 }, drawn(offset))
    assert.deepEqual([judge(1).verdict, judge(0.05).verdict], ['fail', 'pass'])
    assert.deepEqual(judge(1), judge(1))
    const auc = gates.judgeComparison(
      { test: 'bootstrap', metric: 'rocAuc', draws: 500 },
      classified([...times(30, [false, true] as const), ...times(90, BOTH)]),
    )
    assert.equal(auc.verdict, 'fail')
    assert.equal(gates.judgeComparison({ test: 'mcnemar', metric: 'mae' }, drawn(1)).verdict, 'error')
  })

  it('in slices is corrected by Holm, so that many slices make no false alarm', () => {
    // One of 20 slices is a little worse, which alone would be no chance (p = 0.04), and among 20 is.
    const rows = times(20, 0).flatMap((_, slice) => times(50, { slice }))
    const right = rows.map(({ slice }, row): readonly [boolean, boolean] => (slice === 3 && row % 50 < 6 ? [false, true] : BOTH))
    const found = gates.judgeComparison({ test: 'mcnemar', by: [{ column: 'slice' }] }, classified(right, rows))
    const part = found.parts?.find(({ name }) => name === 'slice = 3')
    assert.ok(part !== undefined && part.numbers['p']! < 0.05 && part.numbers['holmP']! > 0.05)
    assert.deepEqual([part.verdict, found.verdict], ['insufficient', 'insufficient'])
  })
})

describe('the promises of the comparison', () => {
  /** Share of worlds in which something holds of McNemar's interval: of 300 rows, the candidate alone is wrong in some, and the champion in others. */
  function shareOf(candidate: number, champion: number, holds: (found: ReturnType<typeof mcnemar>) => boolean): number {
    const [worlds, rows, random] = [1000, 300, randomOf(7)]
    let held = 0
    for (let world = 0; world < worlds; world++) {
      let [lost, won] = [0, 0]
      for (let row = 0; row < rows; row++) {
        const chance = random()
        if (chance < candidate) lost++
        else if (chance < candidate + champion) won++
      }
      if (holds(mcnemar({ candidate: lost, champion: won, rows, alpha: 0.05 }))) held++
    }
    return held / worlds
  }

  it('what is as good is called worse in 2.5 % of the worlds at most', () => {
    for (const share of [0.02, 0.05, 0.15]) assert.ok(shareOf(share, share, ({ high }) => high < 0) <= 0.025 + 0.015)
  })

  it('what is worse by the margin passes in 2.5 % of them at most, and what is better is found', () => {
    const passes = shareOf(0.07, 0.03, ({ low }) => low >= -0.04)
    assert.ok(passes <= 0.025 + 0.015, `${passes} of the worlds let pass what is worse by just the margin`)
    assert.ok(shareOf(0.02, 0.1, ({ low }) => low >= 0) > 0.9)
  })
})

describe('calibration', () => {
  it('is whether answers are right as often as they are sure', () => {
    const [right, wrong] = [times(80, BOTH), times(20, NEITHER)]
    const good = gates.judgeCalibration({}, classified([...right, ...wrong]))
    assert.equal(good.verdict, 'pass')
    assert.ok(good.numbers['ece']! < 1e-9, 'sure of 80 %, and right in 80 %')
    const sure = gates.judgeCalibration({ max: 0.05 }, classified([...times(50, BOTH), ...times(50, NEITHER)]))
    assert.deepEqual([sure.verdict, Number(sure.numbers['ece']?.toFixed(6))], ['fail', 0.3])
    assert.match(sure.sentence, /where it is 80 % sure it is right in 50 % of 100 rows/)
    assert.equal(gates.judgeCalibration({}, classified(times(10, BOTH))).verdict, 'insufficient')
  })
})

describe('a model that knows nothing', () => {
  it('has to be beaten', () => {
    const sample = classified([...times(36, BOTH), ...times(4, NEITHER)])
    const found = gates.judgeBaseline({ metric: 'accuracy' }, sample)
    assert.deepEqual([found.verdict, Number(found.numbers['gain']?.toFixed(6))], ['pass', 0.8])
    const constant = { ...sample, candidate: { predicted: new Float64Array(40), probabilities: undefined } }
    assert.equal(gates.judgeBaseline({ metric: 'accuracy', gain: 0 }, constant).verdict, 'fail')
    assert.equal(gates.judgeBaseline({ metric: 'accuracy' }, { ...sample, truth: new Float64Array(40) }).verdict, 'insufficient')
  })
})

describe('behaviour', () => {
  const rows: Row[] = times(40, 0).map((_, row) => ({ name: `Ann ${row}`, age: row, plan: row % 2 === 0 ? 'a' : 'b' }))
  const sample = classified(times(40, BOTH), rows)

  it('rows are changed as asked, and those that stay the same are left out', () => {
    assert.equal(gates.perturbForInvariance(rows, { set: { plan: 'a' } }).rows.length, 20)
    assert.deepEqual(gates.perturbForInvariance(rows, { case: { name: 'upper' } }).rows[3], { ...rows[3], name: 'ANN 3' })
    assert.deepEqual(gates.perturbForInvariance(rows, { add: { age: 2 } }).rows[3], { ...rows[3], age: 5 })
    const permuted = gates.perturbForInvariance(rows, { permute: ['age'] })
    assert.deepEqual(permuted, gates.perturbForInvariance(rows, { permute: ['age'] }))
    assert.ok(permuted.rows.length > 30)
  })

  it('an answer that must not move is counted', () => {
    const from = rows.map((_, row) => row)
    const flipped = (count: number) => ({
      from,
      refused: 0,
      scores: { predicted: sample.candidate.predicted.map((index, row) => (row < count ? 1 - index : index)), probabilities: undefined },
    })
    const verdict = (count: number, more: object = {}): GateResult =>
      gates.judgeInvariance({ set: { plan: 'a' }, ...more }, sample, flipped(count))
    assert.deepEqual([verdict(2).verdict, verdict(3).verdict], ['pass', 'fail'])
    assert.deepEqual(verdict(3).failing, ['line 2', 'line 3', 'line 4'])
    assert.equal(gates.judgeInvariance({ set: { plan: 'a' } }, sample, { ...flipped(0), from: from.slice(0, 5) }).verdict, 'insufficient')
    assert.equal(verdict(0, { within: 0.01 }).verdict, 'fail', 'probabilities that are not there are not the same')
  })

  it('an answer that must go one way is held to it', () => {
    const from = rows.map((_, row) => row)
    const moved = (step: number) => {
      const probabilities = sample.candidate.probabilities!.map((value, at) => value + (at % 2 === 1 ? step : -step))
      return { from, refused: 0, scores: { predicted: sample.candidate.predicted, probabilities } }
    }
    const check = { feature: 'age', add: 1, expect: 'increase' } as const
    const verdict = (step: number, more: object = {}): string => gates.judgeDirection({ ...check, ...more }, sample, moved(step)).verdict
    assert.deepEqual([verdict(0.1), verdict(-0.1), verdict(0.1, { expect: 'decrease' })], ['pass', 'fail', 'fail'])
    assert.equal(verdict(0), 'fail', 'a feature that moves nothing is not used')
    assert.equal(gates.judgeDirection(check, sample, { ...moved(0.1), from: from.slice(0, 3) }).verdict, 'insufficient')
  })
})

describe('budgets', () => {
  it('of latency: a 99th percentile of too few requests is none', () => {
    const runs = times(200, 1).map((_, run) => run / 10)
    assert.equal(gates.judgeLatency({ p99Ms: 20 }, { candidate: runs, champion: undefined }).numbers['p99Ms'], 19.7)
    assert.equal(gates.judgeLatency({ p99Ms: 19 }, { candidate: runs, champion: undefined }).verdict, 'fail')
    assert.equal(gates.judgeLatency({ p99Ms: 19 }, { candidate: runs.slice(0, 99), champion: undefined }).verdict, 'insufficient')
    const slower = runs.map((ms) => 2 * ms)
    assert.equal(gates.judgeLatency({ relative: 0.2 }, { candidate: slower, champion: runs }).verdict, 'fail')
    assert.equal(gates.judgeLatency({ relative: 0.2 }, { candidate: slower, champion: undefined }).verdict, 'insufficient')
  })

  it('of memory: what a system does not tell is not enough data', () => {
    const mib = (count: number): number => count * 1024 * 1024
    assert.equal(gates.judgeMemory({ maxMb: 100 }, { candidate: mib(99), champion: undefined }).verdict, 'pass')
    assert.equal(gates.judgeMemory({ maxMb: 100 }, { candidate: mib(101), champion: undefined }).verdict, 'fail')
    assert.equal(gates.judgeMemory({ maxMb: 100 }, { candidate: undefined, champion: undefined }).verdict, 'insufficient')
    assert.equal(gates.judgeMemory({ relative: 0.1 }, { candidate: mib(120), champion: mib(100) }).verdict, 'fail')
  })
})

describe('a version', () => {
  it('has the contract of the champion', () => {
    const one = { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }], outputs: [] }
    const other = { inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 5] }], outputs: [] }
    assert.equal(gates.judgeContract(compareSignatures(one, one), 'churn/1').verdict, 'pass')
    assert.match(gates.judgeContract(compareSignatures(one, other), 'churn/1').sentence, /would break clients of churn\/1: .*\[-1, 5\]/)
    assert.equal(gates.judgeContract(compareSignatures(undefined, other), 'churn/1').verdict, 'insufficient')
  })

  it('answers every row', () => {
    assert.equal(gates.judgeRows({ dataset: 'd', rows: 5, refused: [] }).verdict, 'pass')
    assert.deepEqual(gates.judgeRows({ dataset: 'd', rows: 5, refused: ['line 2: x'] }).failing, ['line 2: x'])
  })

  it('waits for a person, and says for whom', () => {
    const waiting = gates.judgeApproval({ version: 'churn/2', state: 'pending', notBy: 'anna', warnings: ['calibration on holdout'] })
    assert.equal(waiting.verdict, 'waiting')
    assert.match(
      waiting.sentence,
      /scope protect \(operator, admin\) who is not "anna".*these warn: calibration on holdout: slipway model approve churn\/2/,
    )
    assert.equal(gates.judgeApproval({ version: 'churn/2', state: 'approved', by: 'bea', warnings: [] }).verdict, 'pass')
    assert.equal(gates.judgeApproval({ version: 'churn/2', state: 'rejected', warnings: [] }).verdict, 'fail')
  })
})

describe('results together', () => {
  const result = (verdict: GateResult['verdict'], severity: GateResult['severity'] = 'error', check = 'metrics'): GateResult => ({
    name: 'n',
    check,
    verdict,
    severity,
    sentence: '',
    numbers: {},
  })
  const verdict = (results: readonly GateResult[], approval = 'none'): string => verdictWith(concludeGates(results), approval)

  it('a failure decides, then an error, then missing data; nothing checked is nothing passed', () => {
    assert.equal(verdict([result('pass'), result('insufficient'), result('error'), result('fail')]), 'fail')
    assert.equal(verdict([result('pass'), result('insufficient'), result('error')]), 'error')
    assert.equal(verdict([result('pass'), result('insufficient')]), 'insufficient')
    assert.equal(verdict([result('pass'), result('fail', 'info')]), 'pass')
    assert.equal(verdict([]), 'insufficient')
    assert.equal(verdict([result('pass', 'info')]), 'insufficient')
  })

  it('a warning asks a person', () => {
    for (const found of ['fail', 'insufficient', 'error'] as const)
      assert.equal(verdict([result('pass'), result(found, 'warning')]), 'waiting')
    assert.equal(verdict([result('pass'), result('fail', 'warning')], 'approved'), 'pass')
    assert.equal(verdict([result('pass'), result('fail', 'warning')], 'rejected'), 'fail')
    assert.equal(verdict([result('fail'), result('fail', 'warning')], 'approved'), 'fail', 'an approval makes no failure good')
    assert.equal(verdict([result('pass'), result('waiting', 'error', 'approval')]), 'waiting')
    assert.equal(verdict([result('pass'), result('pass', 'error', 'approval')], 'approved'), 'pass')
  })
})

describe('the checks where none are written', () => {
  it('fit the model', () => {
    const facts = { hasDataset: true, task: 'classification', hasProbabilities: true, hasChampion: true } as const
    const kinds = (more: object): string[] =>
      Object.entries(gates.planOf(undefined, { ...facts, ...more }))
        .filter(([, value]) => (Array.isArray(value) ? value.length > 0 : value === true))
        .map(([kind]) => kind)
    assert.deepEqual(kinds({}), ['contract', 'golden', 'baseline', 'comparisons', 'calibration'])
    assert.deepEqual(kinds({ hasChampion: false, hasProbabilities: false }), ['contract', 'golden', 'baseline'])
    assert.deepEqual(kinds({ task: 'regression' }), ['contract', 'golden', 'baseline', 'comparisons'])
    assert.deepEqual(kinds({ hasDataset: false }), ['contract', 'golden'])
  })
})
