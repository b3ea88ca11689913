import { setTimeout as pause } from 'node:timers/promises'
import { SlipwayError } from '../../core/errors.ts'
import { parseDurationMs } from '../../core/units.ts'
import { note, print, style } from '../output.ts'
import { part, show } from '../control-plane/registry-command.ts'
import { endpointView } from './views.ts'
import type { AppliedAnswer, EndpointAnswer } from '../../contract/delivery-api.ts'
import type { RegistryClient } from '../control-plane/client.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

export interface ChangeOptions extends RegistryOptions {
  readonly allowBreaking?: boolean
  readonly wait?: string | boolean
}

export interface EndpointChange {
  readonly method: 'PUT' | 'POST'
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly body: unknown
  /** The endpoint as it was read, where the change was made from that: refused if it has changed since. */
  readonly read?: EndpointAnswer | undefined
}

/** Changes an endpoint; with `--dry-run` only prints what would change, as the control plane computes it. */
export async function changeEndpoint(options: ChangeOptions, client: RegistryClient, asked: EndpointChange): Promise<AppliedAnswer> {
  const { method, path, body } = asked
  const query = {
    ...asked.query,
    ...(options.dryRun === true && { dryRun: 'true' }),
    ...(options.allowBreaking === true && { allowBreaking: 'true' }),
  }
  const seen = asked.read?.metadata.resourceVersion
  const headers = seen === undefined ? {} : { 'if-match': `"${seen}"` }
  const applied = await client.ask<AppliedAnswer>(path, { method, query, body, headers })
  const { endpoint, change } = applied
  if (options.output === 'table') print(changeText(applied))
  else show(endpoint, endpointView, options)
  const served = endpoint.status.conditions.find(({ type }) => type === 'Ready')
  if (options.wait !== undefined && options.wait !== false && options.dryRun !== true)
    await waitUntilReady(client, endpoint.metadata.name, options.wait === true ? '60s' : options.wait)
  else if (options.output === 'table' && change !== 'unchanged' && options.dryRun !== true && served?.reason === 'NoServer')
    note(
      `\nNo server follows it yet: ${style('bold', `slipway serve --control-plane ${client.target.url} --endpoint ${endpoint.metadata.name}`)}`,
    )
  return applied
}

/** `endpoint churn configured: revision 4`, and below it what has changed. */
export function changeText({ change, dryRun, endpoint, differences, plan = [] }: AppliedAnswer): string {
  const { metadata, status } = endpoint
  const head = `endpoint ${metadata.name} ${dryRun && change !== 'unchanged' ? `would be ${change}` : change}: revision ${status.revision.number}`
  // After a change the servers report these steps themselves.
  const steps = dryRun ? plan.map((step) => `  > ${step}`) : []
  return [head, ...differences.map(({ path, before, after }) => differenceText(path, before, after)), ...steps].join('\n')
}

function differenceText(path: string, before: unknown, after: unknown): string {
  const text = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
  if (before === undefined) return style('green', `  + ${path}: ${text(after)}`)
  if (after === undefined) return style('red', `  - ${path}: ${text(before)}`)
  return style('yellow', `  ~ ${path}: ${text(before)} -> ${text(after)}`)
}

const POLL_MS = 200

/** Waits until every server that follows serves the revision in force. @throws SLW_DEADLINE_EXCEEDED with the last known state */
export async function waitUntilReady(client: RegistryClient, name: string, limit: string): Promise<void> {
  const end = Date.now() + parseDurationMs(limit, '--wait')
  for (let told = ''; ;) {
    const { status } = await client.ask<EndpointAnswer>(`/endpoints/${part(name)}`)
    const ready = status.conditions.find(({ type }) => type === 'Ready')
    const message = ready?.message ?? ''
    if (ready?.status === 'True') {
      note(message)
      return
    }
    if (ready?.reason === 'LoadFailed') throw new SlipwayError('SLW_MODEL_NOT_READY', `endpoint "${name}": ${message}`)
    if (message !== told) note((told = message))
    if (Date.now() > end)
      throw new SlipwayError('SLW_DEADLINE_EXCEEDED', `endpoint "${name}" is not served everywhere after ${limit}: ${message}`)
    await pause(POLL_MS)
  }
}
