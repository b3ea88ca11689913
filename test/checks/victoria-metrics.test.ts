import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { victoriaMetrics } from '../../scripts/victoria-metrics.ts'
import { freePort, until } from '../fixtures.ts'
import { answers, startChild } from '../observe/child.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { asked } from './asked.ts'
import type { Check } from '../../src/contract/outside-check.ts'

const MINUTE_MS = 60_000

it('VictoriaMetrics, whose samples are pushed and end without a mark, decides by what is fresh alone', { timeout: 900_000 }, async () => {
  const binary = await victoriaMetrics()
  await using folder = await temporaryFolder()
  const url = `http://127.0.0.1:${await freePort()}`
  const args = [
    `-storageDataPath=${join(folder.path, 'data')}`,
    `-httpListenAddr=${url.slice('http://'.length)}`,
    '-search.latencyOffset=0s',
  ]
  await using _server = await startChild(binary, args, () => answers(`${url}/health`))
  const now = Date.now()
  const push = async (series: string, minutes: readonly number[], valueOf: (minute: number) => number): Promise<void> => {
    const lines = minutes.map((minute) => `${series} ${valueOf(minute)} ${now - minute * MINUTE_MS}`)
    const response = await fetch(`${url}/api/v1/import/prometheus`, { method: 'POST', body: lines.join('\n') })
    assert.equal(response.status, 204)
  }
  const growing = [6, 5, 4, 3, 2, 1, 0]
  await push('requests_total{version="7"}', growing, (minute) => 1000 - minute * 100)
  await push('errors_total{version="7"}', growing, (minute) => 10 - minute)
  await push('errors_total{version="8"}', growing, (minute) => 500 - minute * 50)
  await push('ended_total{version="7"}', [9, 8, 7, 6, 5, 4, 3], (minute) => 1000 - minute * 100)
  await push('idle_total', growing, () => 5)
  await (await fetch(`${url}/internal/force_flush`)).arrayBuffer()
  const of = (query: string, rest: Partial<Check> = {}): Check => ({ name: 'x', failWhen: '> 0.2', prometheus: { url, query }, ...rest })
  const share = (version: string): string => `sum(rate(errors_total{version="${version}"}[5m])) / sum(rate(requests_total[5m]))`
  // It answers as of whole seconds, so the newest samples are seen a second later.
  const fresh = async (): Promise<boolean> => Math.abs(((await asked(of(share('{{version}}')))).at ?? 0) - now) < 1000
  await until(fresh, 'it is searchable', 30_000)
  const pass = await asked(of(share('{{version}}')))
  assert.equal(pass.verdict, 'pass', JSON.stringify(pass))
  assert.ok(Math.abs(pass.value! - 0.01) < 0.002, JSON.stringify(pass))
  assert.equal((await asked(of(share('8')))).verdict, 'fail')
  const ended = await asked(of('sum(rate(ended_total[10m]))', { failWhen: '< 0.0001' }))
  assert.equal(ended.verdict, 'no_data', JSON.stringify(ended))
  assert.match(ended.sentence, /the value is [\d.]+, and 3 min old, where at most 2 min count/)
  const nothing = await asked(of('sum(errors_total{version="99"})'))
  assert.equal(nothing.verdict, 'no_data')
  assert.match(nothing.sentence, /errors_total has the labels version, version is "7", "8"/)
  assert.match((await asked(of('sum(eror_total)'))).sentence, /no series of eror_total in the last hour; did you mean errors_total\?/)
  const none = await asked(of('sum(rate(idle_total[5m])) / sum(rate(idle_total[5m]))'))
  assert.equal(none.verdict, 'no_data', JSON.stringify(none))
  assert.match((await asked(of('errors_total'))).sentence, /gives 2 series, where one was expected/)
  assert.match((await asked(of('sum(rate('))).sentence, /answers 4\d\d: /)
})
