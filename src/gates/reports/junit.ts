import { verdictText } from './words.ts'
import type { GateReport, GateResult } from '../../contract/gate-report.ts'

/**
 * A report as JUnit XML, as CI systems read it (https://github.com/testmoapp/junitxml): a test case for each gate. What has not enough data, or waits for a
 * person, is a failure there, as what is skipped counts as good.
 */
export function junitOf({ gate, subject, results, at }: GateReport): string {
  const count = (tag: string): number => results.filter((result) => tagOf(result) === tag).length
  const counts = `tests="${results.length}" failures="${count('failure')}" errors="${count('error')}" skipped="${count('skipped')}"`
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `  <testsuite name="${escaped(`gate ${gate} of ${subject}`)}" timestamp="${new Date(at).toISOString()}" ${counts}>`,
    ...results.map(testCase),
    '  </testsuite>',
    '</testsuites>',
  ]
  return `${lines.join('\n')}\n`
}

/** Results that decide nothing are skipped: a warning has the approval beside it. */
function tagOf({ verdict, severity }: GateResult): 'failure' | 'error' | 'skipped' | undefined {
  if (verdict === 'pass') return undefined
  if (severity !== 'error') return 'skipped'
  return verdict === 'error' ? 'error' : 'failure'
}

function testCase(result: GateResult): string {
  const { name, check, sentence, verdict, severity, numbers, parts = [], failing = [] } = result
  const tag = tagOf(result)
  const told = [
    ...Object.entries(numbers).map(([key, value]) => `${key}: ${value}`),
    ...parts.map((part) => `${part.name}: ${verdictText(part.verdict)} ${part.sentence ?? ''}`.trimEnd()),
    ...failing,
  ]
  const message = escaped(`${severity === 'error' ? '' : `${severity}: `}${sentence}`)
  const kind = tag === 'skipped' ? '' : ` type="${verdict}"`
  return [
    `    <testcase classname="${escaped(check)}" name="${escaped(name)}">`,
    ...(tag === undefined ? [] : [`      <${tag} message="${message}"${kind}/>`]),
    ...(told.length === 0 ? [] : [`      <system-out>${escaped(told.join('\n'))}</system-out>`]),
    '    </testcase>',
  ].join('\n')
}

const NAMED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** Text of XML 1.0: what it cannot hold is left out. */
function escaped(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '')
    .replaceAll(/[&<>"]/g, (character) => NAMED[character]!)
}
