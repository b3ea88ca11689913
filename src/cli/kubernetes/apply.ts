import { applySet } from '../../cluster/apply.ts'
import { untilRolledOut } from '../../cluster/rollout.ts'
import { parseDurationMs } from '../../core/units.ts'
import { managerOf } from '../endpoint/documents.ts'
import { note, print, style } from '../output.ts'
import { clusterOf, renderedOf } from './endpoints.ts'
import { checkTarget } from './target.ts'
import type { Applied, ApplyResult } from '../../cluster/apply.ts'
import type { Cause, EndpointSet } from '../../cluster/revisions.ts'
import type { Cluster } from '../../cluster/cluster.ts'
import type { ClusterOptions, RenderedEndpoint } from './endpoints.ts'

export interface ApplyOptions extends ClusterOptions {
  readonly output?: string
  readonly dryRun?: boolean
  readonly force?: boolean
  readonly reason?: string
  /** As a flag alone it waits, as `--no-wait` it does not, and with a duration so long. Default: it waits. */
  readonly wait?: string | boolean
  readonly timeout?: string
}

/** How long pods may take until all of them are ready. */
const TIMEOUT = '10m'

/** Applies documents to a cluster, and waits until their pods are ready. */
export async function applyToCluster(files: readonly string[], options: ApplyOptions): Promise<void> {
  checkTarget(options.target)
  await using cluster = await clusterOf(options)
  const endpoints = await renderedOf(files, options, cluster)
  const results: { readonly set: EndpointSet; readonly result: ApplyResult }[] = []
  for (const endpoint of endpoints)
    results.push({ set: endpoint.set, result: await applyAndWait(cluster, endpoint, causeOf(endpoint.file, options.reason), options) })
  if (options.output === 'json') for (const { set, result } of results) print(JSON.stringify(answerOf(set, result)))
}

export function causeOf(file: string | undefined, why: string | undefined): Cause {
  const { kind, name } = managerOf(file)
  return { who: `${kind} ${name}`, ...(why !== undefined && { why }) }
}

/** @throws SLW_NOT_ROLLED_OUT; SLW_CANCELLED upon Ctrl-C */
export async function applyAndWait(
  cluster: Cluster,
  { set, objects }: Pick<RenderedEndpoint, 'set' | 'objects'>,
  cause: Cause,
  { dryRun = false, force = false, wait = true, timeout, output }: ApplyOptions,
): Promise<ApplyResult> {
  const timeoutMs = parseDurationMs(typeof wait === 'string' ? wait : (timeout ?? TIMEOUT), '--timeout')
  const says = output === 'json' ? () => {} : print
  const result = await applySet(cluster, set, objects, { ...cause, dryRun, force, told: (applied) => says(appliedLine(applied, dryRun)) })
  if (result.revision !== undefined) says(`${set.endpoint} is at revision ${result.revision.number} in namespace ${set.namespace}`)
  if (dryRun || wait === false) return result
  const cancelled = new AbortController()
  const cancel = (): void => cancelled.abort()
  process.once('SIGINT', cancel)
  try {
    await untilRolledOut(cluster, result.live, { timeoutMs, told: note, signal: cancelled.signal })
  } finally {
    process.off('SIGINT', cancel)
  }
  return result
}

const COLOURS = { created: 'green', changed: 'yellow', unchanged: 'dim', removed: 'red' } as const

function appliedLine({ object, change }: Applied, dryRun: boolean): string {
  const { kind, metadata } = object
  return `${style(COLOURS[change], change.padEnd(9))}  ${kind} ${metadata.name}${dryRun ? ' (dry run)' : ''}`
}

function answerOf({ endpoint, namespace }: EndpointSet, { applied, revision }: ApplyResult): object {
  return {
    apiVersion: 'slipway/v1',
    kind: 'AppliedToCluster',
    endpoint,
    namespace,
    ...(revision !== undefined && { revision: revision.number, digest: revision.digest }),
    objects: applied.map(({ object: { apiVersion, kind, metadata }, change }) => ({ apiVersion, kind, name: metadata.name, change })),
  }
}
