import { GRAMMARS, identifierOf, refused, unquoted } from './kinds.ts'
import type { Clause, Grammar, Identifier, Operator, SearchKind } from './kinds.ts'
import { tokensOf } from './tokens.ts'
import type { Token } from './tokens.ts'

/** Limits of a filter, which becomes one statement: SQLite allows 32,766 parameters and 1000 levels of AND in a statement. */
const CLAUSES_MAX = 100
const VALUES_MAX = 10_000
/** Upper limit of a pattern in UTF-16 units, each of at most 3 bytes: SQLite takes patterns of 50,000 bytes. */
const PATTERN_LENGTH_MAX = 16_000

const NUMERIC: readonly string[] = ['=', '!=', '<', '<=', '>', '>='] satisfies Operator[]
const TEXTUAL: readonly string[] = ['=', '!=', 'LIKE', 'ILIKE'] satisfies Operator[]
const OF_LISTS: readonly string[] = ['IN', 'NOT IN'] satisfies Operator[]
const OF_NULLS: readonly string[] = ['IS NULL', 'IS NOT NULL'] satisfies Operator[]
const WHOLE = /^\s*[+-]?\d+\s*$/

/** A comparison as it was written. Whether it makes sense depends on the kind. */
interface Comparison {
  readonly left: Token
  readonly operator: string
  /** Missing in IS NULL and IS NOT NULL. */
  readonly right: Token | undefined
}

/**
 * Parses a filter in MLflow's language: comparisons joined by AND.
 * @param filter empty for everything
 * @throws SLW_INPUT_INVALID with a message that begins as MLflow's does
 */
export function parseFilter(kind: SearchKind, filter: string): readonly Clause[] {
  if (filter === '') return []
  if (filter.trim() === '') throw refused(`Invalid filter '${filter}'. Could not be parsed.`)
  if (filter.includes('\0')) throw refused('Invalid filter: it holds a NUL character, which no stored text does')
  const comparisons = comparisonsOf(tokensOf(filter))
  if (comparisons.length > CLAUSES_MAX)
    throw refused(`Invalid filter: it has ${comparisons.length} comparisons, and at most ${CLAUSES_MAX} are allowed`)
  const clauses = comparisons.map((comparison) => clauseOf(kind, comparison))
  let values = 0
  for (const { value } of clauses) values += Array.isArray(value) ? value.length : 1
  if (values > VALUES_MAX) throw refused(`Invalid filter: it holds ${values} values, and at most ${VALUES_MAX} are allowed`)
  return clauses
}

/** As in MLflow, AND may be missing, doubled or at either end: only tokens that belong to no comparison are refused. */
function comparisonsOf(tokens: readonly Token[]): readonly Comparison[] {
  const found: Comparison[] = []
  const strangers: string[] = []
  let at = 0
  while (at < tokens.length) {
    const token = tokens[at]!
    const [comparison, length] = comparisonAt(tokens, at)
    if (comparison !== undefined) found.push(comparison)
    else if (!isWord(token, 'AND')) strangers.push(token.text)
    at += length
  }
  if (strangers.length > 0) {
    const shown = strangers.slice(0, 10).map((text) => `'${text}'`)
    throw refused(`Invalid clause(s) in filter string: ${shown.join(', ')}. Expected comparisons joined by AND, such as metrics.acc > 0.9`)
  }
  return found
}

function comparisonAt(tokens: readonly Token[], at: number): readonly [comparison: Comparison | undefined, length: number] {
  const [left, second, third, fourth] = [tokens[at], tokens[at + 1], tokens[at + 2], tokens[at + 3]]
  if (!isOperand(left) || left.kind === 'list') return [undefined, 1]
  if (second?.kind === 'operator' && isOperand(third)) return [{ left, operator: spaced(second.text), right: third }, 3]
  if (left.kind !== 'name') return [undefined, 1]
  if (isWord(second, 'IN') && third?.kind === 'list') return [{ left, operator: 'IN', right: third }, 3]
  if (isWord(second, 'NOT') && isWord(third, 'IN') && fourth?.kind === 'list') return [{ left, operator: 'NOT IN', right: fourth }, 4]
  if (isWord(second, 'IS') && isWord(third, 'NULL')) return [{ left, operator: 'IS NULL', right: undefined }, 3]
  if (isWord(second, 'IS') && isWord(third, 'NOT') && isWord(fourth, 'NULL'))
    return [{ left, operator: 'IS NOT NULL', right: undefined }, 4]
  return [undefined, 1]
}

function isWord(token: Token | undefined, word: string): boolean {
  return token?.kind === 'name' && token.text.toUpperCase() === word
}

const KEYWORDS = new Set(['AND', 'OR', 'NOT', 'IN', 'IS', 'BETWEEN'])

function isOperand(token: Token | undefined): token is Token {
  if (token === undefined || token.kind === 'operator' || token.kind === 'other') return false
  return token.kind !== 'name' || !KEYWORDS.has(token.text.toUpperCase())
}

function spaced(operator: string): string {
  return operator.toUpperCase().replaceAll(/\s+/g, ' ')
}

