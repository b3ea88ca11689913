import { setTimeout as pause } from 'node:timers/promises'
import { formatMs, parseDurationMs } from '../../core/units.ts'
import { asksRegistry, clientOf, showList, time } from '../control-plane/registry-command.ts'
import { print, style, table } from '../output.ts'
import type { Command } from 'commander'
import type { TrafficAnswer } from '../../contract/delivery-api.ts'
import type { RegistryClient } from '../control-plane/client.ts'
import type { RegistryOptions, View } from '../control-plane/registry-command.ts'

interface TopOptions extends RegistryOptions {
  readonly endpoint?: string
  readonly last: string
  readonly once?: boolean
}

/** Pause between two refreshes. Each server sends a window every ten seconds; more often there is nothing new. */
const REFRESH_MS = 2000

const trafficView: View<TrafficAnswer> = {
  kind: 'Traffic',
  name: ({ endpoint, version }) => `${endpoint}/${version}`,
  header: ['endpoint', 'version', 'rate/s', 'requests', 'errors', 'refused', 'p50', 'p99'],
  row: ({ endpoint, model, version, requests, ratePerSecond, errors, refused, p50Ms, p99Ms }) => [
    endpoint,
    `${model}/${version}`,
    ratePerSecond.toFixed(1),
    String(requests),
    errors === 0 ? '0' : `${errors} (${((100 * errors) / requests).toFixed(2)} %)`,
    String(refused),
    p50Ms === undefined ? '-' : formatMs(p50Ms),
    p99Ms === undefined ? '-' : formatMs(p99Ms),
  ],
}

export function define(command: Command): void {
  asksRegistry(command)
    .option('--endpoint <endpoint>', 'only of this one')
    .option('--last <duration>', 'over how much time', '1m')
    .option('--once', 'show it once and end; what a pipe gets in any case')
    .addHelpText('after', '\nExamples:\n  slipway top\n  slipway top --endpoint churn --last 10m --once')
    .action(top)
}

async function top(options: TopOptions): Promise<void> {
  const client = await clientOf(options)
  const lastMs = parseDurationMs(options.last, '--last')
  const once = options.once === true || options.output !== 'table' || !process.stdout.isTTY
  for (;;) {
    const { items, until } = await ask(client, options.endpoint, lastMs)
    if (once) {
      showList(items, trafficView, options)
      return
    }
    const head = style('dim', `requests of ${options.last} until ${time(until)}, over all servers; Ctrl-C ends`)
    print(`\u001B[2J\u001B[H${head}\n\n${items.length === 0 ? 'nothing was asked' : table(items.map(trafficView.row), trafficView.header)}`)
    await pause(REFRESH_MS)
  }
}

async function ask(
  client: RegistryClient,
  endpoint: string | undefined,
  lastMs: number,
): Promise<{ items: TrafficAnswer[]; until: number }> {
  return await client.ask<{ items: TrafficAnswer[]; until: number }>('/traffic', { query: { endpoint, lastMs } })
}
