import { SlipwayError } from '../../core/errors.ts'
import { asksRegistry, change, clientOf, part, show } from '../control-plane/registry-command.ts'
import { revisionNumber } from './revision-number.ts'
import { endpointView, trafficText } from './views.ts'
import type { Command } from 'commander'
import type { EndpointAnswer, RoutingBody } from '../../contract/delivery-api.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

interface TrafficOptions extends RegistryOptions {
  readonly set?: string
  readonly beside?: string
}

export function define(command: Command): void {
  asksRegistry(command.argument('<endpoint>'), { changes: true })
    .option('--set <shares>', 'percent by variant, such as main=95,next=5; they add up to 100')
    .option('--beside <revision>', 'serve an earlier or later revision beside the one in force, as NAME-rNUMBER; none: no more')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway traffic churn\n  slipway traffic churn --set main=95,next=5\n  slipway traffic churn --beside 6 --set main=90,main-r6=10\n\nA change of shares moves as few requests as there can be: whoever has a variant that gets more keeps it.',
    )
    .action(traffic)
}

async function traffic(name: string, options: TrafficOptions): Promise<void> {
  const client = await clientOf(options)
  const path = `/endpoints/${part(name)}`
  const present = await client.ask<EndpointAnswer>(path)
  if (options.set === undefined) {
    if (options.beside !== undefined) throw new SlipwayError('SLW_USAGE', '--beside needs --set: how much each variant is to get')
    return show(present, endpointView, options, trafficText(present))
  }
  const body: RoutingBody = { weights: sharesOf(options.set), ...(options.beside !== undefined && { beside: revisionOf(options.beside) }) }
  const headers = { 'if-match': `"${present.metadata.resourceVersion}"` }
  const after = await change<EndpointAnswer>(options, client, { method: 'POST', path: `${path}/routing`, body, headers })
  if (after !== undefined) show(after, endpointView, options, trafficText(after))
}

/** @throws SLW_USAGE */
function sharesOf(text: string): Record<string, number> {
  const shares = text.split(',').map((one): [string, number] => {
    const [, variant, share] = /^\s*([^=\s]+)\s*=\s*(\d+(?:\.\d+)?)\s*%?\s*$/.exec(one) ?? []
    if (variant === undefined || share === undefined)
      throw new SlipwayError('SLW_USAGE', `--set: "${one}" is no share; expected VARIANT=PERCENT, such as next=5`)
    return [variant, Number(share)]
  })
  const twice = shares.find(([variant], index) => shares.findIndex(([other]) => other === variant) < index)
  if (twice !== undefined) throw new SlipwayError('SLW_USAGE', `--set: "${twice[0]}" has two shares`)
  const sum = shares.reduce((total, [, share]) => total + share, 0)
  if (Math.abs(sum - 100) > 1e-6)
    throw new SlipwayError('SLW_USAGE', `--set: the shares add up to ${Number(sum.toFixed(4))} %, not to 100 %`)
  return Object.fromEntries(shares)
}

function revisionOf(text: string): number | null {
  return text === 'none' ? null : revisionNumber('--beside', text, ', or none')
}
