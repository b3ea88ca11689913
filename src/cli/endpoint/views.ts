/** Text views of endpoints and servers. */
import { shareOut, STEPS } from '../../contract/ranges.ts'
import { style, table } from '../output.ts'
import { time } from '../control-plane/registry-command.ts'
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
    ['traffic', sharesText(status.routing)],
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
  return status.servers.length === 0
    ? facts
    : `${facts}\n\n${table(status.servers.flatMap(reportRows), ['server', 'version', 'state', 'heard of'])}`
}

/** Empty where one variant has everything. */
function sharesText({ weights }: EndpointAnswer['status']['routing']): string {
  const shares = Object.entries(weights).filter(([, weight]) => weight > 0)
  const total = shares.reduce((sum, [, weight]) => sum + weight, 0)
  return shares.length < 2
    ? ''
    : shares.map(([variant, weight]) => `${variant} ${Number(((100 * weight) / total).toFixed(2))} %`).join(', ')
}

const BAR = 20

/** How requests are shared out, a line and a bar for each variant. */
export function trafficText({ metadata, status }: EndpointAnswer): string {
  const { weights, segment } = status.routing
  // A control plane of an earlier release says no ranges.
  const ranges = status.routing.ranges ?? shareOut(weights)
  const sizes = new Map<string, number>(Object.keys(weights).map((variant) => [variant, 0]))
  for (const { variant, from, until } of ranges) sizes.set(variant, (sizes.get(variant) ?? 0) + until - from)
  const versions = new Map(status.revision.variants.map(({ name, model, version }) => [name, `${model}/${version}`]))
  const rows = [...sizes].map(([variant, size]) => {
    const full = size === 0 ? 0 : Math.max(1, Math.round((size / STEPS) * BAR))
    return [
      variant,
      `${size / (STEPS / 100)} %`,
      `${'█'.repeat(full)}${'░'.repeat(BAR - full)}`,
      versions.get(variant) ?? 'of the revision beside',
    ]
  })
  return `${style('bold', metadata.name)}, revision ${status.revision.number}, routing ${segment}\n\n${table(rows, ['variant', 'share', '', 'version'])}`
}

export function reportRows({ server, live, versions, reportedAt }: ServerReportAnswer): string[][] {
  return versions.map(({ model, version, state, progress, reason, serves }) => [
    server,
    `${model}/${version}`,
    `${state}${progress === undefined ? '' : ` ${Math.round(progress)} %`}${serves ? ', serves' : ''}${reason === undefined ? '' : `: ${reason}`}`,
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
