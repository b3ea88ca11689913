import { objectsOf, revisionToUndo } from '../../cluster/revisions.ts'
import { SlipwayError } from '../../core/errors.ts'
import { applyAndWait, causeOf } from './apply.ts'
import { asksCluster, clusterOf, setsOf } from './endpoints.ts'
import { checkTarget } from './target.ts'
import type { Command } from 'commander'
import type { ApplyOptions } from './apply.ts'

export function define(command: Command): void {
  asksCluster(command.argument('<endpoint>', 'name of an endpoint, or the file of its document'))
    .option('--to <revision>', 'which one, as `slipway status --history` lists them; default: the one before')
    .option('--dry-run', 'ask the API server what it would do, and change nothing')
    .option('--force', 'also take over what others have set')
    .option('--reason <text>', 'why, for the record')
    .option('--no-wait', 'do not wait until its pods are ready')
    .option('--timeout <duration>', 'how long to wait; default: 10m')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway undo --target kubernetes churn\n  slipway undo --target kubernetes churn --to 3\n\nWhat was applied as that revision is applied again, and becomes the newest one.',
    )
    .action(undo)
}

async function undo(word: string, options: ApplyOptions & { readonly to?: string }): Promise<void> {
  checkTarget(options.target)
  const to = numberOf(options.to)
  await using cluster = await clusterOf(options)
  for (const set of await setsOf([word], options, cluster)) {
    const kept = await revisionToUndo(cluster, set, to)
    const why = `undo to revision ${kept.revision.number}${options.reason === undefined ? '' : `: ${options.reason}`}`
    await applyAndWait(cluster, { set, objects: objectsOf(kept) }, causeOf(undefined, why), options)
  }
}

/** @throws SLW_USAGE */
function numberOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new SlipwayError('SLW_USAGE', `--to ${text}: expected the number of a revision, such as 3`)
}
