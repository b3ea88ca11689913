/** A small registry with the values that are hard to compare, and a plain reading of filters and orders over it. */
import type { Kysely } from 'kysely'
import type { Clause, SearchKind } from '../../src/search/kinds.ts'
import type { OrderTerm } from '../../src/search/order.ts'
import type { Schema } from '../../src/storage/sql/schema.ts'

/** One object of any kind, as the reference sees it. */
export interface Thing {
  readonly id: string
  readonly attributes: Readonly<Record<string, string | number | null>>
  readonly tags: Readonly<Record<string, string>>
  readonly params: Readonly<Record<string, string>>
  readonly points: readonly Point[]
  readonly datasets: readonly { readonly name: string; readonly digest: string; readonly context?: string }[]
  /** Whether it is, or belongs to, a prompt. */
  readonly isPrompt: boolean
}

interface Point {
  readonly key: string
  readonly value: number
  readonly timestamp: number
  readonly step: number
  readonly dataset: string
  readonly digest: string
}

export interface DatasetFilter {
  readonly name?: string
  readonly digest?: string
}

export const PROMPT_TAG = 'mlflow.prompt.is_prompt'

/** Text that some pattern, escape or alphabet gets wrong. */
const TEXTS = [
  '',
  'a',
  'A',
  'ab',
  'aXb',
  'a%b',
  'a_b',
  'a*b',
  'a?b',
  'a[b]',
  '[ab]',
  'a\\b',
  'a\nb',
  "it's",
  'Zebra',
  'ähre',
  'Ähre',
  '文字',
  '🦊',
  'b',
  'true',
]
const NUMBERS = [0, 1, -1, 0.1, 0.30000000000000004, 1e300, -1.7976931348623157e308, 1.7976931348623157e308, 42, Number.NaN]
const COUNT = 60

/** A fixed sequence (mulberry32), so that a failure can be seen again. */
export function randomness(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below)
  }
}

export type Things = Readonly<Record<SearchKind, readonly Thing[]>>

export function makeThings(seed: number): Things {
  const below = randomness(seed)
  const one = <T>(values: readonly T[]): T => values[below(values.length)]!
  const texts = (keys: readonly string[], values: readonly string[]): Record<string, string> =>
    Object.fromEntries(keys.flatMap((key) => (below(3) === 0 ? [] : [[key, one(values)]])))
  const time = (): number => 1_700_000_000_000 + below(5)
  const base = (id: string, attributes: Thing['attributes']): Thing => ({
    id,
    attributes,
    tags: texts(['a', 'k e.y', 'B'], TEXTS),
    params: {},
    points: [],
    datasets: [],
    isPrompt: false,
  })
  const many = (make: (index: number) => Thing): Thing[] => Array.from({ length: COUNT }, (_, index) => make(index))

  const runs = many((index): Thing => {
    const id = `${one(['a', 'B', 'c'])}${index}`
    const run = base(id, {
      run_id: id,
      run_name: one(TEXTS),
      user_id: one(['me', 'you', '']),
      status: one(['RUNNING', 'FINISHED', 'FAILED']),
      artifact_uri: `mlflow-artifacts:/1/${id}/artifacts`,
      start_time: below(5) === 0 ? null : time(),
      end_time: below(3) === 0 ? null : time(),
    })
    const inputs = Array.from({ length: below(3) }, (_, place) => ({
      name: `${one(['mnist', 'MNIST', 'iris'])}${place}`,
      digest: one(['d1', 'd2']),
      ...(below(3) === 0 ? {} : { context: one(['train', 'Test', 'a%b']) }),
    }))
    return { ...run, params: texts(['lr', 'opt im'], ['0.01', '0.1', ...TEXTS]), points: latest(below), datasets: inputs }
  })
  const experiments = many((index) =>
    base(String(index * 7), {
      experiment_id: String(index * 7),
      name: `${one(TEXTS)}${index}`,
      creation_time: time(),
      last_update_time: time(),
    }),
  )
  const models = many((index): Thing => {
    const model = base(`model-${index}`, {
      name: `${one(TEXTS)}${index}`,
      creation_timestamp: time(),
      last_updated_timestamp: time(),
    })
    const tags = { ...model.tags, ...(below(4) === 0 ? { [PROMPT_TAG]: one(['true', 'false']) } : {}) }
    return { ...model, tags, isPrompt: tags[PROMPT_TAG] === 'true' }
  })
  const versions = models.slice(0, 20).flatMap((model, index): Thing[] => {
    const made = Array.from({ length: below(5) }, (_, number): Thing => {
      const version = base(`version-${index}-${number}`, {
        name: model.attributes['name'] ?? '',
        version_number: number + 1,
        run_id: one([null, 'a1', 'B2', '']),
        source_path: one(['s3://bucket/x', 'models:/m-1', 'S3://bucket/x']),
        creation_timestamp: time(),
        last_updated_timestamp: time(),
      })
      return { ...version, tags: { ...version.tags, ...(below(8) === 0 ? { [PROMPT_TAG]: 'true' } : {}) } }
    })
    const isPrompt = made.some(({ tags }) => tags[PROMPT_TAG] === 'true')
    return made.map((version) => ({ ...version, isPrompt }))
  })
  const loggedModels = many((index): Thing => {
    const id = `m-${index}`
    const model = base(id, {
      model_id: id,
      name: one(TEXTS),
      model_type: one(['', 'Agent', 'agent']),
      status: one(['READY', 'PENDING']),
      source_run_id: one(['', 'a1']),
      experiment_id: '7',
      artifact_location: `mlflow-artifacts:/1/models/${id}`,
      lifecycle_stage: 'active',
      creation_timestamp: time(),
      last_updated_timestamp: time(),
    })
    const points = Array.from({ length: below(6) }, (): Point => ({
      key: one(['acc', 'f1']),
      value: one(NUMBERS),
      timestamp: below(2),
      step: below(2),
      dataset: one(['', 'd', 'e']),
      digest: one(['1', '2']),
    }))
    return { ...model, params: texts(['lr'], TEXTS), points: points.filter((point, place) => !points.slice(0, place).some(isSame(point))) }
  })
  return { runs, experiments, models, versions, loggedModels }
}

