import { closest } from '../contract/schema.ts'
import { AskError, firstOf, lasting } from './answer.ts'
import type { ResolvedCheck } from '../contract/outside-check.ts'
import type { Found } from './answer.ts'
import type { PrometheusApi } from './prometheus-api.ts'

interface Rule {
  readonly name: string
  readonly type: string
  readonly state?: string
  readonly health?: string
  readonly lastError?: string
  readonly lastEvaluation?: string
}

/** Asks for the state of an alerting rule, which counts as long as the rule is evaluated. @param now UTC epoch milliseconds */
export async function askAlert(api: PrometheusApi, name: string, { check, now }: { check: ResolvedCheck; now: number }): Promise<Found> {
  const { groups = [] } = await api.get<{ groups?: readonly { rules: readonly Rule[] }[] }>('/rules', { type: 'alert' })
  const all = groups.flatMap(({ rules }) => rules).filter(({ type }) => type === 'alerting')
  const rules = all.filter((rule) => rule.name === name)
  if (rules.length === 0) throw new AskError(unknownAlert(name, all))
  const broken = rules.find(({ health }) => health !== 'ok')
  if (broken !== undefined)
    return {
      verdict: 'no_data',
      sentence:
        broken.health === 'err'
          ? `the rule ${name} cannot be evaluated: ${broken.lastError}`
          : `the rule ${name} has not been evaluated yet`,
    }
  const at = Math.min(...rules.map(({ lastEvaluation = '' }) => Date.parse(lastEvaluation)))
  const age = Math.max(0, Math.round((now - at) / 1000))
  // Also where the time cannot be read.
  if (!(age <= check.maxAgeSeconds))
    return {
      verdict: 'no_data',
      sentence: `the rule ${name} was evaluated ${lasting(age)} ago, where at most ${lasting(check.maxAgeSeconds)} count`,
    }
  return { at, age, ...stateOf(name, rules) }
}

/** Several groups may have a rule of the same name: the worst counts. */
function stateOf(name: string, rules: readonly Rule[]): Pick<Found, 'verdict' | 'sentence'> {
  const states = rules.map(({ state }) => state)
  if (states.includes('firing')) return { verdict: 'fail', sentence: `the alert ${name} is firing` }
  if (states.includes('pending'))
    return { verdict: 'no_data', sentence: `the alert ${name} is pending: its condition holds, not yet for long enough` }
  if (states.every((state) => state === 'inactive')) return { verdict: 'pass', sentence: `the alert ${name} is inactive` }
  return { verdict: 'no_data', sentence: `the alert ${name} is in a state that we do not know: ${states.join(', ')}` }
}

function unknownAlert(name: string, all: readonly Rule[]): string {
  const names = [...new Set(all.map((rule) => rule.name))]
  const near = closest(name, names)
  const there = names.length === 0 ? 'there are no alerting rules' : `there are ${firstOf(names)}`
  return `there is no alerting rule ${name}${near === undefined ? '' : `; did you mean ${near}?`}; ${there}`
}
