import { verdictText } from '../../gates/reports/words.ts'
import { time } from '../control-plane/registry-command.ts'
import { style } from '../output.ts'
import type { GateAnswer, GateReport, GateResult, GateVerdict } from '../../contract/gate-report.ts'
import type { View } from '../control-plane/registry-command.ts'

export const gateView: View<GateReport & { readonly verdict: GateVerdict }> = {
  kind: 'GateReport',
  name: ({ verdict }) => verdict,
  header: ['gate', 'verdict'],
  row: ({ gate, verdict }) => [gate, verdict],
}

export const keptGateView: View<GateAnswer> = {
  kind: 'GateResult',
  name: ({ gate }) => gate,
  header: ['gate', 'verdict', 'by', 'when'],
  none: 'no gate was run',
  row: ({ gate, verdict, createdBy, createdAt }) => [gate, verdictText(verdict), createdBy, time(createdAt)],
}

const COLOURS = { pass: 'green', fail: 'red', error: 'red', insufficient: 'yellow', waiting: 'yellow' } as const

/** A line for each gate, and below it the slices and rows that do not pass. */
export function gateText({ gate, subject, champion, results, notes }: GateReport, verdict: GateVerdict): string {
  const words = results.map((result) => wordOf(result))
  const [width, nameWidth] = [Math.max(0, ...words.map(({ length }) => length)), Math.max(0, ...results.map(({ name }) => name.length))]
  const lines = results.flatMap((result, index) => [
    `${coloured(result, words[index]!.padEnd(width))}  ${result.name.padEnd(nameWidth)}  ${result.sentence}`,
    ...below(result).map((line) => `${' '.repeat(width + 2)}${style('dim', line)}`),
  ])
  const against = champion === undefined ? '' : ` against ${champion}`
  return [
    ...lines,
    ...notes.map((note) => style('dim', note)),
    '',
    `${subject}${against}, gate ${gate}: ${style(COLOURS[verdict], verdictText(verdict))}`,
  ].join('\n')
}

function wordOf({ verdict, severity }: GateResult): string {
  return verdict === 'pass' || severity === 'error' ? verdictText(verdict) : severity
}

function coloured({ verdict, severity }: GateResult, text: string): string {
  return style(severity === 'error' || verdict === 'pass' ? COLOURS[verdict] : 'yellow', text)
}

const TOLD_MAX = 3

function below({ verdict, failing = [] }: GateResult): string[] {
  if (verdict === 'pass') return []
  const more = failing.length > TOLD_MAX ? [`and more; all that were kept are in --report FILE and --output json`] : []
  return [...failing.slice(0, TOLD_MAX), ...more]
}
