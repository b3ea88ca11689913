import { SlipwayError } from '../core/errors.ts'

/**
 * Kinds of objects that can be searched. The language is that of MLflow 3 (`mlflow/utils/search_utils.py`, `search_logged_model_utils.py`,
 * and the checks of its two SQL stores), with a set of rules for each of the five kinds.
 */
export type SearchKind = 'runs' | 'experiments' | 'models' | 'versions' | 'loggedModels'

export type EntityType = 'metric' | 'param' | 'tag' | 'attribute' | 'dataset'

export type Operator = '=' | '!=' | '<' | '<=' | '>' | '>=' | 'LIKE' | 'ILIKE' | 'IN' | 'NOT IN' | 'IS NULL' | 'IS NOT NULL'

/** One comparison of a filter; all of them must hold. */
export interface Clause {
  readonly subject: EntityType
  /** The key of a metric, parameter or tag; for an attribute, the one name that stands for all its aliases. */
  readonly key: string
  readonly operator: Operator
  /** A list for IN and NOT IN, null for IS NULL and IS NOT NULL. */
  readonly value: string | number | readonly string[] | null
}

/**
 * Type of value that an attribute is compared with: `text` a quoted string, `number` a number, `integer` a whole one, `count` a whole one
 * that may be quoted, `id` a quoted one (experiment ids, which are numbers to MLflow and text to its clients).
 */
export type AttributeType = 'text' | 'number' | 'integer' | 'count' | 'id'

export interface Attribute {
  readonly key: string
  readonly type: AttributeType
  /** Whether IN and NOT IN are allowed. */
  readonly lists: boolean
  readonly use: 'filter' | 'order' | 'both'
}

export interface Grammar {
  /** Subjects by the words that may stand before the point. */
  readonly prefixes: ReadonlyMap<string, EntityType>
  readonly attributes: ReadonlyMap<string, Attribute>
  /** Whether IS NULL and IS NOT NULL are allowed for tags and parameters. */
  readonly nullChecks: boolean
  /** Whether unquoted values of tags and parameters, lists of them, and keys with arithmetic signs (`metrics.val-loss`) are allowed. */
  readonly loose: boolean
  /** Whether the word before the point, and the name of an attribute, may stand in backticks or quotes. */
  readonly quotedPrefixes: boolean
  readonly quotedAttributes: boolean
}

type AttributeWords = readonly [words: string, type: AttributeType, options?: { readonly lists?: boolean; readonly use?: Attribute['use'] }]

/** `words` is the name of the attribute, followed by its aliases, separated by commas. */
function attributes(...all: readonly AttributeWords[]): ReadonlyMap<string, Attribute> {
  const found = new Map<string, Attribute>()
  for (const [words, type, { lists = false, use = 'both' } = {}] of all) {
    const [key = '', ...aliases] = words.split(',')
    for (const word of [key, ...aliases]) found.set(word, { key, type, lists, use })
  }
  return found
}

const REGISTRY = { nullChecks: false, loose: false, quotedPrefixes: false, quotedAttributes: false } as const
const REGISTRY_PREFIXES: ReadonlyMap<string, EntityType> = new Map([
  ['attribute', 'attribute'],
  ['attributes', 'attribute'],
  ['tag', 'tag'],
  ['tags', 'tag'],
])
const FILTER = { use: 'filter' } as const
const ORDER = { use: 'order' } as const
const LISTS = { lists: true } as const

