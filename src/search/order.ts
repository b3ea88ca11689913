import { identifierOf, refused } from './kinds.ts'
import type { SearchKind, EntityType } from './kinds.ts'
import { tokensOf } from './tokens.ts'
import type { DatasetFilter } from './latest.ts'

/** One key of an order. Objects without a value come last in either direction, and NaN after the numbers. */
export interface OrderTerm {
  readonly subject: Exclude<EntityType, 'dataset'>
  readonly key: string
  readonly descending: boolean
  /** For metrics of logged models: only those measured on a data set that matches each of these lists. */
  readonly datasets?: readonly (readonly DatasetFilter[])[]
}

/** An order of logged models as MLflow's clients send it, which is not a string. */
export interface LoggedModelOrder {
  readonly field_name?: string
  /** Default true. */
  readonly ascending?: boolean
  readonly dataset_name?: string
  readonly dataset_digest?: string
}

/** Upper limit of terms: each costs a subquery or more in every row. */
const TERMS_MAX = 20

/**
 * Parses a list of `KEY [ASC|DESC]`, and completes it so that no two objects are equal: runs by start and id, experiments by id, models by
 * name, versions by name and number.
 * @throws SLW_INPUT_INVALID with a message that begins as MLflow's does
 */
export function parseOrder(kind: Exclude<SearchKind, 'loggedModels'>, orderBy: readonly string[]): readonly OrderTerm[] {
  limited(orderBy)
  const terms = orderBy.map((text) => termOf(kind, text))
  // MLflow allows duplicate keys for experiments.
  if (kind !== 'experiments' && new Set(terms.map(({ subject, key }) => `${subject}.${key}`)).size < terms.length)
    throw refused(`\`order_by\` contains duplicate fields: ${orderBy.join(', ')}`)
  return completed(terms, COMPLETIONS[kind](terms.length === 0))
}

/**
 * Parses an order of logged models; without one, the newest come first.
 * @param datasets data sets to which the search limits metrics; default: all
 */
export function parseLoggedModelOrder(orderBy: readonly LoggedModelOrder[], datasets: readonly DatasetFilter[] = []): readonly OrderTerm[] {
  limited(orderBy)
  const terms = orderBy.map(({ field_name: field = '', ascending = true, dataset_name: name, dataset_digest: digest }): OrderTerm => {
    if (field === '') throw refused('`field_name` in the `order_by` clause must be specified.')
    const descending = !ascending
    const point = field.indexOf('.')
    if (point < 0) {
      const { key } = identifierOf('loggedModels', field.trim(), 'order')
      return { subject: 'attribute', key, descending }
    }
    if (field.slice(0, point) !== 'metrics' || point === field.length - 1)
      throw refused(`Invalid order by field name: ${field}, only attributes and metrics.NAME are allowed.`)
    const own = { ...(isGiven(name) ? { name } : {}), ...(isGiven(digest) ? { digest } : {}) }
    const on = [datasets, isGiven(name) || isGiven(digest) ? [own] : []].filter((list) => list.length > 0)
    return { subject: 'metric', key: field.slice(point + 1), descending, ...(on.length > 0 && { datasets: on }) }
  })
  return completed(terms, [by('creation_timestamp', true), by('model_id')])
}

/** Fields of protocol buffers that were not set arrive as empty strings. */
function isGiven(value: string | undefined): value is string {
  return value !== undefined && value !== ''
}

function limited(orderBy: readonly unknown[]): void {
  if (orderBy.length > TERMS_MAX) throw refused(`Invalid order_by: it has ${orderBy.length} keys, and at most ${TERMS_MAX} are allowed`)
}

function by(key: string, descending = false): OrderTerm {
  return { subject: 'attribute', key, descending }
}

const COMPLETIONS: Readonly<Record<Exclude<SearchKind, 'loggedModels'>, (isEmpty: boolean) => readonly OrderTerm[]>> = {
  runs: () => [by('start_time', true), by('run_id')],
  // Not a mistake: the direction of the last key depends on whether an order is given.
  experiments: (isEmpty) => (isEmpty ? [by('creation_time', true), by('experiment_id')] : [by('experiment_id', true)]),
  models: () => [by('name')],
  versions: (isEmpty) => [...(isEmpty ? [by('last_updated_timestamp', true)] : []), by('name'), by('version_number', true)],
}

function completed(terms: readonly OrderTerm[], completion: readonly OrderTerm[]): readonly OrderTerm[] {
  const missing = completion.filter(({ key }) => !terms.some((term) => term.subject === 'attribute' && term.key === key))
  return [...terms, ...missing]
}

function termOf(kind: Exclude<SearchKind, 'loggedModels'>, text: string): OrderTerm {
  const [name, direction, ...rest] = tokensOf(text)
  if (name?.kind !== 'name' || rest.length > 0 || (direction !== undefined && direction.kind !== 'name') || text.includes('\0'))
    throw refused(`Invalid order_by clause '${text}'. Could not be parsed; expected KEY, KEY ASC or KEY DESC.`)
  const word = direction?.text.toLowerCase() ?? 'asc'
  if (word !== 'asc' && word !== 'desc') throw refused(`Invalid ordering key in order_by clause '${text}'.`)
  const { subject, key } = identifierOf(kind, name.text, 'order')
  const bySubject = kind === 'runs' ? subject !== 'dataset' : subject === 'attribute'
  if (!bySubject || subject === 'dataset') throw refused(`Invalid order_by entity: ${subject}, in '${text}'`)
  return { subject, key, descending: word === 'desc' }
}
