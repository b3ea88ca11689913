import { SlipwayError } from '../../core/errors.ts'
import { asksRegistry, change, clientOf, part, show } from '../control-plane/registry-command.ts'
import { revisionNumber } from './revision-number.ts'
import { comparisonText, comparisonView, endpointView, trafficText } from './views.ts'
import type { Command } from 'commander'
import type { ComparisonAnswer } from '../../contract/comparison.ts'
import type { EndpointAnswer, RoutingBody } from '../../contract/delivery-api.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

interface TrafficOptions extends RegistryOptions {
  readonly set?: string
  readonly shadow?: string
  readonly edges?: string
  readonly beside?: string
  readonly compare?: string
  readonly base?: string
}

export function define(command: Command): void {
  asksRegistry(command.argument('<endpoint>'), { changes: true })
    .option('--set <shares>', 'percent by variant, such as main=95,next=5; they add up to 100')
    .option('--shadow <shares>', 'percent of answered requests that a variant gets copies of, such as next=10; next=0 ends it')
    .option('--edges <milliseconds>', 'count requests that take longer, such as 100,250; none: no more')
    .option('--beside <revision>', 'serve an earlier or later revision beside the one in force, as NAME-rNUMBER; none: no more')
    .option('--compare <variant>', 'what is shown of a variant so far, beside the one with the largest share')
    .option('--base <variant>', 'compare with this one')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway traffic churn\n  slipway traffic churn --set main=95,next=5\n  slipway traffic churn --shadow next=10 --edges 250\n  slipway traffic churn --compare next\n  slipway traffic churn --beside 6 --set main=90,main-r6=10\n\nA change of shares moves as few requests as there can be: whoever has a variant that gets more keeps it.',
    )
    .action(traffic)
}

async function traffic(name: string, options: TrafficOptions): Promise<void> {
  const { set, shadow, edges, beside, compare, base } = options
  const changes = set !== undefined || shadow !== undefined || edges !== undefined || beside !== undefined
  if (compare !== undefined && changes) throw new SlipwayError('SLW_USAGE', '--compare shows, and changes nothing: give it alone')
  if (base !== undefined && compare === undefined)
    throw new SlipwayError('SLW_USAGE', '--base needs --compare: what is to be compared with it')
  if (beside !== undefined && set === undefined)
    throw new SlipwayError('SLW_USAGE', '--beside needs --set: how much each variant is to get')
  const client = await clientOf(options)
  const path = `/endpoints/${part(name)}`
  if (compare !== undefined) {
    const query = new URLSearchParams({ candidate: compare, ...(base !== undefined && { base }) })
    const comparison = await client.ask<ComparisonAnswer>(`${path}/comparison?${query.toString()}`)
    return show(comparison, comparisonView, options, comparisonText(comparison))
  }
  const present = await client.ask<EndpointAnswer>(path)
  if (!changes) return show(present, endpointView, options, trafficText(present))
  const body: RoutingBody = {
    ...(set !== undefined && { weights: wholeOf(sharesOf('--set', set)) }),
    ...(shadow !== undefined && { shadows: sharesOf('--shadow', shadow) }),
    ...(edges !== undefined && { edges: edgesOf(edges) }),
    ...(beside !== undefined && { beside: revisionOf(beside) }),
  }
  const headers = { 'if-match': `"${present.metadata.resourceVersion}"` }
  const after = await change<EndpointAnswer>(options, client, { method: 'POST', path: `${path}/routing`, body, headers })
  if (after !== undefined) show(after, endpointView, options, trafficText(after))
}

/** @throws SLW_USAGE */
function sharesOf(option: string, text: string): Record<string, number> {
  const shares = text.split(',').map((one): [string, number] => {
    const [, variant, share] = /^\s*([^=\s]+)\s*=\s*(\d+(?:\.\d+)?)\s*%?\s*$/.exec(one) ?? []
    if (variant === undefined || share === undefined)
      throw new SlipwayError('SLW_USAGE', `${option}: "${one}" is no share; expected VARIANT=PERCENT, such as next=5`)
    if (Number(share) > 100) throw new SlipwayError('SLW_USAGE', `${option}: ${share} % is more than all requests`)
    return [variant, Number(share)]
  })
  const twice = shares.find(([variant], index) => shares.findIndex(([other]) => other === variant) < index)
  if (twice !== undefined) throw new SlipwayError('SLW_USAGE', `${option}: "${twice[0]}" has two shares`)
  return Object.fromEntries(shares)
}

/** @throws SLW_USAGE where the shares are not all of the requests */
function wholeOf(shares: Record<string, number>): Record<string, number> {
  const sum = Object.values(shares).reduce((total, share) => total + share, 0)
  if (Math.abs(sum - 100) > 1e-6)
    throw new SlipwayError('SLW_USAGE', `--set: the shares add up to ${Number(sum.toFixed(4))} %, not to 100 %`)
  return shares
}

/** @throws SLW_USAGE */
function edgesOf(text: string): number[] {
  if (text === 'none') return []
  return text.split(',').map((one) => {
    const edge = Number(one)
    if (one.trim() !== '' && edge > 0) return edge
    throw new SlipwayError('SLW_USAGE', `--edges: "${one}" is no number of milliseconds above 0; expected a list such as 100,250, or none`)
  })
}

function revisionOf(text: string): number | null {
  return text === 'none' ? null : revisionNumber('--beside', text, ', or none')
}
