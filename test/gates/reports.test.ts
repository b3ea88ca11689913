import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { it } from 'node:test'
import { junitOf } from '../../src/gates/reports/junit.ts'
import { markdownOf } from '../../src/gates/reports/markdown.ts'
import type { GateReport } from '../../src/contract/gate-report.ts'

/** A name as a column, label or file of somebody else may have it. */
const HOSTILE = 'a|b <script>"&\'\n]]> `x` [y](z)\u0001\u{1F600}\uD800'

const REPORT: GateReport = {
  gate: 'release',
  subject: HOSTILE,
  champion: HOSTILE,
  datasets: [{ name: HOSTILE, file: HOSTILE, digest: '0'.repeat(64), rows: 1, unlabelled: 0 }],
  results: [
    {
      name: HOSTILE,
      check: 'slices',
      verdict: 'fail',
      severity: 'error',
      sentence: HOSTILE,
      numbers: { rows: 3 },
      failing: [HOSTILE],
      parts: [{ name: HOSTILE, verdict: 'fail', numbers: { value: 0.123456 } }],
    },
    { name: 'few', check: 'metrics', verdict: 'insufficient', severity: 'error', sentence: 's', numbers: {} },
    { name: 'waiting', check: 'approval', verdict: 'waiting', severity: 'error', sentence: 's', numbers: {} },
    { name: 'broken', check: 'metrics', verdict: 'error', severity: 'error', sentence: 's', numbers: {} },
    { name: 'warned', check: 'metrics', verdict: 'fail', severity: 'warning', sentence: 's', numbers: {} },
    { name: 'good', check: 'metrics', verdict: 'pass', severity: 'error', sentence: 's', numbers: {} },
  ],
  notes: [HOSTILE],
  machine: HOSTILE,
  at: 0,
}

it('JUnit XML is read by others, whatever names are in it, and what is not passed is no success there', () => {
  const program = [
    'import json, sys, xml.etree.ElementTree as tree',
    'root = tree.fromstring(sys.stdin.buffer.read())',
    'print(json.dumps([root.attrib, [[case.attrib["name"], [[child.tag, child.attrib.get("type")] for child in case]] for case in root.iter("testcase")]]))',
  ].join('\n')
  const { stdout, stderr, status } = spawnSync('python3', ['-c', program], { input: junitOf(REPORT), encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  const [counts, cases] = JSON.parse(stdout) as [Record<string, string>, [string, [string, string | null][]][]]
  assert.deepEqual(counts, { tests: '6', failures: '3', errors: '1', skipped: '1' })
  assert.equal(cases[0]?.[0], 'a|b <script>"&\' ]]> `x` [y](z)\u{1F600}')
  assert.deepEqual(
    cases.map(([, children]) => children.filter(([tag]) => tag !== 'system-out')),
    [[['failure', 'fail']], [['failure', 'insufficient']], [['failure', 'waiting']], [['error', 'error']], [['skipped', null]], []],
  )
})

it('Markdown keeps its table, whatever names are in it', () => {
  const text = markdownOf(REPORT, 'fail')
  assert.doesNotMatch(text, /(?<!\\)<script>|(?<!\\)\[y/)
  const table = text.split('\n').filter((line) => line.startsWith('| '))
  for (const line of table.slice(0, 7)) assert.equal(line.replaceAll(String.raw`\|`, '').split('|').length, 5, line)
  assert.match(text, /\| warned \| FAIL \(warning\) \| s \|/)
  assert.match(text, /\| FAIL \| 0\.1235 \|/)
})