/** A logged model has one point of a metric, step, time and data set. */
function isSame(point: Point): (other: Point) => boolean {
  const { value: _, ...place } = point
  return (other) => Object.entries(place).every(([name, value]) => other[name as keyof Point] === value)
}

function latest(below: (limit: number) => number): Point[] {
  return ['acc', 'val loss'].flatMap((key) =>
    below(4) === 0 ? [] : [{ key, value: NUMBERS[below(NUMBERS.length)]!, timestamp: 1, step: 1, dataset: '', digest: '' }],
  )
}

// --- into the tables ---------------------------------------------------------------------------------------------------------

type Texts<K extends string> = Readonly<Record<K, string>>
type Numbers<K extends string> = Readonly<Record<K, number>>
type Times<K extends string> = Readonly<Record<K, number | null>>

export async function insertThings(tables: Kysely<Schema>, things: Things): Promise<void> {
  for (const { id, tags, attributes } of things.experiments) {
    const {
      name,
      creation_time: created,
      last_update_time: updated,
    } = attributes as Texts<'name'> & Numbers<'creation_time' | 'last_update_time'>
    await tables
      .insertInto('experiments')
      .values({
        id,
        environment: 'default',
        name,
        artifact_location: '',
        lifecycle_stage: 'active',
        created_at: created,
        updated_at: updated,
        deleted_at: null,
      })
      .execute()
    for (const [key, value] of Object.entries(tags))
      await tables.insertInto('experiment_tags').values({ experiment_id: id, key, value }).execute()
  }
  for (const run of things.runs) await insertRun(tables, run)
  for (const { id, tags, attributes } of things.models) {
    const {
      name,
      creation_timestamp: created,
      last_updated_timestamp: updated,
    } = attributes as Texts<'name'> & Numbers<'creation_timestamp' | 'last_updated_timestamp'>
    await tables
      .insertInto('models')
      .values({
        id,
        environment: 'default',
        name,
        description: null,
        protected_aliases: '[]',
        created_at: created,
        updated_at: updated,
        deleted_at: null,
      })
      .execute()
    for (const [key, value] of Object.entries(tags)) await tables.insertInto('model_tags').values({ model_id: id, key, value }).execute()
  }
  for (const version of things.versions) await insertVersion(tables, version, things.models)
  for (const model of things.loggedModels) await insertLoggedModel(tables, model)
}

export async function insertRun(tables: Kysely<Schema>, { id, attributes, tags, params, points, datasets }: Thing): Promise<void> {
  const {
    run_name: name,
    user_id,
    status,
    start_time,
    end_time,
    artifact_uri,
  } = attributes as Texts<'run_name' | 'user_id' | 'status' | 'artifact_uri'> & Times<'start_time' | 'end_time'>
  await tables
    .insertInto('runs')
    .values({
      id,
      experiment_id: '7',
      name,
      user_id,
      status,
      start_time,
      end_time,
      artifact_uri,
      lifecycle_stage: 'active',
      deleted_at: null,
    })
    .execute()
  for (const [key, value] of Object.entries(tags)) await tables.insertInto('run_tags').values({ run_id: id, key, value }).execute()
  for (const [key, value] of Object.entries(params)) await tables.insertInto('params').values({ run_id: id, key, value }).execute()
  for (const { key, value, timestamp, step } of points)
    await tables
      .insertInto('latest_metrics')
      .values({ run_id: id, key, timestamp, step, ...stored(value) })
      .execute()
  for (const [position, { name: dataset, digest, context }] of datasets.entries()) {
    const dataset_id = `${dataset}-${digest}`
    await tables
      .insertInto('datasets')
      .values({
        id: dataset_id,
        experiment_id: '7',
        name: dataset,
        digest,
        source_type: 'local',
        source: '{}',
        schema: null,
        profile: null,
      })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
    const entries = [{ key: 'other', value: 'train' }, ...(context === undefined ? [] : [{ key: 'mlflow.data.context', value: context }])]
    await tables
      .insertInto('run_datasets')
      .values({ run_id: id, dataset_id, position, tags: JSON.stringify(entries) })
      .execute()
  }
}

