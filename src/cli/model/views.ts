/** Text views of the registry's objects. */
import { formatBytes } from '../../core/units.ts'
import { style, table } from '../output.ts'
import { time } from '../control-plane/registry-command.ts'
import type {
  AliasAnswer,
  WebhookDeliveryAnswer,
  EventAnswer,
  ModelAnswer,
  RunAnswer,
  SignerAnswer,
  TrashAnswer,
  VersionAnswer,
  WebhookAnswer,
} from '../../contract/registry-api.ts'
import type { View } from '../control-plane/registry-command.ts'

export const modelView: View<ModelAnswer> = {
  kind: 'Model',
  name: ({ name }) => name,
  header: ['model', 'newest', 'aliases', 'changed', 'description'],
  row: ({ name, latestVersion, aliases, updatedAt, description = '' }) => [
    name,
    latestVersion === undefined ? '-' : String(latestVersion),
    pairsText(aliases),
    time(updatedAt),
    description.split('\n', 1)[0]!.slice(0, 60),
  ],
}

export function modelText(model: ModelAnswer): string {
  const { gatedAliases = [], approval, signedBy, gates, sandbox } = model.policy
  const policy = [
    approval === true ? 'an approval' : '',
    signedBy === undefined ? '' : `a signature by ${signedBy.join(' or ')}`,
    gates === undefined || gates === false ? '' : gates === true ? 'gates that have passed' : `the gates ${gates.join(', ')}`,
  ].filter((text) => text !== '')
  return lines([
    [style('bold', model.name), model.description ?? ''],
    ['newest version', model.latestVersion === undefined ? 'none' : String(model.latestVersion)],
    ['aliases', pairsText(model.aliases) || 'none'],
    ['protected', model.protectedAliases.join(', ')],
    ['gated', gatedAliases.length === 0 ? '' : `${gatedAliases.join(', ')}: ${policy.join(' and ') || 'nothing is asked for'}`],
    ['sandbox', sandbox === true ? 'versions that are pickles may be served, confined' : ''],
    ['tags', pairsText(model.tags)],
    ['made', time(model.createdAt)],
    ['changed', time(model.updatedAt)],
  ])
}

export const versionView: View<VersionAnswer> = {
  kind: 'ModelVersion',
  name: ({ model, version }) => `${model}/${version}`,
  header: ['version', 'aliases', 'servable', 'approval', 'size', 'made', 'by'],
  row: ({ model, version, aliases, servable, approval, size, createdAt, createdBy }) => [
    `${model}/${version}`,
    aliases.join(' '),
    servable,
    approval.state,
    size === undefined ? '-' : formatBytes(size),
    time(createdAt),
    createdBy,
  ],
}

export function versionText(version: VersionAnswer): string {
  const { approval, signature, provenance, metrics, scan } = version
  const tensors = (side: 'inputs' | 'outputs'): string =>
    (signature?.[side] ?? [])
      .map(({ name, datatype, shape }) => `${name} ${datatype} [${shape.map((dim) => (dim === -1 ? 'n' : dim)).join(', ')}]`)
      .join(', ')
  return lines([
    [style('bold', `${version.model}/${version.version}`), version.description ?? ''],
    ['servable', version.servable === 'yes' ? style('green', 'yes') : `${style('yellow', 'no')}: ${version.servableReason ?? ''}`],
    ['aliases', version.aliases.join(', ')],
    ['takes', tensors('inputs')],
    ['gives', tensors('outputs')],
    ['features', (signature?.features ?? []).map(({ name }) => name).join(', ')],
    [
      'approval',
      approval.state === 'none'
        ? ''
        : [approval.state, approval.by === undefined ? '' : `by ${approval.by}`, approval.reason ?? '']
            .filter((text) => text !== '')
            .join(', '),
    ],
    [
      'from',
      [
        provenance.runId === undefined ? '' : `run ${provenance.runId}`,
        provenance.parentVersion ?? '',
        provenance.datasetVersion ?? '',
        provenance.codeCommit ?? '',
      ]
        .filter((text) => text !== '')
        .join(', '),
    ],
    ['gates', (version.gates ?? []).map(({ gate, verdict, createdBy }) => `${gate} ${verdict} (${createdBy})`).join(', ')],
    ['metrics', pairsText(metrics)],
    ['checks', scan.map(({ check, passed, detail }) => `${check} ${passed ? 'ok' : style('yellow', 'no')} (${detail})`).join('; ')],
    ['tags', pairsText(version.tags)],
    ['digest', version.digest ?? ''],
    ['size', version.size === undefined ? '' : formatBytes(version.size)],
    ['made', `${time(version.createdAt)} by ${version.createdBy}`],
  ])
}

