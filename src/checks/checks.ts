/**
 * Checks asks monitoring of others about a version that gets traffic: Prometheus, what answers like it, and CloudWatch. Whatever goes wrong
 * is an answer too, and only a value that is there, finite and fresh says pass or fail.
 */
import { isSlipwayError, messageOf, SlipwayError } from '../core/errors.ts'
import { checkIssues, filledIn, resolveCheck } from '../contract/outside-check.ts'
import { AskError } from './answer.ts'
import { askAlarm, askMetric } from './cloudwatch.ts'
import { askAlert } from './prometheus-alert.ts'
import { openPrometheus } from './prometheus-api.ts'
import { askQuery } from './prometheus-query.ts'
import type { Check, CheckSource, CheckSubject, ResolvedCheck } from '../contract/outside-check.ts'
import type { Secrets } from '../security/secrets/secrets.ts'
import type { AskOptions, CheckAnswer, Found } from './answer.ts'

export type { AskOptions, CheckAnswer }

/**
 * Asks a check about a version.
 * @throws only where `signal` is aborted; what cannot be asked is an answer, `error`
 */
export async function ask(check: Check, subject: CheckSubject, options: AskOptions & { readonly secrets: Secrets }): Promise<CheckAnswer> {
  options.signal.throwIfAborted()
  const query = queryOf(check, subject)
  try {
    return { query, ...(await found(check, subject, options)) }
  } catch (error) {
    options.signal.throwIfAborted()
    if (error instanceof AskError || isSlipwayError(error)) return { verdict: 'error', sentence: messageOf(error), query }
    // Whoever answers may answer anything.
    return { verdict: 'error', sentence: `the answer cannot be understood: ${messageOf(error)}`, query }
  }
}

async function found(check: Check, subject: CheckSubject, options: AskOptions & { readonly secrets: Secrets }): Promise<Found> {
  const resolved = resolveCheck(check)
  const [issue] = checkIssues([check], 'checks')
  if (issue !== undefined || resolved === undefined)
    throw new SlipwayError('SLW_CONFIG_INVALID', `the check ${check.name} cannot be asked: ${issue?.path} ${issue?.message}`)
  const source = filled(resolved.source, subject)
  switch (source.kind) {
    case 'query':
    case 'alert':
      return await askPrometheus(source, resolved, options)
    case 'metric':
      return await askMetric(source, resolved, options)
    default:
      return await askAlarm(source, options)
  }
}

async function askPrometheus(
  source: Extract<CheckSource, { kind: 'query' | 'alert' }>,
  check: ResolvedCheck,
  options: AskOptions & { readonly secrets: Secrets },
): Promise<Found> {
  const api = await openPrometheus({ ...source, ...options })
  const asked = { check, now: options.now }
  return source.kind === 'query' ? await askQuery(api, source.query, asked) : await askAlert(api, source.alert, asked)
}

/** Texts of a source that have places beside the values of dimensions; an address has none. */
const FILLED = new Set(['query', 'alert', 'alarm', 'namespace', 'metric'])

/** @throws SLW_INPUT_INVALID for a name that would end the text that it is put into */
function filled<T extends CheckSource>(source: T, subject: CheckSubject): T {
  for (const [name, value] of Object.entries(subject))
    if (/["'`\\\n]/.test(value))
      throw new SlipwayError('SLW_INPUT_INVALID', `the ${name} ${JSON.stringify(value)} cannot be put into a query`)
  const fill = ([key, value]: [string, unknown]): [string, unknown] => {
    if (key === 'dimensions')
      return [
        key,
        Object.fromEntries(Object.entries(value as Record<string, string>).map(([name, text]) => [name, filledIn(text, subject)])),
      ]
    return [key, FILLED.has(key) ? filledIn(String(value), subject) : value]
  }
  return Object.fromEntries(Object.entries(source).map(fill)) as unknown as T
}

/** What is asked, on one line. */
function queryOf({ prometheus, cloudwatch }: Check, subject: CheckSubject): string {
  const { query, alert } = prometheus ?? {}
  const { region, alarm, namespace, metric, dimensions = {}, statistic = 'Average', periodSeconds = 60 } = cloudwatch ?? {}
  const of = Object.entries(dimensions).map(([name, value]) => `${name}=${JSON.stringify(value)}`)
  const text =
    query ??
    (alert === undefined ? undefined : `alert ${alert}`) ??
    (alarm === undefined
      ? `${statistic} of ${namespace} ${metric}{${of.join(', ')}} over ${periodSeconds} s in ${region}`
      : `alarm ${alarm} in ${region}`)
  return filledIn(text, subject)
}