async function insertVersion(tables: Kysely<Schema>, { id, attributes, tags }: Thing, models: readonly Thing[]): Promise<void> {
  const {
    version_number: number,
    run_id,
    source_path: source,
    creation_timestamp: created,
    last_updated_timestamp: updated,
  } = attributes as Texts<'source_path'> &
    Readonly<Record<'run_id', string | null>> &
    Numbers<'version_number' | 'creation_timestamp' | 'last_updated_timestamp'>
  const model = models.find((each) => each.attributes['name'] === attributes['name'])!
  await tables
    .insertInto('versions')
    .values({
      id,
      model_id: model.id,
      number,
      description: null,
      source,
      run_id,
      run_link: null,
      logged_model_id: null,
      stage: 'None',
      status: 'READY',
      status_message: null,
      digest: null,
      size: null,
      servable: 0,
      servable_reason: null,
      approval: 'none',
      approval_by: null,
      approval_reason: null,
      approval_at: null,
      provenance: '{}',
      signature: null,
      metrics: null,
      examples: null,
      scan: null,
      created_by: 'test',
      created_at: created,
      updated_at: updated,
      deleted_at: null,
    })
    .execute()
  for (const [key, value] of Object.entries(tags)) await tables.insertInto('version_tags').values({ version_id: id, key, value }).execute()
}

async function insertLoggedModel(tables: Kysely<Schema>, { id, attributes, tags, params, points }: Thing): Promise<void> {
  const { name, model_type, status, source_run_id, experiment_id, artifact_location, lifecycle_stage } = attributes as Texts<
    'name' | 'model_type' | 'status' | 'source_run_id' | 'experiment_id' | 'artifact_location' | 'lifecycle_stage'
  >
  const { creation_timestamp: created, last_updated_timestamp: updated } = attributes as Numbers<
    'creation_timestamp' | 'last_updated_timestamp'
  >
  await tables
    .insertInto('logged_models')
    .values({
      id,
      experiment_id,
      name,
      model_type,
      status: `LOGGED_MODEL_${status}`,
      status_message: null,
      source_run_id,
      artifact_uri: artifact_location,
      lifecycle_stage,
      created_at: created,
      updated_at: updated,
      deleted_at: null,
    })
    .execute()
  for (const [key, value] of Object.entries(tags))
    await tables.insertInto('logged_model_tags').values({ logged_model_id: id, key, value }).execute()
  for (const [key, value] of Object.entries(params))
    await tables.insertInto('logged_model_params').values({ logged_model_id: id, key, value }).execute()
  for (const { key, value, timestamp, step, dataset, digest } of points)
    await tables
      .insertInto('logged_model_metrics')
      .values({ logged_model_id: id, key, timestamp, step, ...stored(value), run_id: 'a1', dataset_name: dataset, dataset_digest: digest })
      .execute()
}

function stored(value: number): { readonly value: number; readonly is_nan: number } {
  return Number.isNaN(value) ? { value: 0, is_nan: 1 } : { value, is_nan: 0 }
}

// --- the plain reading -------------------------------------------------------------------------------------------------------

/** The ids of what all clauses hold for, in the order. */
export function plainSearch(
  kind: SearchKind,
  things: readonly Thing[],
  asked: { readonly clauses: readonly Clause[]; readonly order: readonly OrderTerm[]; readonly datasets?: readonly DatasetFilter[] },
): readonly string[] {
  const { clauses, order, datasets = [] } = asked
  const found = things.filter((thing) => isFound(kind, thing, clauses, datasets))
  return found
    .toSorted((one, other) => {
      for (const term of order) {
        const difference = compareValues(sortValue(kind, one, term), sortValue(kind, other, term), term.descending)
        if (difference !== 0) return difference
      }
      return bytes(one.id, other.id)
    })
    .map(({ id }) => id)
}

