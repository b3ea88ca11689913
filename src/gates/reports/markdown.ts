import { shortly } from '../words.ts'
import { verdictText } from './words.ts'
import type { GateReport, GateResult, GateVerdict } from '../../contract/gate-report.ts'

/** A report for a pull request: a table of the results, then what they are made of. */
export function markdownOf(report: GateReport, verdict: GateVerdict): string {
  const { gate, subject, champion, datasets, results, notes, machine, at } = report
  const against = champion === undefined ? '' : `, against ${champion}`
  const lines = [
    `# Gate ${cell(gate)} of ${cell(subject)}: ${verdictText(verdict)}`,
    '',
    `Measured ${new Date(at).toISOString()}${cell(against)}, on ${cell(machine)}.`,
    '',
    '| Gate | Result | What was found |',
    '|---|---|---|',
    ...results.map((result) => `| ${cell(result.name)} | ${resultText(result)} | ${cell(result.sentence)} |`),
    ...datasets.flatMap(({ name, file, rows, unlabelled, digest }, index) => [
      ...(index === 0 ? ['', '| Dataset | File | Rows | Without a label | SHA-256 |', '|---|---|---|---|---|'] : []),
      `| ${cell(name)} | ${cell(file)} | ${rows} | ${unlabelled} | \`${digest.slice(0, 16)}\` |`,
    ]),
    ...notes.flatMap((note, index) => [...(index === 0 ? [''] : []), `- ${cell(note)}`]),
    ...results.flatMap(details),
  ]
  return `${lines.join('\n')}\n`
}

function resultText({ verdict, severity }: GateResult): string {
  return severity === 'error' || verdict === 'pass' ? verdictText(verdict) : `${verdictText(verdict)} (${severity})`
}

function details({ name, parts = [], failing = [] }: GateResult): string[] {
  if (parts.length === 0 && failing.length === 0) return []
  const keys = [...new Set(parts.flatMap(({ numbers }) => Object.keys(numbers)))]
  const table = [
    `| | Result | ${keys.map(cell).join(' | ')} |`,
    `|---|---|${keys.map(() => '---|').join('')}`,
    ...parts.map((part) => {
      const numbers = keys.map((key) => (part.numbers[key] === undefined ? '' : shortly(part.numbers[key])))
      return `| ${cell(part.name)} | ${verdictText(part.verdict)} | ${numbers.join(' | ')} |`
    }),
  ]
  const rows = failing.length === 0 ? [] : ['', 'Rows that show it:', '', ...failing.map((row) => `- ${cell(row)}`)]
  return ['', `## ${cell(name)}`, '', ...(parts.length === 0 ? [] : table), ...rows]
}

/** Text that cannot break out of a cell, or become markup: columns and labels come from files of others. */
function cell(text: string): string {
  return text.replaceAll(/[\r\n]+/g, ' ').replaceAll(/[|<>`\\[\]*_]/g, String.raw`\$&`)
}