export const GRAMMARS: Readonly<Record<SearchKind, Grammar>> = {
  runs: {
    prefixes: new Map<string, EntityType>([
      ...(['metric', 'metrics'] as const).map((word) => [word, 'metric'] as const),
      ...(['parameter', 'parameters', 'param', 'params'] as const).map((word) => [word, 'param'] as const),
      ...(['tag', 'tags'] as const).map((word) => [word, 'tag'] as const),
      ...(['attribute', 'attributes', 'attr', 'run'] as const).map((word) => [word, 'attribute'] as const),
      ...(['dataset', 'datasets'] as const).map((word) => [word, 'dataset'] as const),
    ]),
    attributes: new Map([
      ...attributes(
        ['run_id', 'text', LISTS],
        ['run_name', 'text'],
        ['user_id', 'text'],
        ['status', 'text'],
        ['artifact_uri', 'text'],
        ['start_time,created,Created', 'number'],
        ['end_time', 'number'],
      ),
      ...['run name', 'Run name', 'Run Name'].map((word): [string, Attribute] => [
        word,
        { key: 'run_name', type: 'text', lists: false, use: 'filter' },
      ]),
    ]),
    nullChecks: true,
    loose: false,
    quotedPrefixes: true,
    quotedAttributes: true,
  },
  experiments: {
    prefixes: REGISTRY_PREFIXES,
    attributes: attributes(['name', 'text'], ['experiment_id', 'id', LISTS], ['creation_time', 'integer'], ['last_update_time', 'integer']),
    nullChecks: true,
    loose: false,
    quotedPrefixes: false,
    quotedAttributes: true,
  },
  models: {
    ...REGISTRY,
    prefixes: REGISTRY_PREFIXES,
    // MLflow's `timestamp` is the time of the last change, not of creation.
    attributes: attributes(
      ['name', 'text', LISTS],
      ['last_updated_timestamp,timestamp', 'number', ORDER],
      ['creation_timestamp', 'number', ORDER],
    ),
  },
  versions: {
    ...REGISTRY,
    prefixes: REGISTRY_PREFIXES,
    attributes: attributes(
      ['name', 'text', LISTS],
      ['version_number', 'count'],
      ['run_id', 'text', { ...LISTS, ...FILTER }],
      ['source_path', 'text', FILTER],
      ['creation_timestamp', 'number', ORDER],
      ['last_updated_timestamp', 'number', ORDER],
    ),
  },
  loggedModels: {
    prefixes: new Map<string, EntityType>([
      ['attributes', 'attribute'],
      ['metrics', 'metric'],
      ['params', 'param'],
      ['tags', 'tag'],
    ]),
    attributes: attributes(
      ['name', 'text', LISTS],
      ['model_id', 'text', LISTS],
      ['model_type', 'text', LISTS],
      ['status', 'text', LISTS],
      ['status_message', 'text', LISTS],
      ['source_run_id', 'text', LISTS],
      ['experiment_id', 'text', LISTS],
      ['artifact_location', 'text', LISTS],
      ['lifecycle_stage', 'text', LISTS],
      ['creation_timestamp,creation_time', 'number'],
      ['last_updated_timestamp,last_updated_time', 'number'],
    ),
    nullChecks: false,
    loose: true,
    quotedPrefixes: false,
    quotedAttributes: true,
  },
}

const DATASET_KEYS = ['name', 'digest', 'context']

/** Subject and key of the left side of a comparison, or of the key of an order. */
export interface Identifier {
  readonly subject: EntityType
  readonly key: string
  /** Of attributes only. */
  readonly attribute?: Attribute
}

/**
 * @param text as it was written: `metrics.acc`, `` params.`learning rate` ``, `start_time`
 * @throws SLW_INPUT_INVALID when this kind has no such prefix or attribute
 */
export function identifierOf(kind: SearchKind, text: string, use: 'filter' | 'order'): Identifier {
  const grammar = GRAMMARS[kind]
  const point = text.indexOf('.')
  const written = point < 0 ? undefined : text.slice(0, point)
  const prefix = written !== undefined && grammar.quotedPrefixes ? unquoted(written, '`') : written
  const subject = prefix === undefined ? 'attribute' : grammar.prefixes.get(prefix)
  if (subject === undefined) throw refused(`Invalid entity type '${written}'. Valid values are ${[...grammar.prefixes.keys()].join(', ')}`)
  const rest = text.slice(point + 1)
  const key = unquoted(unquoted(unquoted(rest, '"'), "'"), '`')
  if (key === '') throw refused(`Invalid identifier '${text}': a key is expected after the point`)
  if (subject === 'dataset' && !DATASET_KEYS.includes(key))
    throw refused(`Invalid dataset key '${key}' specified. Valid keys are ${DATASET_KEYS.join(', ')}`)
  if (subject !== 'attribute') return { subject, key }
  const attribute = grammar.attributes.get(grammar.quotedAttributes || use === 'order' ? key : rest)
  if (attribute === undefined || (attribute.use !== 'both' && attribute.use !== use)) {
    const known = [...grammar.attributes].filter(([, { use: own }]) => own === 'both' || own === use).map(([word]) => word)
    throw refused(`Invalid attribute key '${rest}' specified. Valid keys are ${known.join(', ')}`)
  }
  return { subject, key: attribute.key, attribute }
}

/** Takes the quotes off and leaves the text as it is: MLflow's language has no way to write a quote inside the same quotes. */
export function unquoted(text: string, quote: string): string {
  return text.length >= 2 && text.startsWith(quote) && text.endsWith(quote) ? text.slice(1, -1) : text
}

/** The error for every refused filter or order; its words follow MLflow's. */
export function refused(message: string): SlipwayError {
  return new SlipwayError('SLW_INPUT_INVALID', message)
}