/** A title, and rows of a name and a text; rows with an empty text are left out. */
function lines(rows: readonly (readonly [name: string, text: string])[]): string {
  const [title, ...rest] = rows
  const head = title === undefined ? '' : title[1] === '' ? title[0] : `${title[0]}  ${title[1]}`
  return [head, table(rest.filter(([, text]) => text !== '').map(([name, text]) => [`  ${name}`, text]))].join('\n')
}

function pairsText(pairs: Readonly<Record<string, string | number>>): string {
  return Object.entries(pairs)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ')
}

export const aliasView: View<AliasAnswer> = {
  kind: 'Alias',
  name: ({ model, alias }) => `${model}@${alias}`,
  header: ['alias', 'version'],
  none: 'no aliases',
  row: ({ model, alias, version }) => [`${model}@${alias}`, `${model}/${version}`],
}

export const runView: View<RunAnswer> = {
  kind: 'Run',
  name: ({ id }) => id,
  header: ['run', 'name', 'status', 'started', 'metrics'],
  row: ({ id, name, status, startTime, metrics }) => [
    id,
    name,
    status,
    time(startTime),
    pairsText(Object.fromEntries(Object.entries(metrics).slice(0, 4))),
  ],
}

export const eventView: View<EventAnswer> = {
  kind: 'Event',
  name: ({ sequence }) => String(sequence),
  header: ['event', 'at', 'by', 'what', 'change', 'why'],
  row: ({ sequence, at, actor, kind, action, name, before, after, reason = '' }) => [
    String(sequence),
    time(at),
    actor,
    `${kind} ${name} ${action}`,
    [before, after]
      .map((value) => (value === undefined ? '' : short(value)))
      .join(' -> ')
      .replace(/^ -> /, ''),
    reason,
  ],
}

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? ''
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

export const trashView: View<TrashAnswer> = {
  kind: 'Trashed',
  name: ({ name }) => name,
  header: ['deleted', 'kind', 'id', 'when', 'goes for good'],
  none: 'nothing lies in the trash',
  row: ({ name, kind, id, deletedAt, purgedAt }) => [name, kind, id, time(deletedAt), time(purgedAt)],
}

export const signerView: View<SignerAnswer> = {
  kind: 'Signer',
  name: ({ name }) => name,
  header: ['signer', 'kind', 'id', 'added', 'by'],
  row: ({ name, kind, id, createdAt, createdBy }) => [name, kind, id.slice(0, 16), time(createdAt), createdBy],
}

export const webhookView: View<WebhookAnswer> = {
  kind: 'Webhook',
  name: ({ id }) => id,
  header: ['webhook', 'id', 'url', 'format', 'events', 'signed', 'state'],
  row: ({ name, id, url, format, events, signed, active }) => [
    name,
    id,
    url,
    format,
    events.join(' '),
    signed ? 'yes' : 'no',
    active ? 'active' : 'paused',
  ],
}

export const deliveryView: View<WebhookDeliveryAnswer> = {
  kind: 'Delivery',
  name: ({ id }) => id,
  header: ['delivery', 'event', 'state', 'attempts', 'answer', 'next'],
  none: 'no deliveries',
  row: ({ id, sequence, state, attempts, lastStatus, lastError, nextAttemptAt }) => [
    id,
    String(sequence),
    state,
    String(attempts),
    lastError ?? (lastStatus === undefined ? '' : String(lastStatus)),
    state === 'pending' ? time(nextAttemptAt) : '',
  ],
}
