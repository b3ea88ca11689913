import type { Counts } from './evidence.ts'
import type { MetricJudgement } from './judgement.ts'

/** What came out of a metric, in one sentence for people: the counts first, then what they show. */
export function sentence(judgement: MetricJudgement): string {
  const { rule, verdict, base, candidate, method } = judgement
  const counted = `${rule.metric}: ${share(candidate)} of the candidate, ${share(base)} of the base`
  const { low, likeliest, high } = judgement.ratio()
  const interval = method === 'blocks' ? '' : ` (${ratioText(low)} to ${ratioText(high)})`
  const times = likeliest === undefined ? '' : `, ${ratioText(likeliest)} times as often${interval}`
  const bursts = method === 'blocks' ? '; they come in bursts, so that blocks of time are compared' : ''
  if (verdict === 'no data')
    return `${rule.metric}: nothing to compare, as ${candidate.exposures === 0 ? 'the candidate' : 'the base'} had no requests`
  if (verdict === 'fail')
    return `${counted}${times}: that it goes wrong more often${rule.tolerate === 1 ? '' : ` than ${rule.tolerate} times`} is shown${bursts}`
  if (verdict === 'pass')
    return `${counted}${times}: ${rule.ruleOut} times as often${rule.cap === undefined ? '' : `, or more than ${percent(rule.cap)},`} is ruled out${bursts}`
  const left = judgement.remaining()
  return `${counted}${times}: not shown either way${left === undefined ? '' : `; about ${Number(left.toPrecision(2))} more requests tell, if it goes on like this`}${bursts}`
}

function share({ k, exposures }: Counts): string {
  return `${k} of ${exposures} (${exposures === 0 ? '-' : percent(k / exposures)})`
}

function percent(value: number): string {
  return `${(100 * value).toPrecision(2)} %`
}

function ratioText(value: number): string {
  return value === Number.POSITIVE_INFINITY ? 'any number of' : value >= 100 ? value.toFixed(0) : value.toPrecision(2)
}
