/** The comparison with other controllers in docs/guides/judging.md, with fewer rollouts: `npm run bench:peers` has them all. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { SCENARIOS, TRAFFIC } from '../../bench/peers/scenarios.ts'
import { simulate, STYLES } from '../../bench/peers/simulate.ts'
import { PEERS_FROM, PEERS_UNTIL } from '../../bench/peers/table.ts'
import { allowed } from '../../bench/judge/simulate.ts'
import { ROOT } from '../fixtures.ts'
import type { Outcome, Style } from '../../bench/peers/simulate.ts'

const RUNS = 60
const FALSE_ALARM = 0.05
const FALSE_PASS = 0.05

function of(what: string, requestsPerSecond: number, style: Style = 'Slipway'): Outcome {
  const scenario = SCENARIOS.find((one) => one.what.startsWith(what))
  assert.ok(scenario !== undefined, what)
  return simulate(style, { scenario, requestsPerSecond, runs: RUNS })
}

describe('a version that is no worse', () => {
  for (const errors of ['0.1 %', '0.5 %', '2 %'])
    it(`is turned back no more often than is promised, and promoted where there are requests, at errors of ${errors}`, () => {
      for (const traffic of [5, 50, 500]) {
        const { back, promoted } = of(`no worse, errors of ${errors}`, traffic)
        assert.ok(back <= allowed(FALSE_ALARM, RUNS), `${back} of the rollouts at ${traffic}/s`)
        if (traffic >= 50) assert.ok(promoted >= 0.9, `${promoted} at ${traffic}/s`)
      }
    })

  it('is always turned back by a limit that its errors are above, whatever the version before did', () => {
    assert.equal(of('no worse, errors of 2 %', 50, 'Flagger').back, 1)
  })

  it('waits where nobody asks: that is neither a failure nor a pass', () => {
    assert.deepEqual([of('no worse, errors of 0.5 %', 0).held, of('no worse, errors of 0.5 %', 0, 'Flagger').back], [1, 1])
  })
})

describe('a version that is worse', () => {
  it('by twice the errors is turned back, where limits promote it', () => {
    for (const traffic of [50, 500]) {
      const { back, promoted } = of('errors of 4 %', traffic)
      assert.ok(back >= 0.9 && promoted <= allowed(FALSE_PASS, RUNS), `${back} back, ${promoted} promoted at ${traffic}/s`)
    }
    assert.ok(of('errors of 4 %', 500, 'Argo Rollouts').promoted > 0.9)
  })

  it('by five times the errors is turned back, before limits do so, and harms fewer', () => {
    const [ours, argo, flagger] = STYLES.map((style) => of('errors of 2.5 %', 50, style)) as [Outcome, Outcome, Outcome]
    assert.ok(ours.back >= 0.95, String(ours.back))
    assert.ok(argo.promoted > 0.9, String(argo.promoted))
    assert.ok(ours.backS! < flagger.backS! && ours.harmed! < flagger.harmed!, JSON.stringify([ours, flagger]))
  })

  it('in its response times, its classes or its labels is turned back, which those who look at errors cannot do', () => {
    for (const what of ['a tenth of the requests', 'the classes collapse', 'labels say']) {
      assert.ok(of(what, 50).back >= 0.95, what)
      for (const style of ['Argo Rollouts', 'Flagger'] as const) assert.ok(of(what, 50, style).promoted > 0.9, `${what}, ${style}`)
    }
  })
})

it('the table in the guide has the scenarios of now', async () => {
  const page = await readFile(join(ROOT, 'docs/guides/judging.md'), 'utf8')
  const table = page.slice(page.indexOf(PEERS_FROM), page.indexOf(PEERS_UNTIL))
  for (const { what } of SCENARIOS) assert.equal(table.split(what).length - 1, TRAFFIC.length, what)
})
