import { setTimeout as pause } from 'node:timers/promises'
import { revisions } from '../../cluster/revisions.ts'
import { statusOf } from '../../cluster/status.ts'
import { print, style, table } from '../output.ts'
import { differencesText } from './diff.ts'
import { asksCluster, clusterOf, setsOf } from './endpoints.ts'
import { checkTarget } from './target.ts'
import type { Command } from 'commander'
import type { Cluster } from '../../cluster/cluster.ts'
import type { EndpointSet } from '../../cluster/revisions.ts'
import type { EndpointStatus, VariantStatus } from '../../cluster/status.ts'
import type { ClusterOptions } from './endpoints.ts'

interface StatusOptions extends ClusterOptions {
  readonly json?: boolean
  readonly watch?: boolean
  readonly history?: boolean
}

/** Pause between two looks. */
const REFRESH_MS = 2000

export function define(command: Command): void {
  asksCluster(command.argument('<endpoints...>', 'names of endpoints, or files of their documents'))
    .option('--history', 'list the revisions that `slipway undo` can go back to')
    .option('--watch', 'show it again whenever it has changed, until Ctrl-C')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway status --target kubernetes churn\n  slipway status --target kubernetes churn.yaml --history',
    )
    .action(showStatus)
}

async function showStatus(words: readonly string[], options: StatusOptions): Promise<void> {
  checkTarget(options.target)
  await using cluster = await clusterOf(options)
  const sets = await setsOf(words, options, cluster)
  const texts = async (): Promise<string> =>
    (
      await Promise.all(
        sets.map((set) => (options.history === true ? historyText(cluster, set, options) : presentText(cluster, set, options))),
      )
    ).join('\n')
  let before = await texts()
  print(before)
  while (options.watch === true) {
    await pause(REFRESH_MS)
    const now = await texts()
    if (now !== before) print(options.json === true ? now : `\n${now}`)
    before = now
  }
}

async function presentText(cluster: Cluster, set: EndpointSet, { json }: StatusOptions): Promise<string> {
  const found = await statusOf(cluster, set)
  return json === true ? JSON.stringify({ apiVersion: 'slipway/v1', kind: 'ClusterStatus', ...found }) : statusText(found)
}

async function historyText(cluster: Cluster, set: EndpointSet, { json }: StatusOptions): Promise<string> {
  const kept = (await revisions(cluster, set)).map(({ revision }) => revision)
  const { endpoint, namespace } = set
  if (json === true) return JSON.stringify({ apiVersion: 'slipway/v1', kind: 'ClusterRevisions', endpoint, namespace, revisions: kept })
  if (kept.length === 0) return `${endpoint} was never applied to namespace ${namespace}`
  return table(
    kept.map(({ number, digest, state, who, when, why }) => [String(number), digest.slice(0, 12), state, when, who, why]),
    ['revision', 'digest', 'state', 'when', 'who', 'why'],
  )
}

/** A branch of the tree and what hangs on it. */
interface Branch {
  readonly text: string
  readonly below?: readonly Branch[]
}

function driftText(drift: EndpointStatus['drift']): string {
  if (drift === undefined) return 'drift unknown: it takes the right to patch the objects'
  const fields = drift.reduce((sum, { fields: changed }) => sum + Math.max(changed.length, 1), 0)
  if (fields === 0) return 'no drift'
  return `${style('yellow', `drift in ${fields === 1 ? 'one place' : `${fields} places`}`)}\n${differencesText(drift)}`
}

function statusText({ endpoint, namespace, revision, variants, routes, drift }: EndpointStatus): string {
  const applied =
    revision === undefined
      ? 'never applied'
      : `revision ${revision.number} by ${revision.who}, ${revision.when}${revision.state === 'applied' ? '' : ' (not applied as a whole)'}`
  const shares = routes.map(({ kind, name, weights, areMoved }): Branch => {
    const each = weights.map(({ target, weight }) => `${target} ${weight}`).join(', ')
    return { text: `${kind} ${name}: ${each}${areMoved ? ' (moved by rollouts)' : ''}` }
  })
  const head = `${style('bold', endpoint)}  ${namespace}  ${applied}`
  const tree = drawn([...variants.map(variantBranch), ...shares])
  return [head, ...tree, driftText(drift)].join('\n')
}

function variantBranch({ variant, image, deployment, pods, scaling }: VariantStatus): Branch {
  const { available, wanted, updated, conditions, isDone, revision } = deployment
  const state = isDone ? style('green', 'ready') : style('yellow', 'rolling out')
  const failed = conditions.filter(({ status, type }) => (type === 'ReplicaFailure' ? status === 'True' : status === 'False'))
  return {
    text: `${variant}  ${state}  ${available} of ${wanted} available, ${updated} new  ${image}${revision === undefined ? '' : `  (rollout ${revision})`}`,
    below: [
      ...failed.map(({ type, reason = '', message = '' }): Branch => ({ text: `${type}: ${reason}: ${message}` })),
      ...(scaling === undefined
        ? []
        : [
            {
              text: `scales ${scaling.min} to ${scaling.max}: ${scaling.present} now, ${scaling.wanted} wanted; ${scaling.metrics.join(', ')}${scaling.trouble === undefined ? '' : `; ${scaling.trouble}`}`,
            },
          ]),
      ...pods.map(({ name, node = 'no node', isReady, restarts, trouble }): Branch => {
        const word = isReady ? style('green', 'ready') : style('red', trouble ?? 'not ready')
        return { text: `${name}  ${node}  ${word}${restarts === 0 ? '' : `  restarted ${restarts} times`}` }
      }),
    ],
  }
}

function drawn(branches: readonly Branch[], indent = ''): string[] {
  return branches.flatMap(({ text, below = [] }, index) => {
    const isLast = index === branches.length - 1
    return [`${indent}${isLast ? '└─' : '├─'} ${text}`, ...drawn(below, `${indent}${isLast ? '   ' : '│  '}`)]
  })
}
