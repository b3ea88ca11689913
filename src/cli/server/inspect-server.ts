import { SlipwayError } from '../../core/errors.ts'
import { formatBytes, formatMs } from '../../core/units.ts'
import { adviceFor } from '../../serving/instance-advice.ts'
import { print, style, table } from '../output.ts'
import { askServer } from './server-client.ts'

/** The fields of `/health` that are read. Servers of other versions may send more, or fewer. */
interface Health {
  readonly status?: string
  readonly reason?: string
  readonly models?: readonly ModelHealth[]
}

interface ModelHealth {
  readonly name?: string
  readonly version?: string
  readonly phase?: string
  readonly loaded?: boolean
  readonly reason?: string
  readonly advice?: string
  readonly memory_bytes?: number
  readonly instances?: readonly InstanceHealth[]
  /** Versions that could not be loaded and did not take the place of this one. */
  readonly failures?: readonly FailedVersion[]
  /** Versions that are being loaded beside this one. */
  readonly loading?: readonly string[]
}

interface FailedVersion {
  readonly version?: string
  readonly message?: string
  readonly at?: string
  readonly advice?: string
}

interface InstanceHealth {
  readonly name?: string
  readonly state?: string
  readonly failures?: number
  readonly timeouts?: number
  readonly last_failure?: { readonly at?: string; readonly reason?: string; readonly message?: string }
  readonly retry_at?: string
  readonly advice?: string
}

/**
 * Prints the health of a running server: the state of each model and version, and for each instance its counts of failures,
 * the last failure with its time, and advice.
 * @throws SLW_UNREACHABLE where no server answers, or one that is not Slipway
 */
export async function inspectServer(
  url: string,
  options: { readonly apiKey?: string | undefined; readonly json?: boolean },
): Promise<void> {
  const address = `${url.replace(/\/$/, '').replace(/\/health$/, '')}/health`
  const text = await (await askServer(address, { apiKey: options.apiKey, anyStatus: true })).text()
  const health = parse(text)
  if (!Array.isArray(health?.models))
    throw new SlipwayError('SLW_UNREACHABLE', `${address} does not answer like a Slipway server: ${text.slice(0, 200)}`)
  print(options.json === true ? text : describe(health, Date.now()))
}

function parse(text: string): Health | undefined {
  try {
    return JSON.parse(text) as Health
  } catch {
    return undefined
  }
}

function describe(health: Health, nowMs: number): string {
  const lines = [`server  ${coloured(health.status ?? 'unknown')}${health.reason === undefined ? '' : `: ${health.reason}`}`]
  for (const model of health.models ?? []) lines.push('', ...describeModel(model, nowMs))
  return lines.join('\n')
}

function coloured(state: string): string {
  return style(state === 'ok' || state === 'ready' ? 'green' : state === 'failed' || state === 'unavailable' ? 'red' : 'yellow', state)
}

function describeModel(model: ModelHealth, nowMs: number): string[] {
  const instances = model.instances ?? []
  const ready = instances.filter((instance) => instance.state === 'ready').length
  const state = model.phase === 'ready' && model.loaded === false ? 'not ready' : (model.phase ?? 'unknown')
  const title = `${style('bold', model.name ?? '?')} version ${model.version ?? '?'}  ${coloured(state)}`
  const memory = model.memory_bytes === undefined ? '' : `, ${formatBytes(model.memory_bytes)}`
  const lines = [instances.length === 0 ? title : `${title}, ${ready} of ${instances.length} instances ready${memory}`]
  if (model.reason !== undefined) lines.push(`  why     ${model.reason}`)
  const advice = model.advice ?? (model.phase === 'failed' ? adviceFor('load failed') : undefined)
  if (advice !== undefined) lines.push(`  advice  ${advice}`)
  if (instances.length > 0) {
    const rows = instances.map((instance) => [
      `  ${instance.name ?? '?'}`,
      instance.state ?? '?',
      count(instance.failures ?? 0, 'failure'),
      count(instance.timeouts ?? 0, 'time-out'),
    ])
    lines.push(...table(rows).split('\n'))
  }
  for (const instance of instances) lines.push(...describeTrouble(instance, nowMs))
  for (const version of model.loading ?? []) lines.push(`  version ${version} ${style('yellow', 'is being loaded')}`)
  for (const failed of model.failures ?? []) lines.push(...describeFailed(failed, nowMs))
  return lines
}

function describeFailed({ version, message, at, advice }: FailedVersion, nowMs: number): string[] {
  const ago = at === undefined ? '' : ` at ${at}${distance(nowMs - Date.parse(at), ' (', ' ago)')}`
  const lines = [`  version ${version ?? '?'} ${style('yellow', 'could not be loaded')}${ago}: ${message ?? 'no reason was given'}`]
  if (advice !== undefined) lines.push(`    advice  ${advice}`)
  return lines
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`
}

function describeTrouble(instance: InstanceHealth, nowMs: number): string[] {
  const { last_failure: last, retry_at: retryAt } = instance
  if (last === undefined) return []
  const ago = last.at === undefined ? '' : ` at ${last.at}${distance(nowMs - Date.parse(last.at), ' (', ' ago)')}`
  const message = last.message === undefined || last.message === '' ? '' : `: ${last.message}`
  const lines = [`  ${instance.name ?? '?'} last: ${style('yellow', last.reason ?? 'unknown')}${ago}${message}`]
  if (retryAt !== undefined) lines.push(`    next    attempt at ${retryAt}${distance(Date.parse(retryAt) - nowMs, ' (in ', ')')}`)
  const advice = instance.advice ?? adviceFor(last.reason)
  if (advice !== undefined) lines.push(`    advice  ${advice}`)
  return lines
}

/** A past or future distance in time, as text; empty where it is negative because the clocks disagree. */
function distance(ms: number, before: string, after: string): string {
  return ms >= 0 ? `${before}${formatMs(ms)}${after}` : ''
}