function isFound(kind: SearchKind, thing: Thing, clauses: readonly Clause[], datasets: readonly DatasetFilter[]): boolean {
  let asked = clauses
  if (kind === 'models' || kind === 'versions') {
    const first = clauses.find(({ subject, key }) => subject === 'tag' && key === PROMPT_TAG)
    const wanted =
      first !== undefined && (first.operator === '=' ? first.value === 'true' : first.operator === '!=' && first.value === 'false')
    if (!wanted) {
      if (thing.isPrompt) return false
      asked = clauses.filter(({ subject, key }) => subject !== 'tag' || key !== PROMPT_TAG)
    }
  }
  const isMeasured = (point: Point): boolean => datasets.length === 0 || isOn(datasets, point)
  if (datasets.length > 0 && !clauses.some(({ subject }) => subject === 'metric') && !thing.points.some(isMeasured)) return false
  return asked.every((clause) => {
    const { subject, key } = clause
    if (subject === 'metric') {
      const value = latestOf(thing.points.filter((point) => point.key === key && isMeasured(point)))
      return value !== null && compares(value, clause)
    }
    if (subject === 'tag' || subject === 'param') {
      const value = (subject === 'tag' ? thing.tags : thing.params)[key]
      if (clause.operator === 'IS NULL') return value === undefined
      if (clause.operator === 'IS NOT NULL') return value !== undefined
      return value !== undefined && compares(value, clause)
    }
    if (subject === 'dataset') {
      return thing.datasets.some((dataset) => {
        const value = dataset[key as 'name' | 'digest' | 'context']
        return value !== undefined && compares(value, clause)
      })
    }
    const value = thing.attributes[key] ?? null
    return value === null ? key === 'run_id' && compares('', clause) : compares(value, clause)
  })
}

function compares(found: string | number, { operator, value }: Clause): boolean {
  const wanted = value as string | number
  switch (operator) {
    case '=':
      return found === wanted
    case '!=':
      return found !== wanted
    case '<':
      return found < wanted
    case '<=':
      return found <= wanted
    case '>':
      return found > wanted
    case '>=':
      return found >= wanted
    case 'LIKE':
      return isLike(String(found), String(wanted))
    case 'ILIKE':
      return isLike(String(found).toLowerCase(), String(wanted).toLowerCase())
    case 'IN':
      return (value as readonly string[]).includes(String(found))
    case 'NOT IN':
      return !(value as readonly string[]).includes(String(found))
    default:
      throw new Error(`no comparison of values: ${operator}`)
  }
}

/** Letter by letter: `%` is any number of characters, `_` is one, all else itself. */
function isLike(text: string, pattern: string): boolean {
  const letters = Array.from(text)
  const signs = Array.from(pattern)
  const matches = (at: number, sign: number): boolean => {
    if (sign === signs.length) return at === letters.length
    if (signs[sign] === '%') return matches(at, sign + 1) || (at < letters.length && matches(at + 1, sign))
    return at < letters.length && (signs[sign] === '_' || signs[sign] === letters[at]) && matches(at + 1, sign + 1)
  }
  return matches(0, 0)
}

function sortValue(
  kind: SearchKind,
  { attributes, tags, params, points }: Thing,
  { subject, key, datasets = [] }: OrderTerm,
): string | number | null {
  if (subject === 'tag') return tags[key] ?? null
  if (subject === 'param') return params[key] ?? null
  if (subject === 'attribute') {
    const value = attributes[key] ?? null
    return kind === 'experiments' && key === 'experiment_id' ? Number(value) : value
  }
  return latestOf(points.filter((point) => point.key === key && datasets.every((list) => isOn(list, point))))
}

function isOn(datasets: readonly DatasetFilter[], { dataset, digest }: Point): boolean {
  return datasets.some((each) => (each.name ?? dataset) === dataset && (each.digest ?? digest) === digest)
}

/** By step, then time, then value, of which NaN is the least. */
function latestOf(points: readonly Point[]): number | null {
  const value = (point: Point): number => (Number.isNaN(point.value) ? Number.NEGATIVE_INFINITY : point.value)
  const last = points.toSorted(
    (one, other) => other.step - one.step || other.timestamp - one.timestamp || Math.sign(value(other) - value(one)) || 0,
  )
  return last[0]?.value ?? null
}

function compareValues(one: string | number | null, other: string | number | null, descending: boolean): number {
  const rank = (value: string | number | null): number => (value === null ? 2 : Number.isNaN(value) ? 1 : 0)
  if (rank(one) !== rank(other)) return rank(one) - rank(other)
  if (rank(one) > 0) return 0
  const difference = typeof one === 'string' ? bytes(one, String(other)) : Math.sign(Number(one) - Number(other))
  return descending ? -difference : difference
}

function bytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other))
}
