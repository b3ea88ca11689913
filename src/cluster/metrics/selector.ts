import { SlipwayError } from '../../core/errors.ts'

type Labels = Readonly<Record<string, string>>

/** Which labels are asked for. */
export interface Selector {
  readonly takes: (labels: Labels) => boolean
  /** As objects have it (metav1.LabelSelector); null for one that takes everything. */
  readonly object: object | null
}

interface Requirement {
  readonly key: string
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
  readonly values: readonly string[]
}

/** Longest selector that is read. */
const LENGTH_MAX = 8192
const KEY = String.raw`[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?`
const VALUE = String.raw`(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?`
const EQUAL = new RegExp(`^(${KEY})\\s*(==?|!=)\\s*(${VALUE})$`)
const AMONG = new RegExp(`^(${KEY})\\s+(in|notin)\\s*\\(([^()]*)\\)$`)
const PRESENT = new RegExp(`^(!?)\\s*(${KEY})$`)

/**
 * Reads a selector as `kubectl -l` takes it: `app=churn,tier!=test,zone in (a, b),!old`. An empty one takes everything.
 * @throws SLW_BAD_REQUEST naming the part that is none
 */
export function readSelector(text: string): Selector {
  if (text.length > LENGTH_MAX) throw new SlipwayError('SLW_BAD_REQUEST', `a selector has ${LENGTH_MAX} characters at most`)
  if (text.trim() === '') return { takes: () => true, object: null }
  const requirements = text.split(/,(?![^()]*\))/).map((part) => requirementOf(part.trim()))
  return { takes: (labels) => requirements.every((one) => holds(one, labels)), object: { matchExpressions: requirements.map(written) } }
}

function requirementOf(part: string): Requirement {
  const equal = EQUAL.exec(part)
  if (equal !== null) {
    const [, key = '', operator, value = ''] = equal
    return { key, operator: operator === '!=' ? 'NotIn' : 'In', values: [value] }
  }
  const among = AMONG.exec(part)
  if (among !== null) {
    const [, key = '', operator, values = ''] = among
    return { key, operator: operator === 'in' ? 'In' : 'NotIn', values: values.split(',').map((value) => value.trim()) }
  }
  const present = PRESENT.exec(part)
  if (present !== null) {
    const [, not, key = ''] = present
    return { key, operator: not === '!' ? 'DoesNotExist' : 'Exists', values: [] }
  }
  throw new SlipwayError(
    'SLW_BAD_REQUEST',
    `"${part}" is no part of a selector: expected KEY=VALUE, KEY!=VALUE, KEY in (A, B), KEY notin (A, B), KEY or !KEY`,
  )
}

/** Labels that are missing are not among any values. */
function holds({ key, operator, values }: Requirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined
  if (operator === 'Exists' || operator === 'DoesNotExist') return (value !== undefined) === (operator === 'Exists')
  return (value !== undefined && values.includes(value)) === (operator === 'In')
}

function written({ key, operator, values }: Requirement): object {
  return { key, operator, ...(values.length > 0 && { values }) }
}