function clauseOf(kind: SearchKind, { left, operator, right }: Comparison): Clause {
  const grammar = GRAMMARS[kind]
  if (left.kind !== 'name' && !(left.kind === 'loose' && grammar.loose))
    throw refused(`Invalid comparison clause. Expected 'Identifier' found '${left.text}'; keys with such signs go in backticks`)
  const identifier = identifierOf(kind, left.text, 'filter')
  const allowed = operatorsOf(grammar, identifier)
  if (right === undefined) {
    if (!allowed.includes(operator)) {
      const where = grammar.nullChecks ? ` is only supported for tags and params, not for '${left.text}'` : ' is not supported here'
      throw refused(`Invalid comparison clause. IS NULL / IS NOT NULL${where}`)
    }
    return { subject: identifier.subject, key: identifier.key, operator: operator as Operator, value: null }
  }
  const value = valueOf(grammar, identifier, right)
  if (!allowed.includes(operator) || Array.isArray(value) !== OF_LISTS.includes(operator))
    throw refused(`Invalid comparator '${operator}' for '${left.text}': not one of ${allowed.join(', ')}`)
  if (operator.endsWith('LIKE') && String(value).length > PATTERN_LENGTH_MAX)
    throw refused(`Invalid comparison clause. The pattern for '${left.text}' is longer than ${PATTERN_LENGTH_MAX} characters`)
  return { subject: identifier.subject, key: identifier.key, operator: operator as Operator, value }
}

function operatorsOf(grammar: Grammar, { subject, attribute }: Identifier): readonly string[] {
  if (subject === 'metric') return NUMERIC
  if (subject === 'dataset') return [...TEXTUAL, ...OF_LISTS]
  if (attribute === undefined) return [...TEXTUAL, ...(grammar.loose ? OF_LISTS : []), ...(grammar.nullChecks ? OF_NULLS : [])]
  if (attribute.type === 'id') return ['=', '!=', ...OF_LISTS]
  if (attribute.type !== 'text') return NUMERIC
  return attribute.lists ? [...TEXTUAL, ...OF_LISTS] : TEXTUAL
}

function valueOf(grammar: Grammar, identifier: Identifier, token: Token): string | number | readonly string[] {
  const { subject, key, attribute } = identifier
  const type = subject === 'metric' ? 'number' : (attribute?.type ?? 'text')
  if (type === 'number' || type === 'integer' || (type === 'count' && token.kind === 'number')) {
    if (token.kind !== 'number') throw refused(`Expected numeric value type for ${subject} '${key}'. Found ${token.text}`)
    const value = Number(token.text)
    if (type !== 'number' && !WHOLE.test(token.text))
      throw refused(`Invalid value for numeric attribute '${key}': '${token.text}'; expected a whole number`)
    return value
  }
  if (token.kind === 'list') {
    if (!operatorsOf(grammar, identifier).includes('IN'))
      throw refused(`Expected a quoted string value for ${subject} '${key}'. Got value ${token.text}; lists are not supported for it`)
    const values = listOf(token)
    return type === 'id' ? values.map(experimentId) : values
  }
  const text = textOf(grammar, identifier, token)
  if (type === 'id') return experimentId(text)
  if (type !== 'count') return text
  if (!WHOLE.test(text)) throw refused(`Invalid value for numeric attribute '${key}': '${text}'; expected a whole number`)
  return Number(text)
}

function textOf(grammar: Grammar, { subject, key }: Identifier, token: Token): string {
  if (token.kind === 'string') return unquoted(token.text, "'")
  if (token.kind === 'name' && token.text.startsWith('"') && unquoted(token.text, '"') !== token.text) return unquoted(token.text, '"')
  if (grammar.loose) return token.text
  if (token.kind === 'number')
    throw refused(`Expected a quoted string value for ${subject} '${key}' (e.g. 'my-value'). Got value ${token.text}`)
  throw refused(
    `Parameter value is either not quoted or unidentified quote types used for string value ${token.text}. Use either single or double quotes.`,
  )
}

/** MLflow reads lists as Python reads a tuple of strings: with escapes, unlike single values, and with an optional comma at the end. */
function listOf({ items, text }: Token): readonly string[] {
  const expectation = 'While parsing a list in the query, expected a non-empty list of string values'
  if (items.length === 0) throw refused(`${expectation}, but got empty list`)
  return items.flatMap((item, index) => {
    if (index % 2 === 1) {
      if (item.text !== ',') throw refused(`${expectation}, but got ill-formed list ${text}`)
      return []
    }
    const quote = item.text[0] ?? ''
    if (item.kind !== 'string' && !(item.kind === 'name' && quote === '"')) throw refused(`${expectation}, but got ${item.text} in ${text}`)
    return [unescaped(unquoted(item.text, quote))]
  })
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '\\': '\\', "'": "'", '"': '"' }

function unescaped(text: string): string {
  return text.replaceAll(/\\(.)/gs, (all, sign: string) => ESCAPES[sign] ?? all)
}

/** Ids of experiments are numbers in MLflow: `'007'` is the seventh. */
function experimentId(text: string): string {
  if (!WHOLE.test(text)) throw refused(`Invalid experiment ID '${text}'. Experiment ID must be a valid integer.`)
  return String(BigInt(text.trim().replace(/^\+/, '')))
}
