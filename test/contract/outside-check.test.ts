import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Check, checkIssues } from '../../src/contract/outside-check.ts'
import { check as against } from '../../src/contract/schema.ts'
import { selectorsOf } from '../../src/checks/promql-selectors.ts'

const QUERY = { name: 'errors', prometheus: { url: 'http://prometheus:9090', query: 'x' }, failWhen: '> 0.01' }

it('a check asks one place, and says when its value is bad', () => {
  const wrong: [object, RegExp][] = [
    [{ name: 'x', failWhen: '> 1' }, /c\[0\] nothing to ask; expected either prometheus or cloudwatch/],
    [{ ...QUERY, cloudwatch: { region: 'eu-central-1', alarm: 'a' } }, /c\[0\] two places to ask/],
    [{ ...QUERY, failWhen: undefined }, /c\[0\].failWhen missing; say when the value is bad, such as "> 0.01"/],
    [{ ...QUERY, prometheus: { url: 'http://p' } }, /c\[0\].prometheus query missing; expected either alert, or query/],
    [{ ...QUERY, prometheus: { url: 'http://p', query: 'x', alert: 'A' } }, /alert and query; expected either alert, or query/],
    [{ ...QUERY, prometheus: { url: 'http://p', alert: 'A' } }, /an alert decides itself; leave out failWhen and passWhen, or give query/],
    [
      { name: 'x', cloudwatch: { region: 'eu-central-1', metric: 'M' } },
      /cloudwatch namespace missing; expected either alarm, or namespace and metric/,
    ],
    [{ name: 'x', cloudwatch: { region: 'eu-central-1', alarm: 'a', metric: 'M' } }, /alarm and metric; expected either/],
    [
      { name: 'x', cloudwatch: { region: 'eu-central-1', alarm: 'a{{model}}' } },
      /cloudwatch.alarm \{\{model\}\} is filled in by nobody; there are/,
    ],
    [{ ...QUERY, prometheus: { url: 'http://p', query: 'x{v="{{Version}}"}' } }, /did you mean \{\{version\}\}\?/],
  ]
  for (const [given, expected] of wrong) {
    const issues = checkIssues([given as Check], 'c')
    assert.match(issues.map(({ path, message }) => `${path} ${message}`).join('\n'), expected)
  }
  const keyed = (headers: Record<string, string>): Check => ({ ...QUERY, prometheus: { ...QUERY.prometheus, headers } })
  assert.deepEqual(checkIssues([keyed({ Host: 'env:X' })], 'c')[0], {
    path: 'c[0].prometheus.headers.Host',
    message: 'is set by the request itself; leave it out',
  })
  assert.match(checkIssues([QUERY, QUERY], 'c')[0]!.message, /"errors" is also the name of check 1/)
  const right = [
    QUERY,
    { name: 'a', cloudwatch: { region: 'eu-central-1', alarm: 'a' } },
    { name: 'b', prometheus: { url: 'http://p', alert: 'A' } },
  ]
  assert.deepEqual(checkIssues(right, 'c'), [])
  for (const one of right) assert.ok('value' in against(Check, one), JSON.stringify(against(Check, one)))
  for (const failWhen of ['0.01', '> x', '== 1', '', { above: 1, below: 2 }, {}, '> 1e999x'])
    assert.ok('issues' in against(Check, { ...QUERY, failWhen }), JSON.stringify(failWhen))
  for (const value of ['hunter2', 'Bearer hunter2', 'env', 'Digest env:SLIPWAY_CHECK_X', 'env:HOME', 'file:/etc/passwd'])
    assert.ok('issues' in against(Check, { ...QUERY, prometheus: { ...QUERY.prometheus, headers: { Authorization: value } } }), value)
  assert.ok('issues' in against(Check, { name: 'x', cloudwatch: { region: 'evil.example.org/', alarm: 'a' } }))
})

it('finds what a query reads, whatever it makes of it', () => {
  const texts = (query: string): string[] => selectorsOf(query).selectors.map(({ text }) => text)
  const cases: [string, string[], number][] = [
    [
      'sum by (job) (rate(a_total{code=~"5..", x="}{"}[5m])) / sum(rate(b:total[1h30m] offset 1w)) without (y)',
      ['a_total{code=~"5..",x="}{"}', 'b:total'],
      5400,
    ],
    ['topk(1, a) > bool 2 or on (x, y) group_left (z) {__name__="b",c!="d"}', ['a', '{__name__="b",c!="d"}'], 0],
    ['label_replace(up, "a", "$1", "b", `(.*)`) # comment {c="d"}\n + a @ end()', ['up', 'a'], 0],
    ['count{a="b"} and sum without (x) (d)', ['count{a="b"}', 'd'], 0],
    ['max_over_time(rate(a[1m])[2h:30s]) > b', ['a', 'b'], 7200],
    ['vector(1) + time() * 1e-3 - Inf', [], 0],
    ['a{', ['a{'], 0],
  ]
  for (const [query, selectors, range] of cases) {
    assert.deepEqual(texts(query), selectors, query)
    assert.equal(selectorsOf(query).rangeSeconds, range, query)
  }
  assert.deepEqual(selectorsOf('{__name__="b",c!="d",c="e"}').selectors[0], {
    text: '{__name__="b",c!="d",c="e"}',
    metric: 'b',
    labels: ['c'],
  })
})
