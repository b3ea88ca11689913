import { differences } from '../../cluster/difference.ts'
import { print, style } from '../output.ts'
import { asksCluster, clusterOf, renderedOf } from './endpoints.ts'
import { checkTarget } from './target.ts'
import type { Command } from 'commander'
import type { FieldDifference, ObjectDifference } from '../../cluster/difference.ts'
import type { ClusterOptions } from './endpoints.ts'

interface DiffOptions extends ClusterOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  asksCluster(command.argument('<files...>', 'files of endpoint documents; - reads standard input'))
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway diff --target kubernetes churn.yaml\n\nThe API server is asked what applying would change; what somebody else has set is shown with the manager that has.\nExit code 1 where something would change, 0 where nothing would.',
    )
    .action(diff)
}

async function diff(files: readonly string[], options: DiffOptions): Promise<void> {
  checkTarget(options.target)
  await using cluster = await clusterOf(options)
  for (const { set, objects } of await renderedOf(files, options, cluster)) {
    const found = await differences(cluster, set, objects)
    if (found.length > 0) process.exitCode = 1
    const { endpoint, namespace } = set
    if (options.json === true) print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'Differences', endpoint, namespace, objects: found }))
    else print(found.length === 0 ? `${endpoint}: nothing would change` : differencesText(found))
  }
}

const SIGNS = { created: ['green', '+'], changed: ['yellow', '~'], removed: ['red', '-'] } as const

export function differencesText(found: readonly ObjectDifference[]): string {
  return found
    .map(({ kind, name, namespace, change, fields }) => {
      const [colour, sign] = SIGNS[change]
      const where = namespace === undefined ? name : `${namespace}/${name}`
      return [`${style(colour, sign)} ${style('bold', `${kind} ${where}`)}`, ...fields.map(fieldText)].join('\n')
    })
    .join('\n')
}

function fieldText({ path, before, after, owners }: FieldDifference): string {
  const drift = owners.length === 0 ? '' : style('yellow', `  set by ${owners.map((owner) => `"${owner}"`).join(', ')}`)
  return `    ${path}: ${valueText(before)} -> ${valueText(after)}${drift}`
}

/** Longest text of a value on one line. */
const VALUE_MAX = 200

function valueText(value: unknown): string {
  if (value === undefined) return 'none'
  const text = JSON.stringify(value)
  return text.length > VALUE_MAX ? `${text.slice(0, VALUE_MAX)}...` : text
}
