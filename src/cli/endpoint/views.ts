/** Text views of endpoints and servers. */
import { placeOf } from '../../contract/audience.ts'
import { shareOut, STEPS } from '../../contract/ranges.ts'
import { style, table } from '../output.ts'
import { time } from '../control-plane/registry-command.ts'
import type { Condition } from '../../contract/audience.ts'
import type { ComparisonAnswer } from '../../contract/comparison.ts'
import type { EndpointAnswer, RevisionAnswer, ServerAnswer, ServerReportAnswer } from '../../contract/delivery-api.ts'
import type { View } from '../control-plane/registry-command.ts'

function versionsText({ variants }: Pick<RevisionAnswer, 'variants'>): string {
  return variants.map(({ model, version, weight }) => `${model}/${version}${weight === 100 ? '' : ` ${weight}%`}`).join(', ')
}

export const endpointView: View<EndpointAnswer> = {
  kind: 'Endpoint',
  name: ({ metadata }) => metadata.name,
  header: ['endpoint', 'serves', 'revision', 'ready', 'follows', 'changed'],
  row: ({ metadata, spec, status }) => [
    metadata.name,
    versionsText(status.revision),
    String(status.revision.number),
    conditionOf(status.conditions, 'Ready'),
    `${spec.variants.map(({ model }) => model).join(', ')}${status.suspended === undefined ? '' : ' (suspended)'}`,
    time(metadata.updatedAt),
  ],
}

function conditionOf(conditions: EndpointAnswer['status']['conditions'], type: string): string {
  const found = conditions.find((condition) => condition.type === type)
  return found === undefined ? '-' : found.status === 'True' ? 'yes' : `${found.status === 'False' ? 'no' : '-'} (${found.reason})`
}

export function endpointText({ metadata, spec, status }: EndpointAnswer): string {
  const { revision, suspended } = status
  const rows: [string, string][] = [
    [style('bold', metadata.name), metadata.environment],
    [
      'serves',
      `${versionsText(revision)}, revision ${revision.number} (${revision.cause}) by ${revision.createdBy}, ${time(revision.createdAt)}`,
    ],
    ['declared', spec.variants.map(({ model }) => model).join(', ')],
    ['managed by', metadata.managedBy === undefined ? '' : `${metadata.managedBy.kind} ${metadata.managedBy.name}`],
    [
      'labels',
      Object.entries(metadata.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(' '),
    ],
    [
      'suspended',
      suspended === undefined
        ? ''
        : `since ${time(suspended.at)} by ${suspended.by}${suspended.reason === undefined ? '' : `: ${suspended.reason}`}`,
    ],
    ['next look', time(status.nextFollowAt)],
    ...status.conditions.map(({ type, status: state, reason, message }): [string, string] => [type, `${state} (${reason}): ${message}`]),
  ]
  const facts = table(rows.filter(([, value]) => value !== ''))
  // One variant that has everything needs no drawing.
  const isShared = Object.keys(status.routing.weights).length > 1
  const parts = [
    facts,
    ...(isShared ? [sharesText(status)] : []),
    ...(status.servers.length === 0 ? [] : [table(status.servers.flatMap(reportRows), ['server', 'version', 'state', 'heard of'])]),
  ]
  return parts.join('\n\n')
}

const BAR = 20

/** How requests are shared out, a line and a bar for each variant. */
export function trafficText({ metadata, status }: EndpointAnswer): string {
  return `${style('bold', metadata.name)}, revision ${status.revision.number}, routing ${status.routing.segment}\n\n${sharesText(status)}`
}

function sharesText(status: EndpointAnswer['status']): string {
  const { weights, shadows = {}, edges = [] } = status.routing
  // A control plane of an earlier release says no ranges.
  const ranges = status.routing.ranges ?? shareOut(weights)
  const sizes = new Map<string, number>(Object.keys(weights).map((variant) => [variant, 0]))
  for (const { variant, from, until } of ranges) sizes.set(variant, (sizes.get(variant) ?? 0) + until - from)
  const versions = new Map(status.revision.variants.map(({ name, model, version }) => [name, `${model}/${version}`]))
  const rows = [...sizes].map(([variant, size]) => {
    const full = size === 0 ? 0 : Math.max(1, Math.round((size / STEPS) * BAR))
    return [variant, `${size / (STEPS / 100)} %`, bar(full / BAR), versions.get(variant) ?? 'of the revision beside']
  })
  const more = [
    ...Object.entries(shadows).map(([variant, share]) => `${variant} gets copies of ${share} % of the requests, as a shadow`),
    ...(status.routing.rules ?? []).map(({ variant, all }) => `${variant} gets whoever has ${all.map(conditionText).join(' and ')}`),
    ...(status.routing.fallbacks ?? []).map((variant) => `what ${variant} fails at is answered by the one with the largest share`),
    ...(edges.length > 0 ? [`requests that take longer are counted for ${edges.join(', ')} ms`] : []),
    ...trippedIn(status.servers),
  ]
  const notes = more.length === 0 ? '' : `\n\n${more.join('\n')}`
  return `${table(rows, ['variant', 'share', '', 'version'])}${notes}`
}

function conditionText(condition: Condition): string {
  const { kind, name } = placeOf(condition)
  const { is } = condition
  return `${kind} ${name}${is === '*' ? '' : ` ${[is].flat().join(' or ')}`}`
}

/** What servers have taken out by themselves. */
function trippedIn(servers: readonly ServerReportAnswer[]): string[] {
  return servers.flatMap(({ server, versions }) =>
    versions.flatMap(({ variant, tripped }) => (tripped === undefined ? [] : [`${server} has taken ${variant} out: ${tripped}`])),
  )
}

export const comparisonView: View<ComparisonAnswer> = {
  kind: 'Comparison',
  name: ({ candidate }) => candidate.variant,
  header: ['candidate', 'base', 'verdict'],
  row: ({ candidate, base, verdict }) => [candidate.variant, base.variant, verdict],
}

/** What is shown so far, a sentence and a bar of evidence for each metric. */
export function comparisonText({ endpoint, base, candidate, from, verdict, metrics, shadow }: ComparisonAnswer): string {
  const nameOf = ({ variant, model, version }: ComparisonAnswer['base']): string => `${variant} (${model}/${version})`
  const lines = metrics.map(({ metric, role, verdict: own, p, sentence }) => [
    metric,
    own,
    role,
    // How far the evidence has come to what a failure takes, on a scale of logarithms.
    bar(Math.min(1, Math.log(1 / p) / Math.log(20))),
    sentence.slice(metric.length + 2),
  ])
  const head = `${style('bold', endpoint)}: ${nameOf(candidate)} beside ${nameOf(base)}, since ${time(from)}: ${style('bold', verdict)}`
  const copies =
    shadow === undefined
      ? ''
      : `\n\nas a shadow: ${shadow.same} the same, ${shadow.different} different, only it failed ${shadow.worse}, only ${base.variant} failed ${shadow.better}, both ${shadow.bothFailed}; ${shadow.dropped} dropped; that it fails more often: p = ${Number(shadow.p.toPrecision(2))}`
  return `${head}\n\n${table(lines, ['metric', 'verdict', 'role', 'against it', 'what was counted'])}${copies}`
}

/** A bar of a part of a whole. */
export function bar(part: number, width = BAR): string {
  const full = Math.round(part * width)
  return `${'█'.repeat(full)}${'░'.repeat(width - full)}`
}

export function reportRows({ server, live, versions, reportedAt }: ServerReportAnswer): string[][] {
  return versions.map(({ model, version, state, progress, reason, serves, tripped }) => [
    server,
    `${model}/${version}`,
    `${state}${progress === undefined ? '' : ` ${Math.round(progress)} %`}${serves ? ', serves' : ''}${tripped === undefined ? '' : `, taken out: ${tripped}`}${reason === undefined ? '' : `: ${reason}`}`,
    `${time(reportedAt)}${live ? '' : ' (silent since)'}`,
  ])
}

export const revisionView: View<RevisionAnswer> = {
  kind: 'Revision',
  name: ({ number }) => String(number),
  header: ['revision', 'at', 'by', 'serves', 'because of', 'why'],
  row: (revision) => [
    String(revision.number),
    time(revision.createdAt),
    revision.createdBy,
    versionsText(revision),
    `${revision.cause}${revision.rolledBackTo === undefined ? '' : ` to ${revision.rolledBackTo}`}`,
    revision.reason ?? '',
  ],
}

export const serverView: View<ServerAnswer> = {
  kind: 'Server',
  name: ({ name }) => name,
  header: ['server', 'state', 'release', 'last heard of', 'stale', 'clock', 'url', 'trouble'],
  row: ({ name, live, release, lastSeenAt, staleSeconds, clockSkewMs, url = '', message = '' }) => [
    name,
    live ? 'live' : 'silent',
    release,
    time(lastSeenAt),
    `${Math.round(staleSeconds)} s`,
    Math.abs(clockSkewMs) < 5000 ? 'right' : `${Math.round(clockSkewMs / 1000)} s ${clockSkewMs > 0 ? 'ahead' : 'behind'}`,
    url,
    message,
  ],
}
